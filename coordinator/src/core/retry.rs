//! When to try again, and when to stop trying.

use std::time::Duration;
use vertigo::backoff::Backoff;

/// Crashed attempts in a row, without a new checkpoint between them, that fail a job. What crashes is often the machine or a long-lived
/// process, and a run that gets on in between will get there; one that does not is ended.
pub(super) const CRASH_LIMIT: u32 = 3;

/// Attempts in a row that may be lost or fail for reasons that pass, without a new checkpoint, before the job fails.
pub(super) const RETRY_LIMIT: u32 = 10;

/// The longest wait, in milliseconds.
pub(super) const LONGEST_MS: u64 = 5 * 60 * 1_000;

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_millis(LONGEST_MS) };

/// How long to wait before trying for the `n`-th time (from 1) after a failure, in milliseconds, spread by `jitter` in [0, 1).
pub(super) fn backoff_ms(n: u32, jitter: f64) -> u64 {
    BACKOFF.spread(n, jitter).as_millis() as u64
}
