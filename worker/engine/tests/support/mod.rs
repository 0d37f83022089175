//! Random bases and data for tests: small enough to train in a second, lively enough that a missing norm, gate or bias shows.

#![allow(dead_code, unused_imports)] // each test binary uses a part of it

pub(crate) mod answers;
pub(crate) mod peer;

pub(crate) use vertigo_testkit::base::{VOCAB, config};
pub(crate) use vertigo_testkit::{skipped, tokenizer};

use mlx_rs::ops::quantize;
use mlx_rs::{Array, Dtype, random};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use vertigo_engine::TrainingData;
use vertigo_engine::batch::Batches;
use vertigo_engine::text::{Lesson, Tokens};
use vertigo_model::dataset::Weight;
use vertigo_model::recipe::Recipe;
use vertigo_model::shape::Shape;
use vertigo_model::tensors::{matrices, vectors};

/// Tensors by MLX's names.
pub(crate) type Tensors = BTreeMap<String, Array>;

/// Random f32 tensors for a configuration, the same each time.
pub(crate) fn tensors(config: &Value) -> Tensors {
    let shape = Shape::from_config(config).unwrap();
    let mut all = Tensors::new();
    let key =
        |name: &str| random::key(name.bytes().fold(7, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)));
    let normal = |name: &str, size: &[u64], mean: f32, deviation: f32| {
        let size: Vec<i32> = size.iter().map(|&n| n as i32).collect();
        random::normal::<f32>(&size, Some(mean), Some(deviation), &key(name).unwrap()).unwrap()
    };
    for matrix in matrices(&shape) {
        let name = format!("{}.weight", matrix.module);
        let deviation = if name.contains("embed") { 0.5 } else { (matrix.inputs as f32).powf(-0.5) };
        let x = normal(&name, &[matrix.outputs, matrix.inputs], 0.0, deviation);
        all.insert(name, x);
    }
    for (name, size) in vectors(&shape) {
        let (mean, deviation) = match &name {
            name if name.contains("norm") => (1.0, 0.2),
            name if name.ends_with("A_log") => (1.0, 0.5),
            name if name.ends_with("dt_bias") => (-0.7, 0.7),
            _ => (0.0, 0.5),
        };
        let x = normal(&name, &size, mean, deviation);
        all.insert(name, x);
    }
    all
}

/// Packs every matrix with group size 64, and says so in the configuration.
pub(crate) fn packed(config: &mut Value, tensors: Tensors, bits: i32) -> Tensors {
    let modules: Vec<String> = matrices(&Shape::from_config(config).unwrap()).into_iter().map(|m| m.module).collect();
    config["quantization"] = json!({"group_size": 64, "bits": bits, "mode": "affine"});
    let mut all = tensors;
    for module in modules {
        pack(&mut all, &module, 64, bits);
    }
    all
}

/// Packs one matrix.
pub(crate) fn pack(tensors: &mut Tensors, module: &str, group: i32, bits: i32) {
    let weight = tensors.remove(&format!("{module}.weight")).unwrap();
    let (weight, scales, biases) = quantize(&weight, group, bits).unwrap();
    for (suffix, x) in [("weight", weight), ("scales", scales), ("biases", biases)] {
        tensors.insert(format!("{module}.{suffix}"), x);
    }
}

/// Writes a model folder.
pub(crate) fn write(folder: &Path, config: &Value, tensors: &Tensors) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let named = tensors.iter().map(|(name, x)| (name.as_str(), x));
    Array::save_safetensors(named, None, folder.join("model.safetensors")).unwrap();
}

/// The same tensors as Hugging Face names and lays them out.
pub(crate) fn hugging_face(mlx: &Tensors) -> Tensors {
    let mut theirs = Tensors::new();
    for (name, x) in mlx {
        let renamed = match name.strip_prefix("language_model.model.") {
            Some(rest) => format!("model.language_model.{rest}"),
            None => name.replace("language_model.", ""),
        };
        let shifted = x.ndim() == 1 && name.contains("norm") && !name.contains("linear_attn.norm");
        let x = if shifted { x.subtract(Array::from_f32(1.0)).unwrap() } else { x.clone() };
        let x = if name.ends_with("conv1d.weight") { x.transpose_axes(&[0, 2, 1]).unwrap() } else { x };
        theirs.insert(renamed, x.add(Array::from_f32(0.0)).unwrap());
    }
    theirs
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes the f32 base, tied.
pub(crate) fn write_base(folder: &Path) {
    let config = config(true);
    write(folder, &config, &tensors(&config));
}

/// `count` examples of 8 to 40 tokens whose next token is mostly a function of the one before, so that they can be learned.
pub(crate) fn examples(count: u64) -> Vec<Tokens> {
    let example = |n: u64| {
        let length = 8 + (n * 13) % 33;
        let ids = (0..length).map(|t| ((n * 31 + t * t * 7 + t * 3) % 97) as u32 + 1).collect();
        Tokens { ids, prompt: (n % 5) as usize }
    };
    (0..count).map(example).collect()
}

/// 24 examples to train on and 6 to validate with.
pub(crate) fn data(recipe: &Recipe) -> TrainingData {
    let mut train = examples(30);
    let valid = train.split_off(24);
    let batches =
        |tokens| Batches::new(tokens, recipe.batch_size as usize, recipe.max_seq_length as usize, recipe.seed);
    TrainingData { train: batches(train), valid: batches(valid) }
}

/// The same examples, those to train on with weights: small and large ones, whole and not.
pub(crate) fn weighted_data(recipe: &Recipe) -> TrainingData {
    let mut train = examples(30);
    let valid = train.split_off(24);
    let weights = [0.3, 1.0, 2.5, 3.0, 0.05].map(|weight| Weight::new(weight).unwrap());
    let weighted = train.into_iter().map(Lesson::from).zip(weights.into_iter().cycle()).collect();
    let (size, length) = (recipe.batch_size as usize, recipe.max_seq_length as usize);
    TrainingData {
        train: Batches::weighted(weighted, size, length, recipe.seed),
        valid: Batches::new(valid, size, length, recipe.seed),
    }
}

pub(crate) fn recipe(text: &str) -> Recipe {
    Recipe::parse("test", &format!("{{model: base, {text}}}")).unwrap()
}

/// The largest difference, relative to the largest value.
pub(crate) fn relative_difference(ours: &Array, theirs: &Array) -> f32 {
    let f32 = |x: &Array| x.as_dtype(Dtype::Float32).unwrap();
    let (ours, theirs) = (f32(ours), f32(theirs));
    assert_eq!(ours.shape(), theirs.shape());
    let largest = theirs.abs().unwrap().max(None).unwrap().item_cast::<f32>();
    let difference = ours.subtract(&theirs).unwrap().abs().unwrap().max(None).unwrap().item_cast::<f32>();
    difference / largest.max(1e-12)
}

/// The length of the difference, relative to the length: what is wrong on the whole, however it is spread.
pub(crate) fn relative_length(ours: &Array, theirs: &Array) -> f32 {
    let f32 = |x: &Array| x.as_dtype(Dtype::Float32).unwrap();
    let (ours, theirs) = (f32(ours), f32(theirs));
    assert_eq!(ours.shape(), theirs.shape());
    let length = |x: &Array| x.square().unwrap().sum(None).unwrap().sqrt().unwrap().item_cast::<f32>();
    length(&ours.subtract(&theirs).unwrap()) / length(&theirs).max(1e-12)
}
