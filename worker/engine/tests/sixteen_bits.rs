//! Full fine-tuning of a 16-bit base: it learns what the same weights in f32 learn, and nothing of it is lost on the way to the disk.

mod support;

use mlx_rs::{Array, Dtype};
use std::path::Path;
use support::{config, data, recipe, tensors, write};
use vertigo_engine::{Event, Model, Parameters, RunFolder, Trainer, adapter};

/// The small base with its weights rounded to bf16, kept as `dtype`.
fn write_base(dtype: Dtype, folder: &Path) {
    let mut config = config(true);
    config["text_config"]["dtype"] = format!("{dtype:?}").to_lowercase().into();
    let cast = |(name, x): (String, Array)| (name, x.as_dtype(Dtype::Bfloat16).unwrap().as_dtype(dtype).unwrap());
    write(folder, &config, &tensors(&config).into_iter().map(cast).collect());
}

/// Runs to the end; all events.
fn run(base: &Path, text: &str, run_folder: RunFolder) -> Vec<Event> {
    let recipe = recipe(text);
    let trainer = Trainer::new(Model::load(base).unwrap(), data(&recipe), recipe, run_folder).unwrap();
    trainer.map(Result::unwrap).collect()
}

/// The adapter that a run left, and where.
fn adapter_of(events: &[Event]) -> Parameters {
    let Some(Event::Finished(outcome)) = events.last() else { panic!("{events:?}") };
    adapter::load(&outcome.adapter.folder).unwrap()
}

/// All values of `after` less those of `before`, f32.
fn change(before: &Parameters, after: &Parameters) -> Vec<f32> {
    let of = |(name, x): (&String, &Array)| {
        let difference = x.subtract(before[name].as_dtype(Dtype::Float32).unwrap()).unwrap();
        difference.contiguous().unwrap().as_slice::<f32>().to_vec()
    };
    after.iter().flat_map(of).collect()
}

fn rms(values: &[f32]) -> f64 {
    (values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

fn moved(values: &[f32]) -> f64 {
    values.iter().filter(|x| **x != 0.0).count() as f64 / values.len() as f64
}

const TEXT: &str = "iters: 20, batch_size: 4, num_layers: 2, fine_tune_type: full, optimizer: adamw, weight_decay: 0.1, \
                    grad_clip: 1.0, save_every: 100, steps_per_eval: 100";

#[test]
fn a_full_run_on_bf16_learns_as_much_as_one_on_f32() {
    let dir = tempfile::tempdir().unwrap();
    for rate in ["0.000001", "0.00001", "0.0001"] {
        let changes = [Dtype::Float32, Dtype::Bfloat16].map(|dtype| {
            let base = dir.path().join(format!("{dtype:?}"));
            write_base(dtype, &base);
            let text = format!("{TEXT}, learning_rate: {rate}");
            let adapter = adapter_of(&run(&base, &text, RunFolder::fresh(dir.path().join("run"))));
            assert!(adapter.values().all(|x| x.dtype() == Dtype::Float32), "the adapter is rounded");
            let start = adapter::initial(&Model::load(&base).unwrap(), &recipe(&text)).unwrap();
            change(&start, &adapter)
        });
        let [expected, ours] = &changes;
        let off: Vec<f32> = ours.iter().zip(expected).map(|(x, y)| x - y).collect();
        let size = rms(ours) / rms(expected);
        let moved = [moved(ours), moved(expected)];
        println!("{rate}: {size:.4} of the size; {moved:.4?} moved; {:.3} apart", rms(&off) / rms(expected));
        assert!((size - 1.0).abs() < 0.05, "rate {rate}: the change has {size} of the size that it has in f32");
        assert!(moved[0] > 0.99 * moved[1], "rate {rate}: {moved:?} of the weights moved, in bf16 and in f32");
    }
}

/// At this rate no weight of 16 bits shows a step: what is kept is what only the low parts know.
#[test]
fn the_best_weights_of_a_run_that_stops_early_are_kept_whole() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(Dtype::Bfloat16, &base);
    let text =
        TEXT.replace("steps_per_eval: 100", "steps_per_eval: 1, early_stopping_patience: 1, learning_rate: 1.0e-9");
    let events = run(&base, &text, RunFolder::fresh(dir.path().join("run")));
    let validations = events.iter().filter(|event| matches!(event, Event::Validation { iter: 1.., .. })).count();
    assert_eq!(validations, 2, "the first validation is the best, and the second is no better: {events:?}");
    let start = adapter::initial(&Model::load(&base).unwrap(), &recipe(&text)).unwrap();
    let change = change(&start, &adapter_of(&events));
    let step = rms(&change);
    assert!(step > 1e-10 && step < 1e-8, "{step}");
}

#[test]
fn a_checkpoint_without_a_part_of_its_weights_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(Dtype::Bfloat16, &base);
    let text = TEXT.replace("save_every: 100", "save_every: 1").replace("iters: 20", "iters: 2");
    let events = run(&base, &text, RunFolder::fresh(dir.path().join("run")));
    let folder = events.iter().find_map(|e| if let Event::Checkpoint { folder, .. } = e { Some(folder) } else { None });
    let folder = folder.unwrap();
    let state = folder.join("optimizer.safetensors");
    let mut arrays: std::collections::BTreeMap<_, _> = Array::load_safetensors(&state).unwrap().into_iter().collect();
    let name = arrays.keys().find(|name| name.starts_with("low.")).unwrap().clone();
    arrays.remove(&name);
    mlx_rs::transforms::eval(arrays.values()).unwrap();
    Array::save_safetensors(arrays.iter().map(|(name, x)| (name.as_str(), x)), None, &state).unwrap();
    let recipe = recipe(&text);
    let run_folder = RunFolder::resumed(dir.path().join("again"), folder);
    let error = Trainer::new(Model::load(&base).unwrap(), data(&recipe), recipe, run_folder).err().unwrap().to_string();
    assert!(error.contains(&format!("tensor `{name}` is missing")), "{error}");
}
