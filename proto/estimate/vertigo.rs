//! Our engine's memory.
//!
//! The engine holds one half of a layer (mixer or MLP) or one slice of logits at a time, so its peak is what stays all the time and
//! the largest of these moments: a half's forward pass, the loss of a slice, a half's backward pass with the gradients made so far, the optimizer's update.
//! [`moments`] lists them; the parts of the estimate are those of the largest.
//!
//! What a backward pass holds is a sum of arrays that each have a size of the layer for each token: how many of each there are at its
//! worst, the constants below say. They were counted by shapes that differ in one size at a time, on MLX 0.32, and
//! `worker/engine/tests/estimate.rs` checks their sum against MLX.

use super::{Estimate, adapted, trainable_parameters, trained_layers};
use crate::recipe::{Method, Optimizer, Recipe};
use crate::shape::{Mixer, Shape};

/// Tokens whose logits exist at the same time: `vertigo_engine::backward::LOSS_SLICE`.
const LOSS_SLICE: u64 = 256;

/// Tokens in a chunk of the gated delta rule: `vertigo_engine::gated_delta::CHUNK`.
const CHUNK: f64 = 64.0;

/// Queries whose attention scores are one array: `QUERY_BLOCK` of `vertigo_engine::layer`.
const QUERY_BLOCK: u64 = 256;

/// Inputs are padded to a multiple of this: `vertigo_engine::batch`.
const PAD_TO: u64 = 32;

/// Bytes of the f32 that the gated delta rule, adapters and logits are computed in.
const F32: f64 = 4.0;

/// Bytes in f32 of parameters that are updated together: `EVALUATED_BYTES` of `vertigo_engine::optimizer`.
const UPDATED: f64 = (16 << 20) as f64;

/// New weights and moments beside the old ones, and what they are made from: arrays in f32, whatever the weights are.
const UPDATE_ARRAYS: f64 = 3.5;

/// A mixer's forward pass beside its backward pass: it keeps nothing for later.
const FORWARD: f64 = 0.5;

/// For the allocator's rounding and the small arrays that nobody counts.
const HEADROOM: f64 = 0.02;

pub(super) fn estimate(shape: &Shape, recipe: &Recipe) -> Estimate {
    let values = trainable_parameters(shape, recipe) as f64;
    let trained = values * value_size(shape, recipe);
    let moment = moments(shape, recipe).into_iter().max_by(|a, b| a.bytes().total_cmp(&b.bytes())).unwrap_or_default();
    // Where a run stops early it keeps the best weights, in f32, besides the ones that it goes on with.
    let best = if recipe.early_stopping_patience.is_some() { values * F32 } else { 0.0 };
    let optimizer = values * (F32 * Optimizer::STATE_PER_PARAMETER as f64 + low_size(shape, recipe));
    let parts = [
        ("weights", shape.weight_bytes().0 as f64),
        // A full run trains the base's own.
        ("trained weights", if recipe.method == Method::Full { 0.0 } else { trained }),
        ("best weights", best),
        ("optimizer", optimizer),
        ("gradients", moment.gradients),
        ("layer inputs", moment.inputs),
        (moment.name, moment.work),
    ];
    let sum: f64 = parts.iter().map(|part| part.1).sum();
    Estimate::new(parts.into_iter().chain([("headroom", HEADROOM * sum)]))
}

/// Bytes of a trained value: adapters are f32, weights what the base has.
fn value_size(shape: &Shape, recipe: &Recipe) -> f64 {
    match recipe.method {
        Method::Lora(_) => F32,
        Method::Full => shape.dtype.size() as f64,
    }
}

/// Bytes that the optimizer keeps of a trained value beside its moments, both f32: what a weight of 16 bits cannot show of its f32
/// value (`vertigo_engine::optimizer::Adam::low`).
fn low_size(shape: &Shape, recipe: &Recipe) -> f64 {
    F32 - value_size(shape, recipe)
}

