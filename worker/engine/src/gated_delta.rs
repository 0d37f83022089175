//! The gated delta rule in chunks: the numbers of the token-by-token recurrence, by matrix products.
//!
//! The rule, per head and token, with state S [Dk × Dv]: `S ← g·S; δ = β(v − Sᵀk); S ← S + k δᵀ; y = Sᵀq`. Token by token that is
//! T graph steps, and a backward pass keeps several states for each. In chunks of [`CHUNK`] tokens (Yang et al., "Gated Delta
//! Networks", 2024, §3.3) the steps within a chunk are one triangular solve, and only the chunks are sequential. An answer's tokens, which
//! come one at a time, take the rule as it stands ([`one_token`]).

use crate::error::Result;
use crate::split::pieces;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::{concatenate, exp, logaddexp, pad, select, tril, zeros_dtype};
use mlx_rs::{Array, Dtype, stop_gradient};

/// Tokens in a chunk.
pub const CHUNK: i32 = 64;

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
    /// Whether a gradient will be asked for.
    pub differentiable: bool,
}

/// y, f32 [B, T, Hk·R, Dv], from a state of zeros.
///
/// # Errors
/// MLX's, where the shapes do not fit each other.
pub fn chunked(inputs: Inputs<'_>) -> Result<Array> {
    let &[b, _, hk, dk] = inputs.q.shape() else { unreachable!("queries have four axes") };
    let (hv, dv) = (inputs.v.dim(2), inputs.v.dim(3));
    let zeros = zeros_dtype(&[b, hk, hv / hk, dk, dv], Dtype::Float32)?;
    Ok(chunks(inputs, &zeros, false)?.0)
}

/// The same from a state S, f32 [B, Hk, R, Dk, Dv], and the state after the last token.
///
/// # Errors
/// MLX's, where the shapes do not fit each other.
pub fn chunked_from(inputs: Inputs<'_>, state: &Array) -> Result<(Array, Array)> {
    chunks(inputs, state, true)
}

/// One token of each of `B` sequences (T is 1), by the rule itself, and the states after it. The decayed state is asked for Sᵀk and Sᵀq
/// in one product, before δ is added to it: y = Sᵀq + (k·q)δ, with δ = β(v − Sᵀk).
///
/// # Errors
/// MLX's, where the shapes do not fit each other.
pub fn one_token(inputs: Inputs<'_>, state: &Array) -> Result<(Array, Array)> {
    let &[b, _, hk, dk] = inputs.q.shape() else { unreachable!("queries have four axes") };
    let (hv, dv) = (inputs.v.dim(2), inputs.v.dim(3));
    let (r, row) = (hv / hk, &[b, hk, 1, 1, dk]);
    let (q, k) = (inputs.q.reshape(row)?, inputs.k.reshape(row)?);
    let (v, beta) = (inputs.v.reshape(&[b, hk, r, 1, dv])?, inputs.beta.reshape(&[b, hk, r, 1, 1])?);
    let g = exp(inputs.log_g.reshape(&[b, hk, r, 1, 1])?)?;
    let decayed = state.multiply(&g)?;
    let asked = concatenate(&[&k, &q], 3)?.matmul(&decayed)?;
    let [of_k, of_q] = &pieces(&asked, 1, 3)?[..] else { unreachable!("two rows make two pieces") };
    let delta = beta.multiply(v.subtract(of_k)?)?;
    let overlap = k.multiply(&q)?.sum_axis(-1, true)?;
    let y = of_q.add(overlap.multiply(&delta)?)?;
    let state = decayed.add(k.swap_axes(-1, -2)?.multiply(&delta)?)?;
    Ok((y.reshape(&[b, 1, hv, dv])?, state))
}

