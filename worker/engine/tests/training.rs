//! The trainer's promises, on a small random base: the same bits interrupted or not, a stop at NaN, the best adapter kept, schedules
//! by optimizer step, validation that no batching changes.

mod support;

use std::path::Path;
use support::{data, examples, recipe, relative_difference, weighted_data, write_base};
use vertigo::id::Digest;
use vertigo_engine::backward::{Targets, loss};
use vertigo_engine::batch::Batches;
use vertigo_engine::text::{Lesson, Tokens};
use vertigo_engine::{EngineError, Event, Model, Outcome, RunFolder, Trainer, TrainingData, Written, adapter};
use vertigo_model::recipe::Recipe;

fn trainer(base: &Path, recipe: &Recipe, run_folder: RunFolder) -> Trainer {
    Trainer::new(Model::load(base).unwrap(), data(recipe), recipe.clone(), run_folder).unwrap()
}

fn events(base: &Path, recipe: &Recipe, run_folder: RunFolder) -> Vec<Event> {
    trainer(base, recipe, run_folder).map(Result::unwrap).collect()
}

fn outcome(events: &[Event]) -> &Outcome {
    match events.last() {
        Some(Event::Finished(outcome)) => outcome,
        other => panic!("the last event is {other:?}"),
    }
}

/// What a run says of its learning, without what it says of its speed.
fn learned(events: &[Event]) -> Vec<String> {
    let one = |event: &Event| match event {
        Event::Step { iter, loss, learning_rate, trained_tokens, grad_norm, .. } => {
            Some(format!("{iter}: {loss} {learning_rate} {trained_tokens} {grad_norm}"))
        }
        Event::Validation { iter, loss, tokens } => Some(format!("{iter}: validation {loss} {tokens}")),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

/// A run of 12 iterations, and one that is dropped at the checkpoint of iteration 6 and resumed, come to the same bytes.
fn resumes_with_the_same_bits(text: &str) {
    resumes_with_the_same_bits_on(data, text);
}

/// The events of the one that was not stopped.
fn resumes_with_the_same_bits_on(data: fn(&Recipe) -> TrainingData, text: &str) -> Vec<Event> {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let recipe = recipe(text);
    let begun = |run_folder| {
        Trainer::new(Model::load(&base).unwrap(), data(&recipe), recipe.clone(), run_folder)
            .unwrap()
            .map(Result::unwrap)
    };
    let straight: Vec<Event> = begun(RunFolder::fresh(dir.path().join("straight"))).collect();

    let mut first = begun(RunFolder::fresh(dir.path().join("first")));
    let checkpoint = first.find_map(|event| match event {
        Event::Checkpoint { iter: 6, folder } => Some(folder),
        _ => None,
    });
    drop(first);
    let resumed: Vec<Event> = begun(RunFolder::resumed(dir.path().join("second"), checkpoint.unwrap())).collect();
    let Some(Event::Started { resumed_at: 6, .. }) = resumed.first() else { panic!("{resumed:?}") };

    let after_six = |line: &String| line.split(':').next().unwrap().parse::<u64>().unwrap() > 6;
    let expected: Vec<_> = learned(&straight).into_iter().filter(after_six).collect();
    assert!(!expected.is_empty());
    assert_eq!(learned(&resumed), expected);
    for file in ["adapters.safetensors", "adapter_config.json"] {
        let read = |run: &[Event]| {
            [&outcome(run).adapter, &outcome(run).best].map(|made| std::fs::read(made.folder.join(file)).unwrap())
        };
        assert!(read(&straight) == read(&resumed), "{file} differs");
    }
    let (one, other) = (outcome(&straight), outcome(&resumed));
    assert_eq!(
        (one.iter, one.validation_before, one.adapter.validation, one.best.iter, one.best.validation),
        (other.iter, other.validation_before, other.adapter.validation, other.best.iter, other.best.validation)
    );
    assert_eq!(one.trained_tokens, other.trained_tokens);
    straight
}

#[test]
fn weighted_examples_resume_with_the_same_bits_and_are_no_run_of_even_ones() {
    // The checkpoint is one within the second pass.
    let text = "epochs: 3, batch_size: 8, grad_accumulation_steps: 4, save_every: 6, steps_per_report: 4, steps_per_eval: 5, \
                num_layers: 1, learning_rate: 0.001";
    let weighted = resumes_with_the_same_bits_on(weighted_data, text);
    let even = resumes_with_the_same_bits_on(data, text);
    let begun = |run: &[Event]| match run.first() {
        Some(Event::Started { train_examples, weights_sum, iters, .. }) => (*train_examples, *weights_sum, *iters),
        other => panic!("{other:?}"),
    };
    // 5 × 0.3, 5 × 1, 5 × 2.5, 5 × 3, 4 × 0.05: 34.2 draws a pass, 102 or 103 in three, of eight each, in whole steps of four.
    assert_eq!((begun(&even), begun(&weighted)), ((24, None, 12), (24, Some(34.2), 16)));
    assert_ne!(learned(&weighted)[..3], learned(&even)[..3]);
}

#[test]
fn a_checkpoint_of_even_examples_is_none_of_weighted_ones() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let recipe = recipe("iters: 4, batch_size: 4, save_every: 2, num_layers: 1");
    let mut run = trainer(&base, &recipe, RunFolder::fresh(dir.path().join("run")));
    let checkpoint = run.find_map(|event| match event.unwrap() {
        Event::Checkpoint { folder, .. } => Some(folder),
        _ => None,
    });
    let resumed = RunFolder::resumed(dir.path().join("other"), checkpoint.unwrap());
    let refused = Trainer::new(Model::load(&base).unwrap(), weighted_data(&recipe), recipe, resumed).err().unwrap();
    assert!(refused.to_string().contains("it is of another dataset"), "{refused}");
}

#[test]
fn a_run_of_epochs_is_the_run_of_as_many_iterations_and_resumes_as_one() {
    let rest =
        "batch_size: 4, save_every: 6, steps_per_report: 4, steps_per_eval: 6, num_layers: 1, learning_rate: 0.001";
    resumes_with_the_same_bits(&format!("epochs: 2, {rest}"));
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let run = |length: &str| {
        let of = |text: &str| events(&base, &recipe(text), RunFolder::fresh(dir.path().join(&length[..2])));
        let events = of(&format!("{length}, {rest}"));
        let weights = std::fs::read(outcome(&events).adapter.folder.join("adapters.safetensors")).unwrap();
        let Some(Event::Started { iters, .. }) = events.first() else { panic!("{events:?}") };
        (*iters, learned(&events), weights)
    };
    let (epochs, iters) = (run("epochs: 2"), run("iters: 12"));
    assert_eq!(epochs.0, 12, "24 examples in batches of 4, twice");
    assert!(epochs == iters, "both are one run");
}

#[test]
fn runs_of_columns_are_learned_as_if_each_were_alone() {
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    let model = Model::load(dir.path()).unwrap();
    let ids = examples(1).remove(0).ids;
    let of = |learned: &[(usize, usize)]| {
        let learned = learned.iter().map(|(start, end)| *start..*end).collect();
        let lesson = Lesson { ids: ids.clone(), learned };
        validation(&model, &Default::default(), 1.0, Batches::new(vec![lesson], 1, 64, 0))
    };
    let (both, first, second) = (of(&[(2, 4), (6, 8)]), of(&[(2, 4)]), of(&[(6, 8)]));
    assert!((both - (first + second) / 2.0).abs() < 1e-6 * both, "{both}: {first} and {second}");
    assert!((of(&[(2, 8)]) - both).abs() > 1e-3 * both, "what lies between counts for nothing");
}

#[test]
fn lora_resumes_with_the_same_bits() {
    // Dropout; a checkpoint between the micro-batches of one optimizer step, in the second epoch; the best adapter kept so far.
    resumes_with_the_same_bits(
        "iters: 12, batch_size: 6, grad_accumulation_steps: 4, save_every: 6, steps_per_report: 4, steps_per_eval: 3, \
         num_layers: 2, lora_parameters: {rank: 4, scale: 20, dropout: 0.2}, optimizer: adamw, grad_clip: 0.5, learning_rate: 0.001, \
         early_stopping_patience: 9, lr_schedule: {name: cosine_decay, warmup: 1, arguments: [0.001, 3]}",
    );
}

#[test]
fn full_resumes_with_the_same_bits() {
    resumes_with_the_same_bits(
        "iters: 12, batch_size: 2, save_every: 3, steps_per_report: 5, steps_per_eval: 4, num_layers: 2, fine_tune_type: full, \
         learning_rate: 0.0003, optimizer_config: {adam: {bias_correction: true}}",
    );
}

#[test]
fn a_checkpoint_refuses_another_recipe_dataset_or_base() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let same = recipe("iters: 4, batch_size: 4, save_every: 2, num_layers: 1");
    let run = events(&base, &same, RunFolder::fresh(dir.path().join("run")));
    let Some(checkpoint) =
        run.iter().find_map(|e| if let Event::Checkpoint { folder, .. } = e { Some(folder) } else { None })
    else {
        panic!("no checkpoint in {run:?}");
    };
    let resume = |recipe: &Recipe, data: TrainingData| {
        let run_folder = RunFolder::resumed(dir.path().join("again"), checkpoint);
        Trainer::new(Model::load(&base).unwrap(), data, recipe.clone(), run_folder)
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    assert_eq!(resume(&Recipe { name: "renamed".to_owned(), ..same.clone() }, data(&same)), Ok(()));
    let error = resume(&Recipe { seed: 1, ..same.clone() }, data(&same)).unwrap_err();
    assert!(error.contains("another recipe"), "{error}");
    let other = TrainingData { valid: Batches::new(examples(3), 4, 64, 0), ..data(&same) };
    let error = resume(&same, other).unwrap_err();
    assert!(error.contains("another dataset"), "{error}");
    // Files of another run under this run's progress: named by tensor.
    std::fs::copy(run_adapter_of(&base, dir.path()), checkpoint.join("adapters.safetensors")).unwrap();
    let error = resume(&same, data(&same)).unwrap_err();
    assert!(error.contains("lora_a` is missing"), "{error}");
}

/// A real checkpoint says which base, MLX and engine made it. Changed to others, it is refused with both.
#[test]
fn a_checkpoint_of_another_base_mlx_or_engine_is_refused_and_both_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (base, ours, theirs) = (dir.path().join("base"), Digest::of(b"ours"), Digest::of(b"theirs"));
    write_base(&base);
    let recipe = recipe("iters: 4, batch_size: 4, save_every: 2, num_layers: 1");
    let begin = |digest: Digest, run_folder: RunFolder| {
        let model = Model::load(&base).unwrap().of_digest(digest);
        Trainer::new(model, data(&recipe), recipe.clone(), run_folder)
    };
    let checkpoint = begin(ours, RunFolder::fresh(dir.path().join("run")))
        .unwrap()
        .find_map(|event| if let Event::Checkpoint { folder, .. } = event.unwrap() { Some(folder) } else { None });
    let checkpoint = checkpoint.unwrap();
    let resume = |digest| begin(digest, RunFolder::resumed(dir.path().join("again"), &checkpoint)).map(|_| ());
    let refused = |digest, words: &[&str]| {
        let error = resume(digest).unwrap_err();
        assert!(matches!(error, EngineError::Checkpoint { .. }), "{error:?}");
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{words:?}: {error}");
    };
    resume(ours).unwrap();
    refused(theirs, &["another base", &ours.to_string(), &theirs.to_string()]);

    let path = checkpoint.join("progress.json");
    let made = std::fs::read_to_string(&path).unwrap();
    let mlx = vertigo_engine::device::mlx_version().unwrap();
    for (key, what, own) in
        [("mlx", "version of MLX", mlx.as_str()), ("engine", "version of the engine", vertigo::VERSION)]
    {
        let mut progress: serde_json::Value = serde_json::from_str(&made).unwrap();
        assert_eq!(progress["identity"][key], own);
        progress["identity"][key] = "0.0.7".into();
        std::fs::write(&path, progress.to_string()).unwrap();
        refused(ours, &[&format!("another {what}"), "0.0.7", own]);
        progress["identity"].as_object_mut().unwrap().remove(key);
        std::fs::write(&path, progress.to_string()).unwrap();
        refused(ours, &["none that it names", own]);
    }
    std::fs::write(&path, "{").unwrap();
    refused(ours, &["progress.json"]);
    std::fs::remove_file(&path).unwrap();
    refused(ours, &["progress.json"]);
}

