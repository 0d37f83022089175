//! Jobs that come in, and their first state.

use super::{Core, Job, Refusal, State, Submit, Variant};
use std::collections::BTreeSet;
use std::sync::Arc;
use vertigo::id::{Epoch, JobId, Millis};

impl Core {
    pub(super) fn submit(&mut self, now: Millis, mut jobs: Vec<Submit>) -> Result<(), Refusal> {
        // A call that came again because its answer was lost.
        let known = jobs.iter().map(|job| self.knows_job(job.id)).collect::<Result<Vec<_>, _>>()?;
        let mut known = known.into_iter();
        jobs.retain(|_| known.next() == Some(false));
        self.connect_inputs(&mut jobs)?;
        jobs.iter().try_for_each(|job| self.check_size(&job.variants))?;
        for submit in jobs {
            let id = submit.id;
            let job = Job {
                id,
                name: submit.name,
                state: State::Blocked,
                reason: String::new(),
                priority: submit.priority,
                labels: submit.labels,
                created: now,
                ended: None,
                variants: self.shared.of(Arc::new(submit.variants)),
                outputs: Vec::new(),
                attempts: Vec::new(),
                epoch: Epoch::default(),
                crashes: 0,
                retries: 0,
                panics: 0,
                avoid: BTreeSet::new(),
                traceparent: submit.traceparent,
                by: submit.by,
            };
            self.jobs.insert(id, job);
            self.enter(now, id);
        }
        Ok(())
    }

    /// The first state of a job: blocked where it lacks something, else queued.
    fn enter(&mut self, now: Millis, id: JobId) {
        let by = Some(self.jobs[&id].by.clone());
        if !self.jobs[&id].waits_for().is_empty() {
            self.note_sources(id);
            let reason = self.blocked_reason(id);
            return self.set_state_for(now, id, State::Blocked, reason, by);
        }
        match self.completed(id) {
            Ok(variants) => {
                let variants = self.shared.of(Arc::new(variants));
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.variants = variants;
                }
                self.set_state_for(now, id, State::Queued, String::new(), by);
            }
            Err(reason) => self.set_state_for(now, id, State::Failed, reason, by),
        }
    }

    /// Refuses variants of which none fits any worker that was ever seen. Without a worker there is nothing to compare with; nor is
    /// there before the needs are known.
    fn check_size(&self, variants: &[Variant]) -> Result<(), Refusal> {
        let fits = |variant: &Variant| self.workers.values().any(|worker| variant.peak() <= worker.machine.usable);
        if self.workers.is_empty() || variants.iter().any(fits) {
            return Ok(());
        }
        let list = |items: Vec<String>| items.join(", ");
        Err(Refusal::TooLarge {
            variants: list(variants.iter().map(|it| format!("{} needs {}", it.name, it.peak())).collect()),
            workers: list(self.workers.values().map(|w| format!("{} offers {}", w.name, w.machine.usable)).collect()),
        })
    }
}
