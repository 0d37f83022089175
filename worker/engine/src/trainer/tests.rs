//! What a run leaves that MLX ends.

use super::*;
use crate::training_data::training_data;
use mlx_rs::error::Exception;
use std::fs;
use std::path::PathBuf;

const RECIPE: &str = "model: base\niters: 6\nbatch_size: 2\nmax_seq_length: 64\nsteps_per_report: 2\nsteps_per_eval: 3\n\
                      save_every: 100\ngradient_accumulation: 2\nlora_parameters: {rank: 2, scale: 2.0, dropout: 0.1}\n";

fn trainer(dir: &Path, folder: RunFolder) -> Trainer {
    let recipe = Recipe::parse("test", RECIPE).unwrap();
    let data = training_data(&dir.join("base"), &dir.join("data"), &recipe).unwrap();
    Trainer::new(Model::load(&dir.join("base")).unwrap(), data, recipe, folder).unwrap()
}

fn lay(dir: &Path) {
    vertigo_testkit::base::write(&dir.join("base"));
    fs::create_dir(dir.join("data")).unwrap();
    let lines = |n: u32| (0..n).map(|n| format!("{{\"text\":\"local x{n} = {n} * {n}\"}}\n")).collect::<String>();
    fs::write(dir.join("data/train.jsonl"), lines(8)).unwrap();
    fs::write(dir.join("data/valid.jsonl"), lines(2)).unwrap();
}

/// Trains so many iterations, then meets the end of one with these words of MLX's. Gives the checkpoint that it left, if any.
fn ended_by(words: &str, iterations: u64, mut run: Trainer) -> Option<PathBuf> {
    while run.state.progress.iter < iterations {
        run.advance().unwrap();
    }
    run.pending.clear();
    let error = run.given_up(EngineError::Mlx(Exception::custom(words)));
    assert!(error.to_string().contains(words), "the first error is what is told: {error}");
    match run.pending.pop_front() {
        Some(Event::Checkpoint { iter, folder }) => {
            assert_eq!(iter, iterations);
            Some(folder)
        }
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_whose_buffers_are_used_up_saves_what_it_has_and_the_next_process_ends_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    lay(dir.path());
    let weights = |folder: &str| fs::read(dir.path().join(folder).join("adapter/adapters.safetensors")).unwrap();
    let ends = |run: Trainer| run.for_each(|event| drop(event.unwrap()));
    ends(trainer(dir.path(), RunFolder::fresh(dir.path().join("straight"))));
    let cut = dir.path().join("cut");
    // Also between the micro-batches of one optimizer step.
    let limit = "[metal::malloc] Resource limit (499000) exceeded.";
    let saved = ended_by(limit, 3, trainer(dir.path(), RunFolder::fresh(&cut))).expect("a checkpoint made now");
    // What it goes on from is not saved again: there is nothing new in it.
    assert_eq!(ended_by(limit, 3, trainer(dir.path(), RunFolder::resumed(&cut, &saved))), None);
    ends(trainer(dir.path(), RunFolder::resumed(&cut, &saved)));
    assert!(weights("cut") == weights("straight"), "the same bits");
}

#[test]
fn a_run_that_a_new_process_does_not_help_saves_nothing_out_of_turn() {
    let dir = tempfile::tempdir().unwrap();
    lay(dir.path());
    let run = trainer(dir.path(), RunFolder::fresh(dir.path().join("run")));
    assert_eq!(ended_by("[malloc] Unable to allocate 1073741824 bytes.", 1, run), None);
}
