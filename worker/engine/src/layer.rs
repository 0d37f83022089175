//! One layer's forward pass, with its trained weights given apart from its frozen ones.

use crate::beside::{self, Beside};
use crate::error::Result;
use crate::exponent::{Exponent, power_of_two};
use crate::gated_delta::{self, Inputs};
use crate::past::{KeysValues, Past, Recurrent};
use crate::rows::RowsTogether;
use crate::split::{pieces, split};
use crate::weights::Tensors;
use mlx_rs::fast::{ScaledDotProductAttentionMask, rms_norm, rope, rope_dynamic, scaled_dot_product_attention};
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::{concatenate, pad, quantized_matmul};
use mlx_rs::{Array, Dtype, random};
use vertigo_model::shape::{Mixer, Shape};

/// Added to the sum of squares of a query or a key when it is scaled to length 1; a mean of squares gets it divided by Dk.
const NORM_EPS: f32 = 1e-6;

/// Queries whose attention scores exist at the same time.
const QUERY_BLOCK: i32 = 256;

/// Where the adapters' scale and dropout come from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LoraForward {
    /// The factor on an adapter's output.
    pub(crate) scale: f32,
    /// The chance that an input of an adapter is zeroed, and the seed of that draw; `None` outside training.
    pub(crate) dropout: Option<(f32, u64)>,
}

/// The halves of a layer, each of which adds to the residual stream: h = x + mixer(norm(x)), then h + mlp(norm(h)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Mixer,
    Mlp,
}

impl Half {
    fn norm(self) -> &'static str {
        match self {
            Half::Mixer => "input_layernorm.weight",
            Half::Mlp => "post_attention_layernorm.weight",
        }
    }

    /// Whether the tensor at `path` within the layer belongs to this half.
    pub(crate) fn holds(self, path: &str) -> bool {
        let mlp = path.starts_with("mlp.") || path == Half::Mlp.norm();
        mlp == (self == Half::Mlp)
    }
}

/// A layer as the forward pass sees it.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) mixer: Mixer,
    /// Frozen tensors by their path within the layer.
    pub(crate) frozen: &'a Tensors,
    /// Paths within the layer of trained tensors, in the order of `trained`.
    pub(crate) names: &'a [String],
    pub(crate) trained: &'a [Array],
    pub(crate) lora: LoraForward,
    /// Whether a gradient will be asked for.
    pub(crate) differentiable: bool,
    /// How e^x is made.
    pub(crate) exponent: Exponent,
    /// Adapters of some of the rows of x, in the order of the rows. None: of no row.
    pub(crate) beside: &'a [Beside<'a>],
    /// How many rows a matrix takes at once; `None`: as many as there are.
    pub(crate) together: Option<&'a RowsTogether>,
    /// Sees what goes into each matrix.
    pub(crate) watch: Option<Watch<'a>>,
}

/// Is told a matrix's path within the layer and its inputs.
pub(crate) type Watch<'a> = &'a dyn Fn(&str, &Array) -> Result<()>;

/// The modules that read the same x, which may lie in memory as one, under their paths with a `+` between.
pub(crate) const JOINED: [&[&str]; 3] = [
    &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    &["linear_attn.in_proj_qkv", "linear_attn.in_proj_z", "linear_attn.in_proj_b", "linear_attn.in_proj_a"],
    &["mlp.gate_proj", "mlp.up_proj"],
];

