//! What keeps the rows of a batch apart: each is computed as if it were alone, to the last bit, and with its own adapter.
//!
//! A BLAS has several kernels for a product of few rows and picks by their number, and the kernels add in different orders: with
//! OpenBLAS 0.3.21 on two threads the rows of a product of five come out in two different ways. So a batch's rows are multiplied in
//! groups that are no larger than what gives each row the bits that it has alone. How large that is, is asked of MLX itself, matrix by
//! matrix ([`RowsTogether::learn`]), and not known beforehand. Packed matrices on the processor have no such limit.

use crate::error::Result;
use crate::split::pieces;
use mlx_rs::ops::{broadcast_to, concatenate};
use mlx_rs::transforms::eval;
use mlx_rs::{Array, random};
use std::collections::BTreeMap;

/// Rows that are tried at the most. A group of so many costs little more than one without end.
const ROWS_MAX: i32 = 16;

/// The sizes that tell how a product is computed: columns of x, rows of the matrix, and the width of a stored row.
type Sizes = [i32; 3];

/// How many rows each matrix takes at once.
#[derive(Debug, Default)]
pub(crate) struct RowsTogether(BTreeMap<Sizes, i32>);

impl RowsTogether {
    /// Tries what `product` does with more and more rows that are all the same, unless that is known of matrices of these sizes.
    pub(crate) fn learn(
        &mut self,
        inputs: i32,
        weight: &Array,
        dtype: mlx_rs::Dtype,
        product: impl Fn(&Array) -> Result<Array>,
    ) -> Result<()> {
        let sizes = [inputs, weight.dim(0), weight.dim(1)];
        if self.0.contains_key(&sizes) {
            return Ok(());
        }
        let row = random::normal::<f32>(&[1, 1, inputs], None, None, &random::key(1)?)?.as_dtype(dtype)?;
        let alone = product(&row)?;
        let mut rows = 1;
        while rows < ROWS_MAX {
            let next = rows + 1;
            let all = product(&broadcast_to(&row, &[next, 1, inputs])?.contiguous()?)?;
            let same = all.eq(&alone)?.all(None)?;
            eval([&same])?;
            if !same.item_exact::<bool>() {
                break;
            }
            rows = next;
        }
        self.0.insert(sizes, rows);
        Ok(())
    }

    /// `product` of x [B, T, H], of which rows B go together only as far as they do not notice. One row at a time where nothing was
    /// learned of the matrix.
    pub(crate) fn product(
        &self,
        x: &Array,
        weight: Option<&Array>,
        product: impl Fn(&Array) -> Result<Array>,
    ) -> Result<Array> {
        let sizes = weight.map(|weight| [x.dim(-1), weight.dim(0), weight.dim(1)]);
        let rows = sizes.and_then(|sizes| self.0.get(&sizes)).copied().unwrap_or(1);
        if x.dim(0) <= rows {
            return product(x);
        }
        // In groups as even as can be: five rows where four go together are three and two.
        let groups = (x.dim(0) + rows - 1) / rows;
        let even = (x.dim(0) + groups - 1) / groups;
        let groups: Vec<Array> = pieces(x, even, 0)?.iter().map(product).collect::<Result<_>>()?;
        Ok(concatenate(&groups, 0)?)
    }
}
