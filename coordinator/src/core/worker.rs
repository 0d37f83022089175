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
