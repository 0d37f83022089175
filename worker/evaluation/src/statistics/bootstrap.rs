//! The paired bootstrap: how a difference between two models would vary over suites like this one.
//!
//! One draw makes a suite of the same size: in each category as many tasks as it has, with replacement, each task with both
//! models' samples; then of each drawn task and model as many samples as there are, with replacement (Efron and Tibshirani
//! 1993, chapters 8 and 13; Davison and Hinkley 1997, sections 3.2 and 3.8). Both models get the same tasks, because the same
//! tasks were hard for both.
//!
//! What it is worth. Drawing samples within drawn tasks counts a part of the noise within tasks twice, so with several samples
//! the intervals are a little wide. A stratum of few tasks makes them narrow, by the factor (n - 1) / n of the variance:
//! categories of fewer than five tasks are therefore drawn from together. Outcomes that are all alike have an interval of no
//! width, which says that nothing was seen to vary and not that nothing does: what a suite of this size can show at all is said
//! by its power alone.

use super::chance::{normal_below, normal_quantile, quantile};
use super::{Interval, Pair, Pairs, Share};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Ordering;

/// Tasks below which a category is drawn from together with the next larger one.
const STRATUM_TASKS_MIN: usize = 5;

/// Sums of the same scores in another order differ by rounding, and are the same figure.
const TIE: f64 = 1e-12;

/// How often is drawn, and by which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resampling {
    /// Draws, at least one. The error of a probability of 0.95 is 0.002 at 10,000.
    pub draws: u32,
    /// The same seed draws the same.
    pub seed: u64,
}

impl Default for Resampling {
    fn default() -> Resampling {
        Resampling { draws: 10_000, seed: 0 }
    }
}

/// The differences that were drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    seen: f64,
    sorted: Vec<f64>,
    acceleration: f64,
}

impl Bootstrap {
    /// Draws from pairs. What is drawn depends on the sizes and the seed and not on the scores, so where a score of the first
    /// model is raised, no drawn difference falls.
    pub fn of(pairs: &Pairs, how: Resampling) -> Bootstrap {
        let strata = strata(pairs);
        let tasks = strata.iter().map(Vec::len).sum::<usize>() as f64;
        let mut random = ChaCha8Rng::seed_from_u64(how.seed);
        let mut draw = || strata.iter().map(|stratum| drawn(stratum, &mut random)).sum::<f64>() / tasks;
        let mut sorted: Vec<f64> = (0..how.draws.max(1)).map(|_| draw()).collect();
        sorted.sort_by(f64::total_cmp);
        Bootstrap { seen: pairs.difference(), sorted, acceleration: acceleration(&strata) }
    }

    /// The same whichever of the two models is first, but for the sign.
    pub fn either_way(pairs: &Pairs, how: Resampling) -> Bootstrap {
        match pairs.order() {
            Ordering::Less => Bootstrap::of(pairs, how),
            Ordering::Greater => Bootstrap::of(&pairs.turned(), how).mirrored(),
            // Neither is first, so neither may gain by what happened to be drawn.
            Ordering::Equal => Bootstrap::of(pairs, how).with_its_mirror(),
        }
    }

    /// Its draws, each with either sign.
    fn with_its_mirror(mut self) -> Bootstrap {
        let turned: Vec<f64> = self.sorted.iter().map(|difference| -difference).collect();
        self.sorted.extend(turned);
        self.sorted.sort_by(f64::total_cmp);
        Bootstrap { seen: 0.0, acceleration: 0.0, ..self }
    }

    fn mirrored(self) -> Bootstrap {
        let sorted = self.sorted.into_iter().rev().map(|difference| -difference).collect();
        Bootstrap { seen: -self.seen, sorted, acceleration: -self.acceleration }
    }

