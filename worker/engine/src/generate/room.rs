//! How many bytes sequences need, computed from the model's shape before anything is made.

use crate::past::KEYS_BLOCK_TOKENS;
use vertigo_model::shape::{Mixer, Shape};

/// What a [`Generator`](super::Generator) may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all caches together: those of requests under way, with room for all the tokens that they may yet make, and what is kept of
    /// earlier ones. Beside the caches there are the model, what a piece of a prompt or a token takes while it is computed, and for a
    /// moment, whenever a request joins the answers or leaves them, their states a second time and one layer of what it goes on from or is
    /// kept of it.
    pub bytes: u64,
    /// Answers that are made at the same time.
    pub answers_max: usize,
}

/// The bytes of one sequence's caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Keys and values of a token, in all layers.
    token: u64,
    /// States and convolution tails, in all layers.
    states: u64,
}

impl Room {
    /// Of a model whose activations take `value` bytes each.
    pub(super) fn of(shape: &Shape, value: u64) -> Room {
        let (a, l) = (&shape.attention, &shape.linear);
        let layers = |mixer| shape.layers_with(mixer, 0..shape.layers);
        let product = |sizes: &[u64]| sizes.iter().copied().fold(1, u64::saturating_mul);
        let state = product(&[4, l.value_heads, l.key_dim, l.value_dim]);
        let tail = product(&[value, l.conv_kernel.saturating_sub(1), l.conv_channels()]);
        Room {
            token: product(&[2, value, a.kv_heads, a.head_dim, layers(Mixer::Full)]),
            states: product(&[layers(Mixer::Linear), state.saturating_add(tail)]),
        }
    }

    /// Of a sequence of `tokens` tokens without room for more.
    pub(super) fn exactly(&self, tokens: usize) -> u64 {
        (tokens as u64).saturating_mul(self.token).saturating_add(self.states)
    }

    /// Of a sequence of up to `tokens` tokens.
    pub(super) fn bytes(&self, tokens: usize) -> u64 {
        let blocks = (tokens as u64).div_ceil(KEYS_BLOCK_TOKENS as u64);
        blocks.saturating_mul(KEYS_BLOCK_TOKENS as u64).saturating_mul(self.token).saturating_add(self.states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Qwen3.5-4B in bf16: 8 full layers of 4 heads of 256, 24 gated delta layers of 32 states of 128 × 128 and 3 × 8192 channels.
    #[test]
    fn a_sequence_of_the_4b_needs_what_its_arrays_hold() {
        let room = Room::of(&Shape::named("qwen3.5-4b").unwrap().shape, 2);
        assert_eq!(room.token, 8 * 2 * 4 * 256 * 2);
        assert_eq!(room.states, 24 * (32 * 128 * 128 * 4 + 3 * 8192 * 2));
        assert_eq!(room.bytes(0), room.states);
        assert_eq!(room.bytes(257), room.states + 512 * room.token);
        assert_eq!(room.bytes(usize::MAX), u64::MAX);
    }
}
