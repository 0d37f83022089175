//! Our engine's memory.
//!
//! The engine holds one half of a layer (mixer or MLP) or one slice of logits at a time, so its peak is what stays all the time and
//! the largest of these moments: a half's forward pass, the loss of a slice, a half's backward pass with the gradients made so far,
//! the optimizer's update. [`moments`] lists them; the parts of the estimate are those of the largest.
//!
//! What a moment of a layer or of the loss holds, [`halves`] says; `worker/engine/tests/estimate.rs` and `estimate_search.rs` compare
//! the sum with MLX's peak.

mod halves;

use self::halves::{Half, Sizes};
use super::{Estimate, Rank, adapted, adapter, sum, trainable_parameters, trained_layers, trained_mixers};
use crate::recipe::{Method, Optimizer, Recipe};
use crate::shape::{Dtype, LinearLayer, Mixer, Shape};
use std::ops::Range;

/// Bytes of the f32 that the gated delta rule, adapters and logits are computed in.
const F32: f64 = 4.0;

/// Bytes in f32 of parameters that are updated together: `EVALUATED_BYTES` of `vertigo_engine::optimizer`.
const UPDATED: f64 = (16 << 20) as f64;

/// New weights and moments beside the old ones, arrays in f32 whatever the weights are: MLX works in place only where nothing it
/// allocated ahead still holds the old one.
const UPDATE_ARRAYS: f64 = 3.0;

/// The same where weights have 16 bits: their f32 values are made of two parts and taken apart again.
const UPDATE_ARRAYS_16_BIT: f64 = 4.5;

/// For the allocator's rounding and the small arrays that nobody counts.
const HEADROOM: f64 = 0.01;

/// Arrays of the residual stream that a forward pass in 16 bits has beside its halves.
const STREAMS_16_BIT: f64 = 5.0;

/// Residual streams that forward passes before the last of three have left.
const RESULTS_BEFORE: f64 = 2.0;

pub(super) fn estimate(shape: &Shape, recipe: &Recipe) -> Estimate {
    let values = trainable_parameters(shape, recipe) as f64;
    let trained = values * value_size(shape, recipe);
    let moment = moments(shape, recipe).into_iter().max_by(|a, b| a.bytes().total_cmp(&b.bytes())).unwrap_or_default();
    let optimizer = values * (F32 * Optimizer::STATE_PER_PARAMETER as f64 + low_size(shape, recipe));
    let parts = [
        ("weights", shape.weight_bytes().0 as f64),
        // A full run trains the base's own.
        ("trained weights", if recipe.method == Method::Full { 0.0 } else { trained }),
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
    for (index, half) in layers.into_iter().flat_map(Half::of) {
        let (mixer, trained) = (shape.mixer(index), run.trained.contains(&index));
        let below = run.kept_below(index, half);
        let name = "one layer's forward pass";
        all.push(Moment { name, gradients: summed, inputs: kept(below), work: size.forward(mixer, half, trained) });
        if run.is_asked(index, half) {
            let name = "one layer's backward pass";
            let gradients = summed + run.gradients_from(index, half);
            let work = size.backward(mixer, half, trained, run.first == Some((index, half)));
            all.push(Moment { name, gradients, inputs: kept(below + 1.0), work });
        }
    }
    let inputs = kept(run.kept_below(shape.layers, Half::Mixer));
    all.push(Moment { name: "one slice's logits", gradients: summed, inputs, work: size.loss() });
    // By then the gradients of all micro-batches are one sum.
    let gradients = run.gradients_from(0, Half::Mixer);
    let in_f32 = gradients / value_size(shape, recipe) * F32;
    let arrays = if value_size(shape, recipe) < F32 { UPDATE_ARRAYS_16_BIT } else { UPDATE_ARRAYS };
    let work = arrays * in_f32.min(UPDATED + largest(shape, recipe) / 2.0);
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
            .flat_map(Half::of)
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

/// The number of a half among all, counted from 0.
fn position(index: u64, half: Half) -> f64 {
    2.0 * index as f64 + if half == Half::Mlp { 1.0 } else { 0.0 }
}

/// Bytes in f32 of the largest trained tensor, which overshoots [`UPDATED`] by half of it on average.
fn largest(shape: &Shape, recipe: &Recipe) -> f64 {
    let linears = trained_mixers(shape, recipe).into_iter().flat_map(|mixer| shape.linears(mixer));
    let values = linears.map(|linear| match &recipe.method {
        Method::Lora(lora) => lora.rank.saturating_mul(linear.inputs.max(linear.outputs)),
        Method::Full => linear.values(),
    });
    values.max().unwrap_or(0) as f64 * F32
}

/// What forward passes of one row of `tokens` hold at their worst beside the weights, where one with an adapter of this rank, one
/// without and one of the fused model follow one another: the activations of one half of a layer, and in 16 bits five arrays of the
/// residual stream more, since the formulas for f32 have them in what they overestimate.
///
/// Whole weights are f32, and so is then all that is computed with them, in the first of the three passes. On a base of 16 bits that is
/// the largest, and what the formulas have of the results of passes before it is not there yet.
pub(super) fn forward_passes(shape: &Shape, tokens: u64, rank: Rank) -> f64 {
    let text = format!("model: any\nbatch_size: 1\nmax_seq_length: {}\n", tokens.saturating_add(1));
    let recipe = Recipe::parse("forward", &text).expect("these three keys make a recipe");
    let largest = |shape: &Shape, is_adapted: bool| {
        let size = Sizes::new(shape, &recipe);
        let halves = trained_mixers(shape, &recipe)
            .into_iter()
            .flat_map(|mixer| [Half::Mixer, Half::Mlp].map(|half| size.forward(mixer, half, is_adapted)));
        (halves.fold(0.0, f64::max), size.stream())
    };
    let is_f32 = shape.dtype == Dtype::F32;
    let (own, stream) = largest(shape, rank == Rank::Low);
    let own = own + if is_f32 { 0.0 } else { STREAMS_16_BIT * stream };
    if rank == Rank::Low || is_f32 {
        return own;
    }
    let (in_f32, stream) = largest(&Shape { dtype: Dtype::F32, ..shape.clone() }, false);
    own.max(in_f32 - RESULTS_BEFORE * stream)
}

#[cfg(test)]
mod tests;
