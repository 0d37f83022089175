//! A matrix packed by what its inputs say: [`rounding`](super::rounding) led through the groups of a whole matrix.
//!
//! It begins with two packings: the nearest one on MLX's own grid, which is what `mlx_lm.fuse` writes, and, on the grid that the base has
//! where that is packed alike, one whose columns make up for one another. A base's values lie on its grid already, so there only the
//! change is rounded; MLX's own grid is laid anew and moves every value. The second is then led to less error, sweep by sweep.
//!
//! Promise: in each row the error e H eᵀ is at most that of the nearest packing. Where it came out larger, the row is the nearest one.

use super::inputs::Gram;
use super::rounding::{self, Grid, Group, Rows, packed};
use crate::error::{EngineError, Result};
use half::{bf16, f16};
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::{concatenate, dequantize, quantize, select};
use mlx_rs::{Array, Dtype};
use vertigo_model::shape::Packing;

/// Times that all groups are led to less error. The first brings most of it.
const SWEEPS: usize = 2;

/// Codes and grids of a matrix, by group of columns: [rows, columns of the group] and [rows].
struct Codes {
    groups: Vec<(Vec<Grid>, Vec<u8>)>,
    columns: usize,
    bits: usize,
}

/// Packs `weight`, f32 [outputs, inputs], whose inputs' products are `gram`: packed words, scales and biases in `dtype`. `base` is the
/// base's scales and biases where it is packed alike.
pub(super) fn pack(
    weight: &Array,
    gram: &Gram,
    Packing { group_size, bits }: Packing,
    dtype: Dtype,
    base: Option<[&Array; 2]>,
) -> Result<[Array; 3]> {
    let (group, bits) = (group_size as i32, bits as i32);
    let (words, scales, biases) = quantize(weight.as_dtype(dtype)?, group, bits)?;
    let error = |words: &Array, scales: &Array, biases: &Array| -> Result<Array> {
        let f32 = |x: &Array| x.as_dtype(Dtype::Float32);
        Ok(dequantize(words, f32(scales)?, &f32(biases)?, group, bits)?.subtract(weight)?)
    };
    let of_rows = |error: &Array| -> Result<Array> { Ok(error.matmul(&gram.h)?.multiply(error)?.sum_axis(1, true)?) };
    let nearest = of_rows(&error(&words, &scales, &biases)?)?;
    nearest.eval()?;

    let [from_scales, from_biases] = base.unwrap_or([&scales, &biases]);
    let mut codes = Codes::feed_back(weight, gram, [from_scales, from_biases], group as usize, bits as usize)?;
    for _ in 0..SWEEPS {
        codes.descend(weight, gram, stored_as(dtype))?;
    }
    let ours = codes.tensors(weight.dim(0) as usize, dtype)?;
    let better = of_rows(&error(&ours[0], &ours[1], &ours[2])?)?.lt(&nearest)?;
    let [a, b, c] = [words, scales, biases];
    let mut packed = Vec::new();
    for (ours, nearest) in ours.iter().zip([a, b, c]) {
        let chosen = select(&better, ours, nearest)?;
        chosen.eval()?;
        packed.push(chosen);
    }
    packed.try_into().map_err(|_| EngineError::input("three tensors make a packed matrix"))
}

impl Codes {
    /// Rounds the groups from left to right, each making up for those before it, on grids of these scales and biases.
    fn feed_back(weight: &Array, gram: &Gram, grid: [&Array; 2], group: usize, bits: usize) -> Result<Codes> {
        let [scales, biases] = [values(grid[0])?, values(grid[1])?];
        let (rows, columns) = (weight.dim(0) as usize, weight.dim(1) as usize);
        let all = columns / group;
        let mut codes = Codes { groups: Vec::with_capacity(all), columns, bits };
        let mut aim = weight.clone();
        for n in 0..all {
            let at = (n * group) as i32..((n + 1) * group) as i32;
            let grid = |row: usize| Grid { scale: scales[row * all + n], bias: biases[row * all + n] };
            let mut grids: Vec<Grid> = (0..rows).map(grid).collect();
            let mut made = vec![0; rows * group];
            let wanted = values(&weight.try_index((.., at.clone()))?)?;
            let mut errors = values(&aim.try_index((.., at.clone()))?)?;
            let coupling = values(&gram.u.try_index((at.clone(), at.clone()))?)?;
            let shared = codes.shared(group, &coupling, |x| x);
            let of_rows = Rows { grids: &mut grids, codes: &mut made };
            rounding::feed_back(&shared, of_rows, &wanted, &mut errors);
            codes.groups.push((grids, made));
            let errors = Array::from_slice(&errors, &[rows as i32, group as i32]);
            aim = aim.subtract(errors.matmul(gram.u.try_index((at, ..))?)?)?;
            aim.eval()?;
        }
        Ok(codes)
    }

