//! How often somebody may fail to get in.
//!
//! A secret has 256 random bits, so nobody guesses one; what is bounded is the work that trying makes, and the noise.
//!
//! Promise: an address that failed [`ADDRESS_FAILURES_MAX`] times within [`WINDOW`] waits for the oldest of these to be that long ago, and
//! so does everybody where all of them together failed [`FAILURES_MAX`] times. What is kept is bounded.

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
    /// Somebody at `address` tries. It counts as a failure until it is known to be none.
    ///
    /// # Errors
    /// [`TooMany`]; then it does not try.
    pub fn begin(&mut self, now: Instant, address: IpAddr) -> Result<(), TooMany> {
        while self.failures.front().is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.failures.pop_front();
        }
        let own: Vec<Instant> = self.failures.iter().filter(|(_, from)| *from == address).map(|(at, _)| *at).collect();
        let oldest = match (self.failures.front(), own.first()) {
            (Some((oldest, _)), _) if self.failures.len() >= FAILURES_MAX => *oldest,
            (_, Some(oldest)) if own.len() >= ADDRESS_FAILURES_MAX => *oldest,
            _ => {
                self.failures.push_back((now, address));
                return Ok(());
            }
        };
        Err(TooMany(WINDOW.saturating_sub(now.duration_since(oldest))))
    }

    /// What began then was no failure.
    pub fn succeeded(&mut self, began: Instant, address: IpAddr) {
        if let Some(at) = self.failures.iter().rposition(|failure| *failure == (began, address)) {
            self.failures.remove(at);
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
        fn no_minute_sees_more_failures_than_are_allowed(
            steps in prop::collection::vec((0u64..8_000, 0u8..12, any::<bool>()), 1..400),
        ) {
            let mut it = Tries::default();
            let mut now = Instant::now();
            let mut failed: Vec<(Instant, IpAddr)> = Vec::new();
            for (ms, from, fails) in steps {
                now += Duration::from_millis(ms);
                let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, from));
                let recent: Vec<_> = failed.iter().filter(|(at, _)| now.duration_since(*at) < WINDOW).collect();
                let own = recent.iter().filter(|(_, whose)| *whose == address).count();
                let is_open = own < ADDRESS_FAILURES_MAX && recent.len() < FAILURES_MAX;
                match it.begin(now, address) {
                    Ok(()) => {
                        prop_assert!(is_open);
                        if fails { failed.push((now, address)) } else { it.succeeded(now, address) }
                    }
                    Err(TooMany(wait)) => {
                        prop_assert!(!is_open && wait <= WINDOW);
                        let (mut later, then) = (Tries { failures: it.failures.clone() }, now + wait);
                        prop_assert!(later.begin(then, address).is_ok());
                    }
                }
                prop_assert!(it.failures.len() <= FAILURES_MAX);
            }
        }

        #[test]
        fn who_tries_many_at_once_has_as_many_tries_as_one_after_another(begun in 1usize..200) {
            let (mut it, now, address) = (Tries::default(), Instant::now(), IpAddr::V4(Ipv4Addr::LOCALHOST));
            let tried = (0..begun).filter(|_| it.begin(now, address).is_ok()).count();
            prop_assert_eq!(tried, begun.min(ADDRESS_FAILURES_MAX));
        }
    }
}