/// The adapter file of a run on another linear.
fn run_adapter_of(base: &Path, dir: &Path) -> std::path::PathBuf {
    let other = recipe("iters: 1, batch_size: 4, num_layers: 1, lora_parameters: {keys: [mlp.up_proj]}");
    let run = events(base, &other, RunFolder::fresh(dir.join("other")));
    outcome(&run).adapter.folder.join("adapters.safetensors")
}

#[test]
fn nan_stops_with_the_iteration_and_keeps_the_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let wild = recipe("iters: 9, batch_size: 4, save_every: 1, num_layers: 2, learning_rate: 1.0e+30");
    let mut checkpoints = Vec::new();
    let mut stopped = None;
    for event in trainer(&base, &wild, RunFolder::fresh(dir.path().join("run"))) {
        match event {
            Ok(Event::Checkpoint { folder, .. }) => checkpoints.push(folder),
            Ok(_) => assert!(stopped.is_none()),
            Err(error) => stopped = Some(error),
        }
    }
    let Some(EngineError::Diverged { iter, value, .. }) = &stopped else { panic!("{stopped:?}") };
    assert!(!value.is_finite() && *iter as usize == checkpoints.len() + 1, "{iter} {value} {checkpoints:?}");
    assert!(stopped.as_ref().unwrap().to_string().contains(&format!("at iteration {iter}")));
    assert!(!checkpoints.is_empty() && checkpoints.iter().all(|folder| folder.join("progress.json").exists()));
    assert!(!dir.path().join("run/adapter").exists());
}

