//! Beside mlx-lm itself, installed from PyPI: it loads what we write, and we compute what it computes.
//!
//! `tests/peer/mlx_lm.sh` installs it the first time. Where that cannot be done (no python3, no network) the tests say SKIPPED and why.

mod support;

use mlx_rs::{Array, Dtype};
use std::path::Path;
use support::peer::{peer, python};
use support::{config, data, packed, recipe, relative_difference, relative_length, tensors, text, write, write_base};
use vertigo_engine::backward::{Targets, loss_and_gradients};
use vertigo_engine::optimizer::{Adam, scaled};
use vertigo_engine::{Event, Model, Parameters, RunFolder, Trainer, adapter};

/// Two rows of 45 tokens, [prompt, last] for each, as mlx-lm's loss masks them.
struct Batch {
    ids: Vec<i32>,
    spans: [(usize, usize); 2],
}

const WIDTH: usize = 45;

fn batch(file: &Path) -> Batch {
    let ids: Vec<i32> = (0..2 * WIDTH as i32).map(|n| (n * 37 + n * n) % 300 + 3).collect();
    let spans = [(5, 44), (11, 30)];
    let lengths: Vec<i32> = spans.iter().flat_map(|&(first, last)| [first as i32, last as i32]).collect();
    let tokens = Array::from_slice(&ids, &[2, WIDTH as i32]);
    let lengths = Array::from_slice(&lengths, &[2, 2]);
    Array::save_safetensors([("tokens", &tokens), ("lengths", &lengths)], None, file).unwrap();
    Batch { ids, spans }
}

/// Trains on the base in `folder`, and compares our logits with those of mlx-lm under the adapter that we wrote.
fn mlx_lm_loads_ours(folder: &Path, recipe_text: &str, tolerance: f32) {
    let Some(python) = python() else { return };
    let recipe = recipe(&format!("{recipe_text}, iters: 6, batch_size: 4, save_every: 100, learning_rate: 0.001"));
    let run_folder = RunFolder::fresh(folder.join("run"));
    let trainer = Trainer::new(Model::load(folder).unwrap(), data(&recipe), recipe.clone(), run_folder).unwrap();
    let Some(Event::Finished(outcome)) = trainer.map(Result::unwrap).last() else { panic!("not finished") };
    let tokens = folder.join("tokens.safetensors");
    let ids = batch(&tokens).ids;
    let theirs = peer(
        python,
        "logits",
        &[text(folder), text(&outcome.adapter.folder), text(&tokens)],
        &folder.join("logits.safetensors"),
    );
    let model = Model::load(folder).unwrap();
    let inputs = Array::from_slice(&ids, &[2, WIDTH as i32]);
    let logits = |parameters: &Parameters| model.logits(&inputs, parameters, adapter::lora_scale(&recipe)).unwrap();
    let trained = logits(&adapter::load(&outcome.adapter.folder).unwrap());
    let difference = relative_difference(&trained, &theirs["logits"]);
    assert!(difference < tolerance, "logits differ by {difference}");
    let change = relative_difference(&logits(&Parameters::new()), &theirs["logits"]);
    assert!(change > 30.0 * tolerance, "training changed the logits by {change} only; the comparison says nothing");
}

#[test]
fn mlx_lm_loads_our_adapter() {
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    mlx_lm_loads_ours(dir.path(), "num_layers: 2, lora_parameters: {rank: 4, scale: 10, dropout: 0.1}", 1e-4);
}

#[test]
fn mlx_lm_loads_our_adapter_of_some_keys_on_all_layers() {
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    let keys = "keys: [linear_attn.in_proj_qkv, self_attn.v_proj, mlp.down_proj]";
    mlx_lm_loads_ours(
        dir.path(),
        &format!("num_layers: -1, lora_parameters: {{rank: 3, scale: 10, dropout: 0.0, {keys}}}"),
        1e-4,
    );
}

#[test]
fn mlx_lm_loads_our_adapter_on_a_packed_base() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(true);
    let plain = tensors(&config);
    let tensors = packed(&mut config, plain, 4);
    write(dir.path(), &config, &tensors);
    mlx_lm_loads_ours(dir.path(), "num_layers: 3, lora_parameters: {rank: 4, scale: 10, dropout: 0.0}", 1e-3);
}

