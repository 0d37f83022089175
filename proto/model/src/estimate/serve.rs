//! What answering requests takes: weights, adapters beside them, contexts, and what one step works with.

use super::vertigo::forward_passes;
use super::{Estimate, Rank};
use crate::shape::Shape;
use ::vertigo::bytes::Bytes;

/// Contexts that a service has room for where nobody says how much.
pub const CONTEXTS: u64 = 8;

/// Tokens of each of those.
pub const CONTEXT_TOKENS: u64 = 8192;

/// Tokens of a prompt that are read at a time.
pub(super) const PIECE_TOKENS: u64 = 512;

/// Answers that a step goes on with, at the most.
pub const ANSWERS_MAX: u64 = 32;

/// Arrays of a whole vocabulary that a step has of each answer.
const LOGITS: u64 = 3;

/// Bytes of the f32 that logits are.
const F32_BYTES: u64 = 4;

/// A model that answers, with the adapters that lie beside it.
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// The model's shape.
    pub shape: &'a Shape,
    /// Bytes of all adapters over it.
    pub adapters: Bytes,
}

/// Memory for the contexts of a service where nobody says how much: [`CONTEXTS`] of [`CONTEXT_TOKENS`] tokens of each model.
pub fn contexts_bytes(models: &[Served<'_>]) -> Bytes {
    models.iter().map(|model| model.shape.context_bytes(CONTEXT_TOKENS) * CONTEXTS).sum()
}

/// MLX's peak of a service: each model's weights once, however many adapters are over it, `contexts` for all requests under way, and for
/// each model what a piece of a prompt or a step of all answers works with.
pub fn serve(models: &[Served<'_>], contexts: Bytes) -> Estimate {
    let weights: Bytes = models.iter().map(|model| model.shape.weight_bytes()).sum();
    let adapters: Bytes = models.iter().map(|model| model.adapters).sum();
    let work = |model: &Served<'_>| {
        let logits = (ANSWERS_MAX * LOGITS * F32_BYTES) as f64 * model.shape.vocab as f64;
        forward_passes(model.shape, PIECE_TOKENS, Rank::Low).max(logits)
    };
    Estimate::new([
        ("weights", weights.0 as f64),
        ("adapters", adapters.0 as f64),
        ("contexts", contexts.0 as f64),
        ("working set", models.iter().map(work).sum()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_count_once_and_contexts_as_much_as_was_asked_for() {
        let shape = Shape::named("mlx-community/Qwen3.5-4B-4bit").unwrap().shape;
        let one = Served { shape: &shape, adapters: Bytes::ZERO };
        let adapted = Served { adapters: Bytes::mib(40), ..one };
        let contexts = contexts_bytes(&[one]);
        // 8 layers of full attention with 4 heads of 256 keys and values in 16 bits, and the others' states.
        let keys = Bytes(8 * 4 * 256 * 2 * 2) * CONTEXT_TOKENS * CONTEXTS;
        assert!(contexts > keys && contexts < keys + Bytes::gib(1), "{contexts}");
        let total = |models: &[Served<'_>], contexts| serve(models, contexts).total();
        assert!(total(&[one], contexts) > shape.weight_bytes() + contexts);
        assert_eq!(total(&[adapted], contexts), total(&[one], contexts) + Bytes::mib(40));
        assert_eq!(total(&[one], contexts + Bytes(1)), total(&[one], contexts) + Bytes(1));
        assert!(total(&[one, one], contexts) > total(&[one], contexts) + shape.weight_bytes());
    }
}