impl Layer<'_> {
    fn trained(&self, path: &str) -> Option<&Array> {
        let at = self.names.iter().position(|name| name == path)?;
        Some(&self.trained[at])
    }

    fn get(&self, path: &str) -> &Array {
        self.trained(path).unwrap_or_else(|| &self.frozen[path])
    }

    /// One half of the layer: x [B, T, H] → [B, T, H]. A mixer with a `past` goes on from it and adds to it: a piece of one sequence, or
    /// one token of each of several. Without one, every row of x begins with its sequence's first token.
    pub(crate) fn forward(&self, half: Half, x: &Array, past: Option<&mut Past>) -> Result<Array> {
        let normed = rms_norm(x, Some(self.get(half.norm())), self.shape.rms_eps as f32)?;
        let change = match (half, self.mixer, past) {
            (Half::Mlp, _, _) => self.mlp(&normed)?,
            (Half::Mixer, Mixer::Full, None) => self.attention(&normed, None)?,
            (Half::Mixer, Mixer::Full, Some(Past::Full(sequences))) => self.attention(&normed, Some(sequences))?,
            (Half::Mixer, Mixer::Linear, None) => self.gated_delta(&normed, None)?,
            (Half::Mixer, Mixer::Linear, Some(Past::Linear(recurrent))) => {
                self.gated_delta(&normed, Some(recurrent))?
            }
            (Half::Mixer, _, Some(_)) => unreachable!("a layer's past is of its own mixer"),
        };
        Ok(x.add(change)?)
    }

    fn mlp(&self, x: &Array) -> Result<Array> {
        let [gate, up] = &self.linears(x, JOINED[2])?[..] else { unreachable!("as many as were asked for") };
        self.linear(&self.exponent.silu(gate)?.multiply(up)?, "mlp.down_proj")
    }

    fn attention(&self, x: &Array, past: Option<&mut Vec<KeysValues>>) -> Result<Array> {
        let a = &self.shape.attention;
        let (b, t) = (x.dim(0), x.dim(1));
        let (heads, kv_heads, head_dim) = (a.heads as i32, a.kv_heads as i32, a.head_dim as i32);
        let eps = self.shape.rms_eps as f32;
        let [both, k, v] = &self.linears(x, JOINED[0])?[..] else { unreachable!("as many as were asked for") };
        let both = both.reshape(&[b, t, heads, 2 * head_dim])?;
        let [q, gate] = &split(&both, &[head_dim], 3)?[..] else { unreachable!("one cut makes two parts") };
        let gate = gate.reshape(&[b, t, heads * head_dim])?;
        let k = k.reshape(&[b, t, kv_heads, head_dim])?;
        let v = v.reshape(&[b, t, kv_heads, head_dim])?;
        let rotated = (head_dim as f64 * self.shape.partial_rotary) as i32;
        let theta = self.shape.rope_theta as f32;
        let before = past.as_ref().map(|past| past.iter().map(KeysValues::tokens).collect::<Vec<i32>>());
        let before = before.map(|before| Array::from_slice(&before, &[b]));
        let place = |x: &Array, norm: &str| -> Result<Array> {
            let x = rms_norm(x, Some(self.get(norm)), eps)?.transpose_axes(&[0, 2, 1, 3])?;
            Ok(match &before {
                None => rope(x, rotated, false, theta, 1.0, 0, None)?,
                Some(before) => rope_dynamic(x, rotated, false, theta, 1.0, before, None)?,
            })
        };
        let q = place(q, "self_attn.q_norm.weight")?;
        let k = place(&k, "self_attn.k_norm.weight")?;
        let v = v.transpose_axes(&[0, 2, 1, 3])?;
        let y = match past {
            None => causal_attention(&q, &k, &v, self.exponent)?,
            Some(past) => attention_after(past, &q, &k, &v, self.exponent)?,
        };
        let y = y.transpose_axes(&[0, 2, 1, 3])?.reshape(&[b, t, heads * head_dim])?;
        self.linear(&y.multiply(self.exponent.sigmoid(&gate)?)?, "self_attn.o_proj")
    }

    fn gated_delta(&self, x: &Array, mut past: Option<&mut Recurrent>) -> Result<Array> {
        let l = &self.shape.linear;
        let (b, t) = (x.dim(0), x.dim(1));
        let [hk, hv, dk, dv] = [l.key_heads, l.value_heads, l.key_dim, l.value_dim].map(|n| n as i32);
        let f32 = |x: &Array| x.as_dtype(Dtype::Float32);
        let [qkv, z, beta, a] = &self.linears(x, JOINED[1])?[..] else { unreachable!("as many as were asked for") };
        let convolved = self.convolution(qkv, past.as_deref_mut().map(|past| &mut past.tail))?;
        let qkv = self.exponent.silu(&convolved)?;
        let z = z.reshape(&[b, t, hv, dv])?;
        let beta = f32(&self.exponent.sigmoid(beta)?)?;
        let log_g = gated_delta::log_decay(a, self.get("linear_attn.A_log"), self.get("linear_attn.dt_bias"))?;
        let (keys, scale) = (hk * dk, (dk as f32).powf(-0.5));
        let unit = |range: &Array, scale: f32| -> Result<Array> {
            let x = rms_norm(range.reshape(&[b, t, hk, dk])?, None, NORM_EPS / dk as f32)?;
            Ok(f32(&x.multiply(Array::from_f32(scale).as_dtype(x.dtype())?)?)?)
        };
        let [q, k, v] = &split(&qkv, &[keys, 2 * keys], 2)?[..] else { unreachable!("two cuts make three parts") };
        let (q, k) = (unit(q, scale * scale)?, unit(k, scale)?);
        let v = f32(&v.reshape(&[b, t, hv, dv])?)?;
        let differentiable = self.differentiable;
        let inputs = Inputs { q: &q, k: &k, v: &v, log_g: &log_g, beta: &beta, differentiable };
        let y = match past {
            None => gated_delta::chunked(inputs)?,
            Some(past) => {
                let rule = if t == 1 { gated_delta::one_token } else { gated_delta::chunked_from };
                let (y, state) = rule(inputs, &past.state)?;
                past.state = state;
                y
            }
        };
        let y = rms_norm(y.as_dtype(x.dtype())?, Some(self.get("linear_attn.norm.weight")), self.shape.rms_eps as f32)?;
        let y = f32(&y)?.multiply(self.exponent.silu(&f32(&z)?)?)?.as_dtype(x.dtype())?;
        self.linear(&y.reshape(&[b, t, hv * dv])?, "linear_attn.out_proj")
    }

    /// The causal depthwise convolution, as a sum over its few taps, in f32 and rounded once, as MLX's own: x [B, T, C] →
    /// [B, T, C]. Before x comes `tail` [B, taps − 1, C], which becomes the end of both; zeros where there is none.
    fn convolution(&self, x: &Array, tail: Option<&mut Array>) -> Result<Array> {
        let weight = self.get("linear_attn.conv1d.weight").as_dtype(Dtype::Float32)?;
        let (taps, t, has_tail) = (weight.dim(1), x.dim(1), tail.is_some());
        let padded = match tail {
            None => pad(x, [(0, 0), (taps - 1, 0), (0, 0)].as_slice(), None, None)?,
            Some(tail) => {
                let padded = concatenate(&[&*tail, x], 1)?;
                // Copied: a slice would hold on to all of a long piece.
                *tail = padded.try_index((.., t..))?.contiguous()?;
                padded
            }
        };
        let padded = padded.as_dtype(Dtype::Float32)?;
        if has_tail && t == 1 {
            // One token has one window: fewer operations than taps.
            let weight = weight.squeeze_axes(&[2])?.swap_axes(0, 1)?;
            return Ok(padded.multiply(weight)?.sum_axis(1, true)?.as_dtype(x.dtype())?);
        }
        let mut sum = Array::from_f32(0.0);
        for tap in 0..taps {
            let shifted = padded.try_index((.., tap..tap + t))?;
            sum = sum.add(shifted.multiply(weight.try_index((.., tap, 0))?)?)?;
        }
        Ok(sum.as_dtype(x.dtype())?)
    }

    /// [`linear`](Self::linear) of each of `paths`, by one product where their matrices lie in memory as one.
    fn linears(&self, x: &Array, paths: &[&str]) -> Result<Vec<Array>> {
        let joined = paths.join("+");
        if !self.frozen.contains_key(&format!("{joined}.weight")) {
            return paths.iter().map(|path| self.linear(x, path)).collect();
        }
        let all = self.frozen_linear(x, &joined)?;
        let outputs = self.shape.linears(self.mixer);
        let width = |path: &&str| outputs.iter().find(|linear| linear.path == *path).map_or(0, |l| l.outputs as i32);
        let ends: Vec<i32> = paths
            .iter()
            .map(width)
            .scan(0, |end, width| {
                *end += width;
                Some(*end)
            })
            .collect();
        let parts = split(&all, &ends[..ends.len() - 1], -1)?;
        parts.into_iter().zip(paths).map(|(y, path)| beside::add(self.beside, self.together, x, y, path)).collect()
    }

    /// x W ᵀ, with W packed where the base is quantised, and beside it the adapter where there is one.
    fn linear(&self, x: &Array, path: &str) -> Result<Array> {
        if let Some(watch) = self.watch {
            watch(path, x)?;
        }
        let y = beside::add(self.beside, self.together, x, self.frozen_linear(x, path)?, path)?;
        let Some(a) = self.trained(&format!("{path}.lora_a")) else { return Ok(y) };
        let second = format!("{path}.lora_b");
        let b =
            self.trained(&second).ok_or_else(|| crate::EngineError::input(format!("the adapter has no `{second}`")))?;
        let input = match self.lora.dropout {
            Some((p, seed)) if p > 0.0 => dropout(x, p, seed, path)?,
            _ => x.clone(),
        };
        // The scale goes on the rank's few columns: mlx-lm's product in another order.
        let z = input.matmul(a)?.multiply(Array::from_f32(self.lora.scale))?.matmul(b)?;
        Ok(y.add(z.as_dtype(x.dtype())?)?)
    }

    /// The matrix at `path`, as it is stored, and how many values go into it.
    pub(crate) fn matrix(&self, path: &str) -> Option<(i32, &Array)> {
        let first = path.split('+').next()?;
        let inputs = self.shape.linears(self.mixer).iter().find(|linear| linear.path == first)?.inputs;
        Some((inputs as i32, self.frozen.get(&format!("{path}.weight"))?))
    }

    /// x Wᵀ alone.
    pub(crate) fn frozen_linear(&self, x: &Array, path: &str) -> Result<Array> {
        let get = |suffix: &str| {
            let name = format!("{path}.{suffix}");
            self.trained(&name).or_else(|| self.frozen.get(&name))
        };
        match self.together {
            None => frozen_linear(x, path, get),
            Some(together) => together.product(x, get("weight"), |x| frozen_linear(x, path, get)),
        }
    }
}

