//! The estimate of fusing and measuring beside what MLX counts.
//!
//! One test, because MLX's peak is the process's. Each case builds a random base and an adapter, fuses them and measures the result on
//! an example as long as is measured at the most; for auto, whatever width it would take in the end. Where rounding is calibrated it is by
//! a few examples, as long as that takes them at the most: all that it may take are minutes of work here.

mod support;

use mlx_rs::{Array, Dtype, memory};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use support::{packed, recipe, tensors, tokenizer, write};
use vertigo::bytes::Bytes;
use vertigo::task::Bits;
use vertigo_engine::fuse::{Options, Rounding, fuse};
use vertigo_engine::measure::measure;
use vertigo_engine::{Model, adapter};
use vertigo_model::estimate::{CALIBRATED_TOKENS_MAX, Estimate, Rank, fuse as estimate};
use vertigo_model::fusing::tries;

/// The estimate of measuring may be this much too high,
const TOO_HIGH: f64 = 0.10;

/// and neither may be this much too low,
const TOO_LOW: f64 = 0.02;

/// where the peak is at least so many bytes.
const COMPARED_BYTES_MIN: f64 = (4 << 20) as f64;

/// Examples that rounding is calibrated by here.
const CALIBRATED_EXAMPLES: u64 = 4;

/// A base, its adapter, and how to fuse them.
struct Case {
    name: &'static str,
    hidden: u64,
    ffn: u64,
    layers: u64,
    vocab: u64,
    tied: bool,
    packed: Option<i32>,
    dtype: Dtype,
    recipe: &'static str,
    bits: Bits,
}

impl Case {
    /// Whether what comes of it has matrices in fewer than 8 bits, whose rounding may be calibrated.
    fn packs_coarsely(&self) -> bool {
        self.bits == Bits::Four || (self.packed == Some(4) && self.bits != Bits::Eight)
    }

    /// Whether it is, here: that takes its time, so of the cases that may be it is those of a packed base.
    fn is_calibrated(&self) -> bool {
        self.packs_coarsely() && self.packed.is_some()
    }
}

const LORA: &str = "num_layers: -1, lora_parameters: {rank: 8, scale: 10, dropout: 0.0}";
const FULL: &str = "fine_tune_type: full, num_layers: -1";

const BASE: Case = Case {
    name: "",
    hidden: 256,
    ffn: 704,
    layers: 2,
    vocab: 2048,
    tied: true,
    packed: None,
    dtype: Dtype::Float32,
    recipe: LORA,
    bits: Bits::Same,
};

fn cases() -> Vec<Case> {
    let bf16 = Dtype::Bfloat16;
    vec![
        Case { name: "f32, LoRA", ..BASE },
        Case {
            name: "bf16, untied, full to 8 bits",
            dtype: bf16,
            tied: false,
            recipe: FULL,
            bits: Bits::Eight,
            ..BASE
        },
        Case { name: "4 bits, bf16, LoRA to 8", packed: Some(4), dtype: bf16, bits: Bits::Eight, ..BASE },
        Case { name: "f32, large vocabulary", layers: 1, vocab: 16384, ..BASE },
        Case { name: "f32, full to 4 bits", recipe: FULL, bits: Bits::Four, ..BASE },
        Case { name: "bf16, full", dtype: bf16, recipe: FULL, ..BASE },
        Case { name: "f32, large MLP, full", recipe: FULL, ffn: 1792, ..BASE },
        Case { name: "4 bits, f32, LoRA, auto", packed: Some(4), ffn: 512, vocab: 1024, bits: Bits::Auto, ..BASE },
        Case { name: "bf16, wide, LoRA to 4 bits", dtype: bf16, hidden: 384, ffn: 1024, bits: Bits::Four, ..BASE },
    ]
}

#[test]
fn the_estimate_is_close_to_mlx_peak() {
    let (mut table, mut wrong) = (String::new(), 0);
    for case in cases() {
        for (what, estimated, peak) in run(&case) {
            let (total, peak) = (estimated.total().0 as f64, peak as f64);
            let off = total / peak - 1.0;
            // Fusing alone takes a few matrices, which is little beside a model: that it is enough is all that counts. So it is of
            // calibrated rounding, whose residual streams outweigh so small a model, and are nothing beside a real one.
            let is_too_high =
                what == "measure" && !case.packs_coarsely() && off > TOO_HIGH && peak >= COMPARED_BYTES_MIN;
            wrong += usize::from(off < -TOO_LOW || is_too_high);
            let parts: Vec<_> =
                estimated.parts.iter().map(|part| format!("{} {:.1}", part.name, part.bytes.0 as f64 / 1e6)).collect();
            let line = format!(
                "{:38} {what:8} {:7.1} MB estimated, {:7.1} MB measured, {:+6.1} %   {}\n",
                case.name,
                total / 1e6,
                peak / 1e6,
                100.0 * off,
                parts.join(", ")
            );
            print!("{line}");
            table += &line;
        }
    }
    assert_eq!(wrong, 0, "estimates that are off:\n{table}");
}

