//! Jobs, their variants, and the attempts at them.

use super::queue::Rank;
use super::report::Serving;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::id::{AttemptId, Digest, Epoch, JobId, Millis, WorkerId};
use vertigo::placement;
use vertigo::principal::PrincipalName;
use vertigo::task::{Cure, Slot, TaskKind};

/// What a person queued.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What a person calls it; also the tag of its first output.
    pub name: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Why it failed or was cancelled, or what its success lacks; else empty. Of one that waits, what people were told last:
    /// [`Reasons`](super::Reasons) has what holds now.
    pub reason: String,
    /// Higher goes first.
    pub priority: i32,
    /// For finding it again.
    pub labels: BTreeMap<String, String>,
    /// When it was queued first.
    pub created: Millis,
    /// When it ended.
    pub ended: Option<Millis>,
    /// In order of preference; at least one. Shared with jobs that are to do the same.
    pub variants: Arc<Vec<Variant>>,
    /// What its success made, by role; the kind's first output first.
    pub outputs: Vec<(String, Digest)>,
    /// Oldest first.
    pub attempts: Vec<AttemptId>,
    /// Of the newest lease; 0 before the first.
    pub epoch: Epoch,
    /// Attempts in a row whose process could go no further, without a new checkpoint between them.
    pub crashes: u32,
    /// Attempts in a row that were lost or failed for reasons that pass, without a new checkpoint between them.
    pub retries: u32,
    /// Times that its machine's kernel panicked while it ran, in all of its life.
    pub panics: u32,
    /// Workers whose machine failed it since its newest checkpoint: others go first.
    pub avoid: BTreeSet<WorkerId>,
    /// W3C trace context of the call that queued it, or empty.
    pub traceparent: String,
    /// Who queued it.
    pub by: PrincipalName,
}

impl Job {
    /// What tables call it: its name, or the part of its id that tells the time to the millisecond.
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.id.to_string()[..13].to_owned())
    }

    /// What kind of job it is. Its variants make the same, so they are of one kind.
    pub fn kind(&self) -> Option<TaskKind> {
        self.variants.first().map(|variant| variant.task.kind)
    }

    /// The artifact that its success made first, which is what its name tags.
    pub fn output(&self) -> Option<Digest> {
        self.outputs.first().map(|(_, digest)| *digest)
    }

    /// The artifact of a role; of the empty role, the first.
    pub fn output_of(&self, role: &str) -> Option<Digest> {
        self.outputs.iter().find(|(name, _)| role.is_empty() || name == role).map(|(_, digest)| *digest)
    }

    /// The jobs whose outputs it still lacks.
    pub fn waits_for(&self) -> BTreeSet<JobId> {
        let lacks = |input: &Input| input.source.job().filter(|_| input.artifact.is_none());
        self.variants.iter().flat_map(|variant| &variant.inputs).filter_map(lacks).collect()
    }

    /// Its place among queued jobs: priority, then age.
    pub(super) fn rank(&self) -> Rank {
        (Reverse(self.priority), self.created, self.id)
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for what other jobs make.
    Blocked,
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
    /// Ended with its outputs.
    Succeeded,
    /// Ended without.
    Failed,
    /// Ended by a person.
    Cancelled,
}

impl State {
    /// The state's name in tables and in the store.
    pub fn name(&self) -> &'static str {
        match self {
            State::Blocked => "blocked",
            State::Queued => "queued",
            State::Backoff { .. } => "backoff",
            State::Leased { .. } => "leased",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended.
    pub fn is_terminal(&self) -> bool {
        matches!(self, State::Succeeded | State::Failed | State::Cancelled)
    }
}

/// One way to do a job: a task, what it reads, what it needs, and what attempts at it have shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Hash)]
pub struct Variant {
    /// What it is called, such as its recipe's name.
    pub name: String,
    /// What is done.
    pub task: Task,
    /// The base as a person names it, or empty.
    pub model: String,
    /// What it reads. What nobody names is added when the need is known.
    pub inputs: Vec<Input>,
    /// What a worker has to have for it. `None` for as long as that depends on something that is not there yet.
    pub need: Option<Need>,
    /// What running out of memory has taught, for this job.
    pub raised: Option<Bytes>,
    /// Where the next attempt at this variant goes on. A checkpoint of one variant means nothing to another.
    pub resume: Option<Resume>,
    /// Whether the newest attempt that began could not go on from the checkpoint that it was given. What is saved then shows no headway
    /// until something goes on from it: a job whose checkpoints cannot be read would crash and begin anew without end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub began_anew: bool,
    /// What of its examples is not learned as it was written: found by the newest attempt that has read them.
    pub caveats: Option<Caveats>,
}

impl Variant {
    /// Predicted peak memory: what a worker has to reserve. Nothing for as long as the need is not known.
    pub fn peak(&self) -> Bytes {
        self.need.as_ref().map_or(Bytes::ZERO, Need::peak).max(self.raised.unwrap_or_default())
    }

