//! mlx-lm's memory, for comparison.
//!
//! mlx-lm computes the gated delta rule token by token in operations that are differentiated one by one, so the backward pass of one
//! layer holds several states S [Hv, Dv, Dk] in f32 for each token. `S₁ = gS; S₂ = S₁ + k δᵀ` are kept by the forward pass. The
//! gradients of both are kept by the backward pass, because the gradients of k, g and β, which need them, are evaluated only after
//! the chain has run down to the first token: four. Where one checkpointed layer follows another, a fifth is measured. Counted with
//! mlx-lm 0.32.2 on MLX 0.32.2 (CPU, compiled as its trainer does, Dk = Dv = 128 and 256, 4 to 32 heads, 32 to 128 tokens):
//! the loop alone 4.0 S; the model without checkpointing 4.2 S and 2.0 S for each further gated delta layer; checkpointed with two or
//! more, 8 of 8 layers or 4 of 4, 5.2 to 5.6 S, of which the part beyond 5 grows with the convolution's channels and not with S.
//!
//! Two runs on a Mac are known, of `mlx-community/Qwen3.5-4B-4bit`. Rank 8, 8 layers, 2048 tokens took 27.3 GB; the estimate is
//! within 10 %. Rank 4 at 1024 tokens is said to have taken 11.8 GB, and the estimate is a fifth above: by the first run's own slope
//! 11.8 GB are those of about 800 tokens, so the longest example was likely shorter than 1024. The estimate assumes it was not.

use super::{Estimate, trainable_parameters, trained_layers};
use crate::recipe::{Method, Optimizer, Recipe};
use crate::shape::{Mixer, Shape};

/// States that a layer's backward pass holds for each token.
const STATES_PER_TOKEN: f64 = 4.0;

/// One more where a layer is computed again after another.
const CHECKPOINT_STATES_PER_TOKEN: f64 = 1.0;

/// Those that the forward pass keeps: what every further layer holds without checkpointing.
const KEPT_STATES_PER_TOKEN: f64 = 2.0;

/// Values for each channel of the convolution and each token that a layer's backward pass holds besides, most of them f32: the
/// recurrence's rows and their gradients, the projections, the convolution.
const LOOP_VALUES: f64 = 34.0;

/// The part of [`LOOP_VALUES`] that has the activations' dtype; the rest is f32.
const LOOP_ACTIVATIONS: f64 = 0.5;

/// Logits-sized arrays of the loss and its gradient: logits, their log-softmax's exponential, its gradient.
const LOGITS: f64 = 3.0;

/// Bytes of an f32.
const F32: f64 = 4.0;

pub(super) fn estimate(shape: &Shape, recipe: &Recipe) -> Estimate {
    let layers = trained_layers(shape, recipe);
    let trained = trainable_parameters(shape, recipe) as f64;
    let s = shape.dtype.size() as f64;
    let value = if recipe.method == Method::Full { s } else { F32 };
    let accumulated = if recipe.grad_accumulation_steps > 1 { 2.0 } else { 1.0 };
    // mlx-lm cuts batches to max_seq_length, and the last token is only a target.
    let tokens = recipe.batch_size as f64 * recipe.max_seq_length.saturating_sub(1) as f64;
    let l = &shape.linear;
    let state = l.value_heads as f64 * l.value_dim as f64 * l.key_dim as f64 * F32;
    let linear = shape.layers_with(Mixer::Linear, layers.clone()) as f64;
    let further = (linear - 1.0).max(0.0);
    let states = STATES_PER_TOKEN
        + if recipe.grad_checkpoint {
            further.min(1.0) * CHECKPOINT_STATES_PER_TOKEN
        } else {
            further * KEPT_STATES_PER_TOKEN
        };
    let channels = l.conv_channels() as f64 * LOOP_VALUES;
    let around = channels * (LOOP_ACTIVATIONS * s + (1.0 - LOOP_ACTIVATIONS) * F32);
    let of_token = if linear > 0.0 { around + states * state } else { 0.0 };
    let logits = LOGITS * tokens * shape.vocab as f64 * s;
    // The loss is done before the first layer's backward pass begins.
    let work = if logits > tokens * of_token {
        [("all logits", logits), ("", 0.0)]
    } else {
        [("states of every token", tokens * (of_token - around)), ("one layer's backward pass", tokens * around)]
    };
    let parts = [
        ("weights", shape.weight_bytes().0 as f64),
        ("trained weights", if recipe.method == Method::Full { 0.0 } else { trained * value }),
        ("optimizer", trained * value * Optimizer::STATE_PER_PARAMETER as f64),
        ("gradients", trained * value * accumulated),
        ("layer inputs", (layers.end - layers.start) as f64 * tokens * shape.hidden as f64 * s),
    ];
    Estimate::new(parts.into_iter().chain(work))
}
