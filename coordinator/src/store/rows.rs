//! What is read of the database beside the writer, in rows: by whoever decides what goes, says what takes what, or copies it.
//!
//! Each call sees one state of the database: all commits that returned before it, and no part of any other.

use super::StoreError;
use std::fmt::Debug;
use vertigo::id::{Digest, JobId, Millis};
use vertigo::manifest::Manifest;

/// Called for each artifact, with what it is made of and the job that made it.
pub type SeeArtifact<'a> = &'a mut dyn FnMut(Digest, Manifest, Option<JobId>);

/// Rows of a database, for any number of threads while the writer writes.
pub(super) trait Rows: Debug + Send + Sync {
    /// Checkpoints that jobs have made, by job, beginning behind `after`: those of as many whole jobs as are `jobs`.
    ///
    /// # Errors
    /// A row does not read back.
    fn checkpoints(&self, after: Option<JobId>, jobs: usize) -> Result<Vec<CheckpointRow>, StoreError>;

    /// Jobs that ended behind `after`, in the order in which they did, at most `limit`.
    ///
    /// # Errors
    /// A row does not read back.
    fn ended(&self, after: (Millis, JobId), limit: usize) -> Result<Vec<EndedRow>, StoreError>;

    /// All artifacts, in any order.
    ///
    /// # Errors
    /// A row does not read back.
    fn artifacts(&self, see: SeeArtifact<'_>) -> Result<(), StoreError>;

    /// How large the database is, and what takes it.
    ///
    /// # Errors
    /// It cannot be asked.
    fn size(&self) -> Result<DatabaseSize, StoreError>;
}

/// A checkpoint, and the end of the job that made it.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointRow {
    /// The artifact.
    pub digest: Digest,
    /// What it is made of.
    pub manifest: Manifest,
    /// When it became visible.
    pub created: Millis,
    /// The job that made it.
    pub job: JobId,
    /// When that ended, if it has.
    pub ended: Option<Millis>,
}

/// A job that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedRow {
    /// The job.
    pub job: JobId,
    /// When it ended.
    pub ended: Millis,
    /// Events that the journal has of it.
    pub events: u64,
}

/// How large a database is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// All of it, on the disk, in bytes.
    pub bytes: u64,
    /// Of these, what is free for what comes next, in bytes.
    pub free_bytes: u64,
    /// Jobs.
    pub jobs: u64,
    /// The journal's events.
    pub events: u64,
    /// Of all bytes, those that the journal and its indexes take.
    pub journal_bytes: u64,
}
