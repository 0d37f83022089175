//! Queued jobs meet free workers.
//!
//! Jobs go in order of priority, then age. A job that fits no worker that is free waits, and those behind it go on: a job
//! too large for every worker holds up nobody. It is not overtaken either: whenever a worker becomes free, the first in
//! order that fits gets it; and where a job waits for memory that a running attempt has, on a worker with an open slot for it, that
//! worker is kept for it.

use super::{Assignment, Attempt, Core, EventBody, Input, Job, Outcome, Outgoing, State, Variant, Worker};
use std::collections::{BTreeMap, BTreeSet};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Digest, JobId, Millis, WorkerId};
use vertigo::placement::{Candidate, Need, Placement, place};
use vertigo::task::Slot;

impl Core {
    /// Hands queued jobs to workers; `ids` gives each attempt its id.
    pub fn place(&mut self, now: Millis, ids: &mut dyn Iterator<Item = AttemptId>) {
        if !std::mem::take(&mut self.unsettled) {
            return;
        }
        let jobs: Vec<JobId> = self.queue.iter().map(|(.., job)| *job).collect();
        let (mut waiting, mut kept) = (0, BTreeSet::new());
        for id in jobs {
            let job = &self.jobs[&id];
            let (workers, placement) = self.placement_beside(&job.variants, &job.avoid, &kept);
            match placement {
                Placement::On { variant, worker, reason } => {
                    let Some(attempt) = ids.next() else { return };
                    self.lease(now, id, variant, workers[worker], attempt, reason);
                }
                Placement::Wait { reason } => {
                    kept.extend(self.waits_for_memory_of(job, &kept));
                    self.wait(now, id, reason, waiting == 0);
                    waiting += 1;
                }
            }
        }
        // Giving leases is what settles; it leaves nothing for another round to find.
        self.unsettled = false;
    }

    /// The worker whose memory a job waits for: it has an open slot for it, and enough memory but for what runs there.
    fn waits_for_memory_of(&self, job: &Job, kept: &BTreeSet<WorkerId>) -> Option<WorkerId> {
        let needs: Vec<Need> = job.variants.iter().map(Variant::wants).collect();
        let would = |worker: &&Worker| {
            let usable = worker.machine.usable;
            let free = usable.saturating_sub(self.reserved(worker));
            let lacks_memory = |need: &Need| worker.has_open(need.slot) && need.peak <= usable && need.peak > free;
            !kept.contains(&worker.id) && !job.avoid.contains(&worker.id) && needs.iter().any(lacks_memory)
        };
        let tightest = self.workers.values().filter(would).min_by_key(|worker| (worker.machine.usable, &worker.name));
        tightest.map(|worker| worker.id)
    }

    /// Where a job of these variants would go now. Workers of `avoid` count as busy where another one is large enough. The first of the
    /// pair names the workers that the placement counts.
    pub fn placement(&self, variants: &[Variant], avoid: &BTreeSet<WorkerId>) -> (Vec<WorkerId>, Placement) {
        self.placement_beside(variants, avoid, &BTreeSet::new())
    }

    /// The same, where workers of `kept` are for jobs of higher rank.
    fn placement_beside(
        &self,
        variants: &[Variant],
        avoid: &BTreeSet<WorkerId>,
        kept: &BTreeSet<WorkerId>,
    ) -> (Vec<WorkerId>, Placement) {
        let connected: Vec<&Worker> = self.workers.values().filter(|worker| worker.session.is_some()).collect();
        let inputs: Vec<_> = variants.iter().map(|variant| self.inputs(variant)).collect();
        let needs: Vec<Need> = variants.iter().map(Variant::wants).collect();
        let holds_one = |worker: &&Worker| needs.iter().any(|need| need.peak <= worker.machine.usable);
        let has_other = connected.iter().copied().filter(holds_one).any(|worker| !avoid.contains(&worker.id));
        let candidate = |worker: &&Worker| {
            let mut candidate = self.candidate(worker, &inputs);
            if kept.contains(&worker.id) || (has_other && avoid.contains(&worker.id)) {
                candidate.open.clear();
            }
            candidate
        };
        let candidates: Vec<_> = connected.iter().map(candidate).collect();
        let placement = match place(&needs, &candidates) {
            Placement::Wait { reason } => {
                Placement::Wait { reason: self.absent(&needs, &candidates).unwrap_or(reason) }
            }
            on => on,
        };
        (connected.iter().map(|worker| worker.id).collect(), placement)
    }

