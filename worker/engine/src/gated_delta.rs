//! The gated delta rule in chunks: the numbers of the token-by-token recurrence, by matrix products.
//!
//! The rule, per head and token, with state S [Dk × Dv]: `S ← g·S; δ = β(v − Sᵀk); S ← S + k δᵀ; y = Sᵀq`. Token by token that is
//! T graph steps, and a backward pass keeps several states for each. In chunks of [`CHUNK`] tokens (Yang et al., "Gated Delta
//! Networks", 2024, §3.3) the steps within a chunk are one triangular solve, and only the chunks are sequential.

use crate::error::Result;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::{concatenate, exp, logaddexp, pad, select, tril, zeros_dtype};
use mlx_rs::{Array, Dtype, stop_gradient};

/// Tokens in a chunk.
pub const CHUNK: i32 = 64;

/// Doublings after which the inverse of a [`CHUNK`]-sized unit triangle is exact: 2⁶ = 64.
const DOUBLINGS: usize = 5;

/// What goes into the rule: `B` rows of `T` tokens, `Hk` key heads, each serving `R` value heads.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Scaled queries, f32 [B, T, Hk, Dk].
    pub q: &'a Array,
    /// Scaled keys, f32 [B, T, Hk, Dk].
    pub k: &'a Array,
    /// Values, f32 [B, T, Hk·R, Dv].
    pub v: &'a Array,
    /// log g, f32 [B, T, Hk·R].
    pub log_g: &'a Array,
    /// β, f32 [B, T, Hk·R].
    pub beta: &'a Array,
}

/// y, f32 [B, T, Hk·R, Dv], from a state of zeros.
///
/// # Errors
/// MLX's, where the shapes do not fit each other.
pub fn chunked(inputs: Inputs<'_>) -> Result<Array> {
    let &[b, t, hk, dk] = inputs.q.shape() else { unreachable!("queries have four axes") };
    let (hv, dv) = (inputs.v.dim(2), inputs.v.dim(3));
    let (r, n) = (hv / hk, (t + CHUNK - 1) / CHUNK);
    // Padding with β = 0 and log g = 0 leaves the state alone.
    let padded = |x: &Array| -> Result<Array> {
        let mut widths = vec![(0, 0); x.ndim()];
        widths[1] = (0, n * CHUNK - t);
        Ok(pad(x, widths.as_slice(), None, None)?)
    };
    // [B, T, heads, D] → [B, Hk, R or 1, N, C, D]
    let by_chunk = |x: &Array, r: i32, d: i32| -> Result<Array> {
        Ok(padded(x)?.reshape(&[b, n, CHUNK, hk, r, d])?.transpose_axes(&[0, 3, 4, 1, 2, 5])?)
    };
    let q = by_chunk(inputs.q, 1, dk)?;
    let k = by_chunk(inputs.k, 1, dk)?;
    let v = by_chunk(inputs.v, r, dv)?;
    let beta = by_chunk(inputs.beta, r, 1)?;
    let c = by_chunk(inputs.log_g, r, 1)?.cumsum(4, None, None)?;

    let chunks = Chunks::prepare(&q, &k, &v, &beta, &c)?;
    let y = chunks.scan(&[b, hk, r, dk, dv], n)?;
    let y = y.transpose_axes(&[0, 3, 4, 1, 2, 5])?.reshape(&[b, n * CHUNK, hv, dv])?;
    Ok(y.try_index((.., ..t))?)
}

/// All that does not depend on the state, for all chunks at once; axes [B, Hk, R, N, …].
struct Chunks {
    /// P(βv) [C, Dv]
    u: Array,
    /// P(β·eᶜ·k) [C, Dk]
    w: Array,
    /// eᶜ·q [C, Dk]
    q_decayed: Array,
    /// lower-inclusive(q kᵀ · D) [C, C]
    attention: Array,
    /// (e^{c_C − c}·k)ᵀ [Dk, C]
    k_to_end: Array,
    /// e^{c_C} [1, 1]
    decay: Array,
}

