//! How often somebody may fail to get in.
//!
//! A secret has 256 random bits, so nobody guesses one; what is bounded is the work that trying makes, and the noise.
//!
//! Promise: an address that failed [`ADDRESS_FAILURES_MAX`] times within [`WINDOW`] waits for the oldest of these to be that long ago, and so
//! does everybody where all of them together failed [`FAILURES_MAX`] times. What is kept is bounded.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a failure counts.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Failures of one address within [`WINDOW`].
pub const ADDRESS_FAILURES_MAX: usize = 10;

/// Failures of all within [`WINDOW`].
pub const FAILURES_MAX: usize = 100;

/// Somebody has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts failed: try again in {} s", .0.as_secs().max(1))]
pub struct TooMany(Duration);

/// The failures that count still, the oldest first.
#[derive(Debug, Default)]
pub struct Tries {
    failures: VecDeque<(Instant, IpAddr)>,
}

impl Tries {
    /// Whether somebody at `address` may try now.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn may(&mut self, now: Instant, address: IpAddr) -> Result<(), TooMany> {
        while self.failures.front().is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.failures.pop_front();
        }
        let own: Vec<Instant> = self.failures.iter().filter(|(_, from)| *from == address).map(|(at, _)| *at).collect();
        let oldest = match (self.failures.front(), own.first()) {
            (Some((oldest, _)), _) if self.failures.len() >= FAILURES_MAX => *oldest,
            (_, Some(oldest)) if own.len() >= ADDRESS_FAILURES_MAX => *oldest,
            _ => return Ok(()),
        };
        Err(TooMany(WINDOW.saturating_sub(now.duration_since(oldest))))
    }

    /// Somebody who might try has failed.
    pub fn failed(&mut self, now: Instant, address: IpAddr) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push_back((now, address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    proptest! {
        #[test]
        fn no_minute_sees_more_failures_than_are_allowed(steps in prop::collection::vec((0u64..8_000, 0u8..12), 1..400)) {
            let mut it = Tries::default();
            let mut now = Instant::now();
            let mut failed: Vec<(Instant, IpAddr)> = Vec::new();
            for (ms, from) in steps {
                now += Duration::from_millis(ms);
                let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, from));
                let recent: Vec<_> = failed.iter().filter(|(at, _)| now.duration_since(*at) < WINDOW).collect();
                let own = recent.iter().filter(|(_, whose)| *whose == address).count();
                let is_open = own < ADDRESS_FAILURES_MAX && recent.len() < FAILURES_MAX;
                match it.may(now, address) {
                    Ok(()) => {
                        prop_assert!(is_open);
                        it.failed(now, address);
                        failed.push((now, address));
                    }
                    Err(TooMany(wait)) => {
                        prop_assert!(!is_open && wait <= WINDOW);
                        prop_assert!(it.may(now + wait, address).is_ok());
                    }
                }
            }
        }
    }
}
