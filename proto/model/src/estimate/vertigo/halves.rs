//! What MLX holds at the worst moment of a half of a layer, forward and backward, and of a slice of the loss.
//!
//! Each is a sum of arrays of a few sizes, so many of each. How many there are at the worst moment depends on which sizes are large: the
//! worst moment of a half is another one where its convolution is wide than where its rule is. So a half has a formula for each of
//! its stages, and the largest counts. The numbers were fitted, none below 0, to MLX's peak (0.32, CPU) in each half of 70 random
//! bases and recipes, such as `worker/engine/tests/estimate_search.rs` draws. MLX allocates up to ten operations ahead of the one that
//! runs, so a half's own peak differs from run to run and from the formulas by up to a tenth.
//!
//! All is computed in f64, which no size makes overflow.

use super::super::adapted;
use crate::recipe::{Method, Recipe};
use crate::shape::{Dtype, LinearLayer, Mixer, Shape};

/// Tokens whose logits exist at the same time: `vertigo_engine::backward::LOSS_SLICE`.
const LOSS_SLICE: f64 = 256.0;

/// Tokens in a chunk of the gated delta rule: `vertigo_engine::gated_delta::CHUNK`.
const CHUNK: u64 = 64;

/// Queries whose attention scores are one array: `QUERY_BLOCK` of `vertigo_engine::layer`.
const QUERY_BLOCK: u64 = 256;

/// Inputs are padded to a multiple of this: `vertigo_engine::batch`.
const PAD_TO: u64 = 32;

/// Bytes of the f32 that the gated delta rule, adapters and logits are computed in.
const F32: f64 = 4.0;

/// A forward pass beside the backward pass of the same half, of attention and the MLP: it keeps nothing for later.
const FORWARD: f64 = 0.5;

/// The lowest half beside its forward pass, where a gradient is asked for only by the adapter of the last linear.
const LAST_LINEAR: f64 = 1.4;

/// A half of a layer: the mixer and its norm, or the MLP and its norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Mixer,
    Mlp,
}

impl Half {
    /// The halves of layer `index`, in the order of the forward pass.
    pub(super) fn of(index: u64) -> [(u64, Half); 2] {
        [(index, Half::Mixer), (index, Half::Mlp)]
    }
}

/// The sizes that activations have.
pub(super) struct Sizes<'a> {
    shape: &'a Shape,
    recipe: &'a Recipe,
    /// Tokens of a row: the longest that the recipe keeps, padded.
    length: u64,
    /// Tokens of a micro-batch, padded.
    tokens: f64,
    /// Tokens of a micro-batch that are learned from, at most.
    targets: f64,
    /// Bytes of an activation.
    s: f64,
}

