//! The order in which jobs are placed.

use super::*;

impl World {
    /// Whether a worker could start a job now, if `reserved` of its memory were promised.
    pub(super) fn fits(&self, job: &Job, worker: &Worker, reserved: Bytes) -> bool {
        let takes = |worker: &Worker| {
            let takes = |it: &Variant| it.peak() <= worker.machine.usable && worker.takes(it.slot());
            job.variants.iter().any(takes)
        };
        let others = self.bench.core.workers.values().filter(|other| takes(other));
        let is_avoided = job.avoid.contains(&worker.id) && others.into_iter().any(|w| !job.avoid.contains(&w.id));
        let room = worker.machine.usable.saturating_sub(reserved);
        !is_avoided && job.variants.iter().any(|variant| worker.has_open(variant.slot()) && variant.peak() <= room)
    }

    /// 7: whoever was placed since `seen` was not preferred to one of higher rank that the same worker could have held in the same slot.
    pub(super) fn check_order(&self, seen: u64) {
        let core = &self.bench.core;
        let is_new = |event: &&Event| event.seq > seen && matches!(event.body, EventBody::Placed { .. });
        let placed = self.bench.journal.iter().filter(is_new);
        for job in placed.map(|entry| &core.jobs[&entry.job.unwrap()]) {
            let State::Leased { attempt } = job.state else { continue };
            let (attempt, worker) = (&core.attempts[&attempt], &core.workers[&core.attempts[&attempt].worker]);
            let slot = job.variants[attempt.variant].slot();
            assert!(!worker.hold.as_ref().is_some_and(|it| it.closes(slot)), "16: {job:?} was placed on {worker:?}");
            let others = worker.reserved().saturating_sub(attempt.reserved);
            let room = worker.machine.usable.saturating_sub(others + worker.conditions.withheld);
            for (.., id) in core.queue.iter().filter(|rank| **rank < job.rank()) {
                let waiting = &core.jobs[id];
                let fits = |variant: &Variant| variant.slot() == slot && variant.peak() <= room;
                let overtaken = waiting.avoid.is_empty() && waiting.variants.iter().any(fits);
                assert!(!overtaken, "{job:?} overtook {waiting:?}");
            }
        }
    }
}
