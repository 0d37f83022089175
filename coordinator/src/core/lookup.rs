//! Finding things by what people call them. Changes nothing.

use super::{Artifact, Attempt, Core, Factors, Index, Installation, Job, Worker};
use std::ops::Bound;
use vertigo::id::{AttemptId, Digest, JobId, Millis, WorkerId};
use vertigo::manifest::Manifest;

/// A prefix that more than one thing has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{prefix}` is the beginning of {}", matches.join(", "))]
pub struct Ambiguous {
    /// What was asked for.
    pub prefix: String,
    /// What it may mean.
    pub matches: Vec<String>,
}

impl Core {
    /// A job by id, by name (the newest of that name), or by a prefix of its id that no other job has.
    ///
    /// # Errors
    /// [`Ambiguous`] lists the jobs that the prefix fits.
    pub fn find_job(&self, reference: &str) -> Result<Option<&Job>, Ambiguous> {
        if let Ok(id) = reference.parse::<JobId>() {
            return Ok(self.jobs.get(&id));
        }
        if let Some(job) = self.jobs.values().rev().find(|job| job.name.as_deref() == Some(reference)) {
            return Ok(Some(job));
        }
        let prefix = reference.to_ascii_lowercase();
        let fits = |job: &&Job| !prefix.is_empty() && job.id.to_string().starts_with(&prefix);
        let matches: Vec<&Job> = self.jobs.values().filter(fits).collect();
        match matches[..] {
            [] => Ok(None),
            [job] => Ok(Some(job)),
            _ => Err(Ambiguous {
                prefix: reference.to_owned(),
                matches: matches.iter().take(5).map(|job| job.id.to_string()).collect(),
            }),
        }
    }

    /// An artifact by tag, by digest or a prefix of it, or by the job that made it (id, prefix or name).
    ///
    /// # Errors
    /// [`Ambiguous`] lists what the reference fits.
    pub fn find_artifact(&self, reference: &str) -> Result<Option<(Digest, &Artifact)>, Ambiguous> {
        let digests = self.index.resolve(reference);
        let digest = match digests[..] {
            [digest] => Some(digest),
            [] => self.find_job(reference)?.and_then(Job::output),
            _ => {
                let matches = digests.iter().take(5).map(Digest::to_string).collect();
                return Err(Ambiguous { prefix: reference.to_owned(), matches });
            }
        };
        Ok(digest.and_then(|digest| self.index.get(&digest).map(|artifact| (digest, artifact))))
    }

    /// A job by its id.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// Jobs, newest first; with `after`, those behind that one.
    pub fn jobs(&self, after: Option<JobId>) -> impl Iterator<Item = &Job> {
        let end = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.jobs.range((Bound::Unbounded, end)).rev().map(|(_, job)| job)
    }

    /// An attempt by its id.
    pub fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.get(&id)
    }

    /// A worker by its id.
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// Workers that have ever connected.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// Whose a worker's id is. For the store alone: nobody is told.
    pub fn installation(&self, id: WorkerId) -> Option<&Installation> {
        self.installations.get(&id)
    }

    /// What an artifact is made of.
    pub fn manifest(&self, digest: &Digest) -> Option<&Manifest> {
        self.index.get(digest).map(|artifact| &*artifact.manifest)
    }

    /// Artifacts and tags.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What finished attempts have taught.
    pub fn factors(&self) -> &Factors {
        &self.factors
    }

    /// The journal's last position.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// When a lease expires, unless it is renewed.
    pub fn lease_deadline(&self, id: AttemptId) -> Option<Millis> {
        self.leases.get(&id).copied()
    }
}
