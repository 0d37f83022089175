//! Promise 18: a worker that its machine's owner keeps away is given nothing, whatever happens.

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
        self.take_one(step);
        // 18
        for (worker, before) in self.kept_away().into_iter().filter_map(|(id, now)| Some((now, away.get(&id)?))) {
            assert!(worker.is_subset(before), "{step:?}: {worker:?} after {before:?}");
        }
    }

    /// The leases of each worker that is kept away.
    fn kept_away(&self) -> BTreeMap<WorkerId, BTreeSet<AttemptId>> {
        let is_away = |worker: &&Worker| worker.away.is_some();
        let workers = self.bench.core.workers.values().filter(is_away);
        workers.map(|worker| (worker.id, worker.leases.keys().copied().collect())).collect()
    }
}
