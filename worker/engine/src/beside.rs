//! Low-rank terms beside frozen weights, row by row: y + scale·(x A) B where a row has an adapter, y alone where it has none.
//!
//! The frozen product is made once for all rows, whatever adapters they have. Of the terms, too, only so many rows go into one product as
//! do not notice each other ([`RowsTogether`]), so that each is the same to the last bit whoever else is in the batch.

use crate::error::Result;
use crate::rows::RowsTogether;
use crate::split::split;
use mlx_rs::ops::concatenate;
use mlx_rs::{Array, Dtype};
use std::collections::BTreeMap;

/// The two factors of one module of an adapter.
#[derive(Debug)]
pub(crate) struct Factors {
    /// A, f32 [inputs, rank].
    a: Array,
    /// scale·B, f32 [rank, outputs].
    b: Array,
}

impl Factors {
    /// Of A [inputs, rank] and B [rank, outputs], as an adapter has them.
    pub(crate) fn new(a: &Array, b: &Array, scale: f32) -> Result<Factors> {
        Ok(Factors { a: a.clone(), b: b.multiply(Array::from_f32(scale))? })
    }

    /// Asks how many rows of `dtype` go into one product with each.
    pub(crate) fn learn(&self, together: &mut RowsTogether, dtype: Dtype) -> Result<()> {
        together.learn(self.a.dim(0), &self.a, dtype, |x| Ok(x.matmul(&self.a)?))?;
        together.learn(self.b.dim(0), &self.b, Dtype::Float32, |z| Ok(z.matmul(&self.b)?))
    }

    /// x A · scale·B in x's dtype.
    fn term(&self, together: Option<&RowsTogether>, x: &Array) -> Result<Array> {
        let product = |x: &Array, factor: &Array| match together {
            Some(together) => together.product(x, Some(factor), |x| Ok(x.matmul(factor)?)),
            None => Ok(x.matmul(factor)?),
        };
        Ok(product(&product(x, &self.a)?, &self.b)?.as_dtype(x.dtype())?)
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
/// has, or none at all; so many of them go together as `together` knows.
pub(crate) fn add(
    all: &[Beside<'_>],
    together: Option<&RowsTogether>,
    x: &Array,
    y: Array,
    path: &str,
) -> Result<Array> {
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
            Some(factors) => y.add(factors.term(together, x)?)?,
            None => y,
        });
    }
    Ok(if let [sum] = &sums[..] { sum.clone() } else { concatenate(&sums, 0)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlx_rs::ops::indexing::TryIndexOp;
    use mlx_rs::random;

    fn normal(shape: &[i32], seed: u64) -> Array {
        random::normal::<f32>(shape, None, None, &random::key(seed).unwrap()).unwrap()
    }

    /// Of sizes that nothing is known of, and of such that were learned.
    #[test]
    fn a_row_has_the_bits_that_it_has_alone_whoever_has_the_same_adapter() {
        let (inputs, rank, outputs, rows) = (1000, 8, 600, 24);
        let factors = Factors::new(&normal(&[inputs, rank], 1), &normal(&[rank, outputs], 2), 0.5).unwrap();
        let layer = LayerFactors::from([("up".to_owned(), factors)]);
        let (x, y) = (normal(&[rows, 1, inputs], 3), normal(&[rows, 1, outputs], 4));
        let mut learned = RowsTogether::default();
        layer["up"].learn(&mut learned, Dtype::Float32).unwrap();
        for together in [RowsTogether::default(), learned] {
            let of = |x: &Array, y: Array| {
                let beside = [Beside { rows: x.dim(0), factors: Some(&layer) }];
                add(&beside, Some(&together), x, y, "up").unwrap()
            };
            let all = of(&x, y.clone());
            for row in 0..rows {
                let only = |x: &Array| x.try_index((row..row + 1, .., ..)).unwrap();
                assert!(of(&only(&x), only(&y)).eq_values(only(&all)).unwrap(), "row {row}");
            }
        }
    }
}
