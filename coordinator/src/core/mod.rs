//! The coordinator's mind: which jobs there are, who works on them, and what happens next.
//!
//! A state machine without I/O, clock, randomness or async. [`Core::apply`] takes a command and the moment it came, and
//! [`Core::place`] hands queued jobs to workers; both change the state in memory and note in [`Effects`] what has to be
//! written, journalled and sent. Whoever drives it writes the effects in one transaction and sends only afterwards.
//!
//! It schedules tasks that it cannot read: what a task needs it asks of [`Kinds`], and hands the task on as it came. It holds what has not
//! ended: of what has, it asks the [`Archive`].
//!
//! It promises (property tests in `tests/`):
//! 1. a job has at most one live lease; 2. a job that has ended never changes; 3. only the live epoch reports or
//!    finishes; 4. reservations on a worker never exceed its usable memory, nor attempts its slots; 5. a job that has not
//!    ended is blocked, queued, in backoff or leased, so none is lost; 6. an output is visible only with the success that
//!    made it; 7. a job that is too large for every known worker waits with a reason, holds up nobody, and is not overtaken
//!    by smaller jobs of its rank; 8. a blocked job names at least one job that has not ended; 9. the graph has no cycle:
//!    sources are older; 10. a job's inputs never change once they are there; 11. when a job fails or is cancelled, those
//!    that need its output end with that reason; 12. a worker's session is taken up with its secret only, and by one process
//!    at a time: a second one waits until the first is known to be gone; 13. a service never ends by success; one that has been
//!    up is tried until somebody cancels it, and has no lease on a worker that drains; 14. a tag moves by a move that is kept,
//!    which begins where the one before it ended; 15. what a tag's newest moves name stays; 16. a worker that is held gets no attempt
//!    and has no service's until somebody resumes it, whatever restarts, comes and goes meanwhile; one that is held for what befell its
//!    machine gets those for its processor; 17. a worker is removed only where it is away, or held with nothing running there, and what
//!    it had a lease on is queued again; 18. a worker that its machine's owner keeps away gets nothing, and what it gives back counts
//!    against no job; 19. what befell a machine is counted once, and two panics of its kernel within a day close its GPU until somebody
//!    resumes it; 20. nobody new is given memory that a worker withholds; 21. a pause that follows a run that stood a
//!    screen still does not end while somebody is known to look at that, unless another worker is there that is large enough.

mod archive;
mod attempts;
mod command;
mod effects;
mod event;
mod factors;
mod fleet;
mod float;
mod forgetting;
mod grants;
mod graph;
mod holds;
mod index;
mod installation;
mod job;
mod lookup;
mod marks;
mod moves;
mod placing;
mod planning;
mod queue;
mod refusal;
mod report;
mod retry;
mod screens;
mod search;
mod services;
mod sessions;
mod shared;
mod submission;
mod worker;

pub use archive::{Archive, ArchiveError, NoArchive};
pub use command::{Command, Connect, Submit};
pub use effects::{Assignment, Effects, Forgotten, Outgoing};
pub use event::{Event, EventBody};
pub use factors::{FactorKey, Factors};
pub use forgetting::Forget;
pub use graph::Kinds;
pub use holds::{HeldBy, Hold};
pub use index::{Artifact, Index, Origin, TagError};
pub use installation::Installation;
pub use job::{Attempt, Found, Input, Job, MemoryPart, Need, Outcome, Resume, Service, Source, State, Task, Variant};
pub use lookup::{Ambiguous, ReferenceError};
pub use marks::{Mark, Mishap, Reboot};
pub use moves::{Expected, Grounds, Move, MoveTag, Mover, REMEMBERED, Remembered, Tags, Target};
pub use refusal::Refusal;
pub use report::{Made, Measured, Progress, Report, ReportBody, Serving, Started, Step, Validation};
pub use search::Reasons;
pub use worker::{Conditions, Machine, Reservation, SessionId, Worker, disk_free};

use fleet::Fleet;
use queue::{Queue, Wants};
use retry::Pause;
use shared::Shared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use vertigo::id::{AttemptId, Digest, Epoch, JobId, Millis, WorkerId};
use vertigo::manifest::Manifest;
use vertigo::principal::PrincipalName;

