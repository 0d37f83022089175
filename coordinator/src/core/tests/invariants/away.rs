//! Promises 18 and 20: a worker that its machine's owner keeps away is given nothing, whatever happens, and one that is short of memory no
//! more than it offers. Promise 21: a pause that waits for a screen.

use super::*;

impl World {
    pub(super) fn away(&mut self, worker: usize, is_away: bool) {
        let reason = is_away.then(|| "it runs on battery".to_owned());
        let _ = self.bench.apply(Command::Away { session: self.session(worker), reason });
    }

    /// Somebody comes to look at its screen or goes, and its memory gets short or does not.
    pub(super) fn conditions(&mut self, worker: usize, conditions: Conditions) {
        let session = self.session(worker);
        let answer = self.bench.apply(Command::Conditions { session, conditions });
        assert_eq!(answer.is_ok(), session != SessionId(0));
    }

    pub(super) fn take(&mut self, step: &Step) {
        let away = self.kept_away();
        let leases = |world: &World| -> BTreeMap<WorkerId, BTreeSet<AttemptId>> {
            world.bench.core.workers.values().map(|it| (it.id, it.leases.keys().copied().collect())).collect()
        };
        let (before, waits) = (leases(self), self.waits_for_screens());
        self.take_one(step);
        // 20
        for (id, _) in leases(self).iter().filter(|(id, now)| !before.get(id).is_some_and(|old| now.is_subset(old))) {
            let worker = &self.bench.core.workers[id];
            let is_given = !worker.leases.is_empty();
            let offered = worker.machine.usable.saturating_sub(worker.conditions.withheld);
            assert!(!is_given || worker.reserved() <= offered, "{step:?}: {worker:?}");
        }
        // 21: a step changes one thing, so that whoever looks before it and after it has looked all the time.
        let core = &self.bench.core;
        for (job, name) in waits {
            let State::Leased { attempt } = core.jobs[&job].state else { continue };
            let worker = &core.workers[&core.attempts[&attempt].worker];
            let is_watched = worker.conditions.is_watched == Some(true);
            assert!(!(worker.name == name && is_watched), "{step:?}: {job} did not wait for {worker:?}");
        }
        // 18
        for (worker, before) in self.kept_away().into_iter().filter_map(|(id, now)| Some((now, away.get(&id)?))) {
            assert!(worker.is_subset(before), "{step:?}: {worker:?} after {before:?}");
        }
    }

    /// Jobs that wait until nobody looks at the screen of a worker, by its name.
    fn waits_for_screens(&self) -> Vec<(JobId, String)> {
        let core = &self.bench.core;
        let paused = core.jobs.values().filter(|job| matches!(job.state, State::Backoff { .. }));
        paused.filter_map(|job| Some((job.id, core.waits_for_screen(job.id)?))).collect()
    }

    /// The leases of each worker that is kept away.
    fn kept_away(&self) -> BTreeMap<WorkerId, BTreeSet<AttemptId>> {
        let is_away = |worker: &&Worker| worker.away.is_some();
        let workers = self.bench.core.workers.values().filter(is_away);
        workers.map(|worker| (worker.id, worker.leases.keys().copied().collect())).collect()
    }
}
