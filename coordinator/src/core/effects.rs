//! What a change of the state means outside: rows to write, events to journal, messages to send.

use super::{Event, FactorKey, Move, SessionId, Task};
use std::collections::BTreeSet;
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Digest, Epoch, JobId, WorkerId};
use vertigo::task::Slot;

/// What has happened since it was last taken. Rows first, in one transaction; messages after it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Jobs that changed.
    pub jobs: BTreeSet<JobId>,
    /// Attempts that changed.
    pub attempts: BTreeSet<AttemptId>,
    /// Workers that changed, or are gone.
    pub workers: BTreeSet<WorkerId>,
    /// Installations that are new, whose process has changed, or that are gone.
    pub installations: BTreeSet<WorkerId>,
    /// What is there no more. It goes before what became visible comes: a thing may do both.
    pub forgotten: Forgotten,
    /// Artifacts that became visible.
    pub artifacts: BTreeSet<Digest>,
    /// Moves of tags, in order.
    pub moves: Vec<Move>,
    /// Factors that changed.
    pub factors: BTreeSet<FactorKey>,
    /// What people see of it, in order.
    pub journal: Vec<Event>,
    /// What workers are told, in order.
    pub outbox: Vec<(SessionId, Outgoing)>,
}

impl Effects {
    /// Whether there is something to write.
    pub fn is_durable(&self) -> bool {
        !(self.jobs.is_empty()
            && self.attempts.is_empty()
            && self.workers.is_empty()
            && self.installations.is_empty()
            && self.forgotten.artifacts.is_empty()
            && self.forgotten.events.is_empty()
            && self.artifacts.is_empty()
            && self.moves.is_empty()
            && self.factors.is_empty()
            && self.journal.is_empty())
    }
}

/// What is there no more.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forgotten {
    /// Artifacts, which nothing names.
    pub artifacts: BTreeSet<Digest>,
    /// Positions in the journal. The last of a job is never among them, so that no position is given twice.
    pub events: BTreeSet<u64>,
}

/// A message to a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// The session is open.
    Welcome {
        /// For each attempt that the worker may go on with, the last report that was taken.
        acks: Vec<(AttemptId, u64)>,
    },
    /// An attempt to start.
    Assignment(Box<Assignment>),
    /// Reports up to this number are safe.
    Ack {
        /// The attempt.
        attempt: AttemptId,
        /// The number.
        number: u64,
    },
    /// The attempt's lease is over.
    Stop {
        /// The attempt.
        attempt: AttemptId,
        /// Why, for a person.
        reason: String,
    },
    /// By which policy the worker's machine takes part from now on.
    Policy {
        /// As a person writes it.
        when: String,
    },
    /// The worker saves what runs, gives it back and starts anew.
    StartAnew,
    /// The session is over: another has taken its place.
    Close {
        /// Why, for a person.
        reason: String,
    },
}

impl Outgoing {
    /// The edition of our messages that has this one: a worker that knows earlier ones only passes it over without a word.
    pub fn edition(&self) -> u32 {
        match self {
            Outgoing::Welcome { .. }
            | Outgoing::Assignment(_)
            | Outgoing::Ack { .. }
            | Outgoing::Stop { .. }
            | Outgoing::Close { .. } => 0,
            Outgoing::Policy { .. } | Outgoing::StartAnew => 1,
        }
    }
}

/// What a worker needs to run an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The fencing token of the lease.
    pub epoch: Epoch,
    /// Memory that it may use.
    pub reserved: Bytes,
    /// The slot that it takes.
    pub slot: Slot,
    /// What the variant is called.
    pub variant: String,
    /// What is done.
    pub task: Task,
    /// What it reads, by role.
    pub inputs: Vec<(String, Digest)>,
    /// The checkpoint to go on from.
    pub checkpoint: Option<Digest>,
    /// W3C trace context of the job, or empty.
    pub traceparent: String,
}
