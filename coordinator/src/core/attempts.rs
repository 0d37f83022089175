//! What becomes of an attempt, and of its job because of it.

use super::marks::{self, Mark, Mishap};
use super::retry::{Pause, Tries};
use super::{
    Core, EventBody, FactorKey, Job, Made, Moment, Mover, Need, Origin, Outcome, Outgoing, Refusal, Report, ReportBody,
    Resume, SessionId, State, Variant, retry, services,
};
use std::sync::Arc;
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::id::{AttemptId, Digest, Epoch, JobId, Millis};
use vertigo::manifest::{Kind, Manifest};
use vertigo::task::{self, Cure, Failure, GIVEN_BACK};

/// How much more a variant needs than what was shown to be too little.
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
        let past = self.past([id].into_iter())?;
        for report in reports {
            if !self.is_live(worker, id, epoch) {
                break;
            }
            self.report(at, id, report);
        }
        let known = self.attempts.get(&id).or_else(|| past.get(&id)).filter(|a| a.worker == worker && a.epoch == epoch);
        match known.filter(|a| a.outcome == Outcome::Running || a.outcome.is_own()) {
            Some(attempt) => {
                let number = attempt.last_report;
                self.effects.outbox.push((session, Outgoing::Ack { attempt: id, number }));
            }
            None => self.stop_on(session, worker, id, &past),
        }
        Ok(())
    }

    /// Takes a report of a live attempt, if it is the next.
    fn report(&mut self, at: Moment, id: AttemptId, report: Report) {
        let Some(attempt) = self.attempts.get_mut(&id).filter(|a| report.number == a.last_report + 1) else { return };
        attempt.last_report = report.number;
        self.effects.attempts.insert(id);
        let (job, variant) = (attempt.job, attempt.variant);
        self.journal(at.now, job, EventBody::Report(report.journalled()));
        match report.body {
            ReportBody::Started(started) => {
                self.note_cached(id);
                match started.resumed_at {
                    0 => self.forget_checkpoint(job, variant),
                    _ => self.note_headway(job, variant),
                }
                if let Some(caveats) = started.caveats {
                    self.note_caveats(job, variant, caveats);
                }
            }
            ReportBody::Step(step) => self.note_peak(id, step.peak),
            ReportBody::Progress(progress) => self.note_peak(id, progress.peak),
            ReportBody::Serving(serving) => self.note_service(at.now, id, serving),
            ReportBody::Checkpoint { iter, artifact } => self.checkpoint(at.now, job, variant, iter, artifact),
            ReportBody::Finished { peak, outcome } => {
                self.note_peak(id, peak);
                match outcome {
                    Ok(made) => self.succeed(at, id, made),
                    Err(failure) => self.fail(at, id, failure),
                }
            }
            ReportBody::Validation(_)
            | ReportBody::Measured(_)
            | ReportBody::Log(_)
            | ReportBody::Warning(_)
            | ReportBody::Unknown => {}
        }
    }

    fn note_peak(&mut self, id: AttemptId, peak: Bytes) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.peak = attempt.peak.max(peak);
        }
    }

    fn note_cached(&mut self, id: AttemptId) {
        let attempt = &self.attempts[&id];
        let Some(job) = self.jobs.get(&attempt.job) else { return };
        let read = job.variants[attempt.variant].artifacts().map(|(digest, _)| digest);
        if self.workers.change(attempt.worker, |worker| worker.cached.extend(read)).is_some() {
            self.effects.workers.insert(attempt.worker);
        }
    }

    fn note_caveats(&mut self, job: JobId, variant: usize, caveats: Caveats) {
        if let Some(job) = self.jobs.get_mut(&job) {
            Arc::make_mut(&mut job.variants)[variant].caveats = Some(caveats);
            self.effects.jobs.insert(job.id);
        }
    }

    /// The attempt could not go on from the checkpoint that it was given: damaged, lost, or of another engine. What it saves from here on
    /// is what the next one goes on from, however early that is.
    fn forget_checkpoint(&mut self, job: JobId, variant: usize) {
        if self.jobs.get(&job).is_some_and(|job| job.variants[variant].resume.is_some()) {
            self.set_resume(job, variant, None);
            self.set_began_anew(job, variant, true);
        }
    }

    /// The attempt goes on from its checkpoint: what jobs save can be read.
    fn note_headway(&mut self, job: JobId, variant: usize) {
        if self.jobs.get(&job).is_some_and(|job| job.variants[variant].began_anew) {
            self.set_began_anew(job, variant, false);
        }
    }

    fn set_began_anew(&mut self, job: JobId, variant: usize, began_anew: bool) {
        if let Some(job) = self.jobs.get_mut(&job) {
            Arc::make_mut(&mut job.variants)[variant].began_anew = began_anew;
            self.effects.jobs.insert(job.id);
        }
    }

    fn checkpoint(&mut self, now: Millis, job: JobId, variant: usize, iter: u64, manifest: Manifest) {
        let checkpoint = self.index.insert(manifest, now, Origin::Job(job));
        self.effects.artifacts.insert(checkpoint);
        let is_newer = |job: &Job| job.variants[variant].resume.is_none_or(|resume| resume.iter < iter);
        if !self.jobs.get(&job).is_some_and(is_newer) {
            return;
        }
        self.set_resume(job, variant, Some(Resume { iter, checkpoint }));
        if let Some(job) = self.jobs.get_mut(&job) {
            if !job.variants[variant].began_anew {
                // It got on: what was lost before does not count against it any more.
                (job.crashes, job.retries) = (0, 0);
                job.avoid.clear();
            }
            self.effects.jobs.insert(job.id);
        }
    }

    fn succeed(&mut self, at: Moment, id: AttemptId, made: Made) {
        if let Some(problem) = self.ended_early(id).or_else(|| self.differs(id, &made)) {
            return self.fail(at, id, Failure::new(Cure::FreshProcess, "outputs", problem));
        }
        let (job, peak, variant) = self.release(at.now, id, Outcome::Succeeded);
        let mut outputs = Vec::new();
        for (role, manifest) in made.outputs {
            let digest = self.index.insert(manifest, at.now, Origin::Job(job));
            self.effects.artifacts.insert(digest);
            outputs.push((role, digest));
        }
        let first = outputs.first().map(|(_, digest)| *digest);
        let untagged = first.and_then(|first| self.tag_output(at.now, job, first));
        let reason = [made.remark, untagged.unwrap_or_default()].into_iter().filter(|text| !text.is_empty());
        let reason = reason.collect::<Vec<_>>().join("; ");
        if let Some(need) = &variant.need {
            self.learn(need, peak);
        }
        if let Some(job) = self.jobs.get_mut(&job) {
            job.outputs = outputs;
        }
        self.set_state(at.now, job, State::Succeeded, reason);
    }

    /// How what was made differs from what the attempt's kind makes.
    fn differs(&self, id: AttemptId, made: &Made) -> Option<String> {
        let attempt = &self.attempts[&id];
        let kind = self.jobs.get(&attempt.job)?.variants[attempt.variant].task.kind;
        let expected: Vec<_> = kind.outputs().iter().map(|output| (output.role, output.kind)).collect();
        let found: Vec<_> = made.outputs.iter().map(|(role, manifest)| (role.as_str(), manifest.kind())).collect();
        let list = |outputs: &[(&str, Kind)]| {
            outputs.iter().map(|(role, kind)| format!("{role} ({kind})")).collect::<Vec<_>>().join(", ")
        };
        (expected != found)
            .then(|| format!("the worker sent the outputs [{}], and {kind} makes [{}]", list(&found), list(&expected)))
    }

    /// Moves the tag of the job's name to what it has made, unless that names another kind of thing by now. Then it says so.
    fn tag_output(&mut self, now: Millis, job: JobId, output: Digest) -> Option<String> {
        let name = self.jobs.get(&job)?.name.clone()?;
        let made = self.index.get(&output)?.manifest.kind();
        let tagged = self.index.tagged(&name).and_then(|at| self.index.get(&at));
        match tagged.map(|artifact| artifact.manifest.kind()).filter(|kind| *kind != made) {
            // Imported since the job was queued. Later jobs read it by that name.
            Some(kind) => Some(format!("`{name}` names a {kind} by now, so the {made} has no tag")),
            None => {
                self.tag(now, &name, output, Mover::Job(job), None);
                None
            }
        }
    }

    fn fail(&mut self, at: Moment, id: AttemptId, failure: Failure) {
        let Failure { cure, message, code, pause_ms } = failure;
        let reserved = self.attempts[&id].reserved;
        let kept_away = self.kept_away(id).filter(|_| code == GIVEN_BACK);
        let is_of_gpu = code == task::code::GPU_BROKE;
        let outcome = Outcome::Failed { message: message.clone(), cure, code };
        let (job, peak, variant) = self.release(at.now, id, outcome);
        if is_of_gpu {
            let worker = self.attempts[&id].worker;
            self.mark(at.now, worker, Mark { at: at.now, mishap: Mishap::GpuBroke, of: id.to_string() });
        }
        let pause = Pause::of(pause_ms);
        match cure {
            // What it serves is named by tags: they may lead to something better the next time.
            Cure::Never if self.has_been_up(job) => self.retry(at, job, message, Pause::default()),
            Cure::Never => self.set_state(at.now, job, State::Failed, message),
            Cure::MoreMemory => {
                let raised = reserved.max(peak).scale(RAISE).max(reserved + Bytes(1));
                // This job needs more; the method has been shown to need what was seen and no more. A machine that was short of
                // memory for another reason must not lock the method out.
                if let Some(need) = &variant.need {
                    self.learn(need, peak);
                }
                let reason = format!("{} ran out of memory and now needs {raised}: {message}", variant.name);
                let index = self.attempts[&id].variant;
                if let Some(job) = self.jobs.get_mut(&job) {
                    Arc::make_mut(&mut job.variants)[index].raised = Some(raised);
                }
                self.set_state(at.now, job, State::Queued, reason);
            }
            Cure::FreshProcess => {
                let crashes = self.jobs.get_mut(&job).map_or(0, |job| {
                    job.crashes += 1;
                    job.crashes
                });
                self.again(at, job, Tries { failures: crashes, limit: retry::CRASH_LIMIT - 1 }, message, pause);
            }
            Cure::AnotherMachine => {
                let worker = self.attempts[&id].worker;
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.avoid.insert(worker);
                }
                // Whoever else is there need not wait for what is the matter with this one.
                let pause = if self.goes_elsewhere(job) { Pause::default() } else { pause };
                self.retry(at, job, message, pause);
            }
            Cure::Later => match kept_away {
                // It was nobody's fault, and nothing comes back to a worker that is away: there is nothing to count.
                Some(worker) => {
                    self.set_state(at.now, job, State::Queued, format!("given back by {worker}: {message}"))
                }
                None => self.retry(at, job, message, pause),
            },
        }
    }

    /// The name of an attempt's worker, where its machine's owner keeps it away.
    fn kept_away(&self, id: AttemptId) -> Option<String> {
        let worker = self.workers.get(&self.attempts.get(&id)?.worker)?;
        worker.away.is_some().then(|| worker.name.clone())
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
        self.retry(at, job, format!("lost on {worker}: {why}"), Pause::default());
    }

    pub(super) fn retry(&mut self, at: Moment, job: JobId, why: String, pause: Pause) {
        let retries = self.jobs.get_mut(&job).map_or(0, |job| {
            job.retries += 1;
            job.retries
        });
        self.again(at, job, Tries { failures: retries, limit: retry::RETRY_LIMIT }, why, pause);
    }

    /// Queues a job again after a pause, or fails it where it has failed too often.
    fn again(&mut self, at: Moment, job: JobId, Tries { failures, limit }: Tries, why: String, pause: Pause) {
        if failures > limit && !self.has_been_up(job) {
            self.set_state(at.now, job, State::Failed, format!("failed {failures} times; the last: {why}"));
        } else if let Some(panics) = self.too_many_panics(job) {
            self.set_state(at.now, job, State::Failed, marks::panicked(panics, &why));
        } else {
            let until = at.now.plus(retry::backoff_ms(failures, at.jitter).max(pause.ms()));
            let why = match self.waits_for_screen(job).filter(|_| pause != Pause::default()) {
                Some(name) => {
                    format!(
                        "on {name}: {why}; tried again there when nobody looks at its screen, or on another machine"
                    )
                }
                None if pause == Pause::default() => why,
                None => format!("{}{why}; tried again in {pause}", self.whereabouts(job)),
            };
            self.set_state(at.now, job, State::Backoff { until }, why);
        }
    }

    /// Where a job was tried last, to begin a sentence with.
    fn whereabouts(&self, job: JobId) -> String {
        let last = self.jobs.get(&job).and_then(|job| self.attempts.get(job.attempts.last()?));
        last.map_or_else(String::new, |attempt| format!("on {}: ", attempt.worker_name))
    }

    /// Ends an attempt and its lease. Gives what its job needs to know: which it is, the peak, and the variant.
    pub(super) fn release(&mut self, now: Millis, id: AttemptId, outcome: Outcome) -> (JobId, Bytes, Variant) {
        let attempt = self.attempts.get_mut(&id).expect("callers hold an id that they have just looked up");
        (attempt.outcome, attempt.ended) = (outcome, Some(now));
        self.leases.remove(&id);
        self.workers.change(attempt.worker, |worker| worker.leases.remove(&id));
        self.effects.attempts.insert(id);
        self.unsettled = true;
        let job = self
            .jobs
            .get_mut(&attempt.job)
            .expect("an attempt is made for a job, which leaves with its attempts when it has ended");
        if services::was_steady(attempt, now) {
            // It got on: what went before does not count against it any more.
            (job.crashes, job.retries) = (0, 0);
            job.avoid.clear();
            self.effects.jobs.insert(job.id);
        }
        (attempt.job, attempt.peak, job.variants[attempt.variant].clone())
    }

    /// Tells the attempt's worker to stop it, where it is connected.
    pub(super) fn stop(&mut self, id: AttemptId, reason: &str) {
        let Some(worker) = self.attempts.get(&id).map(|attempt| attempt.worker) else { return };
        let Some(session) = self.workers.get(&worker).and_then(|worker| worker.session) else { return };
        self.workers.change(worker, |worker| worker.stopping.insert(id));
        self.effects.outbox.push((session, Outgoing::Stop { attempt: id, reason: reason.to_owned() }));
    }

    /// Notes what an attempt of the need's method used, where that was measured.
    fn learn(&mut self, need: &Need, measured: Bytes) {
        if measured == Bytes::ZERO {
            return;
        }
        let key = FactorKey { method: need.method.clone(), engine: need.engine.clone() };
        self.factors.learn(key.clone(), measured, need.estimate());
        self.effects.factors.insert(key);
    }
}
