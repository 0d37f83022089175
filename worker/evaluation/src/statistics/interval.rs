//! Intervals, and Wilson's for a rate.

use super::Share;
use super::chance::normal_quantile;
use serde::{Deserialize, Serialize};

/// Where a figure lies, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lowest that it may be.
    pub low: f64,
    /// The highest that it may be.
    pub high: f64,
    /// How often such intervals hold what they are about.
    pub level: Share,
}

impl Interval {
    /// The normal interval of a difference of shares with a standard error, within what such differences can be.
    pub fn normal(difference: f64, error: f64, level: Share) -> Interval {
        let reach = normal_quantile(0.5 + level.get() / 2.0) * error;
        Interval { low: (difference - reach).max(-1.0), high: (difference + reach).min(1.0), level }
    }

    /// The interval of the figure with its sign turned.
    #[must_use]
    pub fn mirrored(self) -> Interval {
        Interval { low: -self.high, high: -self.low, level: self.level }
    }

    /// Whether it has no width, but for rounding: nothing was seen to vary.
    pub fn is_a_point(self) -> bool {
        self.high - self.low < 1e-9
    }

    /// Whether a figure lies in it.
    pub fn holds(&self, figure: f64) -> bool {
        (self.low..=self.high).contains(&figure)
    }
}

/// Wilson's score interval of a rate that was seen in `trials` independent trials (Wilson 1927; Brown, Cai and DasGupta 2001,
/// eq. 4). It lies within 0 to 1 and holds the rate, at 0 and 1 too. Without a trial nothing is known.
///
/// The samples of a task are not independent, so a rate over tasks and samples takes the number of tasks as its trials: as if
/// the samples of a task were one. That is exact for one sample and wider than need be for more.
pub fn wilson(rate: Share, trials: u64, level: Share) -> Interval {
    if trials == 0 {
        return Interval { low: 0.0, high: 1.0, level };
    }
    let z = normal_quantile(0.5 + level.get() / 2.0);
    if z.is_infinite() {
        return Interval { low: 0.0, high: 1.0, level };
    }
    let (p, n) = (rate.get(), trials as f64);
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    // By the formula the ends are exact at 0 and 1, but for rounding.
    Interval { low: (centre - half).clamp(0.0, p), high: (centre + half).clamp(p, 1.0), level }
}