impl<'a> Sizes<'a> {
    pub(super) fn new(shape: &'a Shape, recipe: &'a Recipe) -> Sizes<'a> {
        // The last token is only ever a target.
        let inputs = recipe.max_seq_length.saturating_sub(1);
        let length = inputs.div_ceil(PAD_TO).saturating_mul(PAD_TO);
        let rows = recipe.batch_size as f64;
        let (tokens, targets) = (rows * length as f64, rows * inputs as f64);
        Sizes { shape, recipe, length, tokens, targets, s: shape.dtype.size() as f64 }
    }

    /// The residual stream: B·T·H.
    pub(super) fn stream(&self) -> f64 {
        self.tokens * self.shape.hidden as f64 * self.s
    }

    fn is_f32(&self) -> bool {
        self.shape.dtype == Dtype::F32
    }

    /// Of a slice of n tokens the softmax and its gradient in the same memory, n·V in f32, and in another dtype once more, as the
    /// matrix product takes it; four arrays of n·H, and in another dtype five more in f32, of the norm and its gradient; and of the
    /// whole micro-batch the gathered stream and its gradient.
    pub(super) fn loss(&self) -> f64 {
        let n = self.targets.min(LOSS_SLICE);
        let other = if self.is_f32() { 0.0 } else { self.s };
        let norm = if self.is_f32() { 4.0 * F32 } else { 6.5 * F32 };
        n * self.shape.vocab as f64 * (F32 + other) + n * self.shape.hidden as f64 * norm + 2.0 * self.stream()
    }

    /// What the forward pass of a half holds at its worst, in a layer that is `trained` or not.
    pub(super) fn forward(&self, mixer: Mixer, half: Half, trained: bool) -> f64 {
        match (half, mixer) {
            (Half::Mixer, Mixer::Linear) => {
                let d = self.delta();
                let ahead = if self.length > CHUNK { 7.4 * d.chunk } else { 0.0 };
                let rule = 11.2 * d.values + 5.1 * d.keys_for_values + 2.6 * d.triangles + ahead;
                let each = if self.is_f32() { 9.2 } else { 11.0 };
                rule.max(each * d.channels + 1.5 * self.stream())
            }
            (Half::Mixer, Mixer::Full) => FORWARD * self.attention(),
            (Half::Mlp, _) => FORWARD * self.mlp(mixer, trained),
        }
    }

    /// What the backward pass of a half holds at its worst, in a layer that is `trained` or not. Below the `lowest` half nobody asks
    /// for a gradient.
    pub(super) fn backward(&self, mixer: Mixer, half: Half, trained: bool, lowest: bool) -> f64 {
        let whole = match (half, mixer) {
            (Half::Mixer, Mixer::Full) => self.attention(),
            (Half::Mixer, Mixer::Linear) => self.gated_delta(),
            (Half::Mlp, _) => return self.mlp(mixer, trained),
        };
        let last = |linear: &LinearLayer| linear.path.ends_with("o_proj") || linear.path.ends_with("out_proj");
        let mut adapters = adapted(self.shape, self.recipe, mixer);
        adapters.retain(|linear| !linear.path.starts_with("mlp."));
        let only_last = self.recipe.method != Method::Full && adapters.iter().all(last);
        if lowest && only_last { whole.min(LAST_LINEAR * self.forward(mixer, half, trained)) } else { whole }
    }

    /// Softmax attention with Q query values, K key values and scores S for each token. Where rows are short, what the norms, the
    /// rotation and the projections hold counts: 22.5 Q + 8.7 K + 5 H, and in another dtype than f32, in which half of it is
    /// computed all the same, 27.6 Q + 15.3 K + 7.8 H and the outputs of its adapters in f32. Where they are long, the scores: 11 Q
    /// + 8 K + 5 H + S. A mask of dropout is one array of an adapter's inputs.
    ///
    /// Scores are made in blocks of queries, each with the keys up to its end. Two arrays of every block are kept, and the block that
    /// is worked on, at its worst the last one with all T keys, has 2.7 more.
    fn attention(&self) -> f64 {
        let a = &self.shape.attention;
        let (q, k) = (a.heads as f64 * a.head_dim as f64, a.kv_heads as f64 * a.head_dim as f64);
        let h = self.shape.hidden as f64;
        let (blocks, rest) = ((self.length / QUERY_BLOCK) as f64, (self.length % QUERY_BLOCK) as f64);
        let (block, length) = (QUERY_BLOCK as f64, (self.length as f64).max(1.0));
        // Block n of the whole ones has n blocks of keys; the rest has all keys.
        let all = block * block * blocks * (blocks + 1.0) / 2.0 + rest * length;
        let scores = a.heads as f64 * (2.0 * all / length + 2.7 * block.min(length));
        let short = if self.is_f32() {
            self.tokens * (22.5 * q + 8.7 * k + 5.0 * h) * self.s
        } else {
            self.tokens * (27.6 * q + 15.3 * k + 7.8 * h) * self.s + self.outputs(Mixer::Full)
        };
        let long = self.tokens * (11.0 * q + 8.0 * k + 5.0 * h + scores) * self.s;
        short.max(long) + 0.8 * self.dropout(Mixer::Full)
    }

    /// The gated delta rule, in f32 whatever the activations are, since convolution and rule are computed in it. At its worst in the
    /// rule: 15 arrays of values, 12.4 of each value head's keys, 13.4 of keys, 6.8 of triangles; where there is a second chunk, 1.9
    /// states for each chunk after the first, and 18.6 of one chunk's values, which MLX makes ahead; in another dtype than f32 the
    /// outputs of its adapters. Or in the convolution: 19.6 of channels, with the casts of another dtype 20.3, 2.2 of values, the
    /// outputs of the adapters, and 1.5 of their inputs where they are dropped out.
    fn gated_delta(&self) -> f64 {
        let d = self.delta();
        let ahead = if self.length > CHUNK { 18.6 * d.chunk } else { 0.0 };
        let rule = 15.0 * d.values + 12.4 * d.keys_for_values + 13.4 * d.keys + 6.8 * d.triangles;
        let rule = rule + 1.9 * d.states + ahead + if self.is_f32() { 0.0 } else { self.outputs(Mixer::Linear) };
        let convolution = if self.is_f32() { 19.6 } else { 20.3 } * d.channels + 2.2 * d.values + self.stream();
        rule.max(convolution + self.outputs(Mixer::Linear) + 1.5 * self.dropout(Mixer::Linear))
    }

    fn delta(&self) -> Delta {
        let l = &self.shape.linear;
        let [hk, hv, dk, dv] = [l.key_heads, l.value_heads, l.key_dim, l.value_dim].map(|n| n as f64);
        let (rows, chunks) = (self.recipe.batch_size as f64, self.length.div_ceil(CHUNK) as f64);
        let tokens = rows * chunks * CHUNK as f64;
        Delta {
            values: tokens * hv * dv * F32,
            keys: tokens * hk * dk * F32,
            keys_for_values: tokens * hv * dk * F32,
            triangles: tokens * hv * CHUNK as f64 * F32,
            chunk: rows * CHUNK as f64 * hv * dv * F32,
            states: rows * (chunks - 1.0).max(0.0) * hv * dk * dv * F32,
            channels: self.tokens * (2.0 * hk * dk + hv * dv) * F32,
        }
    }

    /// The MLP with F values: 8.1 F + 6.4 H as activations, 3.5 F in f32 where the last linear has an adapter and 1.3 F for each other
    /// one, 2.3 F for the last one's dropout; where the weights themselves are trained, 3.7 F more. In another dtype than f32
    /// 12.4 F + 13 H, and of its adapters 2.8, 1.9 and 1.3 F. With experts, F is that of the active ones and H is held for each of them.
    fn mlp(&self, mixer: Mixer, trained: bool) -> f64 {
        let experts = self.shape.experts.as_ref();
        let f = experts.map_or(self.shape.ffn as f64, |e| e.active as f64 * e.ffn as f64 + e.shared_ffn as f64);
        let h = self.shape.hidden as f64 * experts.map_or(1, |e| e.active) as f64;
        let adapters = if trained { adapted(self.shape, self.recipe, mixer) } else { Vec::new() };
        let count = |last: bool| {
            let of_mlp = adapters.iter().filter(|linear| linear.path.starts_with("mlp."));
            of_mlp.filter(|linear| linear.path.ends_with("down_proj") == last).count() as f64
        };
        let (down, others) = (count(true), count(false));
        let dropped = if self.drops() { down } else { 0.0 };
        let full = if self.recipe.method == Method::Full { 3.7 } else { 0.0 };
        let (own, adapted) = if self.is_f32() {
            ((8.1 + full) * f + 6.4 * h, 3.5 * down + 1.3 * others + 2.3 * dropped)
        } else {
            (12.4 * f + 13.0 * h, 2.8 * down + 1.9 * others + 1.3 * dropped)
        };
        self.tokens * (own * self.s + adapted * f * F32)
    }

    fn drops(&self) -> bool {
        matches!(&self.recipe.method, Method::Lora(lora) if lora.dropout > 0.0)
    }

    /// The inputs of the mixer's adapters, in f32, where they are dropped out; otherwise nothing.
    fn dropout(&self, mixer: Mixer) -> f64 {
        if self.drops() { self.of_adapters(mixer, |linear| linear.inputs) } else { 0.0 }
    }

    /// The outputs of the mixer's adapters, in f32.
    fn outputs(&self, mixer: Mixer) -> f64 {
        self.of_adapters(mixer, |linear| linear.outputs)
    }

    fn of_adapters(&self, mixer: Mixer, size: impl Fn(&LinearLayer) -> u64) -> f64 {
        let adapters = adapted(self.shape, self.recipe, mixer);
        let of_mixer = adapters.iter().filter(|linear| !linear.path.starts_with("mlp."));
        self.tokens * of_mixer.map(|linear| size(linear) as f64).sum::<f64>() * F32
    }
}

/// Bytes of the arrays of the gated delta rule, f32, of a micro-batch whose rows are padded to whole chunks.
struct Delta {
    /// Of each token all value heads' values.
    values: f64,
    /// Of each token all key heads' keys.
    keys: f64,
    /// Of each token its key once for each value head.
    keys_for_values: f64,
    /// Of each token and value head a row of the chunk's triangle.
    triangles: f64,
    /// The values of one chunk of each row.
    chunk: f64,
    /// The states that one chunk hands to the next.
    states: f64,
    /// What the convolution works on, without the chunks' padding.
    channels: f64,
}
