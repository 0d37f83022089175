//! How long a worker waits before it tries again.
//!
//! Promise: waits grow with each failure up to [`LONGEST`], and spread out, so that a fleet whose coordinator comes back does not
//! fall on it in one moment.

use std::time::Duration;
use vertigo::backoff::Backoff;

/// The longest wait. Well below a lease, so that a coordinator that was away for a moment finds its attempts still held.
pub const LONGEST: Duration = vertigo::endpoint::REDIAL_MAX;

/// The longest wait while another process has this worker's session: it is asked after, not fought with.
pub const LONGEST_REFUSED: Duration = Duration::from_secs(30);

/// A connection that lasts this long works.
pub const STEADY: Duration = Duration::from_secs(10);

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(200);

/// The wait after `failures` failures in a row (from 1), of at most `longest`, spread by a `jitter` in [0, 1).
pub fn delay(failures: u32, jitter: f64, longest: Duration) -> Duration {
    Backoff { first: FIRST, longest }.spread(failures, jitter)
}

/// Failures in a row, with one more. A connection that was up for [`STEADY`] was none: what ends sooner each time, such as one whose
/// reports the other side cannot take, must not be dialled again at once for ever.
pub fn one_more(failures: u32, up: Duration) -> u32 {
    if up >= STEADY { 1 } else { failures.saturating_add(1) }
}

/// [`delay`] of at most [`LONGEST`], with a jitter drawn now.
pub fn jittered(failures: u32) -> Duration {
    delay(failures, rand::random(), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn connections_that_break_at_once_are_dialled_ever_more_rarely() {
        let short = (0..10).fold(0, |failures, _| one_more(failures, Duration::from_millis(5)));
        assert_eq!(delay(short, 1.0, LONGEST), LONGEST);
        assert_eq!(one_more(short, STEADY), 1, "one that worked begins anew");
        assert_eq!(one_more(u32::MAX, Duration::ZERO), u32::MAX);
    }

    proptest! {
        #[test]
        fn waits_grow_to_the_longest_and_are_never_nothing(
            failures in 1u32..200, jitter in 0.0f64..1.0, refused in any::<bool>(),
        ) {
            let longest = if refused { LONGEST_REFUSED } else { LONGEST };
            let wait = delay(failures, jitter, longest);
            prop_assert!(wait >= FIRST / 2 && wait <= longest);
        }
    }
}
