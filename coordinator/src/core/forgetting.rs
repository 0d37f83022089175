//! What the core lets go: checkpoints, events of jobs that have ended, workers that are gone for good.
//!
//! Which of them are old enough is decided outside, from the database's rows (`keep`). What is checked here is what only the core
//! knows: who is live. Promise: nothing that a job which has not ended names ever goes, nor what the newest moves of a tag name,
//! nor what any kind of task reads or makes, nor a worker that is connected, is held, has a lease or is avoided by such a job; and a
//! job's states stay.

use super::{Core, Resume, State};
use std::sync::Arc;
use vertigo::id::{Digest, JobId, WorkerId};
use vertigo::manifest::Kind;
use vertigo::task::TaskKind;

/// What is to go, as far as it may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forget {
    /// Artifacts.
    pub artifacts: Vec<Digest>,
    /// Workers.
    pub workers: Vec<WorkerId>,
    /// Positions in the journal, by the job whose events they are. Events of states are never among them.
    pub events: Vec<(JobId, Vec<u64>)>,
}

impl Forget {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.artifacts.is_empty() && self.workers.is_empty() && self.events.is_empty()
    }
}

impl Core {
    /// Lets go what may go, and passes over the rest.
    pub(super) fn forget(&mut self, forget: Forget) {
        for digest in forget.artifacts {
            if !self.is_named(digest) && self.index.remove(digest) {
                self.effects.artifacts.remove(&digest);
                self.effects.forgotten.artifacts.insert(digest);
            }
        }
        for id in forget.workers {
            if !self.is_needed(id) {
                self.workers.remove(id);
                self.effects.workers.insert(id);
                // Who waits for a worker that is away may have been told its name.
                self.unsettled = true;
            }
        }
        for (job, positions) in forget.events {
            if !self.is_live_job(job) {
                self.effects.forgotten.events.extend(positions);
            }
        }
    }

    /// Whether an artifact has to stay, whatever its age: it is of a kind that tasks read or make, so that any job may name it,
    /// the newest moves of a tag name it, or a job would go on from it.
    pub fn is_named(&self, digest: Digest) -> bool {
        let Some(artifact) = self.index.get(&digest) else { return false };
        is_of_tasks(artifact.manifest.kind())
            || self.index.tags().names(digest)
            || self
                .resumes
                .range((digest, JobId(Default::default()))..)
                .next()
                .is_some_and(|(named, _)| *named == digest)
    }

    /// Whether a worker has to stay known. There are few that were away for so long, so the walk over all jobs is rare.
    pub fn is_needed(&self, id: WorkerId) -> bool {
        let Some(worker) = self.workers.get(&id) else { return true };
        worker.session.is_some()
            || worker.hold.is_some()
            || !worker.leases.is_empty()
            || self.jobs.values().any(|job| !job.state.is_terminal() && job.avoid.contains(&id))
    }

    fn is_live_job(&self, id: JobId) -> bool {
        self.jobs.get(&id).is_some_and(|job| !job.state.is_terminal())
    }

    /// Changes where the next attempt at a variant goes on. The one way to do so: what is named there stays.
    pub(super) fn set_resume(&mut self, id: JobId, variant: usize, resume: Option<Resume>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let before = std::mem::replace(&mut Arc::make_mut(&mut job.variants)[variant].resume, resume);
        let is_named = |digest| job.variants.iter().any(|it| it.resume.is_some_and(|it| it.checkpoint == digest));
        if let Some(Resume { checkpoint, .. }) = before.filter(|before| !is_named(before.checkpoint)) {
            self.resumes.remove(&(checkpoint, id));
        }
        self.note_resumes(id);
    }

    /// Notes what a job would go on from; of one that has ended, that it names nothing any more.
    pub(super) fn note_resumes(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        for Resume { checkpoint, .. } in job.variants.iter().filter_map(|variant| variant.resume) {
            match job.state {
                State::Succeeded | State::Failed | State::Cancelled => drop(self.resumes.remove(&(checkpoint, id))),
                _ => drop(self.resumes.insert((checkpoint, id))),
            }
        }
    }
}

/// Whether some kind of task reads or makes artifacts of this kind.
fn is_of_tasks(kind: Kind) -> bool {
    TaskKind::ALL.into_iter().any(|task| {
        task.inputs().iter().any(|input| input.takes.contains(&kind))
            || task.outputs().iter().any(|output| output.kind == kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lets checkpoints go without a look at every job that ever was. A role that takes or makes them keeps them all.
    #[test]
    fn checkpoints_are_all_that_no_kind_of_task_reads_or_makes() {
        assert_eq!(Kind::ALL.map(is_of_tasks), [true, true, false, true, true, true, true]);
    }
}
