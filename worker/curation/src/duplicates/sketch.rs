//! MinHash with banding: numbers of which two rows have some in common that are alike, found without comparing rows.
//!
//! A row's sketch has `bands × rows` numbers; each is the same for two rows with just the probability that is their Jaccard index. The
//! rows of a band together are its key, and rows that share a key of any band are compared. The numbers are made as in *Fast Similarity
//! Sketching* (Dahlgaard, Knudsen, Thorup, 2017): every shingle is thrown into one of the sketch's places, round after round until none is
//! empty, which costs a few hashes a shingle and not one for each place.
//!
//! Promise: the same keys on any machine. For rows that share the threshold or more, the share that is found is [`Banding::recall`].

use super::shingles;
use crate::parallel;
use crate::row::Body;
use vertigo_evaluation::contamination::mixed;

/// What part of the rows that are just as alike as the threshold says is found at least.
pub const RECALL: f64 = 0.99;

/// Numbers of a sketch. More find no more, but let fewer rows be compared that are not alike.
const NUMBERS_MAX: usize = 128;

/// The key of a row without a word, which has no place in any band.
pub(crate) const NO_KEY: u32 = u32::MAX;

/// How a sketch is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Banding {
    /// Keys of a row.
    pub bands: usize,
    /// Numbers of a key.
    pub rows: usize,
}

impl Banding {
    /// The longest keys with which [`RECALL`] is reached at this Jaccard index. Below 0.04 none reach it, and keys of one number are taken.
    pub fn of(threshold: f64) -> Banding {
        let with = |rows: usize| {
            let missed = 1.0 - threshold.powi(rows as i32);
            // What is too seldom for a float to say needs more bands than there may be.
            let bands = match missed {
                _ if missed <= 0.0 => 1,
                _ if missed >= 1.0 => usize::MAX,
                _ => ((1.0 - RECALL).ln() / missed.ln()).ceil() as usize,
            };
            Banding { bands: bands.max(1), rows }
        };
        let mut fit = (1..=16).map(with).filter(|it| it.bands.saturating_mul(it.rows) <= NUMBERS_MAX);
        fit.next_back().unwrap_or(Banding { bands: NUMBERS_MAX, rows: 1 })
    }

    /// The probability with which two rows of this Jaccard index are compared.
    pub fn recall(self, jaccard: f64) -> f64 {
        1.0 - (1.0 - jaccard.powi(self.rows as i32)).powi(self.bands as i32)
    }
}

/// The keys of all rows, those of a row one after the other.
pub(crate) fn keys(bodies: &[&Body], banding: Banding, seed: u64) -> Vec<u32> {
    thread_local! {
        static ROOM: std::cell::RefCell<(Vec<u64>, Vec<u64>, Vec<u64>)> = const {
            std::cell::RefCell::new((Vec::new(), Vec::new(), Vec::new()))
        };
    }
    parallel::fill(bodies, banding.bands, |body, keys| {
        ROOM.with_borrow_mut(|(words, shingles, numbers)| {
            shingles.clear();
            shingles::push(body, words, shingles);
            if shingles.is_empty() {
                return keys.fill(NO_KEY);
            }
            numbers.resize(banding.bands * banding.rows, 0);
            sketch(shingles, seed, numbers);
            for (key, numbers) in keys.iter_mut().zip(numbers.chunks(banding.rows)) {
                let hash = numbers.iter().fold(seed, |hash, number| mixed(hash.rotate_left(23) ^ *number));
                *key = ((hash >> 32) as u32).min(NO_KEY - 1);
            }
        });
    })
}

/// The sketch of shingles, of which some may be there several times; there is at least one.
fn sketch(shingles: &[u64], seed: u64, numbers: &mut [u64]) {
    let places = numbers.len() as u64;
    numbers.fill(u64::MAX);
    let mut empty = numbers.len();
    for round in 0..2 * places {
        if empty == 0 {
            break;
        }
        // No number of a later round is less than one of an earlier, so that a row that is full stops where any other would.
        let begin = round << 32;
        let salt = mixed(seed.wrapping_add(round + 1));
        for shingle in shingles {
            let hash = mixed(shingle ^ salt);
            // In the second half of the rounds each fills a place of its own, so that there is an end.
            let place = if round < places { ((hash >> 32) * places) >> 32 } else { round - places };
            let number = &mut numbers[place as usize];
            empty -= usize::from(*number == u64::MAX);
            *number = (*number).min(begin | (hash & 0xFFFF_FFFF));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banding_reaches_its_recall_with_few_numbers() {
        assert_eq!(Banding::of(0.8), Banding { bands: 16, rows: 6 });
        assert_eq!(Banding::of(1.0).bands, 1);
        for hundredths in 4..=100 {
            let threshold = f64::from(hundredths) / 100.0;
            let banding = Banding::of(threshold);
            assert!(banding.recall(threshold) >= RECALL - 1e-9, "{threshold}: {banding:?}");
            assert!(banding.bands * banding.rows <= NUMBERS_MAX, "{threshold}: {banding:?}");
        }
    }

    #[test]
    fn places_of_two_sketches_agree_as_often_as_the_jaccard_index_says() {
        // Sets from one shingle to more than there are places, with a third shared by both.
        for size in [3u64, 30, 300] {
            let set = |from: u64| -> Vec<u64> { (from..from + 2 * size).map(mixed).collect() };
            let (a, b) = (set(1), set(1 + size));
            let mut agree = 0;
            for seed in 0..200 {
                let (mut one, mut other) = ([0; 96], [0; 96]);
                sketch(&a, seed, &mut one);
                sketch(&b, seed, &mut other);
                agree += one.iter().zip(&other).filter(|(one, other)| one == other).count();
            }
            let share = agree as f64 / (200.0 * 96.0);
            assert!((share - 1.0 / 3.0).abs() < 0.02, "{size}: {share}");
        }
    }

    #[test]
    fn shingles_that_are_there_twice_and_in_another_order_change_nothing() {
        let (mut one, mut other) = ([0; 12], [0; 12]);
        sketch(&[1, 2, 3], 7, &mut one);
        sketch(&[3, 2, 2, 1, 3], 7, &mut other);
        assert_eq!(one, other);
    }
}
