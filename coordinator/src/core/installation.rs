//! Who may take up a worker's session: the installation that its id belongs to, and one process of it at a time.
//!
//! Ids and epochs are listed to everyone, so they prove nothing: the secret does. And a folder that was copied has the same secret in
//! two processes. The one that is there stays until it is known to be gone; else the two would take turns, and each turn would
//! throw out the run of the other.

use super::Refusal;
use vertigo::id::{Millis, ProcessId, WorkerId};
use vertigo::secret::SecretHash;

/// A worker's installation, as far as it has to be told from others. Kept until a person removes the worker: an id that has lost its row
/// among the workers otherwise still belongs to whoever had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Of the secret that came with the id's first Hello.
    pub secret: SecretHash,
    /// The process that was welcomed last, unless its session is known to have ended.
    pub process: Option<ProcessId>,
    /// When that process was last heard of. Not written: a restart begins anew, since nobody could be heard before.
    pub heard: Millis,
    /// When that process was first welcomed, as far as this process of the coordinator knows. Not written.
    pub since: Millis,
}

/// Who asks to be let in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) worker: WorkerId,
    pub(super) secret: SecretHash,
    pub(super) process: ProcessId,
}

/// What is known of a worker besides its installation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    /// Where it runs, for a person.
    pub(super) place: &'a str,
    /// Whether it has a session.
    pub(super) is_connected: bool,
    /// Whether it has a lease: a run that a change of processes would throw away.
    pub(super) has_lease: bool,
}

/// Whether the caller may take up the session of `installation`.
///
/// Another process than the one that is there waits until that one has been silent for `lease_ms`: as long as its run is kept, too. Where
/// there is neither a session nor a lease there is nothing to guard. A connection that was closed is forgotten at once
/// ([`Installation::process`]), so a daemon that crashed and starts again gets in without waiting.
pub(super) fn admit(
    caller: Caller,
    installation: &Installation,
    standing: Standing<'_>,
    now: Millis,
    lease_ms: u64,
) -> Result<(), Refusal> {
    if caller.secret != installation.secret {
        return Err(Refusal::OtherInstallation(caller.worker));
    }
    let is_other = installation.process.is_some_and(|process| process != caller.process);
    let is_guarded = standing.is_connected || standing.has_lease;
    let is_alive = now < installation.heard.plus(lease_ms);
    if is_other && is_guarded && is_alive {
        return Err(Refusal::OtherProcess {
            place: standing.place.to_owned(),
            since: installation.since,
            silence_ms: lease_ms,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vertigo::secret::Secret;

    fn hash(n: u8) -> SecretHash {
        Secret::from([n; 32]).hash()
    }

    proptest! {
        /// The secret is needed whatever else holds. With it, the same process is always let in, and another one exactly when nothing
        /// is guarded any more.
        #[test]
        fn only_the_installation_gets_in_and_only_one_process_of_it(
            right in any::<bool>(), same in any::<bool>(), known in any::<bool>(), is_connected in any::<bool>(),
            has_lease in any::<bool>(), heard in 0u64..100, silence in 0u64..100, lease_ms in 1u64..50,
        ) {
            let (there, other, worker) = (ProcessId::new(), ProcessId::new(), WorkerId::new());
            let installation = Installation {
                secret: hash(1), process: known.then_some(there), heard: Millis(heard), since: Millis(0),
            };
            let caller =
                Caller { worker, secret: hash(if right { 1 } else { 2 }), process: if same { there } else { other } };
            let standing = Standing { place: "mac", is_connected, has_lease };
            let answer = admit(caller, &installation, standing, Millis(heard + silence), lease_ms);
            let guarded = known && !same && (is_connected || has_lease) && silence < lease_ms;
            match answer {
                Err(Refusal::OtherInstallation(id)) => prop_assert!(!right && id == worker),
                Err(Refusal::OtherProcess { .. }) => prop_assert!(right && guarded),
                Err(other) => prop_assert!(false, "{other}"),
                Ok(()) => prop_assert!(right && !guarded),
            }
        }
    }
}
