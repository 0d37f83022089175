//! An array in parts whose gradients are no larger than the parts.
//!
//! The gradient of an index is as large as what it was taken from: N of them, one for each part of a sequence, make a square of its
//! length. That of MLX's split is a single concatenation, but only up to [`MOST_PARTS`]; beyond, MLX (0.32, `mlx::core::split`)
//! silently takes indices. So many parts are split off in a tree.

use crate::error::Result;
use mlx_rs::Array;

/// Parts that MLX splits off in one operation.
const MOST_PARTS: usize = 10;

/// `x` cut along `axis` at the positions `cuts`, which ascend: one part more than there are cuts.
///
/// # Errors
/// MLX's.
pub(crate) fn split(x: &Array, cuts: &[i32], axis: i32) -> Result<Vec<Array>> {
    let parts = cuts.len() + 1;
    if parts <= MOST_PARTS {
        return Ok(x.split_at_indices(cuts, axis)?);
    }
    // Each branch has `reach` parts, the last one what is left.
    let reach = parts.div_ceil(MOST_PARTS);
    let between: Vec<i32> = cuts.iter().copied().skip(reach - 1).step_by(reach).collect();
    let mut all = Vec::with_capacity(parts);
    for (n, branch) in x.split_at_indices(&between, axis)?.iter().enumerate() {
        let first = n * reach;
        let start = if n == 0 { 0 } else { between[n - 1] };
        let within = &cuts[first..cuts.len().min(first + reach - 1)];
        let within: Vec<i32> = within.iter().map(|cut| cut - start).collect();
        all.extend(split(branch, &within, axis)?);
    }
    Ok(all)
}

/// `x` cut along `axis` into pieces of `size`, the last one shorter where they do not come out even.
///
/// # Errors
/// MLX's.
pub(crate) fn pieces(x: &Array, size: i32, axis: i32) -> Result<Vec<Array>> {
    let cuts: Vec<i32> = (size..x.dim(axis)).step_by(size as usize).collect();
    split(x, &cuts, axis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlx_rs::ops::indexing::TryIndexOp;
    use mlx_rs::transforms::fallible_vjp;

    fn same(x: &Array, y: &Array) -> bool {
        x.shape() == y.shape() && x.eq_values(y).unwrap()
    }

    /// Below, at and above what one operation splits, and what two levels do.
    #[test]
    fn pieces_are_the_ranges_they_name_and_so_are_their_gradients() {
        for (length, size) in [(1, 1), (7, 3), (10, 1), (11, 1), (99, 10), (32, 1), (101, 1), (130, 1), (1003, 3)] {
            let count = |from: i32| (from..from + 2 * length).map(|n| n as f32).collect::<Vec<f32>>();
            let x = Array::from_slice(&count(0), &[2, length]);
            let range = |x: &Array, n: i32| x.try_index((.., n * size..length.min((n + 1) * size))).unwrap();
            let all = pieces(&x, size, 1).unwrap();
            assert_eq!(all.len() as i32, (length + size - 1) / size, "{length} by {size}");
            for (n, piece) in (0..).zip(&all) {
                assert!(same(piece, &range(&x, n)), "{length} by {size}, piece {n}");
            }
            let cotangent = Array::from_slice(&count(7), &[2, length]);
            let cotangents: Vec<Array> = (0..all.len() as i32).map(|n| range(&cotangent, n)).collect();
            let in_pieces = |x: &[Array]| -> mlx_rs::error::Result<Vec<Array>> { Ok(pieces(&x[0], size, 1).unwrap()) };
            let (_, gradients) = fallible_vjp(in_pieces, &[x], &cotangents).unwrap();
            assert!(same(&gradients[0], &cotangent), "{length} by {size}");
        }
    }
}
