//! Whether a child lives: silent work is no hang, and a runtime that wakes for nothing is.

use std::time::Duration;
use tokio::time::Instant;

/// Processor time that shows life.
const BEAT: Duration = Duration::from_secs(1);

/// When the child last did something.
#[derive(Debug)]
pub(super) struct Pulse {
    since: Instant,
    /// Processor time that it had used then.
    processor: Duration,
}

impl Pulse {
    pub(super) fn begin(now: Instant) -> Pulse {
        Pulse { since: now, processor: Duration::ZERO }
    }

    /// It says something, or has nothing to say.
    pub(super) fn speaks(&mut self, now: Instant) {
        self.since = now;
    }

    /// It has used so much processor time. Less than [`BEAT`] more may be that of a runtime which wakes to find nothing to do.
    pub(super) fn beat(&mut self, now: Instant, processor: Duration) {
        if processor.saturating_sub(self.processor) >= BEAT {
            (self.since, self.processor) = (now, processor);
        }
    }

    pub(super) fn is_still(&self, now: Instant, patience: Duration) -> bool {
        now.saturating_duration_since(self.since) >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_work_is_no_hang_and_a_runtime_that_wakes_for_nothing_is() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let patience = 15 * minute;
        let mut pulse = Pulse::begin(start);
        let still = |busy: Duration, pulse: &mut Pulse| {
            (0..60).any(|n| {
                pulse.beat(start + n * minute, n * busy);
                pulse.is_still(start + n * minute, patience)
            })
        };
        assert!(!still(Duration::from_secs(1), &mut pulse), "an hour without a word");
        pulse = Pulse::begin(start);
        assert!(still(Duration::from_millis(1), &mut pulse));
    }
}
