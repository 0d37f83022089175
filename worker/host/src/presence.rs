//! A worker that comes and goes with a policy, and does not flap.
//!
//! ```text
//! Present ── closed ──▶ Leaving ── the grace is over ──▶ Away
//!    ▲                     │                               │
//!    └── open for a while ─┴──────── open for a while ─────┘
//! ```
//!
//! A worker that leaves has paused what runs: it computes nothing more, and holds its memory. Whoever only walks past costs a pause and no
//! checkpoint. One that is away holds nothing.
//!
//! Promises, over any decisions and any clock that does not go back: it is present only while the policy is open; it comes back only when the
//! policy was open at every look for [`Terms::settle`]; it is never leaving for longer than [`Terms::grace`], however often the policy opens
//! meanwhile for less than that.

use crate::policy::Decision;
use std::time::Duration;

/// How long a worker waits before it goes, and before it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// From the pause until what runs is checkpointed and its memory given back.
    pub grace: Duration,
    /// How long the policy has to be open without a break.
    pub settle: Duration,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { grace: Duration::from_secs(5 * 60), settle: Duration::from_secs(30) }
    }
}

/// Whether a worker takes part. Times are those of a clock that never goes back, from whenever it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    Present,
    /// What runs is paused, and nothing new is taken.
    Leaving {
        /// Since when.
        since: Duration,
        /// What the policy last said.
        reason: String,
        /// Since when the policy has been open again, if it is.
        open: Option<Duration>,
    },
    /// Nothing runs here.
    Away {
        /// What the policy last said.
        reason: String,
        /// Since when the policy has been open again, if it is.
        open: Option<Duration>,
    },
}

impl Presence {
    /// Where a worker begins: nothing runs yet that could be paused.
    pub fn begin(decision: Decision) -> Presence {
        match decision {
            Decision::Open => Presence::Present,
            Decision::Closed { reason } => Presence::Away { reason, open: None },
        }
    }

    /// Where it goes on, by what the policy says `now`.
    pub fn next(self, decision: Decision, now: Duration, terms: Terms) -> Presence {
        let is_settled = |open: Duration| now.saturating_sub(open) >= terms.settle;
        let next = match (self, decision) {
            (Presence::Present, Decision::Open) => Presence::Present,
            (Presence::Present, Decision::Closed { reason }) => Presence::Leaving { since: now, reason, open: None },
            (Presence::Leaving { since, reason, open }, Decision::Open) => {
                let open = open.unwrap_or(now);
                if is_settled(open) { Presence::Present } else { Presence::Leaving { since, reason, open: Some(open) } }
            }
            (Presence::Leaving { since, .. }, Decision::Closed { reason }) => {
                Presence::Leaving { since, reason, open: None }
            }
            (Presence::Away { reason, open }, Decision::Open) => {
                let open = open.unwrap_or(now);
                if is_settled(open) { Presence::Present } else { Presence::Away { reason, open: Some(open) } }
            }
            (Presence::Away { .. }, Decision::Closed { reason }) => Presence::Away { reason, open: None },
        };
        match next {
            Presence::Leaving { since, reason, open } if now.saturating_sub(since) >= terms.grace => {
                Presence::Away { reason, open }
            }
            next => next,
        }
    }

    /// Why nothing new is taken, where that is so.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Presence::Present => None,
            Presence::Leaving { reason, .. } | Presence::Away { reason, .. } => Some(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TERMS: Terms = Terms { grace: Duration::from_secs(300), settle: Duration::from_secs(30) };

    fn closed() -> Decision {
        Decision::Closed { reason: "it runs on battery".to_owned() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Where it is after looks at these seconds, from the beginning.
    fn after(looks: &[(u64, Decision)]) -> Presence {
        let (first, rest) = looks.split_first().unwrap();
        let begun = Presence::begin(first.1.clone());
        rest.iter().fold(begun, |at, (time, decision)| at.next(decision.clone(), seconds(*time), TERMS))
    }

    #[test]
    fn who_walks_past_costs_a_pause_and_who_stays_the_memory() {
        let open = || Decision::Open;
        assert_eq!(after(&[(0, open()), (9, open())]), Presence::Present);
        assert!(
            matches!(after(&[(0, open()), (10, closed())]), Presence::Leaving { since, .. } if since == seconds(10))
        );
        assert_eq!(after(&[(0, open()), (10, closed()), (20, open()), (50, open())]), Presence::Present);
        assert!(matches!(after(&[(0, open()), (10, closed()), (20, open()), (49, open())]), Presence::Leaving { .. }));
        assert!(matches!(after(&[(0, open()), (10, closed()), (310, closed())]), Presence::Away { .. }));
        let back = [(0, open()), (10, closed()), (310, closed()), (400, open()), (430, open())];
        assert!(matches!(after(&back[..4]), Presence::Away { .. }));
        assert_eq!(after(&back), Presence::Present);
        // Nothing runs when a worker starts: there is nothing to pause.
        assert!(matches!(after(&[(0, closed())]), Presence::Away { .. }));
    }

    #[test]
    fn a_policy_that_flaps_holds_no_memory_for_ever() {
        let looks: Vec<(u64, Decision)> =
            (0..100).map(|n| (n * 10, if n % 2 == 0 { Decision::Open } else { closed() })).collect();
        assert!(matches!(after(&looks), Presence::Away { .. }));
        assert_eq!(after(&looks).reason(), Some("it runs on battery"));
    }

    proptest! {
        #[test]
        fn it_keeps_its_promises_over_any_decisions_and_any_clock(
            looks in prop::collection::vec((0u64..120, any::<bool>()), 1..80),
            grace in 0u64..400,
            settle in 0u64..100,
        ) {
            let terms = Terms { grace: seconds(grace), settle: seconds(settle) };
            let (mut now, mut presence) = (0, None::<Presence>);
            // When the policy last became open, and when the worker last stopped being present.
            let (mut opened, mut left) = (None::<u64>, None::<u64>);
            for (passed, is_open) in looks {
                now += passed;
                let decision = if is_open { Decision::Open } else { closed() };
                opened = is_open.then(|| opened.unwrap_or(now));
                let before = presence.take();
                let next = match before.clone() {
                    None => Presence::begin(decision),
                    Some(presence) => presence.next(decision, seconds(now), terms),
                };
                prop_assert!(next != Presence::Present || is_open, "present while the policy is closed");
                prop_assert_eq!(next.reason().is_none(), next == Presence::Present);
                match (before.as_ref(), &next) {
                    (None | Some(Presence::Present), _) => {
                        left = (next != Presence::Present).then_some(now);
                    }
                    (Some(_), Presence::Present) => {
                        prop_assert!(now - opened.unwrap() >= settle, "back after {}", now - opened.unwrap());
                        left = None;
                    }
                    (Some(Presence::Away { .. }), Presence::Leaving { .. }) => prop_assert!(false, "from away to leaving"),
                    _ => {}
                }
                if let Presence::Leaving { .. } = next {
                    prop_assert!(now - left.unwrap() < grace, "leaving for {}", now - left.unwrap());
                }
                if let (Some(Presence::Leaving { .. }), Presence::Away { .. }) = (&before, &next) {
                    prop_assert!(now - left.unwrap() >= grace, "away too early");
                }
                presence = Some(next);
            }
        }
    }
}
