//! What people see of the life of jobs, and of what was done with workers: the journal's entries.

use super::{HeldBy, Report, State};
use serde::{Deserialize, Serialize};
use vertigo::id::{Digest, Epoch, JobId, Millis, WorkerId};
use vertigo::principal::PrincipalName;

/// An event of a job or of a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Position in the journal: rises over all.
    pub seq: u64,
    /// When the coordinator took it.
    pub at: Millis,
    /// The job; `None` of what happened to a worker.
    pub job: Option<JobId>,
    /// The job's newest epoch at that time.
    pub epoch: Epoch,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventBody {
    /// It moved to a state, or its reason to wait there changed.
    State {
        /// The state.
        state: State,
        /// Why.
        reason: String,
        /// Who asked for it, where a person did: of a job that was queued or cancelled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<PrincipalName>,
    },
    /// It was given to a worker.
    Placed {
        /// The worker's name.
        worker: String,
        /// Index into the variants.
        variant: usize,
        /// Why this worker and variant.
        reason: String,
    },
    /// Its attempt reported.
    Report(Report<Digest>),
    /// A worker takes nothing new, until it is resumed.
    Held {
        /// The worker.
        worker: WorkerId,
        /// Its name.
        name: String,
        /// Who holds it.
        by: HeldBy,
        /// Why; may be empty.
        reason: String,
    },
    /// A worker's hold is over.
    Resumed {
        /// The worker.
        worker: WorkerId,
        /// Its name.
        name: String,
        /// Who asked for it.
        by: PrincipalName,
    },
    /// A worker was told by which policy its machine takes part.
    Set {
        /// The worker.
        worker: WorkerId,
        /// Its name.
        name: String,
        /// Who asked for it.
        by: PrincipalName,
        /// The policy.
        when: String,
    },
    /// A worker was told to save and give back what runs, and to start anew.
    StartedAnew {
        /// The worker.
        worker: WorkerId,
        /// Its name.
        name: String,
        /// Who asked for it.
        by: PrincipalName,
    },
    /// A worker was forgotten, and its secret.
    Removed {
        /// The worker.
        worker: WorkerId,
        /// Its name.
        name: String,
        /// Who asked for it.
        by: PrincipalName,
    },
}
