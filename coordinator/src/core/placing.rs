//! Queued jobs meet free workers.
//!
//! Jobs go in order of priority, then age. A job that fits no worker that is free waits, and those behind it go on: a job
//! too large for every worker holds up nobody. It is not overtaken either: whenever a worker becomes free, the first in
//! order that fits gets it; and where a job waits for memory that a running attempt has, on a worker with an open slot for it, that
//! worker is kept for it.
//!
//! Promise: what is done is what a walk over the whole queue would do (`tests/oracle.rs`), and its cost does not grow with the queue. Once
//! a member of a cohort waits and keeps no worker, all behind it would too, until a lease makes a worker lack memory that it had. A cohort
//! whose slots are all taken is not looked at, so that a change on a busy fleet costs next to nothing.

use super::fleet::SLOTS;
use super::queue::{CohortId, Rank};
use super::search::Obstacles;
use super::worker::Reservation;
use super::{Assignment, Attempt, Core, EventBody, Input, Job, Outcome, Outgoing, State};
use std::collections::BTreeSet;
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, JobId, Millis, WorkerId};

/// A walk over the jobs that something may follow for, in the order of their ranks.
#[derive(Default)]
struct Pass {
    /// The job that was met last.
    at: Option<Rank>,
    /// Whether a job was met that waits.
    has_waiting: bool,
    /// Jobs to meet besides the heads of cohorts: those behind a member that keeps a worker, and first members of cohorts that are met
    /// again.
    next: BTreeSet<Rank>,
    /// Cohorts whose members behind `at` wait and keep nothing.
    spent: BTreeSet<CohortId>,
    /// Why cohorts wait. No worker comes or goes meanwhile.
    obstacles: Obstacles,
}

impl Core {
    /// Hands queued jobs to workers; `ids` gives each attempt its id.
    pub fn place(&mut self, now: Millis, ids: &mut dyn Iterator<Item = AttemptId>) {
        if std::mem::take(&mut self.unsettled) {
            self.walk_heads(now, ids);
        }
    }

    /// Meets the jobs that something may follow for. Gives their number.
    pub(super) fn walk_heads(&mut self, now: Millis, ids: &mut dyn Iterator<Item = AttemptId>) -> usize {
        self.workers.let_go();
        let (mut pass, mut met) = (Pass::default(), 0);
        while let Some(rank) = self.first_to_meet(&pass) {
            met += 1;
            pass.at = Some(rank);
            pass.next.remove(&rank);
            let Some((cohort, wants)) = self.queue.cohort(rank) else { continue };
            let (wants, is_spent) = (wants.clone(), pass.spent.contains(&cohort));
            let choice = if is_spent { None } else { self.choose(&wants) };
            if let Some(choice) = choice {
                let Some(attempt) = ids.next() else { return met };
                // It was the head of its cohort: while jobs are placed there is ever less room, so that none gets in behind an equal one
                // that waits. The next member is the head now, and is met as such.
                self.lease(now, rank.2, choice.variant, choice.worker, attempt, choice.reason);
                self.look_again(&mut pass, rank, choice.worker);
                continue;
            }
            self.wait(now, rank, &mut pass);
            if is_spent {
                continue;
            }
            match self.lacking_memory(&wants) {
                Some(worker) => {
                    self.workers.keep(worker, rank);
                    pass.next.extend(self.queue.first_member(cohort, rank));
                }
                None => drop(pass.spent.insert(cohort)),
            }
        }
        // Giving leases is what settles; it leaves nothing for another round to find.
        self.unsettled = false;
        met
    }

    /// The first job, behind the one met last, that may be leased or keep a worker, or of which people are told why it waits: the first
    /// that does, and those of which they do not know yet.
    fn first_to_meet(&self, pass: &Pass) -> Option<Rank> {
        let open = SLOTS.into_iter().filter(|slot| self.workers.has_offers(*slot));
        let head = self.queue.first_head(pass.at, open);
        let untold = self.queue.first_untold(pass.at);
        let first = if pass.has_waiting { None } else { self.queue.first(pass.at) };
        [pass.next.first().copied(), head, untold, first].into_iter().flatten().min()
    }