impl Chunks {
    fn prepare(q: &Array, k: &Array, v: &Array, beta: &Array, c: &Array) -> Result<Chunks> {
        let lower = tril(Array::ones::<f32>(&[CHUNK, CHUNK])?, 0)?;
        let strict = tril(Array::ones::<f32>(&[CHUNK, CHUNK])?, -1)?;
        // Above the diagonal c_i − c_j is positive and may overflow: masked before exp, so that no gradient is inf · 0.
        let difference = c.subtract(c.swap_axes(-1, -2)?)?;
        let d = exp(select(lower.as_dtype(Dtype::Bool)?, difference, Array::from_f32(f32::NEG_INFINITY))?)?;
        let k_t = k.swap_axes(-1, -2)?;
        let a = k.matmul(&k_t)?.multiply(&d)?.multiply(beta)?.multiply(&strict)?;
        let p = unit_triangle_inverse(&a)?;
        let decay_in = exp(c)?;
        let end = c.try_index((.., .., .., .., -1.., ..))?;
        Ok(Chunks {
            u: p.matmul(beta.multiply(v)?)?,
            w: p.matmul(beta.multiply(&decay_in)?.multiply(k)?)?,
            q_decayed: decay_in.multiply(q)?,
            attention: q.matmul(&k_t)?.multiply(&d)?,
            k_to_end: exp(end.subtract(c)?)?.multiply(k)?.swap_axes(-1, -2)?,
            decay: exp(end)?,
        })
    }

    /// Runs the state through the chunks; y [B, Hk, R, N, C, Dv].
    fn scan(&self, state: &[i32; 5], n: i32) -> Result<Array> {
        // Split once rather than indexed: the gradient of an index is as large as what it was taken from, that of a split its part.
        let split = |x: &Array| x.split_equal(n, 3);
        let (u, w, q) = (split(&self.u)?, split(&self.w)?, split(&self.q_decayed)?);
        let (attention, k_to_end, decay) = (split(&self.attention)?, split(&self.k_to_end)?, split(&self.decay)?);
        // The state goes along as [B, Hk, R, 1, Dk, Dv], beside the axis of chunks.
        let &[b, hk, r, dk, dv] = state;
        let mut s = zeros_dtype(&[b, hk, r, 1, dk, dv], Dtype::Float32)?;
        let mut outputs = Vec::with_capacity(n as usize);
        for i in 0..n as usize {
            let v_new = u[i].subtract(w[i].matmul(&s)?)?;
            outputs.push(q[i].matmul(&s)?.add(attention[i].matmul(&v_new)?)?);
            if i + 1 < n as usize {
                s = decay[i].multiply(&s)?.add(k_to_end[i].matmul(&v_new)?)?;
            }
        }
        Ok(concatenate(&outputs, 3)?)
    }
}

/// P = (I + A)⁻¹ of a strictly lower triangular A [… , C, C], by the doubling Σ(−A)ⁱ = Π(I + (−A)^(2ʲ)).
///
/// Its gradient is dP = −P dA P, which needs P alone. Adding P (sg(A) − A) P, which is zero, to a P without gradient gives just that,
/// and keeps none of the doubling's factors for the backward pass.
fn unit_triangle_inverse(a: &Array) -> Result<Array> {
    let constant = stop_gradient(a)?;
    let mut x = constant.negative()?;
    let mut p = x.add(Array::eye::<f32>(CHUNK, None, None)?)?;
    for _ in 0..DOUBLINGS {
        x = x.matmul(&x)?;
        p = p.add(p.matmul(&x)?)?;
    }
    let zero = constant.subtract(a)?;
    Ok(p.add(p.matmul(zero)?.matmul(&p)?)?)
}

/// log g = −exp(A_log)·softplus(a + dt_bias): [B, T, Hv], f32. The softplus is rounded as `a` is, as mlx-lm's, since the models
/// are run by it.
pub(crate) fn log_decay(a: &Array, a_log: &Array, dt_bias: &Array) -> Result<Array> {
    let x = a.add(dt_bias)?;
    let softplus = logaddexp(&x, Array::from_f32(0.0).as_dtype(x.dtype())?)?;
    Ok(exp(a_log.as_dtype(Dtype::Float32)?)?.negative()?.multiply(softplus.as_dtype(Dtype::Float32)?)?)
}
