//! How long an upload that is not taken for now is tried again.

use super::TransferError;
use std::time::Duration;
use vertigo::backoff::Backoff;

/// The longest pause: short enough for a person who has just made room to see it go on.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Pauses before an upload is tried again, by its tries without headway.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), longest: PAUSE_MAX };

/// How long an upload that gets no further is tried again, and who hears why it waits.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// Time without headway after which it is given up. Each byte that is taken begins it anew.
    pub without_headway: Duration,
    /// Told of each refusal that is waited out.
    pub told: &'a (dyn Fn(&TransferError) + Send + Sync),
}

/// The refusals of one upload so far. Times are since the upload's beginning.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    furthest: u64,
    since: Duration,
    failures: u32,
}

impl Waiting {
    /// Whether `error` is to be waited out. It is a refusal for now; or, once one was waited out, anything that may pass: whoever
    /// makes room may have to start the coordinator again. Before that, a coordinator that is not there is said at once.
    pub(super) fn may_cure(&self, error: &TransferError) -> bool {
        let refused_for_now = match error {
            TransferError::NotTaken { .. } => true,
            // The coordinator's own words have no cause on this side.
            TransferError::Rpc(status) => {
                std::error::Error::source(status.as_ref()).is_none() && !status.message().is_empty()
            }
            _ => false,
        };
        error.is_transient() && (refused_for_now || self.failures > 0)
    }

    /// The pause before the next try, of an upload that was refused at `now` after `moved` bytes; `None` where it is given up,
    /// because nothing has moved for longer than `limit`.
    pub(super) fn pause(&mut self, now: Duration, moved: u64, limit: Duration) -> Option<Duration> {
        if moved > self.furthest || self.failures == 0 {
            *self = Waiting { furthest: moved, since: now, failures: 0 };
        }
        let left = limit.checked_sub(now.saturating_sub(self.since)).filter(|left| !left.is_zero())?;
        self.failures = self.failures.saturating_add(1);
        // The last try comes when the time is up, not up to a pause before.
        Some(BACKOFF.wait(self.failures).min(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vertigo::id::Digest;

    #[test]
    fn a_refusal_is_waited_out_and_a_coordinator_that_is_not_there_only_after_one() {
        let full = TransferError::NotTaken { digest: Digest::of(b""), status: 507, message: "no room".to_owned() };
        let never = TransferError::NotTaken { digest: Digest::of(b""), status: 403, message: "no".to_owned() };
        let away = TransferError::Connection { url: String::new(), problem: "refused".to_owned() };
        let store_away = TransferError::from(tonic::Status::unavailable("the object store: no answer"));
        let mut waiting = Waiting::default();
        assert!(waiting.may_cure(&full) && waiting.may_cure(&store_away));
        assert!(!waiting.may_cure(&never) && !waiting.may_cure(&away));
        waiting.pause(Duration::ZERO, 0, Duration::from_secs(1)).unwrap();
        assert!(waiting.may_cure(&away) && !waiting.may_cure(&never));
    }

    proptest! {
        #[test]
        fn it_is_given_up_after_the_limit_without_headway_and_never_before(
            steps in prop::collection::vec((0u64..3, 0u64..30), 1..60), limit in 1u64..200,
        ) {
            let limit = Duration::from_secs(limit);
            let (mut waiting, mut now, mut moved) = (Waiting::default(), Duration::ZERO, 0);
            let (mut headway, mut first) = (Duration::ZERO, true);
            for (more, took) in steps {
                now += Duration::from_secs(took);
                moved += more;
                if more > 0 || first {
                    headway = now;
                }
                first = false;
                let pause = waiting.pause(now, moved, limit);
                prop_assert_eq!(pause.is_none(), now - headway >= limit);
                let Some(pause) = pause else { break };
                prop_assert!(!pause.is_zero() && pause <= PAUSE_MAX && now + pause <= headway + limit);
                now += pause;
            }
        }
    }
}
