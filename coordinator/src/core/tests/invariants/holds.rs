//! Workers that people hold, let work again and remove.

use super::*;

impl World {
    /// 16: it is held from now on, and what ran there runs on, but for services.
    pub(super) fn hold(&mut self, worker: usize, has_reason: bool) {
        let id = self.ids[worker];
        let reason = if has_reason { "a new disk" } else { "" }.to_owned();
        let before = self.bench.core.workers.get(&id).cloned();
        let answer = self.bench.apply(Command::Hold { worker: id, by: person(), reason: reason.clone() });
        let Some(before) = before else { return assert_eq!(answer, Err(Refusal::NoWorker(id))) };
        assert_eq!(answer, Ok(()));
        let now = &self.bench.core.workers[&id];
        let hold = now.hold.clone().unwrap();
        assert_eq!((hold.by, &hold.reason), (HeldBy::Person(person()), &reason));
        let mut stay = before.leases.clone();
        stay.retain(|_, taken| taken.slot != Slot::Service);
        // Time passed, so that leases may have expired.
        assert!(now.leases.keys().all(|id| stay.contains_key(id)), "{now:?}");
        let is_live = |id: &AttemptId| self.bench.core.attempts[id].outcome == Outcome::Running;
        assert!(stay.keys().filter(|id| is_live(id)).all(|id| now.leases.contains_key(id)), "{now:?}");
    }

    /// 16: whoever held it, it is free again. That it is given what waits, promise 7 sees to.
    pub(super) fn resume(&mut self, worker: usize) {
        let id = self.ids[worker];
        let answer = self.bench.apply(Command::Resume { worker: id, by: person() });
        match self.bench.core.workers.get(&id) {
            None => assert_eq!(answer, Err(Refusal::NoWorker(id))),
            Some(worker) => assert_eq!((answer, &worker.hold), (Ok(()), &None)),
        }
    }

    /// 17: it goes where nothing is lost by it; else nothing changes.
    pub(super) fn remove(&mut self, worker: usize) {
        let id = self.ids[worker];
        let (before, jobs) = (self.bench.core.workers.get(&id).cloned(), self.bench.core.jobs.clone());
        let answer = self.bench.apply(Command::Remove { worker: id, by: person() });
        let core = &self.bench.core;
        let Some(before) = before else { return assert_eq!(answer, Err(Refusal::NoWorker(id))) };
        let is_idle = before.leases.is_empty() && before.stopping.is_empty();
        match answer {
            Ok(()) => {
                assert!(before.session.is_none() || before.hold.is_some() && is_idle, "{before:?}");
                assert!(!core.workers.contains_key(&id) && !core.installations.contains_key(&id));
                assert!(core.sessions.values().all(|worker| *worker != id));
                for attempt in before.leases.keys() {
                    assert!(matches!(core.attempts[attempt].outcome, Outcome::Lost(_)));
                }
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::WorkerThere { name: before.name.clone(), is_held: before.hold.is_some() });
                assert!(before.session.is_some() && !(before.hold.is_some() && is_idle), "{before:?}");
                assert_eq!((&core.workers[&id], &core.jobs), (&before, &jobs));
            }
        }
    }
}
