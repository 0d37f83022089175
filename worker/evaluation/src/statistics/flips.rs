//! A test of whether two models differ that asks nothing of how scores are distributed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Up to so many differences every way to turn their signs is looked at: 65,536.
const EXACT_MAX: usize = 16;

/// Ways that are drawn where there are more.
const DRAWS: u32 = 20_000;

/// Sums of the same scores in another order differ by rounding, and are as far from zero.
const TIE: f64 = 1e-12;

/// The chance of a mean difference as far from zero, or farther, where the two models are alike: each task's difference is then
/// as likely to have the other sign (Fisher 1935, the paired randomisation test). Two-sided. Every way to turn the signs is
/// looked at where there are few, so five tasks can never show less than 0.0625; of more, ways are drawn by the seed, with the
/// one that was seen among them (Phipson and Smyth 2010). For tasks that pass or fail, asked once, it is McNemar's exact test.
pub fn flips(differences: &[f64], seed: u64) -> f64 {
    let differing: Vec<f64> = differences.iter().copied().filter(|difference| difference.abs() > TIE).collect();
    let seen = differing.iter().sum::<f64>().abs() - TIE * differing.len() as f64;
    let is_as_far = |signs: &[u64]| {
        let turned =
            differing.iter().enumerate().map(|(at, d)| if signs[at / 64] >> (at % 64) & 1 == 1 { -d } else { *d });
        turned.sum::<f64>().abs() >= seen
    };
    if differing.len() <= EXACT_MAX {
        let all = 1_u64 << differing.len();
        return (0..all).filter(|signs| is_as_far(&[*signs])).count() as f64 / all as f64;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut signs = vec![0; differing.len().div_ceil(64)];
    let as_far = (0..DRAWS).filter(|_| {
        signs.fill_with(|| random.next_u64());
        is_as_far(&signs)
    });
    (as_far.count() + 1) as f64 / f64::from(DRAWS + 1)
}