#[test]
fn mlx_lm_loads_our_full_weights() {
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    mlx_lm_loads_ours(dir.path(), "fine_tune_type: full, num_layers: 2", 1e-4);
}

/// The adapter of a bf16 base is f32, and so is what both compute from it.
#[test]
fn mlx_lm_loads_our_full_weights_of_a_bf16_base() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(true);
    config["text_config"]["dtype"] = "bfloat16".into();
    let bf16 = |(name, x): (String, Array)| (name, x.as_dtype(Dtype::Bfloat16).unwrap());
    write(dir.path(), &config, &tensors(&config).into_iter().map(bf16).collect());
    mlx_lm_loads_ours(dir.path(), "fine_tune_type: full, num_layers: -1", 2e-2);
}

#[test]
fn full_gradients_are_mlx_lms() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    let tokens = dir.path().join("tokens.safetensors");
    let Batch { ids, spans } = batch(&tokens);
    let out = dir.path().join("out.safetensors");
    let theirs = peer(python, "gradients", &[text(dir.path()), "3", text(&tokens)], &out);
    let model = Model::load(dir.path()).unwrap();
    let parameters = adapter::initial(&model, &recipe("fine_tune_type: full, num_layers: 3")).unwrap();
    let targets = Targets::new(&ids, WIDTH, &spans.map(|span| [span]));
    let (loss, gradients) = loss_and_gradients(&model, &parameters, 1.0, None, &targets).unwrap();
    let count = targets.tokens.len() as f64;
    let expected = f64::from(theirs["loss"].item_cast::<f32>());
    assert!((loss / count - expected).abs() < 1e-5 * expected, "{} {expected}", loss / count);
    assert_eq!(gradients.len() + 1, theirs.len());
    for (name, ours) in scaled(gradients, 1.0 / count).unwrap() {
        let difference = relative_difference(&ours, &theirs[&name]);
        assert!(difference < 1e-3, "gradient of {name} differs by {difference}");
    }
}

/// Twenty steps at a rate that people train with. What is compared is the change, not the weights, and its length, since Adam's first
/// steps are the gradient's signs: where a gradient is all but zero, rounding decides.
#[test]
fn twenty_steps_are_mlx_lms() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    let tokens = dir.path().join("tokens.safetensors");
    let Batch { ids, spans } = batch(&tokens);
    let targets = Targets::new(&ids, WIDTH, &spans.map(|span| [span]));
    let model = Model::load(dir.path()).unwrap();
    for (name, text_of) in [
        ("adam", "optimizer: adam"),
        ("adamw", "optimizer: adamw, weight_decay: 0.1, optimizer_config: {adamw: {bias_correction: true}}"),
    ] {
        let recipe =
            recipe(&format!("{text_of}, num_layers: 3, lora_parameters: {{rank: 4, scale: 10, dropout: 0.0}}"));
        let mut parameters = adapter::initial(&model, &recipe).unwrap();
        // A lively B, so that A learns from the first step on.
        for (_, b) in parameters.iter_mut().filter(|(name, _)| name.ends_with("lora_b")) {
            let count = b.size() as i32;
            let values: Vec<f32> = (0..count).map(|n| ((n * 7919) % 101 - 50) as f32 * 1e-3).collect();
            *b = Array::from_slice(&values, b.shape());
        }
        let folder = dir.path().join(name);
        adapter::save(&folder, &parameters, &recipe).unwrap();
        let out = dir.path().join(format!("{name}.safetensors"));
        let theirs = peer(python, "train", &[text(dir.path()), text(&folder), text(&tokens), name], &out);
        let start = parameters.clone();
        let mut adam = Adam::new(&parameters).unwrap();
        for _ in 0..20 {
            let (_, gradients) = loss_and_gradients(&model, &parameters, 10.0, None, &targets).unwrap();
            let gradients = scaled(gradients, 1.0 / targets.tokens.len() as f64).unwrap();
            adam.update(&recipe.optimizer, 1e-5, &mut parameters, &gradients).unwrap();
        }
        assert_eq!(parameters.len(), theirs.len());
        for (n, x) in &parameters {
            let change = |y: &Array| y.subtract(&start[n]).unwrap();
            let difference = relative_length(&change(x), &change(&theirs[n]));
            assert!(difference < 2e-2, "{name}: the change of {n} differs by {difference}");
        }
    }
}
