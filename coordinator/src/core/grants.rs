//! What a worker may touch: what its live attempts need, and nothing else.
//!
//! Its right comes and goes with its leases. What it reads is what an attempt was given: its inputs, the checkpoint that the next one goes
//! on from, and, of a task that follows names, what these stand for now. It writes blobs for as long as it has an attempt at all, since
//! what it makes has no name before it is there.
//!
//! Promise: an answer costs what the worker's attempts read, however many artifacts, jobs and workers there are.

use super::{ArchiveError, Core};
use std::collections::BTreeSet;
use vertigo::id::{Digest, WorkerId};

impl Core {
    /// Whether a worker may read a blob: something that it may get names it.
    ///
    /// # Errors
    /// A name that it follows is a job's that has ended, and the archive cannot be read.
    pub fn may_read_blob(&self, worker: WorkerId, blob: Digest) -> Result<bool, ArchiveError> {
        let has_blob = |digest: &Digest| self.index.get(digest).is_some_and(|artifact| artifact.has_blob(blob));
        Ok(self.read_by(worker)?.iter().any(has_blob))
    }

    /// Whether a worker may write blobs, and look for those that it would write: it has a live attempt.
    pub fn may_write_blob(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|worker| !worker.leases.is_empty())
    }

    /// Whether a worker may get an artifact.
    ///
    /// # Errors
    /// As [`may_read_blob`](Core::may_read_blob).
    pub fn may_get_artifact(&self, worker: WorkerId, artifact: Digest) -> Result<bool, ArchiveError> {
        Ok(self.read_by(worker)?.contains(&artifact))
    }

    /// All that the live attempts of a worker read.
    fn read_by(&self, worker: WorkerId) -> Result<BTreeSet<Digest>, ArchiveError> {
        let mut read = BTreeSet::new();
        let Some(worker) = self.workers.get(&worker) else { return Ok(read) };
        for attempt in worker.leases.keys().filter_map(|id| self.attempts.get(id)) {
            let Some(variant) = self.jobs.get(&attempt.job).and_then(|job| job.variants.get(attempt.variant)) else {
                continue;
            };
            read.extend(variant.artifacts().map(|(digest, _)| digest));
            read.extend(variant.resume.map(|resume| resume.checkpoint));
            read.extend(self.kinds.followed(self, variant)?);
        }
        Ok(read)
    }
}