#[test]
fn a_validation_that_is_not_finite_ends_the_run_after_what_went_before() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let wild = recipe(
        "iters: 9, batch_size: 4, save_every: 9, num_layers: 2, learning_rate: 1.0e+30, steps_per_report: 1, steps_per_eval: 1",
    );
    let mut events = trainer(&base, &wild, RunFolder::fresh(dir.path().join("run"))).collect::<Vec<_>>();
    let Some(Err(EngineError::Diverged { iter: 1, what: "validation loss", value })) = events.pop() else {
        panic!("{events:?}")
    };
    assert!(!value.is_finite());
    assert!(matches!(events.last(), Some(Ok(Event::Step { iter: 1, .. }))), "{events:?}");
}

#[test]
fn early_stopping_keeps_the_best_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let recipe = recipe(
        "iters: 60, batch_size: 4, steps_per_eval: 1, val_batches: -1, save_every: 100, num_layers: 2, learning_rate: 0.01, \
         early_stopping_patience: 3",
    );
    // Tokens that the training examples do not have: the better those are learned, the less likely these become.
    let strange = (0..6).map(|n| Tokens { ids: (0..20).map(|t| 200 + (n * 7 + t * t) % 100).collect(), prompt: 0 });
    let data = TrainingData { valid: Batches::new(strange.collect(), 4, 64, 0), ..data(&recipe) };
    let run_folder = RunFolder::fresh(dir.path().join("run"));
    let trainer = Trainer::new(Model::load(&base).unwrap(), data.clone(), recipe.clone(), run_folder).unwrap();
    let run: Vec<Event> = trainer.map(Result::unwrap).collect();
    let validation_of = |e: &Event| if let Event::Validation { loss, iter: 1.., .. } = e { Some(*loss) } else { None };
    let validations: Vec<f64> = run.iter().filter_map(validation_of).collect();
    let best = validations.iter().copied().fold(f64::INFINITY, f64::min);
    let end = outcome(&run);
    assert!(end.iter < 60, "never stopped: {validations:?}");
    assert_eq!(end.iter as usize, validations.len());
    assert!(validations[validations.len() - 3..].iter().all(|loss| *loss > best), "{validations:?}");
    assert_eq!((end.adapter.validation, end.best.validation), (Some(best), Some(best)));
    assert_eq!((end.adapter.iter, end.best.iter), (end.iter - 3, end.iter - 3));
    let kept = adapter::load(&end.adapter.folder).unwrap();
    let again = validation(&Model::load(&base).unwrap(), &kept, adapter::lora_scale(&recipe), data.valid);
    assert!((again - best).abs() < 1e-6 * best, "{again} {best}");
}

