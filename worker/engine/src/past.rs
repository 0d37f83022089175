//! What layers keep of the tokens before, so that a new token costs what it adds and not all of them again.
//!
//! Of full attention that is the keys and values of every token, of gated delta a state whose size no number of tokens changes.
//!
//! Promise: a layer that goes on from its past gives what it would give for all tokens at once, up to rounding. What is kept of one
//! sequence never mixes with another's, and no sequence is padded for another's sake.

use crate::error::Result;
use mlx_rs::Array;
use mlx_rs::ops::indexing::{TryIndexMutOp, TryIndexOp};
use mlx_rs::ops::{pad, zeros_dtype};
use vertigo_model::shape::{Mixer, Shape};

/// Tokens by which room for keys and values grows: a step writes in place, and only every so many steps copies what is there.
pub(crate) const KEYS_BLOCK_TOKENS: i32 = 256;

/// What one layer keeps of each sequence of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Past {
    /// Full attention: each sequence by itself.
    Full(Vec<KeysValues>),
    /// Gated delta: all sequences side by side.
    Linear(Recurrent),
}

impl Past {
    /// Of one sequence without a token, whose layer has `mixer`. `dtype` is that of activations.
    pub(crate) fn empty(shape: &Shape, mixer: Mixer, dtype: mlx_rs::Dtype) -> Result<Past> {
        Ok(match mixer {
            Mixer::Full => Past::Full(vec![KeysValues::default()]),
            Mixer::Linear => Past::Linear(Recurrent::empty(shape, dtype)?),
        })
    }

    /// All arrays, for evaluation.
    pub(crate) fn arrays(&self) -> Vec<&Array> {
        match self {
            Past::Full(sequences) => sequences.iter().filter_map(|s| s.room.as_ref()).flatten().collect(),
            Past::Linear(recurrent) => vec![&recurrent.tail, &recurrent.state],
        }
    }
}

/// Keys and values of one sequence, with room for more behind them.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeysValues {
    /// Keys and values, [KV heads, capacity, D] each.
    room: Option<[Array; 2]>,
    tokens: i32,
}

impl KeysValues {
    /// Of `tokens` tokens, without room for more: keys and values [KV heads, tokens, D].
    pub(crate) fn of(keys: Array, values: Array) -> KeysValues {
        let tokens = keys.dim(1);
        KeysValues { room: Some([keys, values]), tokens }
    }

    /// Tokens that are kept.
    pub(crate) fn tokens(&self) -> i32 {
        self.tokens
    }

    /// Adds keys and values [1, KV heads, T, D], and gives those of all tokens, [1, KV heads, tokens, D].
    pub(crate) fn append(&mut self, keys: &Array, values: &Array) -> Result<[Array; 2]> {
        let end = self.tokens + keys.dim(2);
        let empty = |x: &Array| zeros_dtype(&[x.dim(1), rounded_up(end), x.dim(3)], x.dtype());
        let [old_keys, old_values] = match self.room.take() {
            Some([k, v]) => [with_room(k, end)?, with_room(v, end)?],
            None => [empty(keys)?, empty(values)?],
        };
        let written = |mut all: Array, new: &Array| -> Result<Array> {
            // The array is held here alone, so MLX writes into it instead of copying it.
            all.try_index_mut((.., self.tokens..end), new.squeeze_axes(&[0])?)?;
            Ok(all)
        };
        let (all_keys, all_values) = (written(old_keys, keys)?, written(old_values, values)?);
        let seen = |all: &Array| -> Result<Array> { Ok(all.try_index((.., ..end))?.expand_dims(0)?) };
        let both = [seen(&all_keys)?, seen(&all_values)?];
        self.room = Some([all_keys, all_values]);
        self.tokens = end;
        Ok(both)
    }

    /// A copy of keys and values of the tokens from `start` on, [KV heads, tokens − start, D], which holds nothing else in memory.
    pub(crate) fn since(&self, start: i32) -> Result<Option<[Array; 2]>> {
        let Some([keys, values]) = &self.room else { return Ok(None) };
        // A sum is a new array, where a slice alone would hold on to all of the room.
        let copy = |x: &Array| -> Result<Array> {
            let zero = Array::from_f32(0.0).as_dtype(x.dtype())?;
            Ok(x.try_index((.., start..self.tokens))?.add(zero)?)
        };
        Ok(Some([copy(keys)?, copy(values)?]))
    }
}

/// The state of gated delta layers.
#[derive(Debug, Clone)]
pub(crate) struct Recurrent {
    /// The convolution's last inputs, [B, taps − 1, channels].
    pub(crate) tail: Array,
    /// S, f32 [B, Hk, R, Dk, Dv].
    pub(crate) state: Array,
}

impl Recurrent {
    fn empty(shape: &Shape, dtype: mlx_rs::Dtype) -> Result<Recurrent> {
        let l = &shape.linear;
        let [hk, hv, dk, dv] = [l.key_heads, l.value_heads, l.key_dim, l.value_dim].map(|n| n as i32);
        Ok(Recurrent {
            tail: zeros_dtype(&[1, l.conv_kernel as i32 - 1, l.conv_channels() as i32], dtype)?,
            state: zeros_dtype(&[1, hk, hv / hk, dk, dv], mlx_rs::Dtype::Float32)?,
        })
    }
}

fn rounded_up(tokens: i32) -> i32 {
    (tokens + KEYS_BLOCK_TOKENS - 1) / KEYS_BLOCK_TOKENS * KEYS_BLOCK_TOKENS
}

/// `x` [heads, capacity, D] with room for `tokens`.
fn with_room(x: Array, tokens: i32) -> Result<Array> {
    if tokens <= x.dim(1) {
        return Ok(x);
    }
    let more = rounded_up(tokens) - x.dim(1);
    Ok(pad(x, [(0, 0), (0, more), (0, 0)].as_slice(), None, None)?)
}
