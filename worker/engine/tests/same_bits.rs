//! The same run gives the same bits, searched: a random recipe on a random base, with weights or without, stopped at random iterations,
//! also between the micro-batches of one optimizer step. What it reports and the bytes it leaves, the best adapter's among them, are
//! those of a run that nothing stopped.

mod support;

use mlx_rs::{Array, Dtype};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use support::{config, data, recipe, tensors, weighted_data, write};
use vertigo_engine::{Event, Model, RunFolder, Trainer, TrainingData, device};
use vertigo_model::recipe::Recipe;

const ITERS: u64 = 7;

/// The dtypes that weights come in.
const DTYPES: [Dtype; 3] = [Dtype::Float32, Dtype::Bfloat16, Dtype::Float16];

/// A base of one gated delta layer and one of full attention.
fn write_base(dtype: Dtype, folder: &Path) {
    let mut config = config(true);
    config["text_config"]["num_hidden_layers"] = 2.into();
    config["text_config"]["full_attention_interval"] = 2.into();
    config["text_config"]["dtype"] = format!("{dtype:?}").to_lowercase().into();
    let cast = |(name, x): (String, Array)| (name, x.as_dtype(dtype).unwrap());
    write(folder, &config, &tensors(&config).into_iter().map(cast).collect());
}

/// A recipe's text: whatever may have a state that outlives an iteration. Every iteration leaves a checkpoint.
fn recipes() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        3 => Just("fine_tune_type: full".to_owned()),
        2 => (1u64..5, prop::sample::select(vec![0.0, 0.2])).prop_map(|(rank, dropout)| {
            format!("lora_parameters: {{rank: {rank}, scale: 10, dropout: {dropout}}}")
        }),
    ];
    let optimizer = prop::sample::select(vec![
        "optimizer: adam",
        "optimizer: adam, optimizer_config: {adam: {bias_correction: true}}",
        "optimizer: adamw, weight_decay: 0.1",
    ]);
    // Norms are above 1 at first: the first two bite.
    let clip = prop::sample::select(vec![", grad_clip: 0.01", ", grad_clip: 0.5", ", grad_clip: 1000", ""]);
    let average = prop::sample::select(vec!["token", "batch"]);
    let rate = prop::sample::select(vec![
        "learning_rate: 0.001",
        "learning_rate: 0.00001",
        "learning_rate: 0.001, lr_schedule: {name: cosine_decay, warmup: 1, arguments: [0.001, 3]}",
    ]);
    let stopping = prop::option::of(1u64..4)
        .prop_map(|patience| patience.map_or_else(String::new, |n| format!(", early_stopping_patience: {n}")));
    let sizes = (1u64..5, 1u64..5, 1u64..3, 1u64..4, 1u64..4, 0u64..1000);
    (method, optimizer, clip, average, rate, stopping, sizes).prop_map(
        |(method, optimizer, clip, average, rate, stopping, (rows, accumulation, layers, report, eval, seed))| {
            format!(
                "iters: {ITERS}, save_every: 1, {method}, {optimizer}{clip}, loss_average: {average}, {rate}{stopping}, \
                 batch_size: {rows}, gradient_accumulation: {accumulation}, num_layers: {layers}, steps_per_report: {report}, \
                 steps_per_eval: {eval}, val_batches: 1, seed: {seed}"
            )
        },
    )
}

/// What a run says of its learning, each with its iteration, without what it says of its speed.
fn said(event: &Event) -> Option<(u64, String)> {
    match event {
        Event::Step { iter, loss, learning_rate, trained_tokens, grad_norm, .. } => {
            Some((*iter, format!("{loss} {learning_rate} {trained_tokens} {grad_norm}")))
        }
        Event::Validation { iter, loss, tokens } => Some((*iter, format!("validation {loss} {tokens}"))),
        Event::Finished(end) => Some((
            end.iter,
            format!(
                "finished {:?} {:?} {:?} {} {} {}",
                end.validation_before,
                end.adapter.validation,
                end.best.validation,
                end.adapter.iter,
                end.best.iter,
                end.trained_tokens
            ),
        )),
        _ => None,
    }
}

/// What a recipe trains on: examples that are all alike, or weighted ones.
type Data = fn(&Recipe) -> TrainingData;

