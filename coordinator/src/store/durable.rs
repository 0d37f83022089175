//! What the coordinator asks of a database, and what each one promises.
//!
//! There are two: [`sqlite`](super::sqlite), which a coordinator runs on, and one in memory, for tests. `conformance` holds both to the
//! laws that are written here.

use super::StoreError;
use super::listing::{JobFilter, Listed};
use super::rows::Rows;
use crate::core::{Archive, Attempt, Core, Effects, Event, Job, Move, Snapshot};
use std::fmt::Debug;
use std::sync::Arc;
use vertigo::id::{JobId, MoveId};

/// Where the core's state outlives the process. One writer has it.
pub(super) trait Durable: Debug + Send {
    /// What was committed and has not ended: each thing as it was at the last commit that named it, and a removed worker no more. Jobs that
    /// have ended, and the attempts at them, are left to [`Records`]; so what this costs does not grow with them. What no database keeps,
    /// because a restart finds it out again, is empty: sessions, leases, who drains or stops, when an installation was heard of. The
    /// attempts of a job are in the order of their epochs; the order of a list of jobs, attempts or workers says nothing.
    ///
    /// # Errors
    /// Something does not read back. Nothing is left out silently.
    fn load(&mut self) -> Result<Snapshot, StoreError>;

    /// Writes what `effects` names, as `core` has it now, and the effects' moves of tags and journal.
    ///
    /// All or nothing: after an error, and after a process that ended in the middle, it is as before the call. Safe: when this returns
    /// it outlives the process, and the machine's power where the database is on a disk. In order: a commit is seen by whoever
    /// reads only with all commits before it. An artifact that is there already stays as it is. What was forgotten is there no more,
    /// unless the same effects name it: it came again.
    ///
    /// # Errors
    /// The database took nothing. The core is ahead of it then, so the caller must not go on.
    fn commit(&mut self, core: &Core, effects: &Effects) -> Result<(), StoreError>;

    /// What was committed, for whoever reads beside the writer.
    fn records(&self) -> Arc<dyn Records>;

    /// The rest, for whoever reads it beside the writer.
    fn rows(&self) -> Arc<dyn Rows>;
}

/// What was committed, as people read it and as the core reads back what has ended. Any number of threads read while the writer writes.
///
/// Whatever is asked sees every commit that returned before the call, and no part of one that has not.
pub(super) trait Records: Archive {
    /// Events of one job, or of all, oldest first, at most `limit` of them: the first ones whose position is above `after`.
    ///
    /// Fewer than `limit` events means that there were no more. What a page costs does not grow with the journal, nor with other jobs'
    /// events or other kinds of event.
    ///
    /// # Errors
    /// An event does not read back, or was written by a later version.
    fn events(&self, job: Option<JobId>, after: u64, which: Which, limit: usize) -> Result<Vec<Event>, StoreError>;

    /// Jobs that `filter` lets through, newest first, at most `limit` of them: the first ones behind `after`. Fewer than `limit` means that
    /// there are no more. Without a filter, or with one by states, by kind, by age or by the value of one label, a page costs what it
    /// shows, however many jobs there are.
    ///
    /// # Errors
    /// The database.
    fn list(&self, filter: &JobFilter, after: Option<Listed>, limit: usize) -> Result<Vec<Listed>, StoreError>;

    /// Those of `ids` that there are, in their order, each with its attempts, oldest first.
    ///
    /// # Errors
    /// One does not read back.
    fn jobs(&self, ids: &[JobId]) -> Result<Vec<(Job, Vec<Attempt>)>, StoreError>;

    /// Moves of a tag, newest first, at most `limit` of them: the first ones whose number is below `before`. Fewer than `limit`
    /// means that there are no more.
    ///
    /// # Errors
    /// One does not read back.
    fn moves(&self, tag: &str, before: Option<u64>, limit: usize) -> Result<Vec<Move>, StoreError>;

    /// The move of an id.
    ///
    /// # Errors
    /// It does not read back.
    fn one_move(&self, id: MoveId) -> Result<Option<Move>, StoreError>;

    /// Whether reading waits for a disk. What does not is read on the thread that asks.
    fn waits(&self) -> bool {
        true
    }
}

/// Which events to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Lines that attempts wrote.
    Logs,
}