    /// The slot that it takes.
    pub fn slot(&self) -> Slot {
        self.need.as_ref().map_or(Slot::Gpu, |need| need.slot)
    }

    /// Whether it goes on until somebody ends it.
    pub(super) fn is_service(&self) -> bool {
        self.slot() == Slot::Service
    }

    /// What a worker has to have for it.
    pub(super) fn wants(&self) -> placement::Need {
        let disk = self.need.as_ref().map_or(Bytes::ZERO, |need| need.disk);
        placement::Need { name: self.name.clone(), peak: self.peak(), disk, slot: self.slot() }
    }

    /// What an attempt at it reads, and how large that is.
    pub(super) fn artifacts(&self) -> impl Iterator<Item = (Digest, Bytes)> {
        self.inputs.iter().filter_map(|input| input.artifact.map(|found| (found.digest, found.bytes)))
    }
}

/// What is done, as far as the core knows it: a kind's name, and a message that it hands on unread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Task {
    /// Its kind.
    #[serde(with = "kind_name")]
    pub kind: TaskKind,
    /// The task as it came, in a form that only its kind reads. JSON has it as hexadecimal digits.
    #[serde(with = "hex::serde")]
    pub message: Vec<u8>,
}

/// A kind of task by its name.
mod kind_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use vertigo::task::TaskKind;

    pub(super) fn serialize<S: Serializer>(kind: &TaskKind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TaskKind, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// An input: its role, where it comes from, and what it is once that is there. From then on it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Input {
    /// What the task calls it.
    pub role: String,
    /// Where it comes from.
    pub source: Source,
    /// What it is, once it is there.
    pub artifact: Option<Found>,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An artifact that was there.
    Artifact,
    /// What another job makes.
    Output {
        /// The job.
        job: JobId,
        /// Which of its outputs.
        role: String,
    },
}

impl Source {
    /// The job that makes it.
    pub fn job(&self) -> Option<JobId> {
        match self {
            Source::Artifact => None,
            Source::Output { job, .. } => Some(*job),
        }
    }
}

/// An artifact that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Found {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: Bytes,
}

/// What an attempt needs of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Need {
    /// "QLoRA r8", "full", "fuse": attempts of one method teach one another.
    pub method: String,
    /// The engine's version that the estimate is for.
    pub engine: String,
    /// The estimate.
    pub parts: Vec<MemoryPart>,
    /// What finished attempts have taught: the prediction is the sum of the parts times this.
    pub factor: f64,
    /// What it writes on its worker's disk.
    pub disk: Bytes,
    /// The slot that it takes.
    pub slot: Slot,
}

impl Hash for Need {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Need { method, engine, parts, factor, disk, slot } = self;
        (method, engine, parts, factor.to_bits(), disk, slot).hash(state);
    }
}

impl Need {
    /// The sum of the parts.
    pub fn estimate(&self) -> Bytes {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Predicted peak memory.
    pub fn peak(&self) -> Bytes {
        self.estimate().scale(self.factor)
    }
}

/// An item of an estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct MemoryPart {
    /// What takes the memory.
    pub name: String,
    /// How much.
    pub bytes: Bytes,
}

/// A checkpoint to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
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
    /// Index into the job's variants.
    pub variant: usize,
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
    /// Of a service that has been up: where it answers, or did.
    pub service: Option<Service>,
}

/// A service that is up, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// When it was first heard of.
    pub since: Millis,
    /// Where it answers, and for which models.
    pub serving: Serving,
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds the lease.
    Running,
    /// It made the job's outputs.
    Succeeded,
    /// It said that it failed.
    Failed {
        /// Why.
        message: String,
        /// What cures it.
        cure: Cure,
        /// The kind's word for it.
        code: String,
    },
    /// It was not heard of any more.
    Lost(String),
    /// A person ended the job.
    Cancelled,
}

impl Outcome {
    /// Whether the attempt ended by its own last report, so that its worker knows that it has.
    pub fn is_own(&self) -> bool {
        matches!(self, Outcome::Succeeded | Outcome::Failed { .. })
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Running => f.pad("running"),
            Outcome::Succeeded => f.pad("succeeded"),
            Outcome::Failed { message, .. } => write!(f, "failed: {message}"),
            Outcome::Lost(why) => write!(f, "lost: {why}"),
            Outcome::Cancelled => f.pad("cancelled"),
        }
    }
}