/// Runs until the checkpoint of iteration `until`, or to the end.
fn run(base: &Path, text: &str, data: Data, run_folder: RunFolder, until: Option<u64>) -> Vec<Event> {
    let recipe = recipe(text);
    let mut events = Vec::new();
    for event in Trainer::new(Model::load(base).unwrap(), data(&recipe), recipe, run_folder).unwrap() {
        events.push(event.unwrap());
        if matches!(events.last(), Some(Event::Checkpoint { iter, .. }) if Some(*iter) == until) {
            break;
        }
    }
    events
}

/// Every file that a run left, by its path in the run's folder, and its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Runs without a stop, and with one after each of the iterations `stops`, in a folder of its own each.
fn differences(dtype: Dtype, text: &str, data: Data, stops: &BTreeSet<u64>) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(dtype, &base);
    let straight = dir.path().join("straight");
    let expected: Vec<_> = run(&base, text, data, RunFolder::fresh(&straight), None)
        .iter()
        .filter_map(said)
        .map(|(n, s)| format!("{n}: {s}"))
        .collect();

    let stopped = dir.path().join("stopped");
    let mut run_folder = RunFolder::fresh(&stopped);
    let mut heard = Vec::new();
    for until in stops.iter().copied().map(Some).chain([None]) {
        let events = run(&base, text, data, run_folder, until);
        heard.extend(events.iter().filter_map(said).map(|(n, s)| format!("{n}: {s}")));
        match events.last() {
            Some(Event::Checkpoint { folder, .. }) => run_folder = RunFolder::resumed(&stopped, folder),
            // It stopped early, before it was stopped.
            _ => break,
        }
    }
    let mut differences = Vec::new();
    if heard != expected {
        differences.push(format!("said {heard:#?}, not {expected:#?}"));
    }
    let (ours, theirs) = (files(&stopped), files(&straight));
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    let unlike = ours.iter().zip(&theirs).filter(|(one, other)| one != other);
    differences.extend(unlike.map(|((name, _), _)| format!("{} differs", name.display())));
    differences
}

/// Runs with a cache, and with one that is given back and had again after each of the iterations `turns`.
fn differences_without_cache(text: &str, turns: &BTreeSet<u64>) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(Dtype::Bfloat16, &base);
    let with = dir.path().join("with");
    run(&base, text, data, RunFolder::fresh(&with), None);
    let without = dir.path().join("without");
    let recipe = recipe(text);
    let model = Model::load(&base).unwrap();
    let mut keeps = true;
    for event in Trainer::new(model, data(&recipe), recipe, RunFolder::fresh(&without)).unwrap() {
        if matches!(event.unwrap(), Event::Checkpoint { iter, .. } if turns.contains(&iter)) {
            keeps = !keeps;
            // As the process is told: from another thread than the one that computes.
            std::thread::spawn(move || device::keep_cache(keeps).unwrap()).join().unwrap();
        }
    }
    device::keep_cache(true).unwrap();
    let (ours, theirs) = (files(&without), files(&with));
    assert_eq!(ours.len(), theirs.len());
    let unlike = ours.iter().zip(&theirs).filter(|(one, other)| one != other);
    unlike.map(|((name, _), _)| format!("{} differs", name.display())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_that_gives_its_cache_back_anywhere_ends_with_the_bits_of_one_that_does_not(
        text in recipes(),
        turns in prop::collection::btree_set(1..ITERS, 1..4),
    ) {
        let differences = differences_without_cache(&text, &turns);
        prop_assert!(differences.is_empty(), "after {:?}: {:#?}", turns, differences);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_that_is_stopped_anywhere_ends_with_the_bits_of_one_that_is_not(
        text in recipes(),
        dtype in prop::sample::select(DTYPES.to_vec()),
        is_weighted: bool,
        stops in prop::collection::btree_set(1..ITERS, 1..4),
    ) {
        let differences = differences(dtype, &text, if is_weighted { weighted_data } else { data }, &stops);
        prop_assert!(differences.is_empty(), "{:?}, weighted: {is_weighted}, stopped after {:?}: {:#?}", dtype, stops, differences);
    }
}