fn validation(model: &Model, parameters: &vertigo_engine::Parameters, scale: f64, valid: Batches) -> f64 {
    let (mut sum, mut tokens) = (0.0, 0);
    for batch in valid.in_order(None) {
        sum += loss(model, parameters, scale, &Targets::new(&batch.ids, batch.width, &batch.spans)).unwrap();
        tokens += batch.target_tokens();
    }
    sum / tokens as f64
}

#[test]
fn validation_is_the_same_however_it_is_batched() {
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    let model = Model::load(dir.path()).unwrap();
    let of = |batch_size| validation(&model, &Default::default(), 1.0, Batches::new(examples(11), batch_size, 64, 0));
    let one = of(1);
    for batch_size in [2, 5, 11] {
        assert!((of(batch_size) - one).abs() < 1e-5 * one, "batches of {batch_size}: {} and {one}", of(batch_size));
    }
}

#[test]
fn schedules_go_by_optimizer_steps() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let recipe = recipe(
        "iters: 8, batch_size: 4, grad_accumulation_steps: 2, steps_per_report: 2, num_layers: 1, save_every: 100, \
         lr_schedule: {name: linear_schedule, warmup: 1, warmup_init: 0.00001, arguments: [0.001, 0.0001, 3]}",
    );
    let rates: Vec<f64> = events(&base, &recipe, RunFolder::fresh(dir.path().join("run")))
        .iter()
        .filter_map(|e| if let Event::Step { learning_rate, .. } = e { Some(*learning_rate) } else { None })
        .collect();
    let expected: Vec<f64> = (0..4).map(|step| recipe.learning_rate.at(step)).collect();
    assert_eq!(rates, expected);
    assert!(rates[0] < rates[1] && rates[3] < rates[2], "{rates:?}");
}

