//! Jobs, their plans, and the attempts at them.

use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use vertigo::bytes::Bytes;
use vertigo::dataset::Caveats;
use vertigo::id::{AttemptId, Digest, Epoch, JobId, Millis, WorkerId};
use vertigo::placement::Need;

/// What a person queued.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What a person calls it; also the tag of its output.
    pub name: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Why it waits, failed or was cancelled, or what its success lacks; else empty.
    pub reason: String,
    /// Higher goes first.
    pub priority: i32,
    /// When it was queued first.
    pub created: Millis,
    /// When it ended.
    pub ended: Option<Millis>,
    /// The dataset.
    pub data: Digest,
    /// The dataset's size.
    pub data_bytes: Bytes,
    /// In order of preference; at least one.
    pub plans: Vec<Plan>,
    /// Oldest first.
    pub attempts: Vec<AttemptId>,
    /// Of the newest lease; 0 before the first.
    pub epoch: Epoch,
    /// Attempts in a row whose process could go no further, without a new checkpoint between them.
    pub crashes: u32,
    /// Attempts in a row that were lost or failed for reasons that pass, without a new checkpoint between them.
    pub retries: u32,
    /// W3C trace context of the call that queued it, or empty.
    pub traceparent: String,
}

impl Job {
    /// What tables call it: its name, or the part of its id that tells the time to the millisecond.
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.id.to_string()[..13].to_owned())
    }

    /// Its place among queued jobs: priority, then age.
    pub(super) fn rank(&self) -> (Reverse<i32>, Millis, JobId) {
        (Reverse(self.priority), self.created, self.id)
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for a worker.
    Queued,
    /// Waits for a time after a failed attempt.
    Backoff {
        /// When it is queued again.
        until: Millis,
    },
    /// An attempt holds the lease.
    Leased {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Ended with an output.
    Succeeded {
        /// The artifact that it made.
        output: Digest,
    },
    /// Ended without.
    Failed,
    /// Ended by a person.
    Cancelled,
}

impl State {
    /// The state's name in tables and in the store.
    pub fn name(&self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Backoff { .. } => "backoff",
            State::Leased { .. } => "leased",
            State::Succeeded { .. } => "succeeded",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended.
    pub fn is_terminal(&self) -> bool {
        matches!(self, State::Succeeded { .. } | State::Failed | State::Cancelled)
    }
}

/// A recipe with its predicted peak memory, and what attempts at it have shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The recipe's name.
    pub recipe: String,
    /// The recipe's file.
    pub yaml: String,
    /// The base as the recipe names it.
    pub model: String,
    /// The base.
    pub base: Digest,
    /// The base's size.
    pub base_bytes: Bytes,
    /// "QLoRA r8", "LoRA r16", "full".
    pub method: String,
    /// The engine's version that the estimate is for.
    pub engine: String,
    /// The estimate.
    pub parts: Vec<MemoryPart>,
    /// What finished attempts have taught: the prediction is the sum of the parts times this.
    pub factor: f64,
    /// What it writes on its worker's disk.
    #[serde(default)]
    pub disk: Bytes,
    /// What running out of memory has taught, for this job.
    pub raised: Option<Bytes>,
    /// Where the next attempt at this plan goes on. A checkpoint of one plan means nothing to another.
    pub resume: Option<Resume>,
    /// What of its examples is not learned as it was written: found by the newest attempt that has read them.
    #[serde(default)]
    pub caveats: Option<Caveats>,
}

impl Plan {
    /// The sum of the parts.
    pub fn estimate(&self) -> Bytes {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Predicted peak memory: what a worker has to reserve.
    pub fn need(&self) -> Bytes {
        self.estimate().scale(self.factor).max(self.raised.unwrap_or_default())
    }

    /// What a worker has to have for it.
    pub(super) fn wants(&self) -> Need {
        Need { recipe: self.recipe.clone(), peak: self.need(), disk: self.disk }
    }
}

/// An item of an estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPart {
    /// What takes the memory.
    pub name: String,
    /// How much.
    pub bytes: Bytes,
}

/// A checkpoint to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The iteration that it had reached.
    pub iter: u64,
    /// The artifact.
    pub checkpoint: Digest,
}

/// One try at a job on one worker. While its outcome is [`Outcome::Running`] it holds the job's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The job.
    pub job: JobId,
    /// The fencing token of its lease.
    pub epoch: Epoch,
    /// The worker's installation.
    pub worker: WorkerId,
    /// The worker's name at that time.
    pub worker_name: String,
    /// Index into the job's plans.
    pub plan: usize,
    /// Memory reserved on the worker.
    pub reserved: Bytes,
    /// When the lease was given.
    pub started: Millis,
    /// When it ended.
    pub ended: Option<Millis>,
    /// How it went.
    pub outcome: Outcome,
    /// The most memory that was measured.
    pub peak: Bytes,
    /// The number of the last report that was taken; 0 for none.
    pub last_report: u64,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds the lease.
    Running,
    /// It made the job's output.
    Succeeded,
    /// It said that it failed.
    Failed(String),
    /// It was not heard of any more.
    Lost(String),
    /// A person ended the job.
    Cancelled,
}

impl Outcome {
    /// Whether the attempt ended by its own last report, so that its worker knows that it has.
    pub fn is_own(&self) -> bool {
        matches!(self, Outcome::Succeeded | Outcome::Failed(_))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Running => f.pad("running"),
            Outcome::Succeeded => f.pad("succeeded"),
            Outcome::Failed(why) => write!(f, "failed: {why}"),
            Outcome::Lost(why) => write!(f, "lost: {why}"),
            Outcome::Cancelled => f.pad("cancelled"),
        }
    }
}