/// y, and where `goes_on` the state after the last token; else one from within.
fn chunks(inputs: Inputs<'_>, state: &Array, goes_on: bool) -> Result<(Array, Array)> {
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

    let chunks = Chunks::prepare([&q, &k, &v, &beta, &c], inputs.differentiable)?;
    // The state goes along as [B, Hk, R, 1, Dk, Dv], beside the axis of chunks.
    let (y, state) = chunks.scan(&state.expand_dims(3)?, n, goes_on)?;
    let y = y.transpose_axes(&[0, 3, 4, 1, 2, 5])?.reshape(&[b, n * CHUNK, hv, dv])?;
    Ok((y.try_index((.., ..t))?, state.squeeze_axes(&[3])?))
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
    fn prepare([q, k, v, beta, c]: [&Array; 5], differentiable: bool) -> Result<Chunks> {
        let lower = tril(Array::ones::<f32>(&[CHUNK, CHUNK])?, 0)?;
        let strict = tril(Array::ones::<f32>(&[CHUNK, CHUNK])?, -1)?;
        // Above the diagonal c_i − c_j is positive and may overflow: masked before exp, so that no gradient is inf · 0.
        let difference = c.subtract(c.swap_axes(-1, -2)?)?;
        let d = exp(select(lower.as_dtype(Dtype::Bool)?, difference, Array::from_f32(f32::NEG_INFINITY))?)?;
        let k_t = k.swap_axes(-1, -2)?;
        let a = k.matmul(&k_t)?.multiply(&d)?.multiply(beta)?.multiply(&strict)?;
        let p = unit_triangle_inverse(&a, differentiable)?;
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

    /// Runs the state [B, Hk, R, 1, Dk, Dv] through the chunks; y [B, Hk, R, N, C, Dv], and where `goes_on` the state after them.
    fn scan(&self, state: &Array, n: i32, goes_on: bool) -> Result<(Array, Array)> {
        let split = |x: &Array| pieces(x, 1, 3);
        let (u, w, q) = (split(&self.u)?, split(&self.w)?, split(&self.q_decayed)?);
        let (attention, k_to_end, decay) = (split(&self.attention)?, split(&self.k_to_end)?, split(&self.decay)?);
        let mut s = state.clone();
        let mut outputs = Vec::with_capacity(n as usize);
        for i in 0..n as usize {
            let v_new = u[i].subtract(w[i].matmul(&s)?)?;
            outputs.push(q[i].matmul(&s)?.add(attention[i].matmul(&v_new)?)?);
            if goes_on || i + 1 < n as usize {
                s = decay[i].multiply(&s)?.add(k_to_end[i].matmul(&v_new)?)?;
            }
        }
        Ok((concatenate(&outputs, 3)?, s))
    }
}

/// P = (I + A)⁻¹ of a strictly lower triangular A [… , C, C].
///
/// The gradient is dP = −P dA P, which needs P alone. Adding P (sg(A) − A) P, which is zero, to a P without gradient gives just that,
/// and keeps none of the steps for the backward pass. Where no gradient is asked for, the two products are left out: they would
/// only add zeros.
fn unit_triangle_inverse(a: &Array, differentiable: bool) -> Result<Array> {
    let constant = stop_gradient(a)?;
    let p = block_inverse(&constant)?;
    if !differentiable {
        return Ok(p);
    }
    let zero = constant.subtract(a)?;
    Ok(p.add(p.matmul(zero)?.matmul(&p)?)?)
}

/// Rows of a triangle that is inverted whole; a larger one is inverted by quarters.
const WHOLE: i32 = 16;

/// (I + A)⁻¹ of a strictly lower triangular A [… , n, n], by quarters: with A = [A₁ 0; A₂₁ A₂] and P₁, P₂ the inverses of I + A₁ and
/// I + A₂ it is [P₁ 0; −P₂ A₂₁ P₁ P₂], so the upper right quarter, which is zero, is never multiplied.
///
/// Not by the doubling Σ(−A)ⁱ = Π(I + (−A)^(2ʲ)): its powers grow like binomials where keys are alike (C(63, 31) ≈ 10¹⁸ for equal
/// ones) and cancel to an inverse that is below 1, of which f32 then keeps nothing.
fn block_inverse(a: &Array) -> Result<Array> {
    let (n, columns) = (a.dim(-1), a.ndim() as i32 - 1);
    let rows = columns - 1;
    if n <= WHOLE {
        return whole_inverse(a, n);
    }
    let halves = |x: &Array, axis: i32| pieces(x, n / 2, axis);
    let [top, bottom] = &halves(a, rows)?[..] else { unreachable!("n is even") };
    let [a21, a2] = &halves(bottom, columns)?[..] else { unreachable!("n is even") };
    let p1 = block_inverse(&halves(top, columns)?[0])?;
    let p2 = block_inverse(a2)?;
    let p21 = p2.matmul(a21)?.matmul(&p1)?.negative()?;
    let zeros = zeros_dtype(p1.shape(), Dtype::Float32)?;
    let columns = [concatenate(&[p1, p21], rows)?, concatenate(&[zeros, p2], rows)?];
    Ok(concatenate(&columns, columns[0].ndim() as i32 - 1)?)
}

/// The same for a small A: once the diagonal blocks of size s are inverted in P, those of size 2s follow by `P ← P − P (A∘M) P`, where
/// M keeps the lower left quarter of each.
fn whole_inverse(a: &Array, n: i32) -> Result<Array> {
    let quarters = |size: i32| -> Result<Array> { Ok(a.multiply(lower_left_quarters(n, size))?) };
    // Blocks of size 1 are their own inverses: the first step needs no products.
    let mut p = Array::eye::<f32>(n, None, None)?.subtract(quarters(1)?)?;
    let mut size = 2;
    while size < n {
        p = p.subtract(p.matmul(quarters(size)?)?.matmul(&p)?)?;
        size *= 2;
    }
    Ok(p)
}

/// [n, n]: 1 in the lower left quarter of each diagonal block of 2·`size`, 0 elsewhere.
fn lower_left_quarters(n: i32, size: i32) -> Array {
    let in_quarter = |row: i32, column: i32| {
        row / (2 * size) == column / (2 * size) && (row / size) % 2 == 1 && (column / size) % 2 == 0
    };
    let values: Vec<f32> = (0..n * n).map(|at| f32::from(u8::from(in_quarter(at / n, at % n)))).collect();
    Array::from_slice(&values, &[n, n])
}

/// log g = −exp(A_log)·softplus(a + dt_bias): [B, T, Hv], f32. The softplus is rounded as `a` is, as mlx-lm's, since the models
/// are run by it.
pub(crate) fn log_decay(a: &Array, a_log: &Array, dt_bias: &Array) -> Result<Array> {
    let x = a.add(dt_bias)?;
    let softplus = logaddexp(&x, Array::from_f32(0.0).as_dtype(x.dtype())?)?;
    Ok(exp(a_log.as_dtype(Dtype::Float32)?)?.negative()?.multiply(softplus.as_dtype(Dtype::Float32)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlx_rs::ops::stack;
    use mlx_rs::random;
    use mlx_rs::transforms::fallible_vjp;

    const HK: i32 = 2;
    const R: i32 = 2;
    const DK: i32 = 8;
    const DV: i32 = 6;

    /// q, k, v, log g and β of `b` rows of `t` tokens. `decay` is the largest −log g.
    fn inputs(b: i32, t: i32, decay: f32, seed: u64) -> Vec<Array> {
        let key = |n: u64| random::key(seed * 31 + n).unwrap();
        let normal = |size: &[i32], n| random::normal::<f32>(size, None, None, &key(n)).unwrap();
        let unit = |x: Array, scale: f32| {
            let length = x.square().unwrap().sum_axis(-1, true).unwrap().sqrt().unwrap();
            x.divide(length).unwrap().multiply(Array::from_f32(scale)).unwrap()
        };
        let uniform = |size: &[i32], n| random::uniform::<_, f32>(0.0, 1.0, size, &key(n)).unwrap();
        vec![
            unit(normal(&[b, t, HK, DK], 1), (DK as f32).powf(-0.5)),
            unit(normal(&[b, t, HK, DK], 2), 1.0),
            normal(&[b, t, HK * R, DV], 3),
            uniform(&[b, t, HK * R], 4).multiply(Array::from_f32(-decay)).unwrap(),
            uniform(&[b, t, HK * R], 5),
        ]
    }

    /// The same with all keys of a row nearly alike, as they are in a run of like tokens.
    fn alike(mut x: Vec<Array>) -> Vec<Array> {
        let first = x[1].try_index((.., ..1)).unwrap();
        x[1] = first.add(x[1].multiply(Array::from_f32(1e-3)).unwrap()).unwrap();
        x[4] = Array::ones::<f32>(x[4].shape()).unwrap();
        x
    }

    fn by_chunks(x: &[Array]) -> Array {
        chunked(Inputs { q: &x[0], k: &x[1], v: &x[2], log_g: &x[3], beta: &x[4], differentiable: true }).unwrap()
    }

    /// The rule as the module's documentation has it, token by token.
    fn by_tokens(x: &[Array]) -> Array {
        let (b, t) = (x[0].dim(0), x[0].dim(1));
        let at = |x: &Array, i: i32| x.try_index((.., i)).unwrap();
        // [B, Hk, D] → [B, Hk·R, D, 1]: a key head serves R value heads.
        let key = |x: &Array, i: i32| {
            let all = stack(&vec![at(x, i); R as usize], 2).unwrap();
            all.reshape(&[b, HK * R, DK, 1]).unwrap()
        };
        let mut s = Array::zeros::<f32>(&[b, HK * R, DK, DV]).unwrap();
        let mut outputs = Vec::new();
        for i in 0..t {
            let (q, k) = (key(&x[0], i), key(&x[1], i));
            let v = at(&x[2], i).expand_dims(2).unwrap();
            let scalar = |x: &Array| at(x, i).reshape(&[b, HK * R, 1, 1]).unwrap();
            s = s.multiply(exp(scalar(&x[3])).unwrap()).unwrap();
            let recalled = k.multiply(&s).unwrap().sum_axis(2, true).unwrap();
            let delta = v.subtract(recalled).unwrap().multiply(scalar(&x[4])).unwrap();
            s = s.add(k.multiply(delta).unwrap()).unwrap();
            outputs.push(q.multiply(&s).unwrap().sum_axis(2, false).unwrap());
        }
        stack(&outputs, 1).unwrap()
    }

    fn largest(x: &Array) -> f32 {
        x.abs().unwrap().max(None).unwrap().item_cast::<f32>()
    }

    /// The difference, relative to the largest value. NaN would be no difference to `max`, so it is looked for.
    fn difference(x: &Array, y: &Array) -> f32 {
        assert_eq!(x.shape(), y.shape());
        let sum = x.sum(None).unwrap().item_cast::<f32>();
        assert!(sum.is_finite(), "{sum}");
        largest(&x.subtract(y).unwrap()) / largest(y).max(1e-6)
    }

    /// Shorter than a chunk, a chunk, one token more, several; no decay, some, and decays that leave nothing of a state.
    fn cases() -> impl Iterator<Item = (i32, i32, f32)> {
        let sizes = [(1, 1), (2, 5), (1, 64), (2, 65), (1, 200)];
        sizes.into_iter().flat_map(|(b, t)| [0.0, 0.1, 3.0, 80.0, 2000.0].map(|decay| (b, t, decay)))
    }

    #[test]
    fn a_triangle_is_inverted_exactly_where_it_is_zero_and_with_or_without_a_gradient() {
        let lower = tril(Array::ones::<f32>(&[CHUNK, CHUNK]).unwrap(), -1).unwrap();
        let a = random::normal::<f32>(&[2, 3, CHUNK, CHUNK], None, Some(0.2), &random::key(9).unwrap()).unwrap();
        let a = a.multiply(&lower).unwrap();
        let p = unit_triangle_inverse(&a, false).unwrap();
        let unit = Array::eye::<f32>(CHUNK, None, None).unwrap();
        let product = p.add(a.matmul(&p).unwrap()).unwrap();
        assert!(largest(&product.subtract(&unit).unwrap()) < 1e-4);
        // Above the diagonal are zeros, and on it ones, not what rounding left of them.
        let strictly_lower = p.multiply(&lower).unwrap();
        assert_eq!(largest(&p.subtract(strictly_lower).unwrap().subtract(&unit).unwrap()), 0.0);
        assert!(unit_triangle_inverse(&a, true).unwrap().eq_values(&p).unwrap());
    }

    #[test]
    fn keys_that_are_alike_cost_no_precision() {
        for decay in [0.0, 1e-3] {
            let x = alike(inputs(1, 130, decay, 5));
            let off = difference(&by_chunks(&x), &by_tokens(&x));
            assert!(off < 1e-4, "decay {decay}: {off}");
            let gradients = |rule: fn(&[Array]) -> Array| {
                let sum = |x: &[Array]| -> mlx_rs::error::Result<Vec<Array>> { Ok(vec![rule(x).square()?.sum(None)?]) };
                fallible_vjp(sum, &x, &[Array::from_f32(1.0)]).unwrap().1
            };
            for (ours, theirs) in gradients(by_chunks).iter().zip(&gradients(by_tokens)) {
                let off = difference(ours, theirs);
                assert!(off < 1e-3, "decay {decay}: a gradient is off by {off}");
            }
        }
    }

    #[test]
    fn chunks_are_the_token_by_token_rule() {
        for (n, (b, t, decay)) in cases().enumerate() {
            let x = inputs(b, t, decay, n as u64);
            let off = difference(&by_chunks(&x), &by_tokens(&x));
            assert!(off < 2e-5, "{b} × {t} tokens, decay {decay}: {off}");
        }
    }

    #[test]
    fn gradients_of_chunks_are_those_of_the_token_by_token_rule() {
        for (n, (b, t, decay)) in cases().enumerate() {
            let x = inputs(b, t, decay, 100 + n as u64);
            let cotangent =
                random::normal::<f32>(&[b, t, HK * R, DV], None, None, &random::key(n as u64).unwrap()).unwrap();
            let gradients = |rule: fn(&[Array]) -> Array| {
                let one = |x: &[Array]| -> mlx_rs::error::Result<Vec<Array>> { Ok(vec![rule(x)]) };
                fallible_vjp(one, &x, std::slice::from_ref(&cotangent)).unwrap().1
            };
            let names = ["q", "k", "v", "log g", "β"];
            for (name, (ours, theirs)) in names.iter().zip(gradients(by_chunks).iter().zip(&gradients(by_tokens))) {
                let off = difference(ours, theirs);
                // Σ log g is rounded to its own size, so a difference of two sums is less exact where decays are huge.
                let tolerance = if decay > 1000.0 { 1e-2 } else { 1e-4 };
                assert!(off < tolerance, "{b} × {t} tokens, decay {decay}: gradient of {name} is off by {off}");
            }
        }
    }
}