    /// After a lease, members of a spent cohort may wait for the memory that it took: they are met again, from the first behind `rank`.
    fn look_again(&self, pass: &mut Pass, rank: Rank, worker: WorkerId) {
        if !self.workers.get(&worker).is_some_and(|worker| SLOTS.into_iter().any(|slot| worker.has_open(slot))) {
            return;
        }
        let might =
            |cohort: &CohortId| self.queue.wants(*cohort).is_some_and(|wants| self.might_lack_memory_of(worker, wants));
        for cohort in pass.spent.extract_if(.., might) {
            pass.next.extend(self.queue.first_member(cohort, rank));
        }
    }

    /// Notes why a job waits. People see every change of the reason of whoever is first; of the others they see the first reason, so that
    /// a long queue does not write a line each whenever a worker moves. What holds later is found when somebody asks.
    fn wait(&mut self, now: Millis, rank: Rank, pass: &mut Pass) {
        let is_first = !std::mem::replace(&mut pass.has_waiting, true);
        let Some(job) = self.jobs.get(&rank.2).filter(|job| is_first || job.reason.is_empty()) else { return };
        let known = job.reason.clone();
        let Some(reason) = self.waiting_reason(rank, &mut pass.obstacles).filter(|reason| *reason != known) else {
            return;
        };
        self.queue.tell(rank);
        if let Some(job) = self.jobs.get_mut(&rank.2) {
            job.reason = reason.clone();
        }
        self.effects.jobs.insert(rank.2);
        self.journal(now, rank.2, EventBody::State { state: State::Queued, reason, by: None });
    }

    pub(super) fn lease(
        &mut self,
        now: Millis,
        id: JobId,
        variant: usize,
        worker: WorkerId,
        attempt: AttemptId,
        reason: String,
    ) {
        let Some((job, worker)) = self.jobs.get_mut(&id).zip(self.workers.get(&worker)) else { return };
        job.epoch = job.epoch.next();
        job.attempts.push(attempt);
        let (reserved, slot) = (job.variants[variant].peak(), job.variants[variant].slot());
        self.attempts.insert(
            attempt,
            Attempt {
                id: attempt,
                job: id,
                epoch: job.epoch,
                worker: worker.id,
                worker_name: worker.name.clone(),
                variant,
                reserved,
                started: now,
                ended: None,
                outcome: Outcome::Running,
                peak: Bytes::ZERO,
                last_report: 0,
                service: None,
            },
        );
        self.leases.insert(attempt, now.plus(self.settings.lease_ms));
        self.effects.attempts.insert(attempt);
        if let Some(session) = worker.session {
            let assignment = Box::new(assignment(job, variant, attempt, reserved));
            self.effects.outbox.push((session, Outgoing::Assignment(assignment)));
        }
        let placed = EventBody::Placed { worker: worker.name.clone(), variant, reason };
        let worker = worker.id;
        self.workers.change(worker, |worker| worker.leases.insert(attempt, Reservation { slot, memory: reserved }));
        self.set_state(now, id, State::Leased { attempt }, String::new());
        self.journal(now, id, placed);
    }
}

fn assignment(job: &Job, variant: usize, attempt: AttemptId, reserved: Bytes) -> Assignment {
    let variant = &job.variants[variant];
    let given = |input: &Input| input.artifact.map(|found| (input.role.clone(), found.digest));
    Assignment {
        job: job.id,
        attempt,
        epoch: job.epoch,
        reserved,
        slot: variant.slot(),
        variant: variant.name.clone(),
        task: variant.task.clone(),
        inputs: variant.inputs.iter().filter_map(given).collect(),
        checkpoint: variant.resume.map(|resume| resume.checkpoint),
        traceparent: job.traceparent.clone(),
    }
}