/// Estimate and peak of fusing, and of measuring.
fn run(case: &Case) -> [(&'static str, Estimate, usize); 2] {
    let dir = tempfile::tempdir().unwrap();
    let [base, adapter, fused, data] = ["base", "adapter", "fused", "data"].map(|name| dir.path().join(name));
    write_base(case, &base);
    let is_calibrated = case.is_calibrated();
    write_data(&data, if is_calibrated { CALIBRATED_EXAMPLES } else { 1 });
    let recipe = recipe(case.recipe);
    let shape = {
        let model = Model::load(&base).unwrap();
        // In f32, as training leaves it.
        let f32 = |(name, x): (String, Array)| (name, x.as_dtype(Dtype::Float32).unwrap());
        let trained = adapter::initial(&model, &recipe).unwrap().into_iter().map(f32).collect();
        adapter::save(&adapter, &trained, &recipe).unwrap();
        model.shape().clone()
    };
    let rank = if case.recipe == FULL { Rank::Full } else { Rank::Low };
    let adapter_bytes = Bytes(fs::metadata(adapter.join("adapters.safetensors")).unwrap().len());
    let [mut nearest, mut calibrating] = [0, 0];
    for width in tries(case.bits, &shape, true) {
        let nearly = Options { width, ..Options::default() };
        let rounding = if is_calibrated { Rounding::Calibrated { data: data.clone() } } else { Rounding::Nearest };
        let options = Options { width, rounding, ..Options::default() };
        let fusing = |options: &Options| {
            peak_of(|| {
                fuse(&base, &adapter, &fused, options, &mut |_, _| {}).unwrap();
            })
        };
        nearest = nearest.max(fusing(&nearly));
        calibrating = calibrating.max(if is_calibrated { fusing(&options) } else { nearest });
    }
    let measuring = peak_of(|| {
        let kept = measure(&base, &adapter, &fused, &data, &mut |_, _| {}).unwrap();
        assert_eq!(kept.map(|kept| kept.tokens), Some(1023));
    });
    [
        ("fuse", estimate(&shape, (rank, adapter_bytes), case.bits, false), nearest),
        ("measure", estimate(&shape, (rank, adapter_bytes), case.bits, true), measuring.max(calibrating)),
    ]
}

/// What MLX held at the worst moment, besides what it holds anyway.
fn peak_of(work: impl FnOnce()) -> usize {
    memory::clear_cache().unwrap();
    let before = memory::active_memory().unwrap();
    memory::reset_peak_memory().unwrap();
    work();
    memory::peak_memory().unwrap() - before
}

fn write_base(case: &Case, folder: &Path) {
    let mut config: Value = support::config(case.tied);
    let text = &mut config["text_config"];
    for (key, value) in [
        ("hidden_size", case.hidden),
        ("intermediate_size", case.ffn),
        ("num_hidden_layers", case.layers),
        ("vocab_size", case.vocab),
    ] {
        text[key] = value.into();
    }
    text["full_attention_interval"] = 2.into();
    text["dtype"] = json!(format!("{:?}", case.dtype).to_lowercase());
    let mut tensors = tensors(&config);
    for x in tensors.values_mut() {
        *x = x.as_dtype(case.dtype).unwrap();
    }
    if let Some(bits) = case.packed {
        tensors = packed(&mut config, tensors, bits);
    }
    write(folder, &config, &tensors);
    tokenizer::write(folder);
}

/// One held-out example, longer than is measured, and `count` to train on, longer than is calibrated by.
fn write_data(folder: &Path, count: u64) {
    fs::create_dir_all(folder).unwrap();
    let line = |n: u64| format!("{}\n", json!({"text": format!("{n} ").repeat(CALIBRATED_TOKENS_MAX as usize)}));
    fs::write(folder.join("train.jsonl"), (0..count).map(line).collect::<String>()).unwrap();
    fs::write(folder.join("valid.jsonl"), format!("{}\n", json!({"text": "held out ".repeat(150)}))).unwrap();
}
