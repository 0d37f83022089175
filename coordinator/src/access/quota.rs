//! How much a principal may send within a day.
//!
//! Whoever may send files could fill the store; what nothing names goes by itself, but only after a while. While an upload is under way,
//! what it says that it brings is counted; when it ends, what came, whether or not it was all. So one that is interrupted and goes on
//! counts once, however often, and nobody gains by breaking off: what came is counted.
//!
//! Promise: within any [`WINDOW`] no more than the quota is received from a principal, but for the rounding of times to an hour's
//! beginning. Whoever sends nothing twice may send the quota, less what is under way. What is kept of each is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use vertigo::bytes::Bytes;
use vertigo::id::{Millis, PrincipalId};

/// How long what was sent counts.
pub const WINDOW: Duration = Duration::from_secs(HOURS * STEP_SECONDS);

const HOURS: u64 = 24;

/// How finely times are told apart.
const STEP_SECONDS: u64 = 60 * 60;

/// A principal has sent as much as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{asked} more would pass what one principal may send in a day, {quota}: {sent} are sent and {under_way} under way; wait, or raise the \
     coordinator's --upload-quota"
)]
pub struct Exceeded {
    asked: Bytes,
    sent: Bytes,
    under_way: Bytes,
    quota: Bytes,
}

/// What each has sent, by the hour, and what is under way.
#[derive(Debug, Default)]
pub struct Sent {
    by: BTreeMap<PrincipalId, Account>,
}

/// What one has sent.
#[derive(Debug, Default)]
struct Account {
    /// By the hour, the oldest first.
    received: VecDeque<(u64, u64)>,
    /// What uploads that are under way may bring.
    promised: u64,
}

impl Account {
    fn forget(&mut self, hour: u64) {
        while self.received.front().is_some_and(|(at, _)| at + HOURS <= hour) {
            self.received.pop_front();
        }
    }

    fn received(&self) -> u64 {
        self.received.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

impl Sent {
    /// Begins an upload that says it brings so much: until [`end`](Sent::end) all of it counts.
    ///
    /// # Errors
    /// [`Exceeded`]; then it is not begun.
    pub fn begin(&mut self, now: Millis, who: PrincipalId, bytes: Bytes, quota: Bytes) -> Result<(), Exceeded> {
        let hour = hour(now);
        // Who sends nothing any more is forgotten.
        self.by.retain(|_, account| {
            account.forget(hour);
            account.promised > 0 || !account.received.is_empty()
        });
        let (received, promised) = self.by.get(&who).map_or((0, 0), |account| (account.received(), account.promised));
        if received.saturating_add(promised).saturating_add(bytes.0) > quota.0 {
            let (sent, under_way) = (Bytes(received), Bytes(promised));
            return Err(Exceeded { asked: bytes, sent, under_way, quota });
        }
        self.by.entry(who).or_default().promised += bytes.0;
        Ok(())
    }

    /// Ends an upload that said it would bring `bytes`, and of which so much came.
    pub fn end(&mut self, now: Millis, who: PrincipalId, bytes: Bytes, came: Bytes) {
        let (account, hour) = (self.by.entry(who).or_default(), hour(now));
        account.promised = account.promised.saturating_sub(bytes.0);
        match account.received.back_mut() {
            // A clock that was set back counts as if it stood still.
            Some((at, sum)) if *at >= hour => *sum = sum.saturating_add(came.0),
            _ if came.0 > 0 => account.received.push_back((hour, came.0)),
            _ => {}
        }
        account.forget(hour);
    }
}

fn hour(now: Millis) -> u64 {
    now.0 / (STEP_SECONDS * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What somebody does who sends.
    #[derive(Debug, Clone)]
    enum Step {
        Begin {
            whose: usize,
            bytes: u64,
        },
        /// One that is under way ends after this many percent.
        End {
            which: usize,
            percent: u64,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..3, 0u64..60).prop_map(|(whose, bytes)| Step::Begin { whose, bytes }),
            (0usize..8, 0u64..=100).prop_map(|(which, percent)| Step::End { which, percent }),
        ]
    }

    proptest! {
        #[test]
        fn no_day_receives_more_than_the_quota_and_nobody_pays_for_another_or_for_what_did_not_come(
            steps in prop::collection::vec((0u64..5_000_000, step()), 1..300)
        ) {
            let quota = Bytes(100);
            let who = [PrincipalId::new(), PrincipalId::new(), PrincipalId::new()];
            let (mut it, mut now) = (Sent::default(), Millis(1 << 40));
            let mut under_way: Vec<(usize, u64)> = Vec::new();
            let mut came: Vec<(u64, usize, u64)> = Vec::new();
            for (ms, step) in steps {
                now.0 += ms;
                let day = WINDOW.as_millis() as u64;
                let within = |whose: usize, ms: u64| {
                    let recent = came.iter().filter(|(at, of, _)| *of == whose && at + ms > now.0);
                    recent.map(|it| it.2).sum::<u64>() + under_way.iter().filter(|it| it.0 == whose).map(|it| it.1).sum::<u64>()
                };
                match step {
                    Step::Begin { whose, bytes } => {
                        // To the hour: what came in the hour in which a day ago lies may count or not.
                        let (least, most) = (within(whose, day - 3_600_000), within(whose, day));
                        match it.begin(now, who[whose], Bytes(bytes), quota) {
                            Ok(()) => {
                                prop_assert!(least + bytes <= quota.0);
                                under_way.push((whose, bytes));
                            }
                            Err(_) => prop_assert!(most + bytes > quota.0),
                        }
                    }
                    Step::End { which, percent } if which < under_way.len() => {
                        let (whose, bytes) = under_way.swap_remove(which);
                        it.end(now, who[whose], Bytes(bytes), Bytes(bytes * percent / 100));
                        came.push((now.0, whose, bytes * percent / 100));
                    }
                    Step::End { .. } => {}
                }
                prop_assert!(it.by.values().all(|account| account.received.len() <= 25));
            }
        }

        #[test]
        fn an_upload_that_is_interrupted_and_goes_on_counts_once(cuts in prop::collection::vec(1u64..50, 0..200)) {
            let total: u64 = cuts.iter().sum::<u64>() + 1;
            let (mut it, who, quota) = (Sent::default(), PrincipalId::new(), Bytes(total));
            let mut kept = 0;
            for came in cuts.into_iter().chain([1]) {
                // It says that it brings all that is left, and breaks off.
                it.begin(Millis(0), who, Bytes(total - kept), quota).unwrap();
                it.end(Millis(0), who, Bytes(total - kept), Bytes(came));
                kept += came;
            }
            prop_assert_eq!(kept, total);
            prop_assert!(it.begin(Millis(1), who, Bytes(1), quota).is_err(), "and all of it counts");
        }
    }

    #[test]
    fn what_is_refused_is_said_in_numbers_and_counts_for_nothing() {
        let (mut it, who, quota) = (Sent::default(), PrincipalId::new(), Bytes::gib(1));
        it.begin(Millis(0), who, Bytes::mib(900), quota).unwrap();
        it.end(Millis(1), who, Bytes::mib(900), Bytes::mib(900));
        it.begin(Millis(1), who, Bytes::mib(100), quota).unwrap();
        let error = it.begin(Millis(1), who, Bytes::mib(100), quota).unwrap_err().to_string();
        assert!(error.contains("1.0 GiB: 900 MiB are sent and 100 MiB under way"), "{error}");
        assert!(error.contains("--upload-quota"), "{error}");
        it.begin(Millis(2), who, Bytes::mib(24), quota).unwrap();
    }
}
