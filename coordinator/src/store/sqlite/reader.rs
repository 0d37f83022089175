//! The connections that read while the writer writes.

use super::super::StoreError;
use super::super::durable::{Records, Which};
use super::super::listing::{JobFilter, Listed};
use super::{jobs, journal, moves, pages};
use crate::core::{Archive, ArchiveError, Attempt, Event, Job, Move};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use vertigo::id::{AttemptId, JobId, MoveId};

/// Statements that a connection keeps prepared: more than there are.
pub(super) const STATEMENTS_MAX: usize = 64;

/// Connections to the database, each of which one caller has at a time.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    pub(super) fn new(path: PathBuf) -> Reader {
        Reader { path, idle: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn take(&self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(connection);
        }
        let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(connection)
    }

    /// Reads by a connection. One that failed is not used again.
    pub(super) fn read<T, E: Into<StoreError>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let connection = self.take()?;
        let found = read(&connection).map_err(Into::into)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(found)
    }

    /// The same, for the core.
    fn recall<T, E: Into<StoreError>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, ArchiveError> {
        self.read(read).map_err(|error| ArchiveError(error.to_string()))
    }
}

impl Records for Reader {
    fn events(&self, job: Option<JobId>, after: u64, which: Which, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read(|connection| journal::read(connection, job, after, which, limit))
    }

    fn list(&self, filter: &JobFilter, after: Option<Listed>, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.read(|connection| pages::page(connection, filter, after, limit))
    }

    fn jobs(&self, ids: &[JobId]) -> Result<Vec<(Job, Vec<Attempt>)>, StoreError> {
        self.read(|connection| {
            // One transaction, so that a job and its attempts are of one commit.
            let snapshot = connection.unchecked_transaction()?;
            ids.iter().filter_map(|id| jobs::one(&snapshot, *id).transpose()).collect::<Result<_, StoreError>>()
        })
    }

    fn moves(&self, tag: &str, before: Option<u64>, limit: usize) -> Result<Vec<Move>, StoreError> {
        self.read(|connection| moves::page(connection, tag, before, limit))
    }

    fn one_move(&self, id: MoveId) -> Result<Option<Move>, StoreError> {
        self.read(|connection| moves::one(connection, id))
    }
}

impl Archive for Reader {
    fn job(&self, id: JobId) -> Result<Option<Job>, ArchiveError> {
        self.recall(|connection| jobs::one(connection, id)).map(|found| found.map(|(job, _)| job))
    }

    fn has_job(&self, id: JobId) -> Result<bool, ArchiveError> {
        self.recall(|connection| jobs::exists(connection, id))
    }

    fn attempt(&self, id: AttemptId) -> Result<Option<Attempt>, ArchiveError> {
        self.recall(|connection| jobs::one_attempt(connection, id))
    }

    fn named(&self, name: &str) -> Result<Option<JobId>, ArchiveError> {
        self.recall(|connection| jobs::named(connection, name))
    }

    fn beginning_with(&self, prefix: &str, limit: usize) -> Result<Vec<JobId>, ArchiveError> {
        self.recall(|connection| jobs::beginning_with(connection, prefix, limit))
    }

    fn has_move(&self, id: MoveId) -> Result<bool, ArchiveError> {
        self.recall(|connection| moves::exists(connection, id))
    }
}
