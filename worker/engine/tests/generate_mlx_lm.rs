//! Answers beside mlx-lm's own, token for token in f32. Says SKIPPED and why where mlx-lm cannot be installed.

mod support;

use mlx_rs::Array;
use support::answers::{fresh, greedy, tokens};
use support::peer::{generate, python};
use vertigo_engine::Model;

#[test]
fn greedy_answers_are_mlx_lms_own() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    support::write_base(folder.path());
    // mlx-lm reads a batch of one length; ours are answered one by one, the last beyond a piece.
    for length in [17, 130, 530] {
        let prompt = tokens(length, length as u32, support::VOCAB as u32);
        let ids: Vec<i32> = prompt.iter().map(|&token| token as i32).collect();
        let file = folder.path().join("prompts.safetensors");
        let rows = Array::from_slice(&ids, &[1, length as i32]);
        Array::save_safetensors([("tokens", &rows)], None, &file).unwrap();
        let out = generate(python, folder.path(), &file, &folder.path().join("greedy.safetensors"));
        let theirs: Vec<u32> = out["greedy"].as_slice::<i32>().iter().map(|&token| token as u32).collect();
        let ours = fresh(|| Model::load(folder.path()).unwrap(), greedy(prompt, 64)).tokens();
        assert_eq!(ours, theirs, "after {length} tokens");
    }
}
