//! Whether anything on one side is like anything on another: for certain, without MinHash.
//!
//! Rows that share as much as the threshold says have one of a few of their shingles in common (a prefix filter, as in *Scaling Up All
//! Pairs Similarity Search*, Bayardo and others, 2007): of `n` shingles in any one order, the first `n - ⌈threshold · n⌉ + 1`. The order
//! here puts seldom ones first, so that few rows have to be compared.
//!
//! Promise: a row is found like another just where one is; the first one, by its place. A row that was found costs nothing any more.

use super::shingles::{Kept, Shingles};
use crate::parallel;
use crate::row::Body;
use std::collections::{HashMap, HashSet};
use vertigo_evaluation::contamination::mixed;

/// Shingles are counted in so many places, a power of two. Two that share one are only taken for more common than they are.
const COUNTS: usize = 1 << 22;

/// Rows whose shingles are held at once.
const ROWS_AT_ONCE: usize = 4096;

/// What shares of numbers may be off by where they are not exact in binary.
const EPSILON: f64 = 1e-9;

/// One that a row is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Like {
    /// Its place among `others`.
    pub(crate) other: u32,
    /// How much both share.
    pub(crate) jaccard: f64,
}

/// For each of `rows` the first of `others` that shares at least `threshold` with it.
pub(crate) fn like(rows: &[&Body], others: &[&Body], threshold: f64) -> Vec<Option<Like>> {
    let order = Order::of(rows);
    let mut index = Index::of(rows, &order, threshold);
    let mut found: Vec<Option<Like>> = vec![None; rows.len()];
    let mut kept = Kept::new(rows);
    let mut seen: HashSet<u128> = HashSet::new();
    for (part, others) in others.chunks(ROWS_AT_ONCE).enumerate() {
        let ready = parallel::map(others, |body| {
            let shingles = Shingles::of(body);
            (digest(&shingles), order.prefix(&shingles, threshold), shingles)
        });
        for (n, (digest, prefix, shingles)) in ready.iter().enumerate() {
            // What has the same shingles as one before finds nothing that was not found.
            if !seen.insert(*digest) {
                continue;
            }
            for row in index.candidates(prefix, shingles.as_slice().len(), threshold) {
                let jaccard = kept.of(row).jaccard(shingles);
                if jaccard >= threshold {
                    index.is_found[row as usize] = true;
                    found[row as usize] = Some(Like { other: (part * ROWS_AT_ONCE + n) as u32, jaccard });
                }
            }
        }
    }
    // Those with the same shingles are like the same row.
    index.standing_for.iter().map(|first| first.and_then(|first| found[first as usize])).collect()
}

/// Names shingles well enough that no two rows of any dataset share it by chance.
fn digest(shingles: &Shingles) -> u128 {
    let fold =
        |begin: u64| shingles.as_slice().iter().fold(begin, |hash, shingle| mixed(hash.rotate_left(23) ^ shingle));
    u128::from(fold(1)) << 64 | u128::from(fold(2))
}

/// How common shingles are.
struct Order {
    counts: Vec<u32>,
}

impl Order {
    fn of(rows: &[&Body]) -> Order {
        let mut counts = vec![0u32; COUNTS];
        for rows in rows.chunks(ROWS_AT_ONCE) {
            for shingles in parallel::map(rows, |body| Shingles::of(body)) {
                shingles.as_slice().iter().for_each(|shingle| counts[Order::place(*shingle)] += 1);
            }
        }
        Order { counts }
    }

    fn place(shingle: u64) -> usize {
        shingle as usize % COUNTS
    }

    /// The shingles of a row of which one that is like it has at least one among its own.
    fn prefix(&self, shingles: &Shingles, threshold: f64) -> Vec<u64> {
        let all = shingles.as_slice();
        let shared = (threshold * all.len() as f64 - EPSILON).ceil().max(1.0) as usize;
        let mut seldom_first: Vec<(u32, u64)> =
            all.iter().map(|shingle| (self.counts[Order::place(*shingle)], *shingle)).collect();
        let length = (all.len() + 1).saturating_sub(shared).min(all.len());
        if length > 0 && length < all.len() {
            seldom_first.select_nth_unstable(length - 1);
        }
        seldom_first[..length].iter().map(|(_, shingle)| *shingle).collect()
    }
}

/// The rows that have a shingle in their prefix.
struct Index {
    /// Where a shingle's rows begin, and how many they are.
    places: HashMap<u64, (u32, u32)>,
    rows: Vec<u32>,
    lengths: Vec<u32>,
    /// Which row with the same shingles stands for each; `None` of one without any.
    standing_for: Vec<Option<u32>>,
    is_found: Vec<bool>,
}

impl Index {
    fn of(rows: &[&Body], order: &Order, threshold: f64) -> Index {
        let mut postings: Vec<(u64, u32)> = Vec::new();
        let mut firsts: HashMap<u128, u32> = HashMap::new();
        let (mut lengths, mut standing_for) = (Vec::new(), Vec::new());
        for part in rows.chunks(ROWS_AT_ONCE) {
            let ready = parallel::map(part, |body| {
                let shingles = Shingles::of(body);
                (digest(&shingles), shingles.as_slice().len() as u32, order.prefix(&shingles, threshold))
            });
            for (digest, length, prefix) in ready {
                let row = lengths.len() as u32;
                lengths.push(length);
                let first = *firsts.entry(digest).or_insert(row);
                standing_for.push((length > 0).then_some(first));
                if first == row {
                    postings.extend(prefix.into_iter().map(|shingle| (shingle, row)));
                }
            }
        }
        postings.sort_unstable();
        let mut places = HashMap::new();
        let mut at = 0;
        for same in postings.chunk_by(|one, other| one.0 == other.0) {
            places.insert(same[0].0, (at, same.len() as u32));
            at += same.len() as u32;
        }
        let is_found = vec![false; lengths.len()];
        Index { places, rows: postings.into_iter().map(|(_, row)| row).collect(), lengths, standing_for, is_found }
    }

    /// The rows that may be like one with this prefix and so many shingles. Rows that were found are forgotten as they are come upon.
    fn candidates(&mut self, prefix: &[u64], length: usize, threshold: f64) -> Vec<u32> {
        let length = length as f64;
        let (least, most) = (threshold * length - EPSILON, length / threshold + EPSILON);
        let mut candidates = Vec::new();
        for shingle in prefix {
            let Some((begin, count)) = self.places.get_mut(shingle) else { continue };
            let mut at = 0;
            while at < *count {
                let row = self.rows[(*begin + at) as usize];
                if self.is_found[row as usize] {
                    *count -= 1;
                    self.rows.swap((*begin + at) as usize, (*begin + *count) as usize);
                    continue;
                }
                at += 1;
                let theirs = f64::from(self.lengths[row as usize]);
                if theirs >= least && theirs <= most {
                    candidates.push(row);
                }
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}