/// Causal attention of q [B, heads, T, D] on k and v [B, KV heads, S, D], of which q's tokens are the last T, by blocks of queries. Each
/// block sees only the keys up to its end, and what it leaves for the backward pass is as much smaller.
fn causal_attention(q: &Array, k: &Array, v: &Array, exponent: Exponent) -> Result<Array> {
    let (t, scale) = (q.dim(2), (q.dim(3) as f32).powf(-0.5));
    let before = k.dim(2) - t;
    if t == 1 && before > 0 {
        return Ok(scaled_dot_product_attention(q, k, v, scale, None, None)?);
    }
    let mut blocks = Vec::new();
    for (start, q) in (0..t).step_by(QUERY_BLOCK as usize).zip(pieces(q, QUERY_BLOCK, 2)?) {
        let end = before + (start + QUERY_BLOCK).min(t);
        let (k, v) = (k.try_index((.., .., ..end))?, v.try_index((.., .., ..end))?);
        blocks.push(if exponent.is_power(q.dtype()) {
            block_by_powers(&q, &k, &v, scale)?
        } else {
            // MLX's causal mask lets the last query see the last key.
            scaled_dot_product_attention(q, k, v, scale, ScaledDotProductAttentionMask::Causal, None)?
        });
    }
    Ok(concatenate(&blocks, 2)?)
}

