//! How long to wait before trying again.
//!
//! Promise: waits double with each failure up to the longest; where they are spread, those who failed in one moment do not come back
//! in one moment, and no wait is shorter than half.

use std::time::Duration;

/// Doublings after which a wait stays: far more than reach any longest wait, and few enough for the shift.
const DOUBLINGS_MAX: u32 = 30;

/// Waits from a first to a longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after `failures` failures in a row, from 1.
    pub fn wait(&self, failures: u32) -> Duration {
        self.first.saturating_mul(1 << failures.saturating_sub(1).min(DOUBLINGS_MAX)).min(self.longest)
    }

    /// The same with "equal jitter": half of it, and by `jitter` in [0, 1) a part of the other half.
    pub fn spread(&self, failures: u32, jitter: f64) -> Duration {
        self.wait(failures).mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(5) };

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u128> = (1..=7).map(|failures| BACKOFF.wait(failures).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
    }

    proptest! {
        #[test]
        fn waits_never_shrink_and_are_spread_over_half_of_them(failures in 0u32..200, jitter in 0.0f64..1.0) {
            let (wait, spread) = (BACKOFF.wait(failures), BACKOFF.spread(failures, jitter));
            prop_assert!(BACKOFF.first <= wait && wait <= BACKOFF.longest);
            prop_assert!(BACKOFF.wait(failures + 1) >= wait && BACKOFF.spread(failures + 1, jitter) >= spread);
            prop_assert!(wait / 2 <= spread && spread <= wait);
        }
    }
}
