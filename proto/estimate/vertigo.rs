//! Our engine's memory.
//!
//! The engine holds one half of a layer (mixer or MLP) or one slice of logits at a time, so its peak is what stays all the time and
//! the largest of these moments: a half's forward pass, the loss of a slice, a half's backward pass with the gradients made so far, the optimizer's update.
//! [`moments`] lists them; the parts of the estimate are those of the largest.
//!
//! What a backward pass holds is a sum of arrays that each have a size of the layer for each token: how many of each there are at its
//! worst, the constants below say. They were counted by shapes that differ in one size at a time, on MLX 0.32, and
//! `worker/engine/tests/estimate.rs` checks their sum against MLX.

use super::{Estimate, adapted, adapter, sum, trainable_parameters, trained_layers, trained_mixers};
use crate::recipe::{Method, Optimizer, Recipe};
use crate::shape::{LinearLayer, Mixer, Shape};
use std::ops::Range;

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

/// Bytes of parameters that are updated together: `EVALUATED_BYTES` of `vertigo_engine::optimizer`.
const UPDATED: f64 = (16 << 20) as f64;

/// New weights and moments beside the old ones, and what they are made from.
const UPDATE_ARRAYS: f64 = 3.5;

/// A mixer's forward pass beside its backward pass: it keeps nothing for later.
const FORWARD: f64 = 0.5;

/// For the allocator's rounding and the small arrays that nobody counts.
const HEADROOM: f64 = 0.02;

pub(super) fn estimate(shape: &Shape, recipe: &Recipe) -> Estimate {
    let trained = trainable_parameters(shape, recipe) as f64 * value_size(shape, recipe);
    let moment = moments(shape, recipe).into_iter().max_by(|a, b| a.bytes().total_cmp(&b.bytes())).unwrap_or_default();
    // Where a run stops early it keeps the best weights besides the ones that it goes on with.
    let best = if recipe.early_stopping_patience.is_some() { trained } else { 0.0 };
    let parts = [
        ("weights", shape.weight_bytes().0 as f64),
        // A full run trains the base's own.
        ("trained weights", if recipe.method == Method::Full { 0.0 } else { trained }),
        ("best weights", best),
        ("optimizer", trained * Optimizer::STATE_PER_PARAMETER as f64),
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
    Mixer,
    Mlp,
}

/// Every moment that may be the worst.
///
/// Not one for each layer. The further up a forward pass is, the more inputs it has kept: only the last half of each kind counts. On the
/// way down each kind of layer adds to the gradients and takes from the inputs what it always does, so that within a run of layers of
/// one kind, and from run to run, a half's moment grows or shrinks evenly: only the first or the last one counts
/// ([`outermost`]).
fn moments(shape: &Shape, recipe: &Recipe) -> Vec<Moment> {
    let (size, run) = (Sizes::new(shape, recipe), Run::new(shape, recipe));
    let summed = if recipe.grad_accumulation_steps > 1 { run.gradients_from(0, Half::Mixer) } else { 0.0 };
    let first_trained = run.first.map_or(shape.layers, |(index, _)| index);
    let kept = |halves: f64| (halves + 1.0) * size.stream();
    let mut all = Vec::new();
    // Of the first trained layer perhaps only the MLP is trained: the lowest mixer with a gradient is then in the layer above.
    let ranges = [0..first_trained, first_trained..shape.layers, first_trained.saturating_add(1)..shape.layers];
    let mut layers = ranges.map(|range| outermost(shape, range)).concat();
    layers.sort_unstable();
    layers.dedup();
    for (index, half) in layers.into_iter().flat_map(halves) {
        let backward = size.backward(shape.mixer(index), half, run.trained.contains(&index));
        let below = run.kept_below(index, half);
        let name = "one layer's forward pass";
        all.push(Moment { name, gradients: summed, inputs: kept(below), work: FORWARD * backward });
        if run.is_asked(index, half) {
            let name = "one layer's backward pass";
            let gradients = summed + run.gradients_from(index, half);
            all.push(Moment { name, gradients, inputs: kept(below + 1.0), work: backward });
        }
    }
    let inputs = kept(run.kept_below(shape.layers, Half::Mixer));
    all.push(Moment { name: "one slice's logits", gradients: summed, inputs, work: size.loss() });
    // By then the gradients of all micro-batches are one sum.
    let gradients = run.gradients_from(0, Half::Mixer);
    let work = UPDATE_ARRAYS * gradients.min(UPDATED + largest(shape, recipe) / 2.0);
    all.push(Moment { name: "the optimizer's update", gradients, inputs: 0.0, work });
    all
}

/// Of the layers in `range`, those that are the first or the last of a run of layers with one mixer, in the first two or the last two runs.
fn outermost(shape: &Shape, range: Range<u64>) -> Vec<u64> {
    let every = shape.full_attention_interval.max(1);
    // A full layer ends each stretch of `every` layers.
    let first = (range.start / every).saturating_add(1).saturating_mul(every) - 1;
    let last = (range.end / every).saturating_mul(every).saturating_sub(1);
    let around = |full: u64| [full.saturating_sub(1), full, full.saturating_add(1)];
    let ends = [range.start, range.end.saturating_sub(1)];
    let runs = [first, first.saturating_add(every), last.saturating_sub(every), last].map(around);
    let mut layers: Vec<u64> =
        ends.into_iter().chain(runs.into_iter().flatten()).filter(|n| range.contains(n)).collect();
    layers.sort_unstable();
    layers.dedup();
    layers
}

/// What a run trains, and where.
struct Run<'a> {
    shape: &'a Shape,
    recipe: &'a Recipe,
    /// The layers that are trained.
    trained: Range<u64>,
    /// The first half with a trained value: from here on inputs are kept, and below nobody asks for a gradient.
    first: Option<(u64, Half)>,
}

