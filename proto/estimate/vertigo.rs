//! Our engine's memory.

use super::{Estimate, trainable_parameters, trained_layers};
use crate::recipe::{Method, Optimizer, Recipe};
use crate::shape::{Mixer, Shape};

/// Tokens whose logits exist at the same time: `vertigo_engine::backward::LOSS_SLICE`.
const LOSS_SLICE: u64 = 256;

/// Tokens in a chunk of the gated delta rule: `vertigo_engine::gated_delta::CHUNK`.
const CHUNK: u64 = 64;

/// Batches are padded to a multiple of this: `vertigo_engine::batch`.
const PAD_TO: u64 = 32;

pub(super) fn estimate(shape: &Shape, recipe: &Recipe) -> Estimate {
    let layers = trained_layers(shape, recipe);
    let trained = trainable_parameters(shape, recipe) as f64;
    let value = match recipe.method {
        Method::Lora(_) => 4.0,
        Method::Full => shape.dtype.size() as f64,
    };
    let s = shape.dtype.size() as f64;
    let tokens = (recipe.batch_size * PAD_TO * (recipe.max_seq_length - 1).div_ceil(PAD_TO)) as f64;
    let count = (layers.end - layers.start) as f64;
    let stream = tokens * shape.hidden as f64 * s;
    let mixers = layers.map(|index| shape.mixer(index));
    let layer = mixers.map(|mixer| layer_backward(shape, mixer, tokens)).fold(0.0, f64::max);
    let slice = (LOSS_SLICE as f64).min(tokens) * shape.vocab as f64 * (3.0 * 4.0 + s);
    let accumulated = if recipe.grad_accumulation_steps > 1 { 2.0 } else { 1.0 };
    let parts = [
        ("weights", shape.weight_bytes().0 as f64),
        ("trained weights", trained * value),
        ("optimizer", trained * value * Optimizer::STATE_PER_PARAMETER as f64),
        ("gradients", trained * value * accumulated),
        ("layer inputs", (count + 1.0) * stream),
        if layer > slice { ("one layer's backward", layer) } else { ("one slice's logits", slice) },
    ];
    let sum: f64 = parts.iter().map(|part| part.1).sum();
    Estimate::new(parts.into_iter().chain([("headroom", 0.03 * sum)]))
}

/// What one layer's backward pass keeps.
fn layer_backward(shape: &Shape, mixer: Mixer, tokens: f64) -> f64 {
    let s = shape.dtype.size() as f64;
    let (a, l) = (&shape.attention, &shape.linear);
    let ffn = shape.experts.as_ref().map_or(shape.ffn, |e| e.active * e.ffn + e.shared_ffn) as f64;
    let mlp = 5.0 * ffn * s;
    let mixer = match mixer {
        Mixer::Full => {
            let (q, kv) = ((a.heads * a.head_dim) as f64, (a.kv_heads * a.head_dim) as f64);
            (7.0 * q + 4.0 * kv) * s + 2.0 * (a.heads as f64) * tokens * s
        }
        Mixer::Linear => {
            let (v, channels) = ((l.value_heads * l.value_dim) as f64, l.conv_channels() as f64);
            let heads = l.value_heads as f64;
            let state = (l.key_dim * l.value_dim) as f64 / CHUNK as f64;
            channels * (3.0 * s + 4.0) + 10.0 * v * 4.0 + heads * (14.0 * CHUNK as f64 + 3.0 * state) * 4.0
        }
    };
    tokens * (6.0 * shape.hidden as f64 * s + mlp + mixer)
}
