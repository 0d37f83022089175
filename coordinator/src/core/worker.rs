//! Workers: machines that run attempts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Digest, Millis, WorkerId};

/// A worker's connection. Numbers rise within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What a worker runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The chip's name.
    pub chip: String,
    /// The system's name and version.
    pub os: String,
    /// All memory.
    pub memory: Bytes,
    /// What the GPU may hold without being paged out.
    pub gpu_limit: Bytes,
    /// What plans may use.
    pub usable: Bytes,
    /// What was free when it last said.
    pub free: Bytes,
    /// The worker's version.
    pub version: String,
    /// What was free on the disk that its inputs, checkpoints and adapters lie on when it last said. `None` where it does not say.
    #[serde(default)]
    pub disk_free: Option<Bytes>,
}

/// Free disk changes all the time, and jobs are placed anew when there is more of it: it is counted in steps of this many bytes,
/// rounded down.
const DISK_STEP_BYTES: u64 = 64 << 20;

/// What a worker says that its disk has free. 0 is what one says that does not know.
pub fn disk_free(said: u64) -> Option<Bytes> {
    (said > 0).then_some(Bytes(said / DISK_STEP_BYTES * DISK_STEP_BYTES))
}

/// A worker that has connected at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The installation.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
    /// What it runs on.
    pub machine: Machine,
    /// When it was last heard of.
    pub last_seen: Millis,
    /// Inputs that it has fetched, as far as we know. Only a preference: a wrong entry costs a download.
    pub cached: BTreeSet<Digest>,

    // What follows is not written; a restart finds it out again.
    /// Its connection.
    pub session: Option<SessionId>,
    /// Whether it takes no more attempts.
    pub draining: bool,
    /// The attempt that holds a lease here: one GPU job a worker.
    pub lease: Option<AttemptId>,
    /// Attempts that were told to stop and that the worker still holds. Until they are gone their memory is not free.
    pub stopping: BTreeSet<AttemptId>,
}

impl Worker {
    /// Whether it can start an attempt now.
    pub fn is_available(&self) -> bool {
        self.session.is_some() && !self.draining && self.lease.is_none() && self.stopping.is_empty()
    }
}
