//! The memory estimate beside what MLX counts, for bases and recipes that nobody chose.
//!
//! One test, because MLX's peak is the process's. Shapes, dtypes and recipes are drawn from seeds. `VERTIGO_SEEDS=100..200` draws others,
//! to search further than a test's time allows.

mod support;

use mlx_rs::memory;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::ops::Range;
use vertigo_engine::batch::Batches;
use vertigo_engine::text::Tokens;
use vertigo_engine::{Event, Model, RunFolder, Trainer, TrainingData};
use vertigo_model::estimate::{Engine, Estimate, estimate};
use vertigo_model::recipe::Recipe;

/// How far the estimate may be above MLX's peak, and how far below it: too much is a plan that waits, too little a run that dies.
const TOLERANCE: (f64, f64) = (0.10, 0.05);

/// The seeds that are drawn.
const SEEDS: Range<u64> = 0..3;

/// Bytes below which a case is left out: what nobody counts, some 100 kB, would be a part of it.
const SMALLEST: u64 = 10_000_000;

/// Rows of an embedding whose logits are the peak of a short batch.
const LARGE_VOCABULARY: u64 = 24576;

/// A base and how to train it.
struct Case {
    config: Value,
    bits: Option<i32>,
    recipe: Recipe,
    text: String,
}

impl Case {
    fn draw(seed: u64) -> Case {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rng = &mut rng;
        let full = rng.random_bool(0.3);
        let bits = *[None, Some(4), Some(8)].choose(rng).unwrap();
        let bits = bits.filter(|_| !full);
        let (config, layers) = base(rng);
        // Enough tokens that activations count, few enough that a case takes a second: MLX's products of bf16 and of packed weights
        // are slow on a CPU.
        let (packed, bf16) = (bits.is_some(), config["text_config"]["dtype"] == "bfloat16");
        let large = config["text_config"]["vocab_size"] == LARGE_VOCABULARY;
        let (rows, longest): (u64, u64) = *[(1, 513), (1, 513), (2, 257), (4, 129)].choose(rng).unwrap();
        let longest = match (packed, bf16) {
            (true, true) => longest.min(129 / rows),
            (true, false) | (false, true) if large => longest.min(97),
            _ => longest,
        };
        let length = *[33, 97, 129, 200, 257, 385, 513].choose(rng).unwrap();
        let length = longest.min(length);
        let accumulation = *[1, 1, 2].choose(rng).unwrap();
        let stops_early = rng.random_bool(0.2);
        // The optimizer's moments are only there once it has run; the best weights are others than the last after one step more.
        let iters = if stops_early { 3 * accumulation } else { 2 * accumulation };
        let mut text = format!(
            "model: base, steps_per_report: 1, batch_size: {rows}, max_seq_length: {length}, \
             gradient_accumulation: {accumulation}, iters: {iters}, num_layers: {}",
            rng.random_range(1..=layers),
        );
        // At this rate no validation is better than the first, whose weights are kept.
        if stops_early {
            text += ", early_stopping_patience: 9, steps_per_eval: 1, learning_rate: 1.0e-12";
        }
        if rng.random_bool(0.5) {
            text += ", optimizer: adamw";
        }
        text += &if full { ", fine_tune_type: full".to_owned() } else { adapters(rng) };
        let recipe = Recipe::parse("drawn", &format!("{{{text}}}")).unwrap();
        Case { config, bits, recipe, text }
    }
}

/// A configuration, and its number of layers.
fn base(rng: &mut ChaCha8Rng) -> (Value, u64) {
    let layers = rng.random_range(1..=4);
    let tied = rng.random_bool(0.5);
    let dtype = *["float32", "bfloat16"].choose(rng).unwrap();
    let mut pick = |from: &[u64]| *from.choose(rng).unwrap();
    let (hidden, kv_heads, key_heads) = (pick(&[256, 320, 384]), pick(&[2, 4]), pick(&[2, 4]));
    let config = json!({"model_type": "qwen3_5", "text_config": {
        "model_type": "qwen3_5_text", "hidden_size": hidden, "num_hidden_layers": layers, "rms_norm_eps": 1e-6,
        "intermediate_size": hidden * pick(&[2, 3, 4, 6]), "head_dim": 64, "num_key_value_heads": kv_heads,
        "num_attention_heads": kv_heads * pick(&[1, 2, 4]), "linear_num_key_heads": key_heads,
        "linear_num_value_heads": key_heads * pick(&[1, 2, 3]), "linear_key_head_dim": pick(&[64, 128]),
        "linear_value_head_dim": pick(&[64, 128]), "linear_conv_kernel_dim": 4, "vocab_size": pick(&[2048, 8192, LARGE_VOCABULARY]),
        "tie_word_embeddings": tied, "full_attention_interval": pick(&[1, 2, 4]), "dtype": dtype,
        "rope_parameters": {"rope_theta": 10_000_000, "partial_rotary_factor": 0.25}}});
    (config, layers)
}

