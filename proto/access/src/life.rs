//! How long certificates live, when the next one is asked for, and clocks that differ.

use std::time::Duration;
use vertigo::id::Millis;

/// How long a certificate can be used, unless the operator says otherwise.
pub const LEAF_LIFE: Duration = Duration::from_secs(30 * DAY_SECONDS);

/// How long the authority's own can be used: nobody wants to bring a whole fleet new tokens before that.
pub const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * DAY_SECONDS);

/// How far the clocks of two machines may be apart. Certificates are valid from so long before they were made.
pub const SKEW_MAX: Duration = Duration::from_secs(DAY_SECONDS);

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// From when to when a certificate is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// When it was made.
    pub made: Millis,
    /// When it ends.
    pub ends: Millis,
}

impl Life {
    /// Of a certificate that is made now.
    pub fn from(made: Millis, life: Duration) -> Life {
        Life { made, ends: Millis(made.0.saturating_add(millis(life))) }
    }

    /// When the next certificate is asked for: two thirds of the life after its beginning, so that a machine that was asleep for a third of it
    /// still has one.
    pub fn renewal(self) -> Millis {
        Millis(self.made.0 + self.ends.0.saturating_sub(self.made.0) / 3 * 2)
    }

    /// How long from `now` until the next certificate is asked for.
    pub fn until_renewal(self, now: Millis) -> Duration {
        Duration::from_millis(self.renewal().0.saturating_sub(now.0))
    }
}

/// A clock that is too far from the coordinator's for certificates to be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this machine's clock is {} {} the coordinator's: set it (on macOS: sudo sntp -sS time.apple.com; on Linux: timedatectl set-ntp true) \
     and try again", span(*apart), if *is_behind { "behind" } else { "ahead of" }
)]
pub struct Skew {
    /// By how much.
    apart: Duration,
    /// Whether the machine's shows an earlier time.
    is_behind: bool,
}

/// Compares a machine's clock with the coordinator's.
///
/// # Errors
/// [`Skew`] where they are further apart than [`SKEW_MAX`].
pub fn compare(machine: Millis, coordinator: Millis) -> Result<(), Skew> {
    let apart = Duration::from_millis(machine.0.abs_diff(coordinator.0));
    if apart <= SKEW_MAX { Ok(()) } else { Err(Skew { apart, is_behind: machine < coordinator }) }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Roughly, as people say it.
fn span(duration: Duration) -> String {
    let hours = duration.as_secs() / 3600;
    if hours < 72 { format!("{hours} hours") } else { format!("{} days", hours / 24) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_next_one_is_asked_for_while_the_present_one_lives(made in 0u64..1 << 50, life in 3u64..1 << 40, now in any::<u64>()) {
            let it = Life::from(Millis(made), Duration::from_millis(life));
            prop_assert!(it.made < it.renewal() && it.renewal() < it.ends);
            prop_assert_eq!(it.until_renewal(Millis(now)).is_zero(), now >= it.renewal().0);
        }

        #[test]
        fn clocks_may_differ_by_a_day_either_way(a in 0u64..1 << 50, b in 0u64..1 << 50) {
            let told = compare(Millis(a), Millis(b));
            prop_assert_eq!(told.is_ok(), a.abs_diff(b) <= 86_400_000);
            prop_assert_eq!(told.is_ok(), compare(Millis(b), Millis(a)).is_ok());
        }
    }

    #[test]
    fn a_skew_says_which_way_and_what_to_do() {
        let day = 86_400_000;
        let behind = compare(Millis(0), Millis(2 * day)).unwrap_err().to_string();
        assert!(behind.contains("48 hours behind") && behind.contains("sntp"), "{behind}");
        let ahead = compare(Millis(400 * day), Millis(0)).unwrap_err().to_string();
        assert!(ahead.contains("400 days ahead of"), "{ahead}");
    }
}
