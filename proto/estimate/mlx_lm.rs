//! mlx-lm's memory, for comparison.

use super::{Estimate, trainable_parameters, trained_layers};
use crate::recipe::{Method, Optimizer, Recipe};
use crate::shape::Shape;

/// States of the gated delta rule, f32 [Hv, Dv, Dk], that its loop over tokens has at the same time for each token of a layer.
const STATES_PER_TOKEN: f64 = 5.0;

pub(super) fn estimate(shape: &Shape, recipe: &Recipe) -> Estimate {
    let layers = trained_layers(shape, recipe);
    let trained = trainable_parameters(shape, recipe) as f64;
    let value = match recipe.method {
        Method::Lora(_) => 4.0,
        Method::Full => shape.dtype.size() as f64,
    };
    let s = shape.dtype.size() as f64;
    let tokens = (recipe.batch_size * (recipe.max_seq_length - 1)) as f64;
    let l = &shape.linear;
    let state = (l.value_heads * l.value_dim * l.key_dim) as f64 * 4.0;
    let parts = [
        ("weights", shape.weight_bytes().0 as f64),
        ("trained weights", trained * value),
        ("optimizer", trained * value * Optimizer::STATE_PER_PARAMETER as f64),
        ("gradients", trained * value),
        ("layer inputs", (layers.end - layers.start) as f64 * tokens * shape.hidden as f64 * s),
        ("states of the token loop", STATES_PER_TOKEN * tokens * state),
        ("logits", 2.0 * tokens * shape.vocab as f64 * s),
    ];
    Estimate::new(parts)
}
