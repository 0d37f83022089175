//! How much a principal may send within a day.
//!
//! Whoever may send files could fill the store; what nothing names goes by itself, but only after a while. What is counted is what a
//! request says that it brings, whether or not it all comes, so that nobody gains by breaking off.
//!
//! Promise: within any [`WINDOW`] no principal begins uploads of more than the quota together, but for the rounding of times to an
//! hour's beginning, by which it is never less than the quota's. What is kept of each is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use vertigo::bytes::Bytes;
use vertigo::id::{Millis, PrincipalId};

/// How long what was sent counts.
pub const WINDOW: Duration = Duration::from_secs(24 * STEP_SECONDS);

/// How finely times are told apart.
const STEP_SECONDS: u64 = 60 * 60;

/// A principal has sent as much as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{asked} more would pass what one principal may send in a day, {quota}: {sent} are sent; wait, or raise the coordinator's --upload-quota"
)]
pub struct Exceeded {
    asked: Bytes,
    sent: Bytes,
    quota: Bytes,
}

/// What each has sent, by the hour.
#[derive(Debug, Default)]
pub struct Sent {
    by: BTreeMap<PrincipalId, VecDeque<(u64, u64)>>,
}

impl Sent {
    /// Counts an upload that is begun.
    ///
    /// # Errors
    /// [`Exceeded`]; then it is not counted.
    pub fn begin(&mut self, now: Millis, who: PrincipalId, bytes: Bytes, quota: Bytes) -> Result<(), Exceeded> {
        let hour = now.0 / (STEP_SECONDS * 1000);
        let hours = WINDOW.as_secs() / STEP_SECONDS;
        let is_recent = |(at, _): &(u64, u64)| *at + hours > hour;
        // Who sends nothing any more is forgotten.
        self.by.retain(|_, sent| sent.back().is_some_and(is_recent));
        let sent = self.by.entry(who).or_default();
        while sent.front().is_some_and(|it| !is_recent(it)) {
            sent.pop_front();
        }
        let so_far: u64 = sent.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes));
        if so_far.saturating_add(bytes.0) > quota.0 {
            return Err(Exceeded { asked: bytes, sent: Bytes(so_far), quota });
        }
        match sent.back_mut() {
            // A clock that was set back counts as if it stood still.
            Some((at, sum)) if *at >= hour => *sum += bytes.0,
            _ => sent.push_back((hour, bytes.0)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_day_sees_more_than_the_quota_and_nobody_pays_for_another(
            steps in prop::collection::vec((0u64..5_000_000, 0usize..3, 0u64..60), 1..200)
        ) {
            let quota = Bytes(100);
            let who = [PrincipalId::new(), PrincipalId::new(), PrincipalId::new()];
            let (mut it, mut now) = (Sent::default(), Millis(1 << 40));
            let mut taken: Vec<(u64, usize, u64)> = Vec::new();
            for (ms, whose, bytes) in steps {
                now.0 += ms;
                let day = WINDOW.as_millis() as u64;
                let within = |ms: u64| taken.iter().filter(|(at, of, _)| *of == whose && at + ms > now.0).map(|it| it.2).sum::<u64>();
                // To the hour: what was sent in the hour in which a day ago lies may count or not.
                let (least, most) = (within(day - 3_600_000), within(day));
                match it.begin(now, who[whose], Bytes(bytes), quota) {
                    Ok(()) => {
                        prop_assert!(least + bytes <= quota.0);
                        taken.push((now.0, whose, bytes));
                    }
                    Err(_) => prop_assert!(most + bytes > quota.0),
                }
                prop_assert!(it.by.values().all(|sent| sent.len() <= 25));
            }
        }
    }

    #[test]
    fn what_is_refused_is_said_in_numbers_and_counts_for_nothing() {
        let (mut it, who, quota) = (Sent::default(), PrincipalId::new(), Bytes::gib(1));
        it.begin(Millis(0), who, Bytes::mib(1000), quota).unwrap();
        let error = it.begin(Millis(1), who, Bytes::mib(100), quota).unwrap_err().to_string();
        assert!(error.contains("1.0 GiB") && error.contains("--upload-quota"), "{error}");
        it.begin(Millis(2), who, Bytes::mib(24), quota).unwrap();
    }
}
