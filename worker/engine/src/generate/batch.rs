//! The caches of all answers under way, one row each, and how rows join and leave.
//!
//! The states of gated delta layers lie side by side, so that a token takes one product for all answers; they are copied when a row joins
//! or leaves, and not at every token. Keys and values stay with their sequence.

use super::request::AdapterId;
use crate::error::Result;
use crate::past::{KeysValues, Past, Recurrent};
use mlx_rs::ops::concatenate;
use mlx_rs::transforms::eval;
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

/// Takes the caches of the row `at` out of `all`, which keeps the row without its keys and values until [`keep_rows`].
pub(super) fn take_row(all: &mut Pasts, at: usize) -> Result<Pasts> {
    let row = Array::from_slice(&[at as i32], &[1]);
    let of = |past: &mut Past| -> Result<Past> {
        Ok(match past {
            Past::Full(sequences) => Past::Full(vec![std::mem::take(&mut sequences[at])]),
            Past::Linear(recurrent) => Past::Linear(Recurrent {
                tail: recurrent.tail.take_axis(&row, 0)?,
                state: recurrent.state.take_axis(&row, 0)?,
            }),
        })
    };
    let one: Pasts = all.iter_mut().map(of).collect::<Result<_>>()?;
    eval(arrays(&one))?;
    Ok(one)
}

/// The caches of one sequence without room for more, and with keys and values from the token `start` on alone. Layer by layer: where
/// `one` is not held elsewhere, no more than one layer is in memory twice.
pub(super) fn without_room(one: Pasts, start: i32) -> Result<Pasts> {
    let of = |past: Past| -> Result<Past> {
        let past = match past {
            Past::Full(sequences) => {
                let since = |sequence: KeysValues| sequence.since(start);
                let kept = sequences.into_iter().map(since).collect::<Result<Vec<_>>>()?;
                Past::Full(kept.into_iter().map(|kept| kept.map_or_else(KeysValues::default, of_both)).collect())
            }
            Past::Linear(recurrent) => Past::Linear(recurrent),
        };
        eval(past.arrays())?;
        Ok(past)
    };
    one.into_iter().map(of).collect()
}

/// One sequence again, from its parts, each from where the one before ends: keys and values of all of them, states of the last. Layer by
/// layer, as [`without_room`].
pub(super) fn whole(parts: Vec<Pasts>) -> Result<Pasts> {
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    let mut all = Pasts::new();
    loop {
        let mut layer: Vec<Past> = parts.iter_mut().filter_map(Iterator::next).collect();
        let Some(last) = layer.pop() else { return Ok(all) };
        let past = match &last {
            Past::Linear(_) => last,
            Past::Full(_) => {
                let mut halves: [Vec<Array>; 2] = Default::default();
                for part in layer.drain(..).chain([last]) {
                    if let [keys, values] = part.arrays()[..] {
                        halves[0].push(keys.clone());
                        halves[1].push(values.clone());
                    }
                }
                let [keys, values] = halves;
                let both = [concatenate(&keys, 1)?, concatenate(&values, 1)?];
                eval(&both)?;
                Past::Full(vec![of_both(both)])
            }
        };
        all.push(past);
    }
}

fn of_both([keys, values]: [Array; 2]) -> KeysValues {
    KeysValues::of(keys, values)
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
