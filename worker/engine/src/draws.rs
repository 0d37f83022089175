//! How often each lesson is drawn in a pass over the data, and which are drawn together.
//!
//! A lesson of weight w is due w times a pass. Where that is no whole number its draws are spread over the passes: it comes in a pass as
//! often as the whole part of p·w + phase grows by from that pass's beginning to its end. So nothing has to be remembered.
//!
//! Promises:
//! - A pass's draws are a function of the weights, the seed and the pass's number, computed in whole numbers.
//! - In the first p passes together a lesson is drawn p·w times, rounded up or down; so one of weight 1 comes once in each.
//! - A batch has no lesson twice while there are enough others of like length: with a lesson twice it would be a smaller batch.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vertigo_model::dataset::Weight;

/// Draws are counted in units of 2⁻⁴⁸: a weight of 100 leaves room for more passes than anybody lives to see.
const FRACTION_BITS: u32 = 48;

/// One draw, in those units.
const ONE: u64 = 1 << FRACTION_BITS;

/// The golden ratio's inverse, in those units. Its multiples lie evenly in a whole, however many there are of them.
const GOLDEN: u64 = 0x9e37_79b9_7f4b;

/// Tells the seed of phases from those of orders.
const PHASE_SALT: u64 = 0x7068_6173_6573;

/// Passes whose draws are counted one by one. What a longer run has beyond them is reckoned from these.
const PASSES_COUNTED_MAX: u64 = 1000;

/// What a lesson is due.
#[derive(Debug, Clone, Copy)]
struct Due {
    /// A pass, in units: its weight.
    each_pass: u64,
    /// Before the first pass, in units: less than one draw.
    phase: u64,
}

impl Due {
    /// Draws in the passes before `pass`.
    fn before(self, pass: u64) -> u128 {
        self.units(pass.into()) >> FRACTION_BITS
    }

    /// Less than 2¹²⁰: a weight has 55 bits, and a pass 64.
    fn units(self, passes: u128) -> u128 {
        passes * u128::from(self.each_pass) + u128::from(self.phase)
    }

    /// Draws in `pass`; at most a weight, rounded up.
    fn within(self, pass: u64) -> usize {
        let end = self.units(u128::from(pass) + 1) >> FRACTION_BITS;
        (end - self.before(pass)) as usize
    }

    /// The first pass from `pass` on in which it is drawn.
    fn next(self, pass: u64) -> u64 {
        let missing = ((self.before(pass) + 1) << FRACTION_BITS) - u128::from(self.phase);
        let passes = missing.div_ceil(u128::from(self.each_pass));
        u64::try_from(passes - 1).unwrap_or(u64::MAX)
    }
}

/// What each of a run's lessons is due.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    lessons: Vec<Due>,
    weights_sum: f64,
}

impl Draws {
    /// Of lessons with these weights, in order of their length.
    ///
    /// Phases are even steps through a whole, from one that the seed draws: of lessons of one weight as many come in each pass, within a
    /// few, and they are of all lengths.
    pub(crate) fn new(weights: &[Weight], seed: u64) -> Draws {
        let first = ChaCha8Rng::seed_from_u64(seed ^ PHASE_SALT).next_u64() % ONE;
        let mut lessons: Vec<Due> = weights.iter().map(|weight| Due { each_pass: units(*weight), phase: 0 }).collect();
        let mut by_weight: Vec<usize> = (0..lessons.len()).collect();
        by_weight.sort_by_key(|&lesson| lessons[lesson].each_pass);
        for (rank, lesson) in by_weight.into_iter().enumerate() {
            lessons[lesson].phase = (rank as u64).wrapping_mul(GOLDEN).wrapping_add(first) % ONE;
        }
        Draws { lessons, weights_sum: weights.iter().map(|weight| weight.get()).sum() }
    }

    /// Lessons whose weight is not 1.
    pub(crate) fn weighted(&self) -> u64 {
        self.lessons.iter().filter(|due| due.each_pass != ONE).count() as u64
    }

    /// The sum of the weights: what a pass draws, on average. To the sixth decimal, so that a sum of decimals reads as one.
    pub(crate) fn weights_sum(&self) -> f64 {
        (self.weights_sum * 1e6).round() / 1e6
    }

    /// The weights as they are counted, by lesson.
    pub(crate) fn units(&self) -> impl Iterator<Item = u64> {
        self.lessons.iter().map(|due| due.each_pass)
    }

    /// How often each lesson is drawn in `pass`.
    pub(crate) fn within(&self, pass: u64) -> impl Iterator<Item = usize> {
        self.lessons.iter().map(move |due| due.within(pass))
    }

    /// The first pass from `pass` on that draws anything: weights that are small and few leave passes empty.
    pub(crate) fn next(&self, pass: u64) -> u64 {
        self.lessons.iter().map(|due| due.next(pass)).min().unwrap_or(pass)
    }

    /// Batches of `size` in the first `passes` passes.
    pub(crate) fn batches(&self, passes: u64, size: usize) -> u64 {
        let in_pass = |pass| (self.within(pass).sum::<usize>() as u64).div_ceil(size as u64);
        let all_are_the_same = self.lessons.iter().all(|due| due.each_pass.is_multiple_of(ONE));
        let counted = passes.min(if all_are_the_same { 1 } else { PASSES_COUNTED_MAX });
        let batches: u64 = (0..counted).map(in_pass).sum();
        let all = u128::from(batches) * u128::from(passes) / u128::from(counted.max(1));
        u64::try_from(all).unwrap_or(u64::MAX)
    }
}

fn units(weight: Weight) -> u64 {
    // A power of two changes no digit. A weight too small for a unit counts as one.
    ((weight.get() * ONE as f64).round() as u64).max(1)
}

/// Deals lessons, each drawn so often, in batches of `size` from short to long.
///
/// Neighbours go together, and the draws of one lesson are neighbours. So where a lesson comes several times its neighbourhood is dealt out
/// like cards, to as many batches at once. The last batches may be too few for that.
pub(crate) fn dealt(counts: impl Iterator<Item = usize>, size: usize) -> Vec<Vec<usize>> {
    let draws: Vec<usize> = counts.enumerate().flat_map(|(lesson, count)| std::iter::repeat_n(lesson, count)).collect();
    let mut batches = Vec::with_capacity(draws.len().div_ceil(size));
    let mut rest = draws.as_slice();
    while !rest.is_empty() {
        let (neighbours, others) = rest.split_at(neighbourhood(rest, size));
        let at_once = neighbours.len().div_ceil(size);
        let hands = (0..at_once).map(|hand| neighbours.iter().skip(hand).step_by(at_once).copied().collect());
        batches.extend(hands);
        rest = others;
    }
    batches
}

/// How many of the first draws fill as many batches as the lesson among them that comes the most often has draws.
fn neighbourhood(draws: &[usize], size: usize) -> usize {
    let (mut at_once, mut length) = (0, 0);
    loop {
        let most = draws[..length].chunk_by(|one, other| one == other).map(<[usize]>::len).max().unwrap_or(1);
        if most <= at_once || (length == draws.len() && length > 0) {
            return length;
        }
        at_once = most;
        length = at_once.saturating_mul(size).min(draws.len());
    }
}

#[cfg(test)]
mod tests;
