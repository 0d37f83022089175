//! Low-rank terms beside frozen weights, row by row: y + scale·(x A) B where a row has an adapter, y alone where it has none.
//!
//! The frozen product is made once for all rows, whatever adapters they have. Each row's own term is a product of one row, so that it
//! is the same to the last bit whoever else is in the batch.

use crate::error::Result;
use crate::split::split;
use mlx_rs::Array;
use mlx_rs::ops::concatenate;
use std::collections::BTreeMap;

/// The two factors of one module of an adapter.
#[derive(Debug)]
pub(crate) struct Factors {
    /// A, f32 [1, inputs, rank]. The axis in front has MLX multiply row by row.
    a: Array,
    /// scale·B, f32 [1, rank, outputs].
    b: Array,
}

impl Factors {
    /// Of A [inputs, rank] and B [rank, outputs], as an adapter has them.
    pub(crate) fn new(a: &Array, b: &Array, scale: f32) -> Result<Factors> {
        Ok(Factors { a: a.expand_dims(0)?, b: b.multiply(Array::from_f32(scale))?.expand_dims(0)? })
    }

    /// Both, for evaluation.
    pub(crate) fn arrays(&self) -> [&Array; 2] {
        [&self.a, &self.b]
    }
}

/// An adapter's factors in one layer, by the module's path within it.
pub(crate) type LayerFactors = BTreeMap<String, Factors>;

/// Neighbouring rows with the same adapter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside<'a> {
    /// How many they are.
    pub(crate) rows: i32,
    /// Their adapter's part in this layer; `None` where they have no adapter.
    pub(crate) factors: Option<&'a LayerFactors>,
}

/// y [B, T, outputs], the frozen product of x [B, T, inputs] at `path`, with each row's own term added. `all` counts as many rows as x
/// has, or none at all.
pub(crate) fn add(all: &[Beside<'_>], x: &Array, y: Array, path: &str) -> Result<Array> {
    let of = |beside: &Beside<'_>| beside.factors.and_then(|factors| factors.get(path)).is_some();
    if !all.iter().any(of) {
        return Ok(y);
    }
    let ends: Vec<i32> = all
        .iter()
        .scan(0, |end, beside| {
            *end += beside.rows;
            Some(*end)
        })
        .collect();
    let parts = |x: &Array| split(x, &ends[..ends.len() - 1], 0);
    let mut sums = Vec::with_capacity(all.len());
    for (beside, (x, y)) in all.iter().zip(parts(x)?.iter().zip(parts(&y)?)) {
        sums.push(match beside.factors.and_then(|factors| factors.get(path)) {
            Some(factors) => y.add(x.matmul(&factors.a)?.matmul(&factors.b)?.as_dtype(x.dtype())?)?,
            None => y,
        });
    }
    Ok(if let [sum] = &sums[..] { sum.clone() } else { concatenate(&sums, 0)? })
}
