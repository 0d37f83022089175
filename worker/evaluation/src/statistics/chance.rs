//! The distributions that the other modules ask, and the numbers that they are drawn by.

use statrs::distribution::{Binomial, ContinuousCDF, Discrete, DiscreteCDF, Normal};

/// The standard normal's quantile. At 0 and 1 it is infinite.
pub(super) fn normal_quantile(p: f64) -> f64 {
    // The quantile below a half is the more exact one, so the upper half is its mirror.
    if p > 0.5 { -Normal::standard().inverse_cdf(1.0 - p) } else { Normal::standard().inverse_cdf(p) }
}

/// The standard normal's distribution.
pub(super) fn normal_below(x: f64) -> f64 {
    Normal::standard().cdf(x)
}

/// The chance that a figure lies above zero, by its standard error, which is above 0.
pub(crate) fn normal_above(figure: f64, error: f64) -> f64 {
    normal_below(figure / error)
}

/// The chance of at most `successes` in `trials`, each of chance `p`.
pub(super) fn binomial_at_most(successes: u64, trials: u64, p: f64) -> f64 {
    binomial(trials, p).cdf(successes)
}

/// The chance of exactly `successes` in `trials`, each of chance `p`.
pub(super) fn binomial_exactly(successes: u64, trials: u64, p: f64) -> f64 {
    binomial(trials, p).pmf(successes)
}

fn binomial(trials: u64, p: f64) -> Binomial {
    // The only parameters that are refused are those outside 0 to 1.
    Binomial::new(p.clamp(0.0, 1.0), trials).expect("a chance clamped to 0 to 1 is one")
}

/// The value below which a share `p` of sorted figures lies, between two of them by a straight line (Hyndman and Fan's seventh,
/// as numpy's default). There is at least one figure.
pub(super) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let place = p.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + part * (sorted[above] - sorted[below])
}
