//! What a cancelled request leaves in memory: nothing. A binary of its own, because MLX counts for the whole process.

mod support;

use mlx_rs::memory::{active_memory, set_cache_limit};
use support::answers::{AMPLE, Stories, greedy, tokens};
use vertigo_engine::Model;
use vertigo_engine::generate::{Generate, Generator, Limits, Request, RequestId};

const V: u32 = support::VOCAB as u32;

#[test]
fn whoever_is_cancelled_or_evicted_leaves_nothing_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    support::write_base(folder.path());
    let model = || Model::load(folder.path()).unwrap();
    // Else an array may be in a larger buffer that another one left.
    set_cache_limit(0).unwrap();
    let mut generator = Generator::new(model(), AMPLE).unwrap();
    // What is asked of MLX once, how many rows go together, and its constants.
    let mut stories = Stories::default();
    (0..2).for_each(|n| generator.admit(RequestId(1000 + n), greedy(vec![1], 4)).unwrap());
    stories.run(&mut generator);
    let kept = generator.load().kept_bytes;
    let before = active_memory().unwrap() as u64 - kept;
    // Cancelled while it waits, in the middle of a prompt, before its first token, and in a batch with another.
    for steps in 0..8 {
        for n in 0..2 {
            generator.admit(RequestId(2 * steps + n), greedy(tokens(1100, n as u32, V), 50)).unwrap();
        }
        (0..steps).for_each(|_| stories.step(&mut generator));
        assert!(generator.load().running_bytes > 0 || steps == 0);
        (0..2).for_each(|n| generator.cancel(RequestId(2 * steps + n)));
        assert!(generator.is_idle());
        assert_eq!(generator.load().running_bytes, 0);
        let after = active_memory().unwrap() as u64 - generator.load().kept_bytes;
        assert_eq!(after, before, "after {steps} steps");
    }
    drop(generator);

    // In room for two requests and a half: whatever is admitted is answered, in its order, and what is kept gives way.
    let need = |request: Request| {
        let mut generator = Generator::new(model(), AMPLE).unwrap();
        generator.admit(RequestId(1), request).unwrap();
        generator.step().unwrap();
        generator.load().running_bytes
    };
    let request = |n: u64| Request { borders: vec![20, 60], ..greedy(tokens(80 + n as usize, n as u32, V), 5) };
    let one = need(request(0));
    let mut generator = Generator::new(model(), Limits { bytes: 5 * one / 2, answers_max: 64 }).unwrap();
    let empty = active_memory().unwrap() as u64;
    let mut stories = Stories::default();
    (0..9).for_each(|n| generator.admit(RequestId(n), request(n)).unwrap());
    while !generator.is_idle() {
        stories.step(&mut generator);
        let load = generator.load();
        assert!(load.running_bytes + load.kept_bytes <= 5 * one / 2, "{load:?}");
        let held = active_memory().unwrap() as u64 - empty;
        // Beside the caches: matrices' row groups are learned with arrays of one row, which are small.
        assert!(held <= 5 * one / 2 + (1 << 20), "{held} bytes with {load:?}");
    }
    assert_eq!(stories.0.values().filter(|story| story.chosen.len() == 5).count(), 9);
}