    /// What an attempt at a variant reads, and how large that is.
    fn inputs(&self, variant: &Variant) -> BTreeMap<Digest, Bytes> {
        let checkpoint = variant
            .resume
            .and_then(|resume| Some((resume.checkpoint, self.index.get(&resume.checkpoint)?.manifest.bytes())));
        variant.artifacts().chain(checkpoint).collect()
    }

    /// A worker as a placement sees it; `inputs` are those of each variant.
    fn candidate(&self, worker: &Worker, inputs: &[BTreeMap<Digest, Bytes>]) -> Candidate {
        let is_held = |(digest, _): &(&Digest, &Bytes)| worker.cached.contains(*digest);
        // Each once, however many variants read it.
        let all: BTreeMap<&Digest, &Bytes> = inputs.iter().flatten().collect();
        let to_fetch = |inputs: &BTreeMap<Digest, Bytes>| -> Bytes {
            inputs.iter().filter(|input| !is_held(input)).map(|(_, bytes)| *bytes).sum()
        };
        Candidate {
            name: worker.name.clone(),
            usable: worker.machine.usable,
            reserved: self.reserved(worker),
            open: [Slot::Gpu, Slot::Cpu].into_iter().filter(|slot| worker.has_open(*slot)).collect(),
            held: all.into_iter().filter(is_held).map(|(_, bytes)| *bytes).sum(),
            disk_free: worker.machine.disk_free,
            to_fetch: inputs.iter().map(to_fetch).collect(),
        }
    }

    /// Memory of a worker that is promised.
    pub fn reserved(&self, worker: &Worker) -> Bytes {
        worker.leases.keys().filter_map(|id| self.attempts.get(id)).map(|attempt| attempt.reserved).sum()
    }

    /// The reason to wait where no connected worker is large enough and one that is away would be.
    fn absent(&self, needs: &[Need], connected: &[Candidate]) -> Option<String> {
        let smallest = needs.iter().min_by_key(|need| need.peak)?;
        if connected.iter().any(|worker| smallest.peak <= worker.usable) {
            return None;
        }
        let fits = |worker: &&Worker| worker.session.is_none() && smallest.peak <= worker.machine.usable;
        let away = self.workers.values().filter(fits).min_by_key(|worker| (worker.machine.usable, &worker.name))?;
        Some(format!("{} ({}) fits {}, which is not connected", smallest.name, smallest.peak, away.name))
    }

    fn lease(&mut self, now: Millis, id: JobId, variant: usize, worker: WorkerId, attempt: AttemptId, reason: String) {
        let Some((job, worker)) = self.jobs.get_mut(&id).zip(self.workers.get_mut(&worker)) else { return };
        job.epoch = job.epoch.next();
        job.attempts.push(attempt);
        worker.leases.insert(attempt, job.variants[variant].slot());
        let reserved = job.variants[variant].peak();
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
            },
        );
        self.leases.insert(attempt, now.plus(self.settings.lease_ms));
        self.effects.attempts.insert(attempt);
        if let Some(session) = worker.session {
            let assignment = Box::new(assignment(job, variant, attempt, reserved));
            self.effects.outbox.push((session, Outgoing::Assignment(assignment)));
        }
        let placed = EventBody::Placed { worker: worker.name.clone(), variant, reason };
        self.set_state(now, id, State::Leased { attempt }, String::new());
        self.journal(now, id, placed);
    }

    /// Notes why a job waits. People see every change of the reason of whoever is `first`; for the others the first reason
    /// is journalled and the newest is on the job, so that a long queue does not write a line each whenever a worker moves.
    fn wait(&mut self, now: Millis, id: JobId, reason: String, first: bool) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.reason == reason {
            return;
        }
        let visible = first || job.reason.is_empty();
        job.reason = reason.clone();
        if visible {
            self.effects.jobs.insert(id);
            self.journal(now, id, EventBody::State { state: State::Queued, reason });
        }
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
