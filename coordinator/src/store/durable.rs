//! What the coordinator asks of a database, and what each one promises.
//!
//! There are two: [`sqlite`](super::sqlite), which a coordinator runs on, and one in memory, for tests. `conformance` holds both to the
//! laws that are written here.

use super::StoreError;
use super::rows::Rows;
use crate::core::{Core, Effects, Event, Snapshot};
use std::fmt::Debug;
use std::sync::Arc;
use vertigo::id::JobId;

/// Where the core's state outlives the process. One writer has it.
pub(super) trait Durable: Debug + Send {
    /// All that was committed: each thing as it was at the last commit that named it, and a removed worker no more. What no database
    /// keeps, because a restart finds it out again, is empty: sessions, leases, who drains or stops, when an installation was heard
    /// of. The attempts of a job are in the order of their epochs; the order of a list of jobs, attempts or workers says nothing.
    ///
    /// # Errors
    /// Something does not read back. Nothing is left out silently.
    fn load(&mut self) -> Result<Snapshot, StoreError>;

    /// Writes what `effects` names, as `core` has it now, and the effects' journal.
    ///
    /// All or nothing: after an error, and after a process that ended in the middle, it is as before the call. Safe: when this returns
    /// it outlives the process, and the machine's power where the database is on a disk. In order: a commit is seen by whoever
    /// reads only with all commits before it. An artifact that is there already stays as it is. What was forgotten is there no more,
    /// unless the same effects name it: it came again.
    ///
    /// # Errors
    /// The database took nothing. The core is ahead of it then, so the caller must not go on.
    fn commit(&mut self, core: &Core, effects: &Effects) -> Result<(), StoreError>;

    /// The journal, for whoever reads beside the writer.
    fn journal(&self) -> Arc<dyn Journal>;

    /// The rest, for whoever reads it beside the writer.
    fn rows(&self) -> Arc<dyn Rows>;
}

/// What happened to jobs, as people read it. Any number of threads read while the writer writes.
pub(super) trait Journal: Debug + Send + Sync {
    /// Events of one job, or of all, oldest first, at most `limit` of them: the first ones whose position is above `after`.
    ///
    /// It sees every commit that returned before the call, and no part of one that has not: fewer than `limit` events means that there
    /// were no more. What a page costs does not grow with the journal, nor with other jobs' events or other kinds of event.
    ///
    /// # Errors
    /// An event does not read back, or was written by a later version.
    fn events(&self, job: Option<JobId>, after: u64, which: Which, limit: usize) -> Result<Vec<Event>, StoreError>;
}

/// Which events to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Lines that attempts wrote.
    Logs,
}
