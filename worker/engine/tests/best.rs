//! The best adapter of a run is an output of its own: the weights of the lowest validation, whether or not the run stops early, and
//! whether or not it was interrupted.

mod support;

use mlx_rs::Dtype;
use std::fs;
use std::path::{Path, PathBuf};
use support::{data, examples, recipe, write_base};
use vertigo_engine::backward::{Targets, loss};
use vertigo_engine::batch::Batches;
use vertigo_engine::text::Tokens;
use vertigo_engine::{Event, Model, Outcome, RunFolder, Trainer, TrainingData, Written, adapter};
use vertigo_model::recipe::Recipe;

/// Validated and saved after each iteration. At this rate it overshoots soon.
const TEXT: &str =
    "iters: 12, batch_size: 4, steps_per_eval: 1, val_batches: -1, save_every: 1, num_layers: 2, learning_rate: 0.01";

/// Data whose held-out tokens the training examples do not have: the better those are learned, the less likely these become.
fn overfitted(recipe: &Recipe) -> TrainingData {
    let strange = (0..6).map(|n| Tokens { ids: (0..20).map(|t| 200 + (n * 7 + t * t) % 100).collect(), prompt: 0 });
    TrainingData { valid: Batches::new(strange.collect(), 4, 64, 0), ..data(recipe) }
}

fn trainer(base: &Path, text: &str, run_folder: RunFolder) -> Trainer {
    let recipe = recipe(text);
    Trainer::new(Model::load(base).unwrap(), overfitted(&recipe), recipe, run_folder).unwrap()
}

fn run(base: &Path, text: &str, run_folder: RunFolder) -> Vec<Event> {
    trainer(base, text, run_folder).map(Result::unwrap).collect()
}

fn outcome(events: &[Event]) -> &Outcome {
    match events.last() {
        Some(Event::Finished(outcome)) => outcome,
        other => panic!("the last event is {other:?}"),
    }
}

/// The weights' bytes in a folder.
fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("adapters.safetensors")).unwrap()
}

/// Validations after an iteration: that, and the loss.
fn validations(events: &[Event]) -> Vec<(u64, f64)> {
    let one = |event: &Event| match event {
        Event::Validation { iter: iter @ 1.., loss, .. } => Some((*iter, *loss)),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

#[test]
fn the_best_adapter_is_that_of_the_lowest_validation_and_the_adapter_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let events = run(&base, TEXT, RunFolder::fresh(dir.path().join("run")));
    let all = validations(&events);
    let lowest = *all.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let end = outcome(&events);
    assert!(lowest.0 < 12, "the last is the best, so this shows nothing: {all:?}");
    assert_eq!((end.best.iter, end.best.validation), (lowest.0, Some(lowest.1)));
    assert_eq!((end.adapter.iter, end.adapter.validation), (12, all.last().map(|last| last.1)));
    assert!(weights(&end.best.folder) != weights(&end.adapter.folder));
    let recipe = recipe(TEXT);
    let model = Model::load(&base).unwrap();
    for made in [&end.best, &end.adapter] {
        let parameters = adapter::load(&made.folder).unwrap();
        assert!(parameters.values().all(|x| x.dtype() == Dtype::Float32));
        let (mut sum, mut tokens) = (0.0, 0);
        for batch in overfitted(&recipe).valid.in_order(None) {
            let targets = Targets::new(&batch.ids, batch.width, &batch.spans);
            sum += loss(&model, &parameters, adapter::lora_scale(&recipe), &targets).unwrap();
            tokens += batch.target_tokens();
        }
        let (again, said) = (sum / tokens as f64, made.validation.unwrap());
        assert!((again - said).abs() < 1e-6 * said, "{again} {said}");
        assert!(made.folder.join("adapter_config.json").exists());
    }
}

/// The checkpoint of iteration `iter`; the run is killed there.
fn killed_at(iter: u64, base: &Path, run_folder: RunFolder) -> PathBuf {
    let mut run = trainer(base, TEXT, run_folder);
    let found = run.find_map(|event| match event.unwrap() {
        Event::Checkpoint { iter: at, folder } if at == iter => Some(folder),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_run_that_is_killed_after_its_best_point_ends_with_the_same_best_on_another_machine() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let straight = run(&base, TEXT, RunFolder::fresh(dir.path().join("straight")));
    let best_at = outcome(&straight).best.iter;
    let stop = best_at + 1;
    assert!(stop + 1 < 12, "there are no checkpoints after the best point: {:?}", validations(&straight));
    let checkpoint = killed_at(stop, &base, RunFolder::fresh(dir.path().join("first")));
    // Twice, each time in a folder that has nothing of the run before.
    let again = killed_at(stop + 1, &base, RunFolder::resumed(dir.path().join("second"), checkpoint));
    let elsewhere = dir.path().join("third/checkpoint");
    fs::create_dir_all(&elsewhere).unwrap();
    for entry in fs::read_dir(&again).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, elsewhere.join(path.file_name().unwrap())).unwrap();
    }
    for folder in ["first", "second"] {
        fs::remove_dir_all(dir.path().join(folder)).unwrap();
    }
    let resumed = run(&base, TEXT, RunFolder::resumed(dir.path().join("third"), elsewhere));
    let (one, other) = (outcome(&straight), outcome(&resumed));
    assert_eq!((one.best.iter, one.best.validation), (other.best.iter, other.best.validation));
    assert!(weights(&one.best.folder) == weights(&other.best.folder), "the best adapter differs");
    assert!(weights(&one.adapter.folder) == weights(&other.adapter.folder), "the adapter differs");
}

#[test]
fn a_best_adapter_of_a_later_point_is_not_that_of_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let stale = dir.path().join("run/best");
    fs::create_dir_all(&stale).unwrap();
    fs::write(stale.join("adapters.safetensors"), "of a run before").unwrap();
    let text = TEXT.replace("steps_per_eval: 1,", "steps_per_eval: 9,");
    let mut run = trainer(&base, &text, RunFolder::fresh(dir.path().join("run")));
    let begun = run.next().unwrap().unwrap();
    assert!(matches!(begun, Event::Started { .. }) && !stale.exists(), "{begun:?}");
}