/// What the operator chose.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A lease ends this long after the last heartbeat that named it, in milliseconds.
    pub lease_ms: u64,
}

/// When a command came, and a random number for whatever needs one.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time. It never goes back within a process.
    pub now: Millis,
    /// Uniform in [0, 1): spreads retries, so that jobs which failed together do not come back together.
    pub jitter: f64,
}

/// Everything that outlives the process, but for the jobs that have ended: those stay in the archive.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// All jobs that have not ended.
    pub jobs: Vec<Job>,
    /// All attempts at them.
    pub attempts: Vec<Attempt>,
    /// All workers.
    pub workers: Vec<Worker>,
    /// Whose ids those are, and were.
    pub installations: BTreeMap<WorkerId, Installation>,
    /// All artifacts and tags, with the newest moves of each.
    pub index: Index,
    /// What finished attempts have taught.
    pub factors: Factors,
    /// The journal's last position.
    pub last_seq: u64,
}

/// The state machine.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    /// Jobs that have not ended, and those that have since the last commit.
    jobs: BTreeMap<JobId, Job>,
    attempts: BTreeMap<AttemptId, Attempt>,
    workers: Fleet,
    installations: BTreeMap<WorkerId, Installation>,
    index: Index,
    factors: Factors,
    last_seq: u64,
    /// Who is connected.
    sessions: BTreeMap<SessionId, WorkerId>,
    /// Live leases and when they expire. Not written: a restart gives every lease its full length again.
    leases: BTreeMap<AttemptId, Millis>,
    /// Jobs in backoff by when it ends.
    backoffs: BTreeSet<(Millis, JobId)>,
    /// Jobs that wait for outputs, by the job that makes them. Not written: jobs know what they wait for.
    readers: BTreeMap<JobId, BTreeSet<JobId>>,
    /// Checkpoints that jobs which have not ended would go on from. Not written: jobs know them.
    resumes: BTreeSet<(Digest, JobId)>,
    /// Jobs that have ended and whose readers have not been told.
    just_ended: Vec<JobId>,
    /// What jobs are to do that have not ended.
    shared: Shared,
    kinds: Box<dyn Kinds>,
    archive: Arc<dyn Archive>,
    /// Queued jobs in the order in which they are placed, and in cohorts.
    queue: Queue,
    /// Whether something has changed that may let a queued job be placed, or changes why it waits.
    unsettled: bool,
    effects: Effects,
}

