//! What a person wants of a machine, whether the worker takes part by it, and what else of the machine counts: looked at again and again,
//! for as long as the daemon runs.
//!
//! Promise: [`Manners::keep`] says each change once; a policy that is set counts at the next look, which is at once; a machine that does
//! not answer closes nothing. What a policy asks and this machine does not say is logged once for each policy.

use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use vertigo_host::Host;
use vertigo_host::facts::{Facts, Pressure};
use vertigo_host::policy::Policy;
use vertigo_host::presence::{Presence, Terms};
use vertigo_host::shortage::Shortage;

/// Between two looks at the machine.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// The same where a person wants to wait for less than that.
const LOOK_MIN: Duration = Duration::from_millis(50);

/// Looks at the machine within the shortest time that a person wants to wait.
const LOOKS: u32 = 4;

/// How often as long as a person wants the policy to be open there has to be enough memory before it is taken for enough: five minutes, by
/// default.
const CALM_SETTLES: u32 = 10;

/// What a machine is doing that counts for what runs there, whatever its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// Whether somebody may be looking at its screen. `None` where that is not known.
    pub is_watched: Option<bool>,
    /// How short of memory it has been of late.
    pub memory: Pressure,
}

impl Default for Conditions {
    fn default() -> Conditions {
        Conditions { is_watched: None, memory: Pressure::Normal }
    }
}

/// The machine and its owner's policy.
#[derive(Debug)]
pub struct Manners {
    host: Arc<dyn Host>,
    policy: watch::Receiver<Policy>,
    terms: Terms,
    begun: Instant,
    shortage: Shortage,
    /// The policy whose unknown facts were logged.
    told: Option<Policy>,
}

impl Manners {
    /// Of this machine, by a policy that may be set anew.
    pub fn new(host: Arc<dyn Host>, policy: watch::Receiver<Policy>, terms: Terms) -> Manners {
        Manners { host, policy, terms, begun: Instant::now(), shortage: Shortage::default(), told: None }
    }

    /// Whether the worker takes part when it starts, and what else is so.
    pub async fn begin(&mut self) -> (Presence, Conditions) {
        let facts = self.host.facts().await;
        let policy = self.policy.borrow().clone();
        self.tell_unknown(&policy, policy.unknown(&facts));
        (Presence::begin(policy.decide(&facts)), self.conditions(&facts))
    }

    /// Says whether it takes part from then on and what else is so, for ever.
    pub async fn keep(mut self, presence: watch::Sender<Presence>, conditions: watch::Sender<Conditions>) {
        let mut looks = interval(pace(self.terms));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                Ok(()) = self.policy.changed() => {}
            }
            let facts = self.host.facts().await;
            let policy = self.policy.borrow_and_update().clone();
            self.tell_unknown(&policy, policy.unknown(&facts));
            let (decision, now) = (policy.decide(&facts), self.begun.elapsed());
            presence.send_if_modified(|presence| {
                let next = presence.clone().next(decision, now, self.terms);
                let is_other = *presence != next;
                if is_other {
                    tell(presence, &next);
                    *presence = next;
                }
                is_other
            });
            let now = self.conditions(&facts);
            conditions.send_if_modified(|conditions| {
                let before = std::mem::replace(conditions, now);
                if before.memory != now.memory {
                    tracing::info!(
                        "memory goes by {} from now on, and went by {}",
                        now.memory.name(),
                        before.memory.name()
                    );
                }
                before != now
            });
        }
    }

    fn conditions(&mut self, facts: &Facts) -> Conditions {
        let calm = self.terms.settle.saturating_mul(CALM_SETTLES);
        self.shortage = self.shortage.next(facts.pressure, self.begun.elapsed(), calm);
        Conditions { is_watched: facts.is_watched(), memory: self.shortage.level() }
    }

    fn tell_unknown(&mut self, policy: &Policy, unknown: Vec<String>) {
        if self.told.as_ref() != Some(policy) {
            self.told = Some(policy.clone());
            if !unknown.is_empty() {
                let unknown = unknown.join(", ");
                tracing::warn!(unknown, "this machine does not say what the policy `{policy}` asks; it closes nothing");
            }
        }
    }
}