/// A larger batch and as many accumulated micro-batches give the same gradient, weighted by tokens.
#[test]
fn accumulation_is_a_larger_batch() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let run = |name: &str, text: &str, batch: usize| {
        let recipe = recipe(&format!("{text}, num_layers: 2, save_every: 100, learning_rate: 0.001"));
        let batches = |tokens| Batches::new(tokens, batch, 64, 0);
        let data = TrainingData { train: batches(examples(8)), valid: batches(Vec::new()) };
        let run_folder = RunFolder::fresh(dir.path().join(name));
        let trainer = Trainer::new(Model::load(&base).unwrap(), data, recipe, run_folder).unwrap();
        let events: Vec<Event> = trainer.map(Result::unwrap).collect();
        let mut norms =
            events.iter().filter_map(|e| if let Event::Step { grad_norm, .. } = e { Some(*grad_norm) } else { None });
        norms.next_back().unwrap()
    };
    let whole = run("whole", "iters: 1, batch_size: 8", 8);
    let parts = run("parts", "iters: 4, batch_size: 2, grad_accumulation_steps: 4", 2);
    assert!((whole - parts).abs() < 1e-4 * whole, "{whole} {parts}");
}

#[test]
fn gradients_are_clipped_to_the_norm() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    // Without a second moment's root the step is linear in the gradient: the first moment after one step is (1 − β₁) g.
    let moment = |name: &str, clip: &str| {
        let recipe = recipe(&format!("iters: 2, batch_size: 24, num_layers: 1, save_every: 1, seed: 3{clip}"));
        let run = events(&base, &recipe, RunFolder::fresh(dir.path().join(name)));
        let norm = run.iter().find_map(|e| if let Event::Step { grad_norm, .. } = e { Some(*grad_norm) } else { None });
        let file = dir.path().join(name).join("checkpoints/00000001/optimizer.safetensors");
        let state = mlx_rs::Array::load_safetensors(file).unwrap();
        let m = state.iter().filter(|(name, _)| name.starts_with("m."));
        let sum: f32 = m.map(|(_, x)| x.square().unwrap().sum(None).unwrap().item_cast::<f32>()).sum();
        (norm.unwrap(), f64::from(sum.sqrt()) / 0.1)
    };
    let (_, free) = moment("free", "");
    let (_, clipped) = moment("clipped", ", grad_clip: 0.01");
    assert!(free > 0.02, "{free}");
    assert!((clipped - 0.01).abs() < 1e-4, "{clipped}");
}