impl<'a> Run<'a> {
    fn new(shape: &'a Shape, recipe: &'a Recipe) -> Run<'a> {
        let trained = trained_layers(shape, recipe);
        let mut run = Run { shape, recipe, trained: trained.clone(), first: None };
        // The first layer of each kind is among the outermost.
        run.first = outermost(shape, trained)
            .into_iter()
            .flat_map(halves)
            .find(|&(index, half)| run.values(shape.mixer(index), half) > 0.0);
        run
    }

    /// Inputs of halves that are kept when the forward pass comes to this half.
    fn kept_below(&self, index: u64, half: Half) -> f64 {
        self.first.map_or(0.0, |first| (position(index, half) - position(first.0, first.1)).max(0.0))
    }

    /// Whether the backward pass comes to this half.
    fn is_asked(&self, index: u64, half: Half) -> bool {
        self.first.is_some_and(|first| position(index, half) >= position(first.0, first.1))
    }

    /// Bytes of the gradients of this half and all above it.
    fn gradients_from(&self, index: u64, half: Half) -> f64 {
        let above = index.saturating_add(1).max(self.trained.start)..self.trained.end;
        let of = |mixer| {
            let layer = self.values(mixer, Half::Mixer) + self.values(mixer, Half::Mlp);
            self.shape.layers_with(mixer, above.clone()) as f64 * layer
        };
        let mut values = of(Mixer::Full) + of(Mixer::Linear);
        if self.trained.contains(&index) {
            let mixer = self.shape.mixer(index);
            values += self.values(mixer, Half::Mlp);
            values += if half == Half::Mixer { self.values(mixer, Half::Mixer) } else { 0.0 };
        }
        values * value_size(self.shape, self.recipe)
    }

    /// Values trained in a half of a trained layer.
    fn values(&self, mixer: Mixer, half: Half) -> f64 {
        let in_half = |linear: &&LinearLayer| linear.path.starts_with("mlp.") == (half == Half::Mlp);
        match &self.recipe.method {
            Method::Lora(lora) => {
                let linears = adapted(self.shape, self.recipe, mixer);
                sum(linears.iter().filter(in_half).map(|linear| adapter(lora, linear))) as f64
            }
            Method::Full => {
                let mixers = |linear: &&LinearLayer| !linear.path.starts_with("mlp.");
                let linears = self.shape.linears(mixer);
                let mixers = sum(linears.iter().filter(mixers).map(LinearLayer::values)) as f64;
                let (all, norm) = (self.shape.layer_values(mixer), self.shape.hidden as f64);
                match half {
                    Half::Mixer => mixers + all.other as f64 - norm,
                    // Experts are the MLP's.
                    Half::Mlp => all.matrices as f64 - mixers + norm,
                }
            }
        }
    }
}

fn halves(index: u64) -> [(u64, Half); 2] {
    [(index, Half::Mixer), (index, Half::Mlp)]
}

/// The number of a half among all, counted from 0.
fn position(index: u64, half: Half) -> f64 {
    2.0 * index as f64 + if half == Half::Mlp { 1.0 } else { 0.0 }
}

