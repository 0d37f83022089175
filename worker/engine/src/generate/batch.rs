//! The caches of all answers under way, one row each, and how rows join and leave.
//!
//! The states of gated delta layers lie side by side, so that a token takes one product for all answers; they are copied when a row joins
//! or leaves, and not at every token. Keys and values stay with their sequence.

use super::request::AdapterId;
use crate::error::Result;
use crate::past::{KeysValues, Past, Recurrent};
use mlx_rs::ops::concatenate;
use mlx_rs::{Array, Dtype};

/// The caches of one sequence, or of several side by side: one [`Past`] for each layer.
pub(super) type Pasts = Vec<Past>;

/// Puts the sequence `one` between the rows of `all`, as its row `at`. `all` is empty or has as many layers.
pub(super) fn join(all: &mut Pasts, one: Pasts, at: usize) -> Result<()> {
    if all.is_empty() {
        *all = one;
        return Ok(());
    }
    for (all, one) in all.iter_mut().zip(one) {
        match (all, one) {
            (Past::Full(all), Past::Full(mut one)) => all.splice(at..at, one.drain(..)).for_each(drop),
            (Past::Linear(all), Past::Linear(one)) => {
                all.tail = with_row(&all.tail, &one.tail, at as i32)?;
                all.state = with_row(&all.state, &one.state, at as i32)?;
            }
            _ => unreachable!("both are of the same layer"),
        }
    }
    Ok(())
}

/// Keeps of `all` only the rows `staying`, which ascend.
pub(super) fn keep_rows(all: &mut Pasts, staying: &[usize]) -> Result<()> {
    if staying.is_empty() {
        all.clear();
        return Ok(());
    }
    let rows = Array::from_iter(staying.iter().map(|&row| row as i32), &[staying.len() as i32]);
    for past in all {
        match past {
            Past::Full(sequences) => {
                let mut row = 0;
                sequences.retain(|_| {
                    row += 1;
                    staying.contains(&(row - 1))
                });
            }
            Past::Linear(recurrent) => {
                recurrent.tail = recurrent.tail.take_axis(&rows, 0)?;
                recurrent.state = recurrent.state.take_axis(&rows, 0)?;
            }
        }
    }
    Ok(())
}

/// A copy of the row `at`, with keys and values from the token `start` on alone.
pub(super) fn copy_of(all: &Pasts, at: usize, start: i32) -> Result<Pasts> {
    let row = Array::from_slice(&[at as i32], &[1]);
    let of = |past: &Past| -> Result<Past> {
        Ok(match past {
            Past::Full(sequences) => {
                let kept = sequences[at].since(start)?;
                Past::Full(vec![kept.map_or_else(KeysValues::default, |[k, v]| KeysValues::of(k, v))])
            }
            Past::Linear(recurrent) => Past::Linear(Recurrent {
                tail: recurrent.tail.take_axis(&row, 0)?,
                state: recurrent.state.take_axis(&row, 0)?,
            }),
        })
    };
    all.iter().map(of).collect()
}

/// One sequence again, from copies of its parts, each from where the one before ends: keys and values of all of them, states of the last.
pub(super) fn whole(parts: &[&Pasts]) -> Result<Pasts> {
    let Some(last) = parts.last() else { return Ok(Pasts::new()) };
    let of = |layer: usize| -> Result<Past> {
        let Past::Full(_) = last[layer] else { return Ok(last[layer].clone()) };
        let mut halves: [Vec<&Array>; 2] = Default::default();
        for part in parts {
            if let [keys, values] = part[layer].arrays()[..] {
                halves[0].push(keys);
                halves[1].push(values);
            }
        }
        let [keys, values] = [concatenate(&halves[0], 1)?, concatenate(&halves[1], 1)?];
        Ok(Past::Full(vec![KeysValues::of(keys, values)]))
    };
    (0..last.len()).map(of).collect()
}

/// All arrays, for evaluation and for counting.
pub(super) fn arrays(pasts: &Pasts) -> impl Iterator<Item = &Array> {
    pasts.iter().flat_map(Past::arrays)
}

/// The bytes of all arrays.
pub(super) fn bytes(pasts: &Pasts) -> u64 {
    arrays(pasts).map(|x| x.nbytes() as u64).sum()
}

fn with_row(all: &Array, one: &Array, at: i32) -> Result<Array> {
    let rows = |from: i32, to: i32| all.take_axis(Array::from_iter(from..to, &[to - from]), 0);
    let mut parts = Vec::with_capacity(3);
    if at > 0 {
        parts.push(rows(0, at)?);
    }
    parts.push(one.clone());
    if at < all.dim(0) {
        parts.push(rows(at, all.dim(0))?);
    }
    Ok(concatenate(&parts, 0)?)
}

/// Neighbouring rows with the same adapter, of rows that are sorted by it.
pub(super) fn runs(adapters: impl Iterator<Item = Option<AdapterId>>) -> Vec<(i32, Option<AdapterId>)> {
    let mut runs: Vec<(i32, Option<AdapterId>)> = Vec::new();
    for adapter in adapters {
        match runs.last_mut() {
            Some((rows, last)) if *last == adapter => *rows += 1,
            _ => runs.push((1, adapter)),
        }
    }
    runs
}

/// The dtype of activations takes so many bytes.
pub(super) fn value_bytes(dtype: Dtype) -> u64 {
    if dtype == Dtype::Float32 { 4 } else { 2 }
}
