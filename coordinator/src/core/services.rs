//! Services: attempts that go on until somebody ends them.
//!
//! Whether a job is one its need says, by its slot. One that comes up and fails is tried again for ever, ever more rarely while it does
//! not stay up; one that never comes up fails as any other job does. A worker that drains gives its services back: they are queued at
//! once, beside the old process that still ends its answers.

use super::{Attempt, Core, Outcome, Reservation, Service, Serving, State};
use vertigo::id::{AttemptId, JobId, Millis, WorkerId};
use vertigo::task::Slot;

/// A service that was up for so long stood on its own feet: its next failure counts as a first one.
pub(super) const STEADY_MS: u64 = 10 * 60 * 1_000;

/// Whether an attempt that ends now was a service that had been up for long enough to count.
pub(super) fn was_steady(attempt: &Attempt, now: Millis) -> bool {
    attempt.service.as_ref().is_some_and(|service| now.0.saturating_sub(service.since.0) >= STEADY_MS)
}

impl Core {
    /// Notes where a service answers. What is no service has nothing to answer.
    pub(super) fn note_service(&mut self, now: Millis, id: AttemptId, serving: Serving) {
        if !self.attempts.get(&id).is_some_and(|attempt| self.is_service(attempt)) {
            return;
        }
        if let Some(attempt) = self.attempts.get_mut(&id) {
            let since = attempt.service.as_ref().map_or(now, |service| service.since);
            attempt.service = Some(Service { since, serving });
        }
    }

    /// Whether some attempt at the job has answered requests.
    pub(super) fn has_been_up(&self, job: JobId) -> bool {
        let attempts = self.jobs.get(&job).map_or(&[][..], |job| &job.attempts);
        attempts.iter().rev().any(|id| self.attempts.get(id).is_some_and(|attempt| attempt.service.is_some()))
    }

    /// Whether an attempt is a service's.
    fn is_service(&self, attempt: &Attempt) -> bool {
        self.jobs.get(&attempt.job).is_some_and(|job| job.variants[attempt.variant].is_service())
    }

    /// What is wrong with an attempt that says that it has done its task, where its task has no end.
    pub(super) fn ended_early(&self, id: AttemptId) -> Option<String> {
        let is_service = self.attempts.get(&id).is_some_and(|attempt| self.is_service(attempt));
        is_service.then(|| "the service ended by itself".to_owned())
    }

    /// Takes the leases of services back from a worker that drains, and queues their jobs. It was nobody's fault: nothing is counted.
    pub(super) fn move_services(&mut self, now: Millis, worker: WorkerId) {
        let Some(worker) = self.workers.get(&worker) else { return };
        let name = worker.name.clone();
        let is_service = |(_, taken): &(&AttemptId, &Reservation)| taken.slot == Slot::Service;
        let services: Vec<AttemptId> = worker.leases.iter().filter(is_service).map(|(id, _)| *id).collect();
        for id in services {
            self.stop(id, "the worker drains: the service is moved");
            let (job, ..) = self.release(now, id, Outcome::Lost("its worker drains".to_owned()));
            self.set_state(now, job, State::Queued, format!("moved off {name}, which drains"));
        }
    }
}
