//! What people see of a job's life: the journal's entries.

use super::{Report, State};
use serde::{Deserialize, Serialize};
use vertigo::id::{Digest, Epoch, JobId, Millis};
use vertigo::principal::PrincipalName;

/// An event of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Position in the journal: rises over all jobs.
    pub seq: u64,
    /// When the coordinator took it.
    pub at: Millis,
    /// The job.
    pub job: JobId,
    /// The job's newest epoch at that time.
    pub epoch: Epoch,
    /// What happened.
    pub body: EventBody,
}

/// What happened to a job.
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
}