/// A moment of an iteration, and what memory holds then besides weights and optimizer.
#[derive(Debug, Default)]
struct Moment {
    name: &'static str,
    /// Gradients of this micro-batch made so far, and the sum of those of the micro-batches before.
    gradients: f64,
    /// Inputs of halves, kept for the backward pass, and the residual stream or its gradient.
    inputs: f64,
    /// What is made and let go of.
    work: f64,
}

impl Moment {
    fn bytes(&self) -> f64 {
        self.gradients + self.inputs + self.work
    }
}

/// A half of a layer: the mixer and its norm, or the MLP and its norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Mixer(Mixer),
    Mlp,
}

fn moments(shape: &Shape, recipe: &Recipe) -> Vec<Moment> {
    let size = Sizes::new(shape, recipe);
    let halves: Vec<(u64, Half)> =
        (0..shape.layers).flat_map(|index| [(index, Half::Mixer(shape.mixer(index))), (index, Half::Mlp)]).collect();
    let trained: Vec<f64> = halves.iter().map(|&(index, half)| trained_of(shape, recipe, index, half)).collect();
    // From here on inputs are kept; below nobody asks for a gradient.
    let first = trained.iter().position(|&values| values > 0.0).unwrap_or(halves.len());
    let all_gradients = trained.iter().sum::<f64>() * value_size(shape, recipe);
    let summed = if recipe.grad_accumulation_steps > 1 { all_gradients } else { 0.0 };
    let kept = |until: usize| (until.saturating_sub(first) + 1) as f64 * size.stream();
    let mut all = Vec::new();
    for (n, &(index, half)) in halves.iter().enumerate() {
        let work = FORWARD * size.backward(half, recipe, index);
        all.push(Moment { name: "one layer's forward pass", gradients: summed, inputs: kept(n), work });
    }
    all.push(Moment { name: "one slice's logits", gradients: summed, inputs: kept(halves.len()), work: size.loss() });
    let mut gradients = summed;
    for (n, &(index, half)) in halves.iter().enumerate().skip(first).rev() {
        gradients += trained[n] * value_size(shape, recipe);
        let work = size.backward(half, recipe, index);
        all.push(Moment { name: "one layer's backward pass", gradients, inputs: kept(n + 1), work });
    }
    // By then the gradients of all micro-batches are one sum.
    let updated = (trained.iter().sum::<f64>() * F32).min(UPDATED + largest(shape, recipe) / 2.0);
    let work = UPDATE_ARRAYS * updated;
    all.push(Moment { name: "the optimizer's update", gradients: all_gradients, inputs: 0.0, work });
    all
}

/// Bytes in f32 of the largest trained tensor, which overshoots [`UPDATED`] by half of it on average.
fn largest(shape: &Shape, recipe: &Recipe) -> f64 {
    let linears = trained_layers(shape, recipe).flat_map(|index| shape.linears(shape.mixer(index)));
    let values = linears.map(|linear| match &recipe.method {
        Method::Lora(lora) => lora.rank * linear.inputs.max(linear.outputs),
        Method::Full => linear.inputs * linear.outputs,
    });
    values.max().unwrap_or(0) as f64 * F32
}

/// Values trained in a half.
fn trained_of(shape: &Shape, recipe: &Recipe, index: u64, half: Half) -> f64 {
    let in_half = |path: &str| path.starts_with("mlp.") == (half == Half::Mlp);
    match &recipe.method {
        Method::Lora(lora) => {
            let linears = adapted(shape, recipe, index);
            let values =
                linears.iter().filter(|linear| in_half(linear.path)).map(|l| lora.rank * (l.inputs + l.outputs));
            values.sum::<u64>() as f64
        }
        Method::Full if !trained_layers(shape, recipe).contains(&index) => 0.0,
        Method::Full => {
            let linears = shape.linears(shape.mixer(index));
            let mixer: u64 = linears.iter().filter(|l| !l.path.starts_with("mlp.")).map(|l| l.inputs * l.outputs).sum();
            let values = shape.layer_values(shape.mixer(index));
            match half {
                Half::Mixer(_) => (mixer + values.other - shape.hidden) as f64,
                Half::Mlp => (values.matrices - mixer + shape.hidden) as f64,
            }
        }
    }
}

