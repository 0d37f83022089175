//! How much memory a training run will take, part by part, before it runs; and whether recipe and base fit each other.
//!
//! [`estimate`] gives MLX's peak of active memory. Its parts add up to it: what is there all the time (weights, adapters, optimizer,
//! gradients, kept layer inputs) and what is there at the worst moment. Each part's formula stands with the function that gives it;
//! dims are the paper's: B examples of T tokens, H hidden, F the MLP's width, V vocabulary.
//!
//! Promise: pure functions of shape and recipe, for any sizes, in a time that does not depend on them: layers come in two kinds, and sums
//! go by kind. What is too large for 64 bits is `u64::MAX`. The estimate assumes examples as long as `max_seq_length` allows,
//! because one such example is enough to reach it.

mod disk;
mod fit;
mod fuse;
mod mlx_lm;
mod serve;
mod vertigo;

pub use disk::bytes_written;
pub use fit::{FitError, fit, notes};
pub use fuse::{
    CALIBRATED_EXAMPLES_MAX, CALIBRATED_TOKENS_MAX, COMPARED_TOKENS, MEASURED_TOKENS_MAX, Rank, fuse, fused_bytes,
};
pub use serve::{ANSWERS_MAX, CONTEXT_TOKENS, CONTEXTS, Served, contexts_bytes, serve};

use crate::recipe::{LoraParameters, Method, Recipe};
use crate::shape::{LinearLayer, Mixer, Shape};
use ::vertigo::bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// What trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Ours: gated delta in chunks, one layer and one slice of logits at a time.
    #[default]
    Vertigo,
    /// mlx-lm: gated delta token by token, all logits at once.
    MlxLm,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Engine::Vertigo => "vertigo",
            Engine::MlxLm => "mlx-lm",
        })
    }
}

/// A name that is no engine's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no engine; write vertigo or mlx-lm")]
pub struct ParseEngineError(String);

impl FromStr for Engine {
    type Err = ParseEngineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "vertigo" => Ok(Engine::Vertigo),
            "mlx-lm" => Ok(Engine::MlxLm),
            other => Err(ParseEngineError(other.to_owned())),
        }
    }
}

/// A predicted peak, part by part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// What it is made of, in a fixed order; a part of nothing is left out.
    pub parts: Vec<Part>,
}

impl Estimate {
    /// The peak: all parts together.
    pub fn total(&self) -> Bytes {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    fn new(parts: impl IntoIterator<Item = (&'static str, f64)>) -> Estimate {
        let part = |(name, bytes): (&'static str, f64)| Part { name, bytes: Bytes(bytes.ceil() as u64) };
        Estimate { parts: parts.into_iter().map(part).filter(|part| part.bytes > Bytes::ZERO).collect() }
    }
}

/// A part of an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is, for a table.
    pub name: &'static str,
    /// How much.
    pub bytes: Bytes,
}

/// The peak of training `recipe` on a base of `shape` with `engine`, in MLX's count of active memory.
///
/// It works for mixtures of experts too, which [`fit`] refuses: they are planned for only.
pub fn estimate(shape: &Shape, recipe: &Recipe, engine: Engine) -> Estimate {
    match engine {
        Engine::Vertigo => vertigo::estimate(shape, recipe),
        Engine::MlxLm => mlx_lm::estimate(shape, recipe),
    }
}

/// Values that `recipe` trains on a base of `shape`; `u64::MAX` where that is not enough.
pub fn trainable_parameters(shape: &Shape, recipe: &Recipe) -> u64 {
    let of = |mixer| {
        let of_layer = match &recipe.method {
            Method::Full => shape.layer_values(mixer).total(),
            Method::Lora(lora) => sum(adapted(shape, recipe, mixer).iter().map(|linear| adapter(lora, linear))),
        };
        shape.layers_with(mixer, trained_layers(shape, recipe)).saturating_mul(of_layer)
    };
    sum([Mixer::Full, Mixer::Linear].map(of))
}

/// Values of the adapter of a linear: one matrix from its inputs to the rank, one from the rank to its outputs.
fn adapter(lora: &LoraParameters, linear: &LinearLayer) -> u64 {
    lora.rank.saturating_mul(linear.inputs.saturating_add(linear.outputs))
}

/// The layers that are trained.
fn trained_layers(shape: &Shape, recipe: &Recipe) -> Range<u64> {
    shape.layers - recipe.layers.of(shape.layers)..shape.layers
}

/// The mixers of the layers that are trained.
fn trained_mixers(shape: &Shape, recipe: &Recipe) -> Vec<Mixer> {
    let layers = trained_layers(shape, recipe);
    let trained = |mixer: &Mixer| shape.layers_with(*mixer, layers.clone()) > 0;
    [Mixer::Full, Mixer::Linear].into_iter().filter(trained).collect()
}

/// The linears of a trained layer with `mixer` that have adapters.
fn adapted(shape: &Shape, recipe: &Recipe, mixer: Mixer) -> Vec<LinearLayer> {
    let Method::Lora(lora) = &recipe.method else { return Vec::new() };
    let mut linears = shape.linears(mixer);
    linears.retain(|linear| lora.keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key == linear.path)));
    linears
}

fn sum(values: impl IntoIterator<Item = u64>) -> u64 {
    values.into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
