//! What becomes of an attempt, and of its job because of it.

use super::{
    Core, EntryBody, FactorKey, Failure, FailureKind, Moment, Outcome, Outgoing, Plan, Refusal, Report, ReportBody,
    Resume, SessionId, State, retry,
};
use vertigo::bytes::Bytes;
use vertigo::dataset::Caveats;
use vertigo::id::{AttemptId, Epoch, JobId, Millis};
use vertigo::manifest::{Kind, Manifest};

/// How much more a plan needs than what was shown to be too little.
const RAISE: f64 = 1.25;

impl Core {
    pub(super) fn reports(
        &mut self,
        at: Moment,
        session: SessionId,
        id: AttemptId,
        epoch: Epoch,
        reports: Vec<Report>,
    ) -> Result<(), Refusal> {
        let worker = *self.sessions.get(&session).ok_or(Refusal::NoSession)?;
        for report in reports {
            if !self.is_live(worker, id, epoch) {
                break;
            }
            self.report(at, id, report);
        }
        let known = self.attempts.get(&id).filter(|a| a.worker == worker && a.epoch == epoch);
        match known.filter(|a| a.outcome == Outcome::Running || a.outcome.is_own()) {
            Some(attempt) => {
                let number = attempt.last_report;
                self.effects.outbox.push((session, Outgoing::Ack { attempt: id, number }));
            }
            None => self.stop_on(session, worker, id),
        }
        Ok(())
    }

    /// Takes a report of a live attempt, if it is the next.
    fn report(&mut self, at: Moment, id: AttemptId, report: Report) {
        let Some(attempt) = self.attempts.get_mut(&id).filter(|a| report.number == a.last_report + 1) else { return };
        attempt.last_report = report.number;
        self.effects.attempts.insert(id);
        let (job, plan) = (attempt.job, attempt.plan);
        let body = report.body.clone();
        self.journal(at.now, job, EntryBody::Report(Box::new(report)));
        match body {
            ReportBody::Started { caveats } => {
                self.note_cached(id);
                self.note_caveats(job, plan, caveats);
            }
            ReportBody::Progress { peak } => self.note_peak(id, peak),
            ReportBody::Checkpoint { iter, manifest } => self.checkpoint(at.now, job, plan, iter, manifest),
            ReportBody::Finished { peak, outcome } => {
                self.note_peak(id, peak);
                match outcome {
                    Ok(manifest) => self.succeed(at.now, id, manifest),
                    Err(failure) => self.fail(at, id, failure),
                }
            }
        }
    }

