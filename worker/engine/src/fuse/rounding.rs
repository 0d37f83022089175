//! Which codes a group of a packed matrix gets, and which grid: the arithmetic of one group of columns, row by row, without MLX.
//!
//! A packed row has, for each group of its columns, a grid of evenly spaced values, `scale·code + bias`. With e the difference of the
//! packed row from the one that is wanted and H = Σ x xᵀ over inputs x of the matrix, what the packing does to its outputs is
//! e H eᵀ: the **error**. Rounding each value to the nearest step minimises e eᵀ, which is the same only where inputs are not
//! correlated.
//!
//! Two steps make it small, and [`calibrated`](super::calibrated) leads both through the groups of a matrix:
//! - [`feed_back`] rounds column by column, and each column makes up for the columns before it (Frantar et al., "GPTQ", 2022, in the form
//!   of Chee et al., "QuIP", 2023: with H = U D Uᵀ, U unit upper triangular, column k aims at w_k − Σ_{j<k} e_j U_jk).
//! - [`descend`] then holds all other groups as they are and moves one group to less error: first its grid, by least squares, then single
//!   codes.
//!
//! Promises: rows do not depend on one another, and sums are added in one order, so the same input gives the same bits on any number
//! of threads. `descend` never makes the error of a row larger, but for what f32 cannot see.

use std::num::NonZero;
use std::thread;

/// Times that a group's grid and then its codes are moved, until they fit each other.
const ROUNDS: usize = 2;

/// Rows that are worth a thread of their own.
const ROWS_OF_THREAD_MIN: usize = 64;

/// The values that codes of a group stand for: code·scale + bias.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    pub(super) scale: f32,
    pub(super) bias: f32,
}

impl Grid {
    pub(super) fn value(self, code: u8) -> f32 {
        self.scale * f32::from(code) + self.bias
    }

    /// The code whose value is the nearest.
    pub(super) fn nearest(self, value: f32, code_max: u8) -> u8 {
        let code = (value - self.bias) / self.scale;
        // What is no number, because the scale is 0, becomes 0.
        code.round_ties_even().clamp(0.0, f32::from(code_max)) as u8
    }
}

/// What all rows of a group share.
pub(super) struct Group<'a> {
    /// Its columns.
    pub(super) columns: usize,
    /// The largest code.
    pub(super) code_max: u8,
    /// The group's own part of U or of H, [columns, columns] by rows.
    pub(super) coupling: &'a [f32],
    /// How numbers of grids are stored.
    pub(super) stored: fn(f32) -> f32,
}

/// A group of some rows: each a grid, and a code for each column.
pub(super) struct Rows<'a> {
    pub(super) grids: &'a mut [Grid],
    pub(super) codes: &'a mut [u8],
}

/// Rounds `wanted` [rows, columns] on the rows' grids. `aim` is what is wanted once the groups before are made up for; it comes back as the
/// errors of these columns, which the groups after make up for.
pub(super) fn feed_back(group: &Group<'_>, rows: Rows<'_>, wanted: &[f32], aim: &mut [f32]) {
    let n = group.columns;
    in_threads(n, rows, aim, |first, rows, aim| {
        let wanted = &wanted[first * n..];
        for (row, grid) in rows.grids.iter().enumerate() {
            let at = row * n..(row + 1) * n;
            let (codes, aim, wanted) = (&mut rows.codes[at.clone()], &mut aim[at.clone()], &wanted[at]);
            for k in 0..n {
                codes[k] = grid.nearest(aim[k], group.code_max);
                let error = grid.value(codes[k]) - wanted[k];
                let (after, coupling) = (&mut aim[k + 1..], &group.coupling[k * n + k + 1..(k + 1) * n]);
                after.iter_mut().zip(coupling).for_each(|(aim, u)| *aim -= error * u);
                aim[k] = error;
            }
        }
    });
}

/// Moves grids and codes to less error. `slope` [rows, columns] is (e H) in these columns; it comes back as how far each value moved.
pub(super) fn descend(group: &Group<'_>, rows: Rows<'_>, slope: &mut [f32]) {
    let n = group.columns;
    // H·1, of which the grid's bias makes use.
    let sums: Vec<f32> = group.coupling.chunks(n).map(|row| row.iter().sum()).collect();
    let total: f32 = sums.iter().sum();
    in_threads(n, rows, slope, |_, rows, slope| {
        let mut moved = vec![0.0; n];
        for (row, grid) in rows.grids.iter_mut().enumerate() {
            let (codes, slope) = (&mut rows.codes[row * n..(row + 1) * n], &mut slope[row * n..(row + 1) * n]);
            moved.fill(0.0);
            for _ in 0..ROUNDS {
                fit_grid(group, (&sums, total), grid, codes, slope, &mut moved);
                move_codes(group, *grid, codes, slope, &mut moved);
            }
            slope.copy_from_slice(&moved);
        }
    });
}