/// How often the machine is looked at.
fn pace(terms: Terms) -> Duration {
    (terms.grace.min(terms.settle) / LOOKS).clamp(LOOK_MIN, LOOK_MAX)
}

fn tell(before: &Presence, now: &Presence) {
    match (before, now) {
        (Presence::Present, Presence::Present) => {}
        (_, Presence::Present) => tracing::info!("the policy is open again: taking part"),
        (Presence::Present, Presence::Leaving { reason, .. }) => tracing::info!("pausing what runs: {reason}"),
        (Presence::Away { .. }, Presence::Away { .. }) => {}
        (_, Presence::Away { reason, .. }) => tracing::info!("giving back what runs: {reason}"),
        (_, Presence::Leaving { .. }) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo_host::linux::Linux;
    use vertigo_testkit::laptop::{light, plug, squeeze};
    use vertigo_testkit::waiting::DEADLINE;

    #[tokio::test]
    async fn a_worker_goes_when_the_plug_is_pulled_and_comes_back_by_a_plug_or_another_policy() {
        let dir = tempfile::tempdir().unwrap();
        plug(dir.path(), true).unwrap();
        let (policy, policies) = watch::channel(Policy::default());
        let terms = Terms { grace: Duration::from_millis(200), settle: Duration::from_millis(100) };
        let mut manners = Manners::new(Arc::new(Linux::at(dir.path().to_owned())), policies, terms);
        let (begun, is_so) = manners.begin().await;
        let ((presence, mut seen), (changes, _)) = (watch::channel(begun), watch::channel(is_so));
        assert_eq!(*seen.borrow(), Presence::Present);
        let _keeps = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(manners.keep(presence, changes)));
        let mut becomes = async |is: fn(&Presence) -> bool| {
            tokio::time::timeout(DEADLINE, seen.wait_for(is)).await.unwrap().unwrap().clone()
        };
        plug(dir.path(), false).unwrap();
        let leaving = becomes(|now| matches!(now, Presence::Leaving { .. })).await;
        assert_eq!(leaving.reason(), Some("it runs on battery"));
        becomes(|now| matches!(now, Presence::Away { .. })).await;
        plug(dir.path(), true).unwrap();
        becomes(|now| *now == Presence::Present).await;
        plug(dir.path(), false).unwrap();
        becomes(|now| matches!(now, Presence::Away { .. })).await;
        policy.send_replace("always".parse().unwrap());
        becomes(|now| *now == Presence::Present).await;
    }

    #[tokio::test]
    async fn memory_is_short_at_once_and_not_any_more_after_a_calm_and_a_screen_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let policies = watch::channel(Policy::default()).1;
        let terms = Terms { grace: Duration::from_millis(200), settle: Duration::from_millis(20) };
        let mut manners = Manners::new(Arc::new(Linux::at(dir.path().to_owned())), policies, terms);
        let (begun, is_so) = manners.begin().await;
        assert_eq!(is_so, Conditions::default());
        let ((presence, _), (changes, mut seen)) = (watch::channel(begun), watch::channel(is_so));
        let _keeps = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(manners.keep(presence, changes)));
        let mut becomes = async |wanted: Conditions| {
            tokio::time::timeout(DEADLINE, seen.wait_for(|now| *now == wanted)).await.unwrap().unwrap();
        };
        let short = Conditions { memory: Pressure::Warning, is_watched: None };
        squeeze(dir.path(), 5).unwrap();
        becomes(short).await;
        let begun = Instant::now();
        squeeze(dir.path(), 50).unwrap();
        becomes(Conditions::default()).await;
        assert!(begun.elapsed() >= 10 * terms.settle, "{:?}", begun.elapsed());
        light(dir.path(), true).unwrap();
        becomes(Conditions { is_watched: Some(true), ..Conditions::default() }).await;
        light(dir.path(), false).unwrap();
        becomes(Conditions { is_watched: Some(false), ..Conditions::default() }).await;
    }

    #[test]
    fn it_looks_often_enough_to_keep_to_the_terms() {
        assert_eq!(pace(Terms::default()), Duration::from_secs(5));
        assert_eq!(pace(Terms { grace: Duration::ZERO, settle: Duration::ZERO }), LOOK_MIN);
        assert_eq!(pace(Terms { grace: Duration::from_secs(2), ..Terms::default() }), Duration::from_millis(500));
    }
}