impl Core {
    /// Goes on from what was written. Every live lease has its full length from now, since nobody could renew it
    /// while the coordinator was away.
    pub fn restore(
        settings: Settings,
        kinds: Box<dyn Kinds>,
        archive: Arc<dyn Archive>,
        snapshot: Snapshot,
        now: Millis,
    ) -> Core {
        let mut core = Core {
            settings,
            jobs: snapshot.jobs.into_iter().map(|job| (job.id, job)).collect(),
            attempts: BTreeMap::new(),
            workers: snapshot.workers.into_iter().collect(),
            installations: snapshot.installations,
            index: snapshot.index,
            factors: snapshot.factors,
            last_seq: snapshot.last_seq,
            sessions: BTreeMap::new(),
            leases: BTreeMap::new(),
            backoffs: BTreeSet::new(),
            readers: BTreeMap::new(),
            resumes: BTreeSet::new(),
            just_ended: Vec::new(),
            shared: Shared::default(),
            kinds,
            archive,
            queue: Queue::default(),
            unsettled: true,
            effects: Effects::default(),
        };
        for installation in core.installations.values_mut() {
            (installation.heard, installation.since) = (now, now);
        }
        core.recall_marks(now);
        for attempt in snapshot.attempts {
            if attempt.outcome == Outcome::Running {
                core.leases.insert(attempt.id, now.plus(settings.lease_ms));
                let slot = core.jobs.get(&attempt.job).map(|job| job.variants[attempt.variant].slot());
                if let Some(slot) = slot {
                    let reservation = Reservation { slot, memory: attempt.reserved };
                    core.workers.change(attempt.worker, |worker| worker.leases.insert(attempt.id, reservation));
                }
            }
            core.attempts.insert(attempt.id, attempt);
        }
        for job in core.jobs.values_mut() {
            job.variants = core.shared.of(Arc::clone(&job.variants));
            if let State::Backoff { until } = &mut job.state {
                // The clock may have been set back since: none waits longer from now on than it did from the end of its attempt.
                let ended = job.attempts.last().and_then(|id| core.attempts.get(id)?.ended);
                let wait = ended.map_or(retry::LONGEST_MS, |ended| until.0.saturating_sub(ended.0));
                *until = (*until).min(now.plus(Pause::of(wait).ms()));
            }
            match job.state {
                State::Queued => {
                    let wants = Wants::new(&job.variants, &job.avoid, &core.index);
                    core.queue.insert(job.rank(), wants, !job.reason.is_empty());
                }
                State::Backoff { until } => drop(core.backoffs.insert((until, job.id))),
                State::Blocked | State::Leased { .. } | State::Succeeded | State::Failed | State::Cancelled => {}
            }
        }
        let blocked: Vec<JobId> =
            core.jobs.values().filter(|job| job.state == State::Blocked).map(|job| job.id).collect();
        blocked.into_iter().for_each(|id| core.note_sources(id));
        let ids: Vec<JobId> = core.jobs.keys().copied().collect();
        ids.into_iter().for_each(|id| core.note_resumes(id));
        core
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// Says why not; then nothing has changed.
    pub fn apply(&mut self, at: Moment, command: Command) -> Result<(), Refusal> {
        let outcome = self.carry_out(at, command);
        self.settle_graph(at.now);
        outcome
    }

    fn carry_out(&mut self, at: Moment, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Submit(jobs) => self.submit(at.now, jobs),
            Command::Cancel { job, by } => self.cancel(at.now, job, &by),
            Command::CancelAll { label, value, by } => {
                self.cancel_all(at.now, label, &value, &by);
                Ok(())
            }
            Command::Connect(connect) => self.connect(at, connect),
            Command::Disconnect { session } => {
                self.disconnect(at.now, session);
                Ok(())
            }
            Command::Heartbeat { session, free, disk_free, held } => {
                self.heartbeat(at.now, session, (free, disk_free), &held)
            }
            Command::Drain { session } => self.drain(at.now, session),
            Command::Away { session, reason } => self.away(session, reason),
            Command::Conditions { session, conditions } => self.conditions(at.now, session, conditions),
            Command::Reports { session, attempt, epoch, reports } => self.reports(at, session, attempt, epoch, reports),
            Command::Register { manifest, tags, by } => {
                self.register(at.now, manifest, &tags, &by);
                Ok(())
            }
            Command::MoveTag(asked) => self.move_tag(at.now, asked),
            Command::Hold { worker, by, reason } => self.hold(at.now, worker, HeldBy::Person(by), reason),
            Command::Resume { worker, by } => self.resume(at.now, worker, by),
            Command::Remove { worker, by } => self.remove(at, worker, by),
            Command::SetPolicy { worker, when, by } => self.set_policy(at.now, worker, when, by),
            Command::StartAnew { worker, by } => self.start_anew(at.now, worker, by),
            Command::Forget(forget) => {
                self.forget(forget);
                Ok(())
            }
        }
    }

    /// Gives every live lease its full length from now, as after a restart: the driver was away, and nobody could renew them.
    pub fn renew_all(&mut self, now: Millis) {
        self.leases.values_mut().for_each(|deadline| *deadline = now.plus(self.settings.lease_ms));
        self.installations.values_mut().for_each(|installation| installation.heard = now);
    }

    /// Lets time pass: leases that nobody renewed are lost, backoffs end.
    pub fn tick(&mut self, at: Moment) {
        let expired: Vec<_> =
            self.leases.iter().filter(|(_, deadline)| **deadline <= at.now).map(|(id, _)| *id).collect();
        for attempt in expired {
            self.expire(at, attempt);
        }
        self.let_cooled_go_on(at.now);
        while let Some(&(until, job)) = self.backoffs.first().filter(|(until, _)| *until <= at.now) {
            self.backoffs.remove(&(until, job));
            self.end_pause(at.now, job);
        }
        self.settle_graph(at.now);
    }

