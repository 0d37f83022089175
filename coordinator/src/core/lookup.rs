//! Finding things by what people call them. Changes nothing.

use super::{ArchiveError, Artifact, Attempt, Core, Factors, Index, Installation, Job, Worker};
use std::borrow::Cow;
use vertigo::id::{AttemptId, Digest, JobId, Millis, WorkerId};
use vertigo::manifest::Manifest;
use vertigo::task::{OutputRole, TaskKind, split_output};

/// What a reference may mean is told up to this many times.
const MATCHES_TOLD: usize = 5;

/// A prefix that more than one thing has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{prefix}` is the beginning of {}", matches.join(", "))]
pub struct Ambiguous {
    /// What was asked for.
    pub prefix: String,
    /// What it may mean.
    pub matches: Vec<String>,
}

/// Why a reference to an artifact stands for none that there could be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It stands for several things.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
    /// What has ended cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The job makes nothing of that name.
    #[error("a {kind} job makes {}", made(*kind, role))]
    NoRole {
        /// The job, as it was written.
        job: String,
        /// Its kind.
        kind: TaskKind,
        /// What was asked for.
        role: String,
    },
}

/// What a kind makes instead of a role.
fn made(kind: TaskKind, role: &str) -> String {
    match kind.outputs() {
        [] => "nothing".to_owned(),
        _ => format!("no `{role}`; it makes {}", kind.output_names()),
    }
}

impl ReferenceError {
    /// What to write instead.
    pub fn hint(&self) -> String {
        match self {
            ReferenceError::Ambiguous(_) => "write more of it".to_owned(),
            ReferenceError::Archive(_) => "restore the database from a backup".to_owned(),
            ReferenceError::NoRole { kind, .. } if kind.outputs().is_empty() => {
                "name an artifact, or a job that makes one".to_owned()
            }
            ReferenceError::NoRole { job, kind, .. } => {
                let references = kind.outputs().iter().map(|output| format!("`{job}@{}`", output.role));
                format!("write {}", references.collect::<Vec<_>>().join(" or "))
            }
        }
    }
}

impl Core {
    /// A job by id, by name (the newest of that name), or by a prefix of its id that no other job has.
    ///
    /// # Errors
    /// [`Ambiguous`] lists the jobs that the prefix fits. The archive cannot be read.
    pub fn find_job(&self, reference: &str) -> Result<Option<Cow<'_, Job>>, ReferenceError> {
        if let Ok(id) = reference.parse::<JobId>() {
            return Ok(self.any_job(id)?);
        }
        if let Some(id) = self.archive.named(reference)? {
            return Ok(self.any_job(id)?);
        }
        match self.archive.beginning_with(&reference.to_ascii_lowercase(), MATCHES_TOLD)?[..] {
            [] => Ok(None),
            [id] => Ok(self.any_job(id)?),
            ref ids => {
                let matches = ids.iter().map(JobId::to_string).collect();
                Err(Ambiguous { prefix: reference.to_owned(), matches }.into())
            }
        }
    }

    /// An output of a job: `JOB@ROLE`, or `JOB` for its first. The job, and which of its kind's outputs is meant; it may not have made it
    /// yet.
    ///
    /// # Errors
    /// [`Ambiguous`] lists the jobs that the reference fits; [`ReferenceError::NoRole`] the roles that there are. The archive cannot be
    /// read.
    pub fn find_output(&self, reference: &str) -> Result<Option<(Cow<'_, Job>, &'static OutputRole)>, ReferenceError> {
        let (name, role) = split_output(reference);
        let Some(job) = self.find_job(name)? else { return Ok(None) };
        let Some(kind) = job.variants.first().map(|variant| variant.task.kind) else { return Ok(None) };
        let absent = || ReferenceError::NoRole { job: name.to_owned(), kind, role: role.to_owned() };
        Ok(Some((job, kind.output(role).ok_or_else(absent)?)))
    }

    /// An artifact by tag, by digest or a prefix of it, or by the job that made it (id, prefix or name), with `@ROLE` where it is not the
    /// job's first output.
    ///
    /// # Errors
    /// [`Ambiguous`] lists what the reference fits; [`ReferenceError::NoRole`] the roles that there are.
    pub fn find_artifact(&self, reference: &str) -> Result<Option<(Digest, &Artifact)>, ReferenceError> {
        let digests = self.index.resolve(reference);
        let digest = match digests[..] {
            [digest] => Some(digest),
            [] => self.find_output(reference)?.and_then(|(job, output)| job.output_of(output.role)),
            _ => {
                let matches = digests.iter().take(MATCHES_TOLD).map(Digest::to_string).collect();
                return Err(Ambiguous { prefix: reference.to_owned(), matches }.into());
            }
        };
        Ok(digest.and_then(|digest| self.index.get(&digest).map(|artifact| (digest, artifact))))
    }

    /// A job that has not ended, by its id.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// Jobs that have not ended, newest first.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().rev()
    }

    /// An attempt at a job that has not ended, by its id.
    pub fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.get(&id)
    }

    /// A worker by its id.
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// A worker by name, by id, or by a prefix of its id that no other has.
    ///
    /// # Errors
    /// [`Ambiguous`] lists the workers that it fits.
    pub fn find_worker(&self, reference: &str) -> Result<Option<&Worker>, Ambiguous> {
        let named: Vec<&Worker> = self.workers.values().filter(|worker| worker.name == reference).collect();
        let prefix = reference.to_ascii_lowercase();
        let begins = |worker: &&Worker| !prefix.is_empty() && worker.id.to_string().starts_with(&prefix);
        let found = if named.is_empty() { self.workers.values().filter(begins).collect() } else { named };
        match found[..] {
            [] => Ok(None),
            [worker] => Ok(Some(worker)),
            ref many => {
                let matches = many.iter().take(MATCHES_TOLD).map(|worker| worker.id.to_string()).collect();
                Err(Ambiguous { prefix: reference.to_owned(), matches })
            }
        }
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
