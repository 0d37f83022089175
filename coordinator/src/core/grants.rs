//! What a worker may touch: what its own attempts need, for as long as they hold their leases.
//!
//! A worker that was stolen reads what it was given to work on and nothing else. A service is the exception: it follows names, which a task
//! that is not read here holds, and which anybody may move to any model; its worker may fetch what artifacts there are.

use super::{Core, Job, Variant};
use vertigo::id::{Digest, WorkerId};
use vertigo::task::Slot;

impl Core {
    /// Whether a file is of something that one of the worker's attempts reads or goes on from.
    pub fn may_read_blob(&self, worker: WorkerId, blob: Digest) -> bool {
        let names = |artifact: Digest| {
            let found = self.index.get(&artifact);
            found.is_some_and(|it| it.manifest.files().iter().any(|file| file.digest == blob))
        };
        self.may_get_artifacts(worker) || self.read_by(worker).any(names)
    }

    /// Whether the worker has something to send: what its attempts make, which nobody knows before.
    pub fn may_write_blob(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(|worker| !worker.leases.is_empty())
    }

    /// Whether one of the worker's attempts reads an artifact or goes on from it.
    pub fn may_get_artifact(&self, worker: WorkerId, artifact: Digest) -> bool {
        self.may_get_artifacts(worker) || self.read_by(worker).any(|read| read == artifact)
    }

    /// Whether the worker may ask what any name stands for, because a service runs there.
    pub fn may_get_artifacts(&self, worker: WorkerId) -> bool {
        let leases = self.workers.get(&worker).map(|worker| &worker.leases);
        leases.is_some_and(|leases| leases.values().any(|reservation| reservation.slot == Slot::Service))
    }

    /// What the worker's attempts read or go on from.
    fn read_by(&self, worker: WorkerId) -> impl Iterator<Item = Digest> {
        let leases = self.workers.get(&worker).into_iter().flat_map(|worker| worker.leases.keys());
        let variants = leases.filter_map(|id| {
            let attempt = self.attempts.get(id)?;
            let job: &Job = self.jobs.get(&attempt.job)?;
            job.variants.get(attempt.variant)
        });
        variants.flat_map(|variant: &Variant| {
            let resume = variant.resume.as_ref().map(|resume| resume.checkpoint);
            variant.artifacts().map(|(digest, _)| digest).chain(resume)
        })
    }
}