    /// The probability that the first is better than the second by more than `margin`: the share of draws that are, those that
    /// are equal counted half, and one more draw counted half, so that it is never certain. It is nearly what a Bayesian with
    /// nothing to go on but these tasks would say (Rubin 1981), and no p-value.
    pub fn chance_above(&self, margin: f64) -> f64 {
        let (below, up_to) = self.ranks(margin);
        let all = self.sorted.len() as f64;
        (2.0 * all - (below + up_to) as f64 + 1.0) / (2.0 * all + 2.0)
    }

    /// How many draws lie below a figure, and how many do not lie above it.
    fn ranks(&self, figure: f64) -> (usize, usize) {
        let below = self.sorted.partition_point(|drawn| *drawn < figure - TIE);
        (below, self.sorted.partition_point(|drawn| *drawn <= figure + TIE))
    }

    /// The percentile interval.
    pub fn percentile(&self, level: Share) -> Interval {
        self.between((1.0 - level.get()) / 2.0, (1.0 + level.get()) / 2.0, level)
    }

    /// The interval corrected for bias and for a spread that changes with the figure (BCa: Efron 1987), the acceleration by the
    /// jackknife over tasks. Where every draw lies on one side there is nothing to correct by, and it is the percentile interval.
    pub fn bca(&self, level: Share) -> Interval {
        let (below, up_to) = self.ranks(self.seen);
        let bias = normal_quantile((below + up_to) as f64 / (2.0 * self.sorted.len() as f64));
        if bias.is_infinite() {
            return self.percentile(level);
        }
        let corrected = |p: f64| {
            let shifted = bias + normal_quantile(p);
            normal_below(bias + shifted / (1.0 - self.acceleration * shifted))
        };
        let (low, high) = (corrected((1.0 - level.get()) / 2.0), corrected((1.0 + level.get()) / 2.0));
        // A level of 1, or an acceleration as no score has, leaves no number.
        if low.is_nan() || high.is_nan() || low > high {
            return self.percentile(level);
        }
        self.between(low, high, level)
    }

    fn between(&self, low: f64, high: f64, level: Share) -> Interval {
        Interval { low: quantile(&self.sorted, low), high: quantile(&self.sorted, high), level }
    }
}

/// The pairs that are drawn from together: categories, the small ones joined with the next larger one.
fn strata(pairs: &Pairs) -> Vec<Vec<&Pair>> {
    let mut categories: Vec<Vec<&Pair>> = pairs.categories().map(|(_, pairs)| pairs.iter().collect()).collect();
    categories.sort_by_key(Vec::len);
    let mut strata: Vec<Vec<&Pair>> = Vec::new();
    for category in categories {
        match strata.last_mut().filter(|last| last.len() < STRATUM_TASKS_MIN) {
            Some(small) => small.extend(category),
            None => strata.push(category),
        }
    }
    strata
}

/// The sum of the differences of one stratum's tasks, drawn anew.
fn drawn(stratum: &[&Pair], random: &mut ChaCha8Rng) -> f64 {
    let mut at = |len: usize| random.random_range(0..len as u32) as usize;
    let mut sum = 0.0;
    for _ in stratum {
        let pair = stratum[at(stratum.len())];
        let mut mean = |scores: &[f64]| match scores {
            [only] => *only,
            many => many.iter().map(|_| many[at(many.len())]).sum::<f64>() / many.len() as f64,
        };
        sum += mean(&pair.a) - mean(&pair.b);
    }
    sum
}

/// A sixth of the skewness of the mean's influence values, each task's difference from its stratum's mean (Davison and Hinkley
/// 1997, chapter 5). For one stratum it is the jackknife's.
fn acceleration(strata: &[Vec<&Pair>]) -> f64 {
    let (mut squares, mut cubes) = (0.0, 0.0);
    for stratum in strata {
        let differences: Vec<f64> = stratum.iter().map(|pair| pair.difference()).collect();
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        squares += differences.iter().map(|difference| (difference - mean).powi(2)).sum::<f64>();
        cubes += differences.iter().map(|difference| (difference - mean).powi(3)).sum::<f64>();
    }
    if squares < TIE { 0.0 } else { cubes / squares.powf(1.5) / 6.0 }
}