/// The grid of one row that makes its error smallest with these codes: two unknowns. It is taken as it is stored, where that is better
/// than what there was.
fn fit_grid(
    group: &Group<'_>,
    (sums, total): (&[f32], f32),
    grid: &mut Grid,
    codes: &[u8],
    slope: &mut [f32],
    moved: &mut [f32],
) {
    let n = group.columns;
    // H·codes.
    let mut along = vec![0.0; n];
    for (code, h) in codes.iter().zip(group.coupling.chunks(n)).filter(|(code, _)| **code > 0) {
        along.iter_mut().zip(h).for_each(|(sum, h)| *sum += f32::from(*code) * h);
    }
    let dot = |x: &[f32]| codes.iter().zip(x).map(|(code, x)| f64::from(*code) * f64::from(*x)).sum::<f64>();
    let (a, b, c) = (dot(&along), dot(sums), f64::from(total));
    let (of_scale, of_bias) = (dot(slope), slope.iter().copied().map(f64::from).sum::<f64>());
    let determinant = a * c - b * b;
    if determinant <= 1e-9 * a * c {
        return; // All codes are alike: scale and bias say the same.
    }
    let scale = f64::from(grid.scale) - (c * of_scale - b * of_bias) / determinant;
    let bias = f64::from(grid.bias) - (a * of_bias - b * of_scale) / determinant;
    let fitted = Grid { scale: (group.stored)(scale as f32), bias: (group.stored)(bias as f32) };
    let (d, e) = (fitted.scale - grid.scale, fitted.bias - grid.bias);
    let (dd, ee) = (f64::from(d), f64::from(e));
    let change = 2.0 * (dd * of_scale + ee * of_bias) + dd * dd * a + 2.0 * dd * ee * b + ee * ee * c;
    // A scale of 0 would take the codes their meaning.
    if change < 0.0 && fitted.scale.is_normal() && fitted.bias.is_finite() {
        *grid = fitted;
        for j in 0..n {
            slope[j] += d * along[j] + e * sums[j];
            moved[j] += d * f32::from(codes[j]) + e;
        }
    }
}

/// Moves each code of one row to where the error is smallest while the others stay.
fn move_codes(group: &Group<'_>, grid: Grid, codes: &mut [u8], slope: &mut [f32], moved: &mut [f32]) {
    let n = group.columns;
    for j in 0..n {
        let h = &group.coupling[j * n..(j + 1) * n];
        let best = grid.nearest(grid.value(codes[j]) - slope[j] / h[j], group.code_max);
        if best != codes[j] {
            let step = grid.scale * (f32::from(best) - f32::from(codes[j]));
            // Where h is 0 nothing is known of this column.
            if 2.0 * step * slope[j] + step * step * h[j] < 0.0 {
                codes[j] = best;
                moved[j] += step;
                slope.iter_mut().zip(h).for_each(|(slope, h)| *slope += step * h);
            }
        }
    }
}

/// Does `work` on parts of the rows, side by side. It is told the first row of its part.
fn in_threads(
    columns: usize,
    rows: Rows<'_>,
    values: &mut [f32],
    work: impl Fn(usize, Rows<'_>, &mut [f32]) + Send + Sync,
) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let part = rows.grids.len().div_ceil(threads).max(ROWS_OF_THREAD_MIN);
    thread::scope(|scope| {
        let work = &work;
        let grids = rows.grids.chunks_mut(part);
        let parts = grids.zip(rows.codes.chunks_mut(part * columns)).zip(values.chunks_mut(part * columns));
        for (n, ((grids, codes), values)) in parts.enumerate() {
            scope.spawn(move || work(n * part, Rows { grids, codes }, values));
        }
    });
}

/// Codes of `columns` columns a row as MLX packs them: a stream of bits for each row, the lowest first, in words of 32.
pub(super) fn packed(codes: &[u8], columns: usize, bits: usize) -> Vec<u32> {
    let words = columns * bits / 32;
    let mut packed = vec![0; codes.len() / columns * words];
    for (row, words) in codes.chunks(columns).zip(packed.chunks_mut(words)) {
        for (n, code) in row.iter().enumerate() {
            let (word, shift) = (n * bits / 32, n * bits % 32);
            let value = u64::from(*code) << shift;
            words[word] |= value as u32;
            if shift + bits > 32 {
                words[word + 1] |= (value >> 32) as u32;
            }
        }
    }
    packed
}

#[cfg(test)]
mod tests;
