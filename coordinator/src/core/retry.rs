//! When to try again, and when to stop trying.

/// Crashed attempts in a row, without a new checkpoint between them, that fail a job. What crashes is often the machine or a long-lived
/// process, and a run that gets on in between will get there; one that does not is ended.
pub(super) const CRASH_LIMIT: u32 = 3;

/// Attempts in a row that may be lost or fail for reasons that pass, without a new checkpoint, before the job fails.
pub(super) const RETRY_LIMIT: u32 = 10;

const FIRST_MS: u64 = 1_000;
/// The longest wait, in milliseconds.
pub(super) const LONGEST_MS: u64 = 5 * 60 * 1_000;

/// How long to wait before trying for the `n`-th time (from 1) after a failure, in milliseconds: 1 s, doubled each time,
/// at most 5 minutes; then "equal jitter": between half of it and all of it, by `jitter` in [0, 1).
pub(super) fn backoff_ms(n: u32, jitter: f64) -> u64 {
    let full = FIRST_MS.saturating_mul(1 << n.saturating_sub(1).min(20)).min(LONGEST_MS);
    let half = full / 2;
    half + (half as f64 * jitter.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn doubles_up_to_a_limit_and_stays_within_half(n in 1u32..100, jitter in 0.0..1.0f64) {
            let wait = backoff_ms(n, jitter);
            let full = backoff_ms(n, 1.0);
            prop_assert!(full / 2 <= wait && wait <= full);
            prop_assert!(full <= LONGEST_MS);
            prop_assert!(backoff_ms(n + 1, jitter) >= wait);
        }
    }
}