/// Attention of a block of queries [B, heads, T, D] on k and v [B, KV heads, S, D], with powers of two for the softmax. The queries of all
/// heads that share keys are one matrix. The last query sees the last key.
fn block_by_powers(q: &Array, k: &Array, v: &Array, scale: f32) -> Result<Array> {
    let (b, heads, t, d) = (q.dim(0), q.dim(1), q.dim(2), q.dim(3));
    let (kv_heads, s) = (k.dim(1), k.dim(2));
    let together = [b, kv_heads, heads / kv_heads * t];
    let q = q.multiply(Array::from_f32(scale * std::f32::consts::LOG2_E))?;
    let q = q.reshape(&[together[0], together[1], together[2], d])?;
    let sees = |at: i32| at % s <= s - t + at / s;
    let mask: Vec<f32> = (0..t * s).map(|at| if sees(at) { 0.0 } else { f32::NEG_INFINITY }).collect();
    let scores = q.matmul(k.swap_axes(-1, -2)?)?.reshape(&[b, heads, t, s])?.add(Array::from_slice(&mask, &[t, s]))?;
    let powers = power_of_two(&scores.subtract(scores.max_axis(-1, true)?)?)?;
    let sums = powers.sum_axis(-1, true)?;
    let y = powers.reshape(&[together[0], together[1], together[2], s])?.matmul(v)?;
    Ok(y.reshape(&[b, heads, t, d])?.divide(sums)?)
}