    /// Leads each group to less error while the others stay.
    fn descend(&mut self, weight: &Array, gram: &Gram, stored: fn(f32) -> f32) -> Result<()> {
        let group = self.columns / self.groups.len();
        let rows = weight.dim(0);
        let mut slope = self.values(rows)?.subtract(weight)?.matmul(&gram.h)?;
        slope.eval()?;
        for n in 0..self.groups.len() {
            let at = (n * group) as i32..((n + 1) * group) as i32;
            let coupling = values(&gram.h.try_index((at.clone(), at.clone()))?)?;
            let mut moved = values(&slope.try_index((.., at.clone()))?)?;
            let shared = Group { stored, ..self.shared(group, &coupling, stored) };
            let (grids, codes) = &mut self.groups[n];
            rounding::descend(&shared, Rows { grids, codes }, &mut moved);
            let moved = Array::from_slice(&moved, &[rows, group as i32]);
            slope = slope.add(moved.matmul(gram.h.try_index((at, ..))?)?)?;
            slope.eval()?;
        }
        Ok(())
    }

    fn shared<'a>(&self, columns: usize, coupling: &'a [f32], stored: fn(f32) -> f32) -> Group<'a> {
        Group { columns, code_max: ((1u16 << self.bits) - 1) as u8, coupling, stored }
    }

    /// What the codes stand for, f32 [rows, columns].
    fn values(&self, rows: i32) -> Result<Array> {
        let mut parts = Vec::with_capacity(self.groups.len());
        for (grids, codes) in &self.groups {
            let columns = codes.len() / grids.len();
            let of_row = |(grid, codes): (&Grid, &[u8])| codes.iter().map(|code| grid.value(*code)).collect::<Vec<_>>();
            let part: Vec<f32> = grids.iter().zip(codes.chunks(columns)).flat_map(of_row).collect();
            parts.push(Array::from_slice(&part, &[rows, columns as i32]));
        }
        Ok(concatenate(&parts, 1)?)
    }

    /// The packed matrix: words, scales and biases.
    fn tensors(&self, rows: usize, dtype: Dtype) -> Result<[Array; 3]> {
        let all = self.groups.len();
        let group = self.columns / all;
        let (mut codes, mut scales, mut biases) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..rows {
            for (grids, of_group) in &self.groups {
                codes.extend_from_slice(&of_group[row * group..(row + 1) * group]);
                scales.push(grids[row].scale);
                biases.push(grids[row].bias);
            }
        }
        let words = packed(&codes, self.columns, self.bits);
        let words = Array::from_slice(&words, &[rows as i32, (self.columns * self.bits / 32) as i32]);
        let of_groups = |x: &[f32]| Array::from_slice(x, &[rows as i32, all as i32]).as_dtype(dtype);
        Ok([words, of_groups(&scales)?, of_groups(&biases)?])
    }
}

/// An array's values in f32, by rows.
fn values(x: &Array) -> Result<Vec<f32>> {
    let x = x.as_dtype(Dtype::Float32)?.contiguous()?;
    Ok(x.try_as_slice::<f32>().map_err(|e| EngineError::input(format!("MLX: {e}")))?.to_vec())
}

/// How a number of a grid comes back once it is stored in `dtype`.
fn stored_as(dtype: Dtype) -> fn(f32) -> f32 {
    match dtype {
        Dtype::Bfloat16 => |x| bf16::from_f32(x).to_f32(),
        Dtype::Float16 => |x| f16::from_f32(x).to_f32(),
        _ => |x| x,
    }
}

#[cfg(test)]
mod tests;
