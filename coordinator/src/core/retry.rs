//! When to try again, and when to stop trying.

use std::fmt;
use std::time::Duration;
use vertigo::backoff::Backoff;

/// Crashed attempts in a row, without a new checkpoint between them, that fail a job. What crashes is often the machine or a long-lived
/// process, and a run that gets on in between will get there; one that does not is ended.
pub(super) const CRASH_LIMIT: u32 = 3;

/// Attempts in a row that may be lost or fail for reasons that pass, without a new checkpoint, before the job fails.
pub(super) const RETRY_LIMIT: u32 = 10;

/// Machines that may panic under a job in all of its life, whatever it saves in between: the one after them ends it. A panic costs
/// whoever uses the machine all that they had open.
pub(super) const PANIC_LIMIT: u32 = 3;

/// The longest wait that nobody has asked for, in milliseconds.
pub(super) const LONGEST_MS: u64 = 5 * 60 * 1_000;

/// The longest pause that a failure may ask for, in milliseconds: a job that a worker would keep away for longer is not well served.
const PAUSE_MS_MAX: u64 = 4 * 60 * 60 * 1_000;

/// How often a job failed in a row, and how often it may.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tries {
    pub(super) failures: u32,
    pub(super) limit: u32,
}

/// How long a job waits at least because the attempt that failed has said so, such as for a person to leave the machine. None by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pause(u64);

impl Pause {
    /// What was asked for, within bounds.
    pub(super) fn of(ms: u64) -> Pause {
        Pause(ms.min(PAUSE_MS_MAX))
    }

    /// In milliseconds.
    pub(super) fn ms(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Pause {
    /// To the minute, and never too early.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.div_ceil(60_000) {
            0 | 1 => f.write_str("a minute"),
            minutes if minutes.is_multiple_of(60) => write!(f, "{} h", minutes / 60),
            minutes => write!(f, "{minutes} minutes"),
        }
    }
}

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_millis(LONGEST_MS) };

/// How long to wait before trying for the `n`-th time (from 1) after a failure, in milliseconds, spread by `jitter` in [0, 1).
pub(super) fn backoff_ms(n: u32, jitter: f64) -> u64 {
    BACKOFF.spread(n, jitter).as_millis() as u64
}