#[test]
fn what_has_nothing_to_learn_is_counted_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let recipe = recipe("iters: 3, batch_size: 2, num_layers: 1, save_every: 100, steps_per_report: 1");
    let run = |name: &str, extra: Vec<Tokens>| {
        let batches = |tokens| Batches::new(tokens, 2, 64, 0);
        let train = batches(examples(6).into_iter().chain(extra).collect());
        let data = TrainingData { train, valid: batches(Vec::new()) };
        let trainer =
            Trainer::new(Model::load(&base).unwrap(), data, recipe.clone(), RunFolder::fresh(dir.path().join(name)));
        trainer.unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let masked = Tokens { ids: vec![5; 12], prompt: 12 };
    let (plain, with) = (run("plain", Vec::new()), run("with", vec![masked, Tokens { ids: Vec::new(), prompt: 0 }]));
    let Some(Event::Started { skipped_examples: 2, train_examples: 6, .. }) = with.first() else { panic!("{with:?}") };
    assert_eq!(learned(&plain), learned(&with));
    let (one, other) = (
        adapter::load(&outcome(&plain).adapter.folder).unwrap(),
        adapter::load(&outcome(&with).adapter.folder).unwrap(),
    );
    assert!(one.iter().all(|(name, x)| relative_difference(x, &other[name]) == 0.0));
}

/// A recipe of six iterations that saves at every second one, and the adapter that it comes to.
fn short_run(dir: &Path) -> (std::path::PathBuf, Recipe, Vec<u8>) {
    let base = dir.join("base");
    write_base(&base);
    let recipe = recipe("iters: 6, save_every: 2, num_layers: 2, lora_parameters: {rank: 2, scale: 2, dropout: 0}");
    let straight = events(&base, &recipe, RunFolder::fresh(dir.join("straight")));
    let adapter = std::fs::read(outcome(&straight).adapter.folder.join("adapters.safetensors")).unwrap();
    (base, recipe, adapter)
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_told_and_the_run_goes_on_to_the_same_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let (base, recipe, adapter) = short_run(dir.path());
    let out = dir.path().join("out");
    std::fs::create_dir_all(out.join("checkpoints")).unwrap();
    // What lies where the checkpoint is to be written keeps it from being written, as a full disk does.
    std::fs::write(out.join("checkpoints/.00000002.partial"), "in the way").unwrap();
    let run = events(&base, &recipe, RunFolder::fresh(&out));
    let told = run.iter().find_map(|event| match event {
        Event::Unwritten { iter: 2, what: Written::Checkpoint, reason } => Some(reason),
        _ => None,
    });
    assert!(told.is_some_and(|reason| reason.contains("00000002")), "{run:?}");
    assert!(!out.join("checkpoints/00000002").exists());
    assert!(run.iter().any(|event| matches!(event, Event::Checkpoint { iter: 4, .. })), "{run:?}");
    assert!(std::fs::read(outcome(&run).adapter.folder.join("adapters.safetensors")).unwrap() == adapter);
}

#[test]
fn an_adapter_that_cannot_be_written_waits_for_room() {
    let dir = tempfile::tempdir().unwrap();
    let (base, recipe, adapter) = short_run(dir.path());
    let out = dir.path().join("out");
    std::fs::create_dir_all(&out).unwrap();
    let in_the_way = out.join(".adapter.partial");
    std::fs::write(&in_the_way, "in the way").unwrap();
    let mut run = trainer(&base, &recipe, RunFolder::fresh(&out)).map(Result::unwrap);
    for _ in 0..2 {
        let told = run.find(|event| matches!(event, Event::Unwritten { iter: 6, what: Written::Adapter, .. }));
        assert!(told.is_some());
    }
    std::fs::remove_file(&in_the_way).unwrap();
    let rest: Vec<Event> = run.collect();
    assert!(std::fs::read(outcome(&rest).adapter.folder.join("adapters.safetensors")).unwrap() == adapter);
}