    fn note_peak(&mut self, id: AttemptId, peak: Bytes) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.peak = attempt.peak.max(peak);
        }
    }

    fn note_cached(&mut self, id: AttemptId) {
        let attempt = &self.attempts[&id];
        let Some((job, worker)) = self.jobs.get(&attempt.job).zip(self.workers.get_mut(&attempt.worker)) else {
            return;
        };
        worker.cached.extend([job.data, job.plans[attempt.plan].base]);
        self.effects.workers.insert(worker.id);
    }

    fn note_caveats(&mut self, job: JobId, plan: usize, caveats: Caveats) {
        if let Some(job) = self.jobs.get_mut(&job) {
            job.plans[plan].caveats = Some(caveats);
            self.effects.jobs.insert(job.id);
        }
    }

    fn checkpoint(&mut self, now: Millis, job: JobId, plan: usize, iter: u64, manifest: Manifest) {
        let checkpoint = self.index.insert(manifest, now, Some(job));
        self.effects.artifacts.insert(checkpoint);
        let Some(job) = self.jobs.get_mut(&job) else { return };
        let plan = &mut job.plans[plan];
        if plan.resume.is_none_or(|resume| resume.iter < iter) {
            plan.resume = Some(Resume { iter, checkpoint });
            // It got on: what was lost before does not count against it any more.
            (job.crashes, job.retries) = (0, 0);
            self.effects.jobs.insert(job.id);
        }
    }

    fn succeed(&mut self, now: Millis, id: AttemptId, manifest: Manifest) {
        let (job, peak, plan) = self.release(now, id, Outcome::Succeeded);
        let output = self.index.insert(manifest, now, Some(job));
        self.effects.artifacts.insert(output);
        let mut reason = String::new();
        if let Some(name) = self.jobs.get(&job).and_then(|job| job.name.clone()) {
            let kind =
                self.index.tagged(&name).and_then(|at| self.index.get(&at)).map(|artifact| artifact.manifest.kind());
            match kind.filter(|kind| *kind != Kind::Adapter) {
                // Imported since the job was queued. Later jobs read it by that name.
                Some(kind) => reason = format!("`{name}` names a {kind} by now, so the adapter has no tag"),
                None => {
                    self.index.tag(&name, output);
                    self.effects.tags.insert(name);
                }
            }
        }
        self.learn(&plan, peak);
        self.set_state(now, job, State::Succeeded { output }, reason);
    }

    fn fail(&mut self, at: Moment, id: AttemptId, failure: Failure) {
        let reserved = self.attempts[&id].reserved;
        let (job, peak, plan) = self.release(at.now, id, Outcome::Failed(failure.message.clone()));
        match failure.kind {
            FailureKind::BadInput | FailureKind::Diverged => {
                self.set_state(at.now, job, State::Failed, failure.message);
            }
            FailureKind::OutOfMemory => {
                let raised = reserved.max(peak).scale(RAISE).max(reserved + Bytes(1));
                // This job needs more; the method has been shown to need what was seen and no more. A machine that was short of
                // memory for another reason must not lock the method out.
                self.learn(&plan, peak);
                let reason = format!("{} ran out of memory and now needs {raised}: {}", plan.recipe, failure.message);
                let index = self.attempts[&id].plan;
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.plans[index].raised = Some(raised);
                }
                self.set_state(at.now, job, State::Queued, reason);
            }
            FailureKind::Crashed => {
                let crashes = self.jobs.get_mut(&job).map_or(0, |job| {
                    job.crashes += 1;
                    job.crashes
                });
                self.again(at, job, crashes, retry::CRASH_LIMIT - 1, failure.message);
            }
            FailureKind::Transient => self.retry(at, job, failure.message),
        }
    }

    /// Nobody renewed the lease.
    pub(super) fn expire(&mut self, at: Moment, id: AttemptId) {
        self.stop(id, "its lease expired");
        let seconds = self.settings.lease_ms as f64 / 1000.0;
        self.lose(at, id, &format!("no heartbeat for {seconds} s"));
    }

    /// The attempt will not be heard of again, or must not be.
    pub(super) fn lose(&mut self, at: Moment, id: AttemptId, why: &str) {
        let worker = self.attempts[&id].worker_name.clone();
        let (job, ..) = self.release(at.now, id, Outcome::Lost(why.to_owned()));
        self.retry(at, job, format!("lost on {worker}: {why}"));
    }

    fn retry(&mut self, at: Moment, job: JobId, why: String) {
        let retries = self.jobs.get_mut(&job).map_or(0, |job| {
            job.retries += 1;
            job.retries
        });
        self.again(at, job, retries, retry::RETRY_LIMIT, why);
    }

    /// Queues a job again after a pause, or fails it where it has failed more than `limit` times.
    fn again(&mut self, at: Moment, job: JobId, failures: u32, limit: u32, why: String) {
        if failures > limit {
            self.set_state(at.now, job, State::Failed, format!("failed {failures} times; the last: {why}"));
        } else {
            let until = at.now.plus(retry::backoff_ms(failures, at.jitter));
            self.set_state(at.now, job, State::Backoff { until }, why);
        }
    }

    /// Ends an attempt and its lease. Gives what its job needs to know: which it is, the peak, and the plan.
    pub(super) fn release(&mut self, now: Millis, id: AttemptId, outcome: Outcome) -> (JobId, Bytes, Plan) {
        let attempt = self.attempts.get_mut(&id).expect("callers hold an id that they have just looked up");
        (attempt.outcome, attempt.ended) = (outcome, Some(now));
        self.leases.remove(&id);
        if let Some(worker) = self.workers.get_mut(&attempt.worker) {
            worker.lease = worker.lease.filter(|lease| *lease != id);
        }
        self.effects.attempts.insert(id);
        self.unsettled = true;
        let job = self.jobs.get(&attempt.job).expect("an attempt is made for a job, and jobs are never removed");
        (attempt.job, attempt.peak, job.plans[attempt.plan].clone())
    }

    /// Tells the attempt's worker to stop it, where it is connected.
    pub(super) fn stop(&mut self, id: AttemptId, reason: &str) {
        let Some(worker) = self.attempts.get(&id).and_then(|attempt| self.workers.get_mut(&attempt.worker)) else {
            return;
        };
        let Some(session) = worker.session else { return };
        worker.stopping.insert(id);
        self.effects.outbox.push((session, Outgoing::Stop { attempt: id, reason: reason.to_owned() }));
    }

    /// Notes what an attempt of the plan's method used, where that was measured.
    fn learn(&mut self, plan: &Plan, measured: Bytes) {
        if measured == Bytes::ZERO {
            return;
        }
        let key = FactorKey { method: plan.method.clone(), engine: plan.engine.clone() };
        self.factors.learn(key.clone(), measured, plan.estimate());
        self.effects.factors.insert(key);
    }
}
