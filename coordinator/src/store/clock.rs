//! The time that the core is told.

use std::time::Duration;
use tokio::time::Instant;
use vertigo::id::Millis;

/// Wall-clock time that never goes back or jumps within a process: read once, then counted on. A clock that is set while
/// leases run must not end them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    origin: Millis,
    since: Instant,
}

impl Clock {
    /// Starts from the system's clock.
    pub(super) fn start() -> Clock {
        Clock::at(Millis::now())
    }

    /// Starts from `origin`.
    pub(super) fn at(origin: Millis) -> Clock {
        Clock { origin, since: Instant::now() }
    }

    pub(super) fn now(&self) -> Millis {
        self.origin.plus(self.since.elapsed().as_millis() as u64)
    }

    /// How long until `deadline`, rounded up, so that it has passed when the wait is over.
    pub(super) fn until(&self, deadline: Millis) -> Duration {
        Duration::from_millis(deadline.0.saturating_sub(self.now().0) + 1)
    }
}
