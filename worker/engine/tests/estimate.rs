//! The memory estimate beside what MLX counts when the engine trains.
//!
//! One test, because MLX's peak is the process's. Each case builds a random Qwen3.5 folder, trains a few iterations on examples as
//! long as the recipe allows, and compares.

use mlx_rs::ops::{ones, quantize};
use mlx_rs::{Array, Dtype, memory, random};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use vertigo_engine::batch::Batches;
use vertigo_engine::text::Tokens;
use vertigo_engine::{Event, Model, RunFolder, Trainer, TrainingData};
use vertigo_model::estimate::{Engine, estimate};
use vertigo_model::recipe::{Recipe, RunLength};
use vertigo_model::shape::{Mixer, Shape};

/// How far the estimate may be from MLX's peak.
const TOLERANCE: f64 = 0.10;

/// A base and how to train it.
struct Case {
    name: &'static str,
    hidden: u64,
    ffn: u64,
    layers: u64,
    /// Every how many layers one is full attention.
    every: u64,
    vocab: u64,
    /// Query heads and key-value heads of full attention; a head has 64 dimensions.
    heads: [u64; 2],
    /// Key heads and value heads of the gated delta rule.
    linear_heads: [u64; 2],
    /// Dimensions of those heads.
    linear_dim: u64,
    bits: Option<u64>,
    /// Of the weights that are not packed.
    dtype: Dtype,
    /// Rows of a batch.
    rows: u64,
    recipe: &'static str,
    /// Measured from a checkpoint on.
    resumed: bool,
}

const BASE: Case = Case {
    name: "",
    hidden: 256,
    ffn: 704,
    layers: 4,
    every: 4,
    vocab: 2048,
    heads: [4, 2],
    linear_heads: [2, 4],
    linear_dim: 64,
    bits: None,
    dtype: Dtype::Float32,
    rows: 1,
    recipe: "",
    resumed: false,
};

/// Each leans on another part: a half's work by its sizes, the loss, weights and moments.
fn cases() -> Vec<Case> {
    vec![
        Case { name: "LoRA, 1024 tokens", recipe: "{num_layers: 2, max_seq_length: 1025}", ..BASE },
        Case {
            name: "LoRA, rows, accumulation",
            rows: 2,
            recipe: "{max_seq_length: 300, gradient_accumulation: 2, num_layers: 3}",
            ..BASE
        },
        Case {
            name: "LoRA, dropout",
            recipe: "{num_layers: 2, max_seq_length: 513, lora_parameters: {dropout: 0.1, rank: 32}}",
            ..BASE
        },
        Case {
            name: "LoRA, full attention alone",
            layers: 1,
            every: 1,
            heads: [8, 4],
            recipe: "{num_layers: 1, max_seq_length: 1025, lora_parameters: {keys: [self_attn.q_proj, self_attn.o_proj]}}",
            ..BASE
        },
        Case {
            name: "LoRA, wide MLP, few keys",
            layers: 2,
            ffn: 3072,
            recipe: "{num_layers: 2, max_seq_length: 513, lora_parameters: {keys: [mlp.up_proj]}}",
            ..BASE
        },
        Case {
            name: "QLoRA, a large vocabulary",
            layers: 1,
            bits: Some(4),
            vocab: 16384,
            recipe: "{num_layers: 1, max_seq_length: 385}",
            ..BASE
        },
        // A square of the length would be most of it.
        Case {
            name: "LoRA, 2048 tokens, heads as Qwen's",
            layers: 1,
            linear_heads: [2, 4],
            linear_dim: 128,
            recipe: "{num_layers: 1, max_seq_length: 2049}",
            ..BASE
        },
        Case {
            name: "LoRA, many value heads",
            layers: 1,
            linear_heads: [2, 8],
            recipe: "{num_layers: 1, max_seq_length: 513}",
            ..BASE
        },
        // Trained weights and the optimizer are most of it: another copy of them would be a fifth.
        Case {
            name: "full, large weights",
            hidden: 512,
            ffn: 1408,
            recipe: "{fine_tune_type: full, num_layers: -1, max_seq_length: 65}",
            ..BASE
        },
        Case {
            name: "full, resumed",
            hidden: 512,
            ffn: 1408,
            recipe: "{fine_tune_type: full, num_layers: -1, max_seq_length: 65, save_every: 1}",
            resumed: true,
            ..BASE
        },
        // At this rate the first validation stays the best one, whose weights are written and not kept in memory.
        Case {
            name: "full, early stopping",
            hidden: 512,
            ffn: 1408,
            recipe: "{fine_tune_type: full, num_layers: -1, max_seq_length: 65, learning_rate: 0.01, \
                     early_stopping_patience: 9, steps_per_eval: 1}",
            ..BASE
        },
        // Of 16 bits are the weights and gradients only. Few tokens: products of bf16 are slow on a processor.
        Case {
            name: "full, bf16",
            hidden: 512,
            ffn: 1408,
            dtype: Dtype::Bfloat16,
            recipe: "{fine_tune_type: full, num_layers: -1, max_seq_length: 17, optimizer: adamw}",
            ..BASE
        },
        Case {
            name: "full, bf16, early stopping",
            hidden: 512,
            ffn: 1408,
            dtype: Dtype::Bfloat16,
            recipe: "{fine_tune_type: full, num_layers: -1, max_seq_length: 17, learning_rate: 0.01, \
                     early_stopping_patience: 9, steps_per_eval: 1}",
            ..BASE
        },
        Case {
            name: "full, bf16, accumulation",
            hidden: 512,
            ffn: 1408,
            dtype: Dtype::Bfloat16,
            recipe: "{fine_tune_type: full, num_layers: -1, max_seq_length: 17, gradient_accumulation: 2}",
            ..BASE
        },
        Case {
            name: "full, 512 tokens, accumulation",
            recipe: "{fine_tune_type: full, num_layers: 2, max_seq_length: 513, optimizer: adamw, gradient_accumulation: 2}",
            ..BASE
        },
    ]
}

