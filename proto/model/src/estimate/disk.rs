//! What a run writes on its worker's disk.
//!
//! A checkpoint has all that a run needs to go on: the trained weights, two moments of each, where micro-batches are accumulated their
//! gradients' sum, and the best weights so far. All of these are at most 4 bytes a value: f32, or 2 + 2 bytes of a bf16 weight and what
//! rounding took from it. Checkpoints share the file of the best weights while it stays; each may have one of its own.

use super::trainable_parameters;
use crate::recipe::Recipe;
use crate::shape::Shape;
use ::vertigo::bytes::Bytes;

/// Bytes of a trained value in a checkpoint or an adapter.
const VALUE_BYTES: u64 = 4;

/// Checkpoints that a worker holds: the one on its way up and the newest.
const CHECKPOINTS_HELD: u64 = 2;

/// Moments of a value that the optimizer keeps.
const MOMENTS: u64 = 2;

/// Adapters that the run's folder holds at once: while it goes on, the best one and the one that replaces it; at its end, the best one
/// and the last.
const ADAPTERS_HELD: u64 = 2;

/// Bytes of a folder's small files, headers and the attempt's log and reports.
const SMALL_FILES: Bytes = Bytes::mib(1);

/// The most that a run of `recipe` on a base of `shape` keeps on its worker's disk at once: [`CHECKPOINTS_HELD`] checkpoints and
/// [`ADAPTERS_HELD`] adapters. Inputs are not among it.
pub fn bytes_written(shape: &Shape, recipe: &Recipe) -> Bytes {
    let values = trainable_parameters(shape, recipe);
    let summed = u64::from(recipe.grad_accumulation_steps > 1);
    let (trained, best) = (1, 1);
    let arrays = CHECKPOINTS_HELD * (trained + MOMENTS + summed + best) + ADAPTERS_HELD;
    Bytes(values.saturating_mul(VALUE_BYTES).saturating_mul(arrays)) + SMALL_FILES
}
