//! What people and workers ask of the core. What a person asks for says who that is.

use super::{Conditions, Forget, Machine, MoveTag, Reboot, Report, SessionId, Variant};
use std::collections::BTreeMap;
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Epoch, JobId, ProcessId, WorkerId};
use vertigo::manifest::Manifest;
use vertigo::principal::PrincipalName;
use vertigo::secret::SecretHash;

/// What people and workers ask of the core.
#[derive(Debug, Clone)]
pub enum Command {
    /// Queues jobs: all of them, or none.
    Submit(Vec<Submit>),
    /// Ends a job that has not ended, and those that wait for what it makes.
    Cancel {
        /// The job.
        job: JobId,
        /// Who asks.
        by: PrincipalName,
    },
    /// Ends all jobs that have not ended and carry a label of this value.
    CancelAll {
        /// The label.
        label: &'static str,
        /// Its value.
        value: String,
        /// Who asks.
        by: PrincipalName,
    },
    /// A worker's Hello on a new session.
    Connect(Connect),
    /// A session is gone. Its leases live on until they expire.
    Disconnect {
        /// The session.
        session: SessionId,
    },
    /// Renews the leases that it names.
    Heartbeat {
        /// The session it came on.
        session: SessionId,
        /// Memory that is free on the machine now.
        free: Bytes,
        /// What its disk has free now, where it says so.
        disk_free: Option<Bytes>,
        /// Attempts that run there.
        held: Vec<(AttemptId, Epoch)>,
    },
    /// The worker takes no more attempts, and services leave it.
    Drain {
        /// The session it came on.
        session: SessionId,
    },
    /// The worker takes no attempts, or takes them again, by the policy of its machine's owner.
    Away {
        /// The session it came on.
        session: SessionId,
        /// Why it takes none; `None` where it does.
        reason: Option<String>,
    },
    /// What a worker says of its machine has changed.
    Conditions {
        /// The session it came on.
        session: SessionId,
        /// All of it.
        conditions: Conditions,
    },
    /// What an attempt has to say.
    Reports {
        /// The session it came on.
        session: SessionId,
        /// The attempt.
        attempt: AttemptId,
        /// The epoch of its lease.
        epoch: Epoch,
        /// In the order of their numbers.
        reports: Vec<Report>,
    },
    /// Makes an artifact of blobs that the store has, and moves tags to it.
    Register {
        /// The artifact.
        manifest: Manifest,
        /// Tags to move, valid by [`Index::check_tag`](super::Index::check_tag).
        tags: Vec<String>,
        /// Who asks.
        by: PrincipalName,
    },
    /// Moves a tag.
    MoveTag(MoveTag),
    /// Has a worker take nothing new, until it is resumed.
    Hold {
        /// The worker.
        worker: WorkerId,
        /// Who asks.
        by: PrincipalName,
        /// Why, in words; may be empty.
        reason: String,
    },
    /// Ends a worker's hold, whoever holds it.
    Resume {
        /// The worker.
        worker: WorkerId,
        /// Who asks.
        by: PrincipalName,
    },
    /// Forgets a worker that is away, or held with nothing running there, and its secret.
    Remove {
        /// The worker.
        worker: WorkerId,
        /// Who asks.
        by: PrincipalName,
    },
    /// Tells a worker by which policy its machine takes part.
    SetPolicy {
        /// The worker.
        worker: WorkerId,
        /// As a person writes it. It has been read.
        when: String,
        /// Who asks.
        by: PrincipalName,
    },
    /// Has a worker save what runs there and start anew.
    StartAnew {
        /// The worker.
        worker: WorkerId,
        /// Who asks.
        by: PrincipalName,
    },
    /// Lets go what nobody needs any more. What somebody does is passed over.
    Forget(Forget),
}

/// A job to queue. Its variants have been checked.
#[derive(Debug, Clone)]
pub struct Submit {
    /// Chosen by the caller. A job of this id that is there already stays as it is.
    pub id: JobId,
    /// What a person calls it; also the tag of its first output.
    pub name: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// For finding it again.
    pub labels: BTreeMap<String, String>,
    /// In order of preference. Inputs may be outputs of jobs that are there or stand before this one.
    pub variants: Vec<Variant>,
    /// W3C trace context of the call that queued it, or empty.
    pub traceparent: String,
    /// Who asks.
    pub by: PrincipalName,
}

/// A worker's Hello.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The new session.
    pub session: SessionId,
    /// The installation.
    pub worker: WorkerId,
    /// Of the installation's secret.
    pub secret: SecretHash,
    /// This start of its daemon.
    pub process: ProcessId,
    /// Its name, which no other connected worker has.
    pub name: String,
    /// What it runs on.
    pub machine: Machine,
    /// Attempts that run there.
    pub held: Vec<(AttemptId, Epoch)>,
    /// That its machine went down since it was welcomed last, oldest first.
    pub reboots: Vec<Reboot>,
    /// Why it takes no attempts, by the policy of its machine's owner.
    pub away: Option<String>,
    /// What else it says of its machine.
    pub conditions: Conditions,
}

impl Command {
    /// The command's name, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Submit(_) => "submit",
            Command::Cancel { .. } => "cancel",
            Command::CancelAll { .. } => "cancel all",
            Command::Connect(_) => "connect",
            Command::Disconnect { .. } => "disconnect",
            Command::Heartbeat { .. } => "heartbeat",
            Command::Drain { .. } => "drain",
            Command::Away { .. } => "away",
            Command::Conditions { .. } => "conditions",
            Command::Reports { .. } => "reports",
            Command::Register { .. } => "register",
            Command::MoveTag(_) => "move tag",
            Command::Hold { .. } => "hold",
            Command::Resume { .. } => "resume",
            Command::Remove { .. } => "remove",
            Command::SetPolicy { .. } => "set policy",
            Command::StartAnew { .. } => "start anew",
            Command::Forget(_) => "forget",
        }
    }
}
