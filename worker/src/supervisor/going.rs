//! Attempts of a worker that comes and goes: what has no child yet waits while the worker is leaving, and is given back where it is away.

use super::{Halt, Supervisor};
use vertigo::id::JobId;
use vertigo::task::{Cure, GIVEN_BACK};
use vertigo_host::Awake;
use vertigo_host::buffers::Length;
use vertigo_host::presence::Presence;

impl Supervisor {
    /// Keeps the machine awake for as long as what it gives is kept. A machine that does not know how to is left as it is.
    pub(super) fn stay_awake(&self, what: &str) -> Option<Awake> {
        let awake = self.host.stay_awake(&format!("a job runs: {what}"));
        awake.inspect_err(|error| tracing::debug!(%error, "the machine cannot be kept awake")).ok()
    }

    /// How long the GPU may work without a break for a child that begins now at a job.
    pub(super) async fn buffers(&self, job: JobId) -> Length {
        let facts = self.host.facts().await;
        Length::beside_a_person(&self.policy.borrow(), &facts).max(self.remembered.buffers(job))
    }

    /// Does what an attempt needs before its child can begin, unless the worker is away before that. Returns while it is present.
    pub(super) async fn unless_away<T>(&self, ready: impl Future<Output = Result<T, Halt>>) -> Result<T, Halt> {
        let mut presence = self.presence.clone();
        let away = async {
            let away = presence.wait_for(|now| matches!(now, Presence::Away { .. })).await;
            let reason = away.ok().and_then(|now| now.reason().map(str::to_owned));
            match reason {
                Some(reason) => Halt::failed(Cure::Later, GIVEN_BACK, reason),
                // Nobody watches the machine any more: the daemon ends.
                None => std::future::pending().await,
            }
        };
        let begins = async {
            let ready = ready.await?;
            let mut presence = self.presence.clone();
            // Where nobody watches the machine any more, the daemon ends.
            let _ = presence.wait_for(|now| *now == Presence::Present).await;
            Ok(ready)
        };
        tokio::select! {
            biased;
            halt = away => Err(halt),
            ready = begins => ready,
        }
    }
}
