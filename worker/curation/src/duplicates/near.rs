//! Rows that are alike, met by their keys and compared for certain.
//!
//! Rows are taken in one order. Each meets the earlier ones that share a key with it and have not gone, at most [`MET_MAX`] of them, those
//! with the nearest places first; `compare` says what a meeting makes of the row. One that goes is met by nobody after it, so that a
//! hundred thousand rows that are nearly the same cost as many comparisons and not their square.
//!
//! Promise: the time grows with the rows, whatever they say: no row is compared more than [`MET_MAX`] times. Of rows that share keys
//! with no more than so many that stay, none is overlooked but by chance ([`Banding::recall`](super::sketch::Banding::recall)).

use super::sketch::{self, Banding, NO_KEY};
use crate::row::Body;

/// Earlier rows that a row is compared with.
pub const MET_MAX: usize = 64;

const NOBODY: u32 = u32::MAX;

/// What a meeting makes of the later row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It meets others.
    Stays,
    /// Others stand for it.
    Goes,
}

/// Takes the rows in their order and says of each which earlier ones it meets: `compare(row, earlier)`.
pub(crate) fn meet(bodies: &[&Body], threshold: f64, seed: u64, mut compare: impl FnMut(u32, u32) -> After) {
    let banding = Banding::of(threshold);
    let bands = banding.bands;
    let mut links = links(sketch::keys(bodies, banding, seed), bands);
    let mut gone = vec![false; bodies.len()];
    let mut at = vec![NOBODY; bands];
    let mut met: Vec<u32> = Vec::new();
    // Rows are numbered by 32 bits everywhere.
    for row in 0..bodies.len() as u32 {
        let own = row as usize * bands;
        for (band, at) in at.iter_mut().enumerate() {
            let before = links[own + band];
            // The links of one that has gone lead to one that stays, for they were made so when it was taken.
            *at =
                if before != NOBODY && gone[before as usize] { links[before as usize * bands + band] } else { before };
            links[own + band] = *at;
        }
        met.clear();
        gone[row as usize] = meets(&mut at, &links, &mut met, |earlier| compare(row, earlier)) == After::Goes;
    }
}

/// One row's meetings: from each band's nearest to its farthest, the bands in turn.
fn meets(at: &mut [u32], links: &[u32], met: &mut Vec<u32>, mut compare: impl FnMut(u32) -> After) -> After {
    let bands = at.len();
    loop {
        let mut is_end = true;
        for (band, at) in at.iter_mut().enumerate().filter(|(_, at)| **at != NOBODY) {
            is_end = false;
            let earlier = *at;
            *at = links[earlier as usize * bands + band];
            if met.contains(&earlier) {
                continue;
            }
            if compare(earlier) == After::Goes {
                return After::Goes;
            }
            met.push(earlier);
            if met.len() == MET_MAX {
                return After::Stays;
            }
        }
        if is_end {
            return After::Stays;
        }
    }
}

/// Turns each row's keys into the places of the nearest earlier rows with the same ones.
fn links(mut keys: Vec<u32>, bands: usize) -> Vec<u32> {
    let rows = keys.len() / bands.max(1);
    let mut sorted: Vec<u64> = Vec::with_capacity(rows);
    for band in 0..bands {
        sorted.clear();
        let keyed = (0..rows).map(|row| (keys[row * bands + band], row as u64)).filter(|(key, _)| *key != NO_KEY);
        sorted.extend(keyed.map(|(key, row)| u64::from(key) << 32 | row));
        sorted.sort_unstable();
        keys.iter_mut().skip(band).step_by(bands).for_each(|link| *link = NOBODY);
        for pair in sorted.windows(2).filter(|pair| pair[0] >> 32 == pair[1] >> 32) {
            keys[pair[1] as u32 as usize * bands + band] = pair[0] as u32;
        }
    }
    keys
}
