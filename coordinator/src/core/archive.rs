//! Jobs that have ended, and moves of tags: not in memory, and read back where somebody names one.
//!
//! Whoever drives the core keeps them: after each commit it has the core let go of what has ended ([`Core::let_go`]), and answers for that
//! from then on. So what the core holds grows with what is still to be done, and not with what was ever done.
//!
//! Promise: a core that lets go says and does what one that keeps everything does (`tests/archive.rs`).

use super::{Attempt, Core, Effects, Job, Outcome, Refusal};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use vertigo::id::{AttemptId, JobId, MoveId};

/// What was committed, as far as it has left the core. Every look-up is quick: the writer waits for it.
pub trait Archive: Debug + Send + Sync {
    /// A job that was committed, as it was at the last commit.
    ///
    /// # Errors
    /// What was kept does not read back.
    fn job(&self, id: JobId) -> Result<Option<Job>, ArchiveError>;

    /// Whether there is such a job.
    ///
    /// # Errors
    /// The same.
    fn has_job(&self, id: JobId) -> Result<bool, ArchiveError>;

    /// An attempt that was committed.
    ///
    /// # Errors
    /// The same.
    fn attempt(&self, id: AttemptId) -> Result<Option<Attempt>, ArchiveError>;

    /// The newest job of a name, whether it has ended or not.
    ///
    /// # Errors
    /// The same.
    fn named(&self, name: &str) -> Result<Option<JobId>, ArchiveError>;

    /// Jobs whose id begins with `prefix` as it is written, the oldest first, at most `limit`, whether they have ended or not. What no id
    /// begins with fits none.
    ///
    /// # Errors
    /// The same.
    fn beginning_with(&self, prefix: &str, limit: usize) -> Result<Vec<JobId>, ArchiveError>;

    /// Whether a move of this id was committed.
    ///
    /// # Errors
    /// The same.
    fn has_move(&self, id: MoveId) -> Result<bool, ArchiveError>;
}

/// What has ended cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what has ended cannot be read: {0}")]
pub struct ArchiveError(pub String);

/// Of a core that lets nothing go.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoArchive;

impl Archive for NoArchive {
    fn job(&self, _: JobId) -> Result<Option<Job>, ArchiveError> {
        Ok(None)
    }

    fn has_job(&self, _: JobId) -> Result<bool, ArchiveError> {
        Ok(false)
    }

    fn attempt(&self, _: AttemptId) -> Result<Option<Attempt>, ArchiveError> {
        Ok(None)
    }

    fn named(&self, _: &str) -> Result<Option<JobId>, ArchiveError> {
        Ok(None)
    }

    fn beginning_with(&self, _: &str, _: usize) -> Result<Vec<JobId>, ArchiveError> {
        Ok(Vec::new())
    }

    fn has_move(&self, _: MoveId) -> Result<bool, ArchiveError> {
        Ok(false)
    }
}

impl Core {
    /// Lets go of the jobs of `effects` that have ended, and of the attempts at them. The archive has them: `effects` are committed.
    pub fn let_go(&mut self, effects: &Effects) {
        for id in &effects.jobs {
            let std::collections::btree_map::Entry::Occupied(job) = self.jobs.entry(*id) else { continue };
            if job.get().state.is_terminal() {
                job.remove().attempts.iter().for_each(|attempt| drop(self.attempts.remove(attempt)));
            }
        }
    }

    /// A job, whether it has ended or not.
    ///
    /// # Errors
    /// The archive.
    pub fn any_job(&self, id: JobId) -> Result<Option<Cow<'_, Job>>, ArchiveError> {
        match self.jobs.get(&id) {
            Some(job) => Ok(Some(Cow::Borrowed(job))),
            None => Ok(self.archive.job(id)?.map(Cow::Owned)),
        }
    }

    /// Whether there is or was a job of this id.
    ///
    /// # Errors
    /// The archive.
    pub fn knows_job(&self, id: JobId) -> Result<bool, ArchiveError> {
        Ok(self.jobs.contains_key(&id) || self.archive.has_job(id)?)
    }

    /// How the attempts among `ids` went whose jobs have ended and have left.
    pub(super) fn past(&self, ids: impl Iterator<Item = AttemptId>) -> Result<Past, Refusal> {
        let gone = ids.filter(|id| !self.attempts.contains_key(id));
        let read = |id| Ok::<_, ArchiveError>(self.archive.attempt(id)?.map(|attempt| (id, attempt)));
        Ok(gone.filter_map(|id| read(id).transpose()).collect::<Result<_, _>>()?)
    }
}

/// Attempts that were read back for one command.
pub(super) type Past = BTreeMap<AttemptId, Attempt>;

impl Core {
    /// How an attempt went, as far as it is known.
    pub(super) fn outcome<'a>(&'a self, past: &'a Past, id: AttemptId) -> Option<&'a Outcome> {
        self.attempts.get(&id).or_else(|| past.get(&id)).map(|attempt| &attempt.outcome)
    }
}