/// Bytes of the largest trained tensor, which overshoots [`UPDATED`] by half of it on average.
fn largest(shape: &Shape, recipe: &Recipe) -> f64 {
    let linears = trained_mixers(shape, recipe).into_iter().flat_map(|mixer| shape.linears(mixer));
    let values = linears.map(|linear| match &recipe.method {
        Method::Lora(lora) => lora.rank.saturating_mul(linear.inputs.max(linear.outputs)),
        Method::Full => linear.values(),
    });
    values.max().unwrap_or(0) as f64 * value_size(shape, recipe)
}

/// The sizes that activations have.
struct Sizes<'a> {
    shape: &'a Shape,
    recipe: &'a Recipe,
    /// Tokens of a row: the longest that the recipe keeps, padded.
    length: u64,
    /// Tokens of a micro-batch.
    tokens: f64,
    /// Bytes of an activation.
    s: f64,
}

impl<'a> Sizes<'a> {
    fn new(shape: &'a Shape, recipe: &'a Recipe) -> Sizes<'a> {
        // The last token is only ever a target.
        let length = recipe.max_seq_length.saturating_sub(1).div_ceil(PAD_TO).saturating_mul(PAD_TO);
        let tokens = recipe.batch_size as f64 * length as f64;
        Sizes { shape, recipe, length, tokens, s: shape.dtype.size() as f64 }
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

    /// What the backward pass of a half holds at its worst, in a layer that is `trained` or not.
    fn backward(&self, mixer: Mixer, half: Half, trained: bool) -> f64 {
        let of_token = match (half, mixer) {
            (Half::Mixer, Mixer::Full) => self.attention(),
            (Half::Mixer, Mixer::Linear) => self.gated_delta(),
            (Half::Mlp, _) => self.mlp(mixer, trained),
        };
        self.tokens * of_token
    }

    /// Bytes for each token of softmax attention with Q query values and K key values: 11 Q + 8 K + 5 H, and of the scores.
    ///
    /// Scores are made in blocks of queries, each with the keys up to its end. Two arrays of every block are kept, and the block that
    /// is worked on, at its worst the last one with all T keys, has 2.7 more.
    fn attention(&self) -> f64 {
        let a = &self.shape.attention;
        let (q, k) = (a.heads as f64 * a.head_dim as f64, a.kv_heads as f64 * a.head_dim as f64);
        let (blocks, rest) = ((self.length / QUERY_BLOCK) as f64, (self.length % QUERY_BLOCK) as f64);
        let (block, length) = (QUERY_BLOCK as f64, (self.length as f64).max(1.0));
        // Block n of the whole ones has n blocks of keys; the rest has all keys.
        let scores = block * block * blocks * (blocks + 1.0) / 2.0 + rest * length;
        let last = block.min(length);
        let scores = a.heads as f64 * (2.0 * scores / length + 2.7 * last);
        (11.0 * q + 8.0 * k + 5.0 * self.shape.hidden as f64 + scores) * self.s
    }

    /// Bytes for each token of the gated delta rule with V values, K keys, and C of a row of a chunk's triangle for each of Hv heads:
    /// 21 V + 29 K + 10.5 Hv·C, in f32 whatever the activations are, since convolution and rule are computed in it.
    fn gated_delta(&self) -> f64 {
        let l = &self.shape.linear;
        let (v, k) = (l.value_heads as f64 * l.value_dim as f64, l.key_heads as f64 * l.key_dim as f64);
        (21.0 * v + 29.0 * k + 10.5 * l.value_heads as f64 * CHUNK) * F32
    }

    /// Bytes for each token of the MLP with F values: 6 F + 7 H as activations, 2.7 F in f32 for each adapter; where the weights
    /// themselves are trained, 11.5 F. With experts, F is that of the active ones and H is held for each of them.
    fn mlp(&self, mixer: Mixer, trained: bool) -> f64 {
        let experts = self.shape.experts.as_ref();
        let f = experts.map_or(self.shape.ffn as f64, |e| e.active as f64 * e.ffn as f64 + e.shared_ffn as f64);
        let h = self.shape.hidden as f64 * experts.map_or(1, |e| e.active) as f64;
        let adapters = adapted(self.shape, self.recipe, mixer);
        let adapters = adapters.iter().filter(|linear| trained && linear.path.starts_with("mlp.")).count() as f64;
        let own = if self.recipe.method == Method::Full { 11.5 } else { 6.0 };
        (own * f + 7.0 * h) * self.s + 2.7 * adapters * f * F32
    }
}

#[cfg(test)]
mod tests;