#[test]
fn where_the_last_state_is_the_best_or_nothing_is_held_out_both_adapters_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let recipe =
        recipe("iters: 3, batch_size: 2, steps_per_eval: 2, num_layers: 1, save_every: 2, learning_rate: 0.0001");
    let nothing_held_out = TrainingData { valid: Batches::new(Vec::<Tokens>::new(), 2, 64, 0), ..data(&recipe) };
    let improving = TrainingData { valid: Batches::new(examples(24), 2, 64, 0), ..data(&recipe) };
    for (name, data, is_validated) in [("none", nothing_held_out, false), ("improving", improving, true)] {
        let run_folder = RunFolder::fresh(dir.path().join(name));
        let trainer = Trainer::new(Model::load(&base).unwrap(), data, recipe.clone(), run_folder).unwrap();
        let events: Vec<Event> = trainer.map(Result::unwrap).collect();
        let end = outcome(&events);
        assert_eq!((end.best.iter, end.best.validation), (3, end.adapter.validation), "{name}");
        assert_eq!(end.best.validation.is_some(), is_validated);
        assert_ne!(end.best.folder, end.adapter.folder);
        for file in ["adapters.safetensors", "adapter_config.json"] {
            let [best, last] = [&end.best, &end.adapter].map(|made| fs::read(made.folder.join(file)).unwrap());
            assert!(best == last, "{name}: {file} differs");
        }
    }
}

#[test]
fn a_best_adapter_that_cannot_be_written_waits_for_room_and_the_run_ends_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let straight = run(&base, TEXT, RunFolder::fresh(dir.path().join("straight")));
    let out = dir.path().join("out");
    fs::create_dir_all(&out).unwrap();
    let in_the_way = out.join(".best.partial");
    fs::write(&in_the_way, "in the way").unwrap();
    let mut waiting = trainer(&base, TEXT, RunFolder::fresh(&out)).map(Result::unwrap);
    for _ in 0..2 {
        let told = waiting.find(|event| matches!(event, Event::Unwritten { .. }));
        let Some(Event::Unwritten { iter: 1, what: Written::Best, reason }) = &told else { panic!("{told:?}") };
        assert!(reason.contains(".best.partial"), "{reason}");
    }
    fs::remove_file(&in_the_way).unwrap();
    let rest: Vec<Event> = waiting.collect();
    let (one, other) = (outcome(&straight), outcome(&rest));
    assert!(weights(&one.best.folder) == weights(&other.best.folder));
    assert!(weights(&one.adapter.folder) == weights(&other.adapter.folder));
    assert!(rest.iter().any(|event| matches!(event, Event::Checkpoint { iter: 2, .. })), "{rest:?}");
}