/// The sizes that activations have.
struct Sizes<'a> {
    shape: &'a Shape,
    /// Tokens of a row: the longest that the recipe keeps, padded.
    length: u64,
    /// Tokens of a micro-batch.
    tokens: f64,
    /// Bytes of an activation.
    s: f64,
}

impl<'a> Sizes<'a> {
    fn new(shape: &'a Shape, recipe: &Recipe) -> Sizes<'a> {
        // The last token is only ever a target.
        let length = PAD_TO * (recipe.max_seq_length - 1).div_ceil(PAD_TO);
        Sizes { shape, length, tokens: recipe.batch_size as f64 * length as f64, s: shape.dtype.size() as f64 }
    }

    /// The residual stream: B·T·H.
    fn stream(&self) -> f64 {
        self.tokens * self.shape.hidden as f64 * self.s
    }

    /// A slice's logits and their softmax, n·V in f32 each; and of the whole micro-batch the gathered stream and its gradient.
    fn loss(&self) -> f64 {
        let slice = self.tokens.min(LOSS_SLICE as f64);
        2.0 * slice * self.shape.vocab as f64 * F32 + 2.0 * self.stream()
    }

    /// What the backward pass of a half holds at its worst.
    fn backward(&self, half: Half, recipe: &Recipe, index: u64) -> f64 {
        let of_token = match half {
            Half::Mixer(Mixer::Full) => self.attention(),
            Half::Mixer(Mixer::Linear) => self.gated_delta(),
            Half::Mlp => self.mlp(recipe, index),
        };
        self.tokens * of_token
    }

    /// Bytes for each token of softmax attention with Q query values and K key values: 11 Q + 8 K + 5 H, and of the scores.
    ///
    /// Scores are made in blocks of queries, each with the keys up to its end. Two arrays of every block are kept, and the block that
    /// is worked on, at its worst the last one with all T keys, has 2.7 more.
    fn attention(&self) -> f64 {
        let a = &self.shape.attention;
        let (q, k) = ((a.heads * a.head_dim) as f64, (a.kv_heads * a.head_dim) as f64);
        let blocks = (0..self.length).step_by(QUERY_BLOCK as usize);
        let scores: u64 =
            blocks.map(|start| QUERY_BLOCK.min(self.length - start) * self.length.min(start + QUERY_BLOCK)).sum();
        let last = QUERY_BLOCK.min(self.length) as f64;
        let scores = a.heads as f64 * (2.0 * scores as f64 / self.length as f64 + 2.7 * last);
        (11.0 * q + 8.0 * k + 5.0 * self.shape.hidden as f64 + scores) * self.s
    }

    /// Bytes for each token of the gated delta rule with V values, K keys, and C of a row of a chunk's triangle for each of Hv heads:
    /// 21 V + 29 K + 10.5 Hv·C, in f32 whatever the activations are, since convolution and rule are computed in it.
    fn gated_delta(&self) -> f64 {
        let l = &self.shape.linear;
        let (v, k) = ((l.value_heads * l.value_dim) as f64, (l.key_heads * l.key_dim) as f64);
        (21.0 * v + 29.0 * k + 10.5 * l.value_heads as f64 * CHUNK) * F32
    }

    /// Bytes for each token of the MLP with F values: 6 F + 7 H as activations, 2.7 F in f32 for each adapter; where the weights
    /// themselves are trained, 11.5 F. With experts, F is that of the active ones and H is held for each of them.
    fn mlp(&self, recipe: &Recipe, index: u64) -> f64 {
        let experts = self.shape.experts.as_ref();
        let f = experts.map_or(self.shape.ffn, |e| e.active * e.ffn + e.shared_ffn) as f64;
        let h = self.shape.hidden as f64 * experts.map_or(1, |e| e.active) as f64;
        let adapters = adapted(self.shape, recipe, index).iter().filter(|l| l.path.starts_with("mlp.")).count() as f64;
        let own = if recipe.method == Method::Full { 11.5 } else { 6.0 };
        (own * f + 7.0 * h) * self.s + 2.7 * adapters * f * F32
    }
}