fn adapters(rng: &mut ChaCha8Rng) -> String {
    let rank = [4, 8, 16, 64].choose(rng).unwrap();
    let dropout = [0.0, 0.0, 0.1].choose(rng).unwrap();
    let keys = *[
        "",
        "",
        ", keys: [mlp.gate_proj, mlp.up_proj, mlp.down_proj]",
        ", keys: [mlp.up_proj, self_attn.q_proj, linear_attn.in_proj_qkv]",
        ", keys: [self_attn.q_proj, self_attn.v_proj, linear_attn.out_proj, mlp.down_proj]",
    ]
    .choose(rng)
    .unwrap();
    format!(", lora_parameters: {{rank: {rank}, dropout: {dropout}{keys}}}")
}

#[test]
fn the_estimate_of_drawn_cases_is_close_to_mlx_peak() {
    let (mut table, mut wrong) = (String::new(), 0);
    for seed in seeds() {
        let case = Case::draw(seed);
        let Some((predicted, measured)) = run(&case) else { continue };
        let off = predicted.total().0 as f64 / measured - 1.0;
        let fits = -TOLERANCE.1 <= off && off <= TOLERANCE.0;
        wrong += usize::from(!fits);
        let line = line(seed, &case, &predicted, measured, off);
        println!("{line}");
        if !fits {
            table += &line;
        }
    }
    assert_eq!(wrong, 0, "the estimate is off in {wrong} cases:\n{table}");
}

/// The fixed seeds, or those that the environment names.
fn seeds() -> Range<u64> {
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("`{text}` is no seed"));
    let Ok(range) = std::env::var("VERTIGO_SEEDS") else { return SEEDS };
    let (first, end) = range.split_once("..").unwrap_or_else(|| panic!("write VERTIGO_SEEDS=100..200"));
    number(first)..number(end)
}

fn line(seed: u64, case: &Case, predicted: &Estimate, measured: f64, off: f64) -> String {
    let mb = |bytes: f64| bytes / 1e6;
    let parts: Vec<_> =
        predicted.parts.iter().map(|part| format!("{} {:.1}", part.name, mb(part.bytes.0 as f64))).collect();
    format!(
        "seed {seed}: {:.1} MB estimated ({}), {:.1} MB measured, {:+.1} %\n    bits {:?}, {}\n    {}\n",
        mb(predicted.total().0 as f64),
        parts.join(", "),
        mb(measured),
        100.0 * off,
        case.bits,
        case.config["text_config"],
        case.text
    )
}

/// The estimated peak, and MLX's in bytes; `None` for a case that is too small.
fn run(case: &Case) -> Option<(Estimate, f64)> {
    let folder = tempfile::tempdir().unwrap();
    write_base(case, folder.path());
    memory::clear_cache().unwrap();
    let model = Model::load(folder.path()).unwrap();
    let estimate = estimate(model.shape(), &case.recipe, Engine::Vertigo);
    if estimate.total().0 < SMALLEST {
        return None;
    }
    let data = data(&case.recipe, model.shape().vocab);
    memory::reset_peak_memory().unwrap();
    let run = RunFolder::fresh(folder.path().join("run"));
    let peak = Trainer::new(model, data, case.recipe.clone(), run).unwrap().map(Result::unwrap);
    let peak = peak.filter_map(|event| match event {
        Event::Step { peak_bytes, .. } => Some(peak_bytes),
        _ => None,
    });
    Some((estimate, peak.max().unwrap() as f64))
}

fn write_base(case: &Case, folder: &std::path::Path) {
    let mut config = case.config.clone();
    let mut tensors = support::tensors(&config);
    if case.config["text_config"]["dtype"] == "bfloat16" {
        let cast = |x: mlx_rs::Array| x.as_dtype(mlx_rs::Dtype::Bfloat16).unwrap();
        tensors = tensors.into_iter().map(|(name, x)| (name, cast(x))).collect();
    }
    if let Some(bits) = case.bits {
        tensors = support::packed(&mut config, tensors, bits);
    }
    support::write(folder, &config, &tensors);
}

/// Examples of exactly the longest length, all of it learned from.
fn data(recipe: &Recipe, vocab: u64) -> TrainingData {
    let example = |seed: u64| {
        let ids = (0..recipe.max_seq_length).map(|n| ((n * 2_654_435_761 + seed * 97) % vocab) as u32).collect();
        Tokens { ids, prompt: 0 }
    };
    let batches =
        |examples: Vec<Tokens>| Batches::new(examples, recipe.batch_size as usize, recipe.max_seq_length as usize, 0);
    let valid = recipe.early_stopping_patience.map(|_| example(99));
    TrainingData {
        train: batches((0..3 * recipe.batch_size).map(example).collect()),
        valid: batches(valid.into_iter().collect()),
    }
}