/// Attention of the tokens of q, k and v [B, heads, T, D] on themselves and on all that come before them; each sequence on its own.
fn attention_after(past: &mut [KeysValues], q: &Array, k: &Array, v: &Array, exponent: Exponent) -> Result<Array> {
    if let [sequence] = past {
        let [k, v] = sequence.append(k, v)?;
        return causal_attention(q, &k, &v, exponent);
    }
    let rows = |x: &Array| pieces(x, 1, 0);
    let mut outputs = Vec::with_capacity(past.len());
    for (sequence, ((q, k), v)) in past.iter_mut().zip(rows(q)?.iter().zip(rows(k)?).zip(rows(v)?)) {
        let [k, v] = sequence.append(&k, &v)?;
        outputs.push(causal_attention(q, &k, &v, exponent)?);
    }
    Ok(concatenate(&outputs, 0)?)
}

/// x Wᵀ for the module at `path`, whose tensors `get` finds by suffix. Packed where there are scales.
pub(crate) fn frozen_linear<'a>(x: &Array, path: &str, get: impl Fn(&str) -> Option<&'a Array>) -> Result<Array> {
    let weight = get("weight").ok_or_else(|| crate::EngineError::input(format!("the base has no `{path}.weight`")))?;
    match get("scales") {
        None => Ok(x.matmul(weight.swap_axes(-1, -2)?)?),
        Some(scales) => {
            let (group, bits) = packing(weight, scales, x.dim(-1));
            Ok(quantized_matmul(x, weight, scales, get("biases"), true, group, bits)?)
        }
    }
}

/// The group size and bits of a packed module of `inputs` columns, from its tensors' sizes: 32-bit words hold 32 / bits values, and a
/// group has one scale. That they are what config.json says of this module is checked when it is loaded; by the sizes' product alone
/// 4 bits in groups of 64 would look like 8 bits in groups of 32.
pub(crate) fn packing(weight: &Array, scales: &Array, inputs: i32) -> (i32, i32) {
    (inputs / scales.dim(-1), weight.dim(-1) * 32 / inputs)
}

/// Zeroes values with chance `p` and scales the others by 1/(1 − p). The draw depends on seed and path alone, so that a layer
/// computed again draws the same.
fn dropout(x: &Array, p: f32, seed: u64, path: &str) -> Result<Array> {
    let salt = path.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let key = random::key(seed ^ salt)?;
    let chance = Array::from_f32(1.0 - p);
    let keep = random::bernoulli(&chance, x.shape(), &key)?.as_dtype(x.dtype())?;
    Ok(x.multiply(keep)?.multiply(Array::from_f32(1.0 / (1.0 - p)).as_dtype(x.dtype())?)?)
}