    /// When [`tick`](Self::tick) next has something to do, if ever.
    pub fn next_deadline(&self) -> Option<Millis> {
        let lease = self.leases.values().min().copied();
        let backoff = self.backoffs.first().map(|(until, _)| *until);
        let cooled = self.workers.values().filter_map(|worker| worker.cools_until).min();
        [lease, backoff, cooled].into_iter().flatten().min()
    }

    /// Takes what has to be written and sent since the last call.
    pub fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    fn cancel(&mut self, now: Millis, id: JobId, by: &PrincipalName) -> Result<(), Refusal> {
        let job = self.any_job(id)?.ok_or(Refusal::NoJob(id))?;
        if job.state.is_terminal() {
            return Err(Refusal::Ended { id, state: job.state.name() });
        }
        if let State::Leased { attempt } = job.state {
            self.stop(attempt, "the job was cancelled");
            self.release(now, attempt, Outcome::Cancelled);
        }
        let is_local = *by == PrincipalName::local();
        let reason = if is_local { "cancelled".to_owned() } else { format!("cancelled by {by}") };
        self.set_state_for(now, id, State::Cancelled, reason, Some(by.clone()));
        Ok(())
    }

    fn cancel_all(&mut self, now: Millis, label: &str, value: &str, by: &PrincipalName) {
        let is_meant = |job: &&Job| !job.state.is_terminal() && job.labels.get(label).is_some_and(|v| v == value);
        // The newest first: a reader before what it reads, so that each is cancelled by itself and says no more than that.
        let meant: Vec<JobId> = self.jobs.values().rev().filter(is_meant).map(|job| job.id).collect();
        for id in meant {
            // One that has ended meanwhile stays as it is.
            let _ = self.cancel(now, id, by);
        }
    }

    fn register(&mut self, now: Millis, manifest: Manifest, tags: &[String], by: &PrincipalName) {
        let digest = self.index.insert(manifest, now, Origin::Person(by.clone()));
        self.effects.artifacts.insert(digest);
        tags.iter().for_each(|tag| self.tag(now, tag, digest, Mover::Import, Some(by)));
    }

    /// Moves a job to `state`, which follows from something that is no person's act.
    fn set_state(&mut self, now: Millis, id: JobId, state: State, reason: String) {
        self.set_state_for(now, id, state, reason, None);
    }

    /// Moves a job to `state` and journals it, with whoever asked for it. The one place where a state changes.
    fn set_state_for(&mut self, now: Millis, id: JobId, state: State, reason: String, by: Option<PrincipalName>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        debug_assert!(!job.state.is_terminal(), "a job that has ended never changes");
        let rank = job.rank();
        if let State::Backoff { until } = job.state {
            self.backoffs.remove(&(until, id));
        }
        self.queue.remove(rank);
        match state {
            State::Queued => {
                let wants = Wants::new(&job.variants, &job.avoid, &self.index);
                self.queue.insert(rank, wants, !reason.is_empty());
            }
            State::Backoff { until } => drop(self.backoffs.insert((until, id))),
            State::Blocked | State::Leased { .. } => {}
            State::Succeeded | State::Failed | State::Cancelled => {
                job.ended = Some(now);
                self.just_ended.push(id);
            }
        }
        (job.state, job.reason) = (state, reason.clone());
        if state.is_terminal() {
            self.note_resumes(id);
        }
        self.unsettled = true;
        self.journal(now, id, EventBody::State { state, reason, by });
        self.effects.jobs.insert(id);
    }

    fn journal(&mut self, at: Millis, job: JobId, body: EventBody) {
        let epoch = self.jobs.get(&job).map_or_else(Epoch::default, |job| job.epoch);
        self.last_seq += 1;
        self.effects.journal.push(Event { seq: self.last_seq, at, job: Some(job), epoch, body });
    }

    /// The same of what happened to a worker, and so to no job.
    fn journal_fleet(&mut self, at: Millis, body: EventBody) {
        self.last_seq += 1;
        self.effects.journal.push(Event { seq: self.last_seq, at, job: None, epoch: Epoch::default(), body });
    }
}

#[cfg(test)]
pub(crate) mod tests;