#[test]
fn the_estimate_is_close_to_mlx_peak() {
    let mut table = String::new();
    let mut worst: f64 = 0.0;
    for case in cases() {
        let (predicted, parts, measured) = run(&case);
        let off = predicted / measured - 1.0;
        worst = worst.max(off.abs());
        table += &format!(
            "{:32} {:7.1} MB estimated, {:7.1} MB measured, {:+5.1} %   {parts}\n",
            case.name,
            predicted / 1e6,
            measured / 1e6,
            100.0 * off
        );
    }
    println!("{table}");
    assert!(worst <= TOLERANCE, "the estimate is off by {:.1} %:\n{table}", 100.0 * worst);
}

/// Estimated and measured peak, in bytes.
fn run(case: &Case) -> (f64, String, f64) {
    let folder = tempfile::tempdir().unwrap();
    write_base(case, folder.path());
    memory::clear_cache().unwrap();
    let model = Model::load(folder.path()).unwrap();
    let text = format!(
        "{{model: base, batch_size: {}, steps_per_report: 1, {}",
        case.rows,
        case.recipe.trim_start_matches('{')
    );
    let mut recipe = Recipe::parse(case.name, &text).unwrap();
    // The optimizer's moments are only there once it has run.
    recipe.length = RunLength::Iters(2 * recipe.grad_accumulation_steps + 1);
    let estimate = estimate(model.shape(), &recipe, Engine::Vertigo);
    let data = data(case, &recipe);
    let mut run_folder = RunFolder::fresh(folder.path().join("run"));
    if case.resumed {
        let mut first =
            Trainer::new(Model::load(folder.path()).unwrap(), data.clone(), recipe.clone(), run_folder).unwrap();
        let checkpoint = first.find_map(|event| match event.unwrap() {
            Event::Checkpoint { folder, .. } => Some(folder),
            _ => None,
        });
        run_folder = RunFolder::resumed(folder.path().join("run"), checkpoint.unwrap());
    }
    memory::reset_peak_memory().unwrap();
    let trainer = Trainer::new(model, data, recipe, run_folder).unwrap();
    let peak = trainer.map(Result::unwrap).filter_map(|event| match event {
        Event::Step { peak_bytes, .. } => Some(peak_bytes),
        // Writing the adapter takes memory too.
        Event::Finished(outcome) => Some(outcome.peak_bytes),
        _ => None,
    });
    let peak = peak.max().unwrap();
    let parts: Vec<_> = estimate.parts.iter().map(|p| format!("{} {:.1}", p.name, p.bytes.0 as f64 / 1e6)).collect();
    (estimate.total().0 as f64, parts.join(", "), peak as f64)
}

/// Examples of exactly the longest length.
fn data(case: &Case, recipe: &Recipe) -> TrainingData {
    let example = |seed: u64| {
        let ids = (0..recipe.max_seq_length).map(|n| ((n * 2_654_435_761 + seed * 97) % case.vocab) as u32).collect();
        Tokens { ids, prompt: recipe.max_seq_length as usize / 4 }
    };
    let batches =
        |examples: Vec<Tokens>| Batches::new(examples, recipe.batch_size as usize, recipe.max_seq_length as usize, 0);
    let valid = recipe.early_stopping_patience.map(|_| example(99));
    TrainingData {
        train: batches((0..3 * recipe.batch_size).map(example).collect()),
        valid: batches(valid.into_iter().collect()),
    }
}

