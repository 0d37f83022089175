//! Nothing is left behind by an iteration, and fusing holds a matrix at a time. Alone in their process and one after the other, since
//! MLX counts memory by process.

mod support;

use mlx_rs::memory;
use std::sync::{Mutex, PoisonError};
use support::{config, examples, recipe, tensors, write, write_base};
use vertigo_engine::backward::{Targets, loss_and_gradients};
use vertigo_engine::batch::{Batches, Cursor};
use vertigo_engine::fuse::{Options, fuse};
use vertigo_engine::optimizer::{Adam, scaled};
use vertigo_engine::{Model, adapter};

/// Held by the test whose memory is measured.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn fusing_holds_a_matrix_and_not_the_model() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (base, adapter) = (dir.path().join("base"), dir.path().join("adapter"));
    let mut config = config(true);
    config["text_config"]["num_hidden_layers"] = 24.into();
    write(&base, &config, &tensors(&config));
    let recipe = recipe("num_layers: -1, lora_parameters: {rank: 2, scale: 10, dropout: 0.0}");
    {
        let model = Model::load(&base).unwrap();
        adapter::save(&adapter, &adapter::initial(&model, &recipe).unwrap(), &recipe).unwrap();
    }
    let before = memory::active_memory().unwrap();
    memory::reset_peak_memory().unwrap();
    let fused = fuse(&base, &adapter, &dir.path().join("fused"), &Options::default(), &mut |_, _| {}).unwrap();
    let peak = (memory::peak_memory().unwrap() - before) as u64;
    let largest = 4 * 320 * 64;
    assert_eq!(fused.changed + 1, fused.matrices, "all but the embedding");
    assert!(peak > 0 && peak < 6 * largest && 6 * largest < fused.bytes / 4, "{peak} of {}", fused.bytes);
}

#[test]
fn fifty_iterations_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    let model = Model::load(dir.path()).unwrap();
    let recipe = recipe("num_layers: 3");
    let mut parameters = adapter::initial(&model, &recipe).unwrap();
    let mut adam = Adam::new(&parameters).unwrap();
    // One width, so that each iteration needs as much as the others.
    let mut batches = Batches::new(examples(1), 1, 64, 0);
    let mut cursor = Cursor::default();
    let mut iterate = |parameters: &mut vertigo_engine::Parameters| {
        let batch = batches.next(&mut cursor).unwrap();
        let targets = Targets::new(&batch.ids, batch.width, &batch.spans);
        let (_, gradients) = loss_and_gradients(&model, parameters, 20.0, Some((0.1, 1)), &targets).unwrap();
        adam.update(&recipe.optimizer, 1e-5, parameters, &scaled(gradients, 0.1).unwrap()).unwrap();
    };
    (0..10).for_each(|_| iterate(&mut parameters));
    let (active, resident) = (memory::active_memory().unwrap(), resident());
    let peak_of = |iterate: &mut dyn FnMut()| {
        memory::reset_peak_memory().unwrap();
        iterate();
        memory::peak_memory().unwrap()
    };
    let early = (0..5).map(|_| peak_of(&mut || iterate(&mut parameters))).max().unwrap();
    (0..40).for_each(|_| iterate(&mut parameters));
    let late = (0..5).map(|_| peak_of(&mut || iterate(&mut parameters))).max().unwrap();
    let left = memory::active_memory().unwrap().saturating_sub(active);
    assert!(left < 64 << 10, "{left} bytes of arrays are left over after 50 iterations");
    // How far MLX allocates ahead varies a little from run to run.
    assert!(late as f64 <= 1.1 * early as f64, "the peak rose from {early} to {late}");
    if let (Some(before), Some(after)) = (resident, self::resident()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 24 << 20, "the process grew by {grown} bytes in 50 iterations");
    }
}

/// Bytes of this process in memory; `None` where there is no /proc.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}