/// A random base in MLX's layout.
fn write_base(case: &Case, folder: &Path) {
    let mut config = json!({"model_type": "qwen3_5", "text_config": {
        "model_type": "qwen3_5_text", "hidden_size": case.hidden, "intermediate_size": case.ffn,
        "num_hidden_layers": case.layers, "num_attention_heads": case.heads[0], "num_key_value_heads": case.heads[1],
        "head_dim": 64, "rms_norm_eps": 1e-6, "vocab_size": case.vocab, "linear_num_key_heads": case.linear_heads[0],
        "linear_num_value_heads": case.linear_heads[1], "linear_key_head_dim": case.linear_dim, "linear_value_head_dim": case.linear_dim,
        "linear_conv_kernel_dim": 4, "tie_word_embeddings": true, "full_attention_interval": case.every,
        "dtype": format!("{:?}", case.dtype).to_lowercase(),
        "rope_parameters": {"rope_theta": 10_000_000, "partial_rotary_factor": 0.25}}});
    if let Some(bits) = case.bits {
        config["quantization"] = json!({"group_size": 64, "bits": bits, "mode": "affine"});
    }
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let shape = Shape::from_config(&config).unwrap();
    let mut tensors = Base { bits: case.bits, dtype: case.dtype, tensors: BTreeMap::new() };
    tensors.matrix("language_model.model.embed_tokens", shape.vocab, shape.hidden);
    tensors.norm("language_model.model.norm", shape.hidden);
    for index in 0..shape.layers {
        tensors.layer(&shape, index);
    }
    let named = tensors.tensors.iter().map(|(name, x)| (name.as_str(), x));
    Array::save_safetensors(named, None, folder.join("model.safetensors")).unwrap();
}

struct Base {
    bits: Option<u64>,
    dtype: Dtype,
    tensors: BTreeMap<String, Array>,
}

impl Base {
    fn put(&mut self, name: String, x: Array) {
        let x = if x.dtype() == Dtype::Float32 { x.as_dtype(self.dtype).unwrap() } else { x };
        self.tensors.insert(name, x);
    }

    fn norm(&mut self, module: &str, size: u64) {
        self.put(format!("{module}.weight"), ones::<f32>(&[size as i32]).unwrap());
    }

    fn matrix(&mut self, module: &str, outputs: u64, inputs: u64) {
        let w = random::normal::<f32>(&[outputs as i32, inputs as i32], None, Some(0.02), None).unwrap();
        let Some(bits) = self.bits else { return self.put(format!("{module}.weight"), w) };
        let (packed, scales, biases) = quantize(&w, 64, bits as i32).unwrap();
        self.put(format!("{module}.weight"), packed);
        self.put(format!("{module}.scales"), scales);
        self.put(format!("{module}.biases"), biases);
    }

    fn layer(&mut self, shape: &Shape, index: u64) {
        let (mixer, layer) = (shape.mixer(index), format!("language_model.model.layers.{index}"));
        for linear in shape.linears(mixer) {
            self.matrix(&format!("{layer}.{}", linear.path), linear.outputs, linear.inputs);
        }
        self.norm(&format!("{layer}.input_layernorm"), shape.hidden);
        self.norm(&format!("{layer}.post_attention_layernorm"), shape.hidden);
        match mixer {
            Mixer::Full => {
                self.norm(&format!("{layer}.self_attn.q_norm"), shape.attention.head_dim);
                self.norm(&format!("{layer}.self_attn.k_norm"), shape.attention.head_dim);
            }
            Mixer::Linear => {
                let l = &shape.linear;
                self.norm(&format!("{layer}.linear_attn.norm"), l.value_dim);
                let heads = [l.value_heads as i32];
                self.put(format!("{layer}.linear_attn.A_log"), ones::<f32>(&heads).unwrap());
                self.put(format!("{layer}.linear_attn.dt_bias"), ones::<f32>(&heads).unwrap());
                let taps = [l.conv_channels() as i32, l.conv_kernel as i32, 1];
                let taps = random::normal::<f32>(&taps, None, Some(0.5), None).unwrap();
                self.put(format!("{layer}.linear_attn.conv1d.weight"), taps);
            }
        }
    }
}
