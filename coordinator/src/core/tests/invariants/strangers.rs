//! Who comes as a worker and is none, or is it twice.

use super::*;

impl World {
    /// 12: a copy of a folder gets in when nobody is there, or after a lease of silence; until then nothing changes.
    pub(super) fn copy(&mut self, worker: usize) {
        let (id, process, (name, usable)) = (self.ids[worker], ProcessId::new(), WORKERS[worker]);
        let core = &self.bench.core;
        let (session, jobs) = (core.workers.get(&id).and_then(|w| w.session), core.jobs.clone());
        let leased = core.workers.get(&id).is_some_and(|w| !w.leases.is_empty());
        let known = core.installations.get(&id).filter(|known| known.process.is_some());
        let alive = known.is_some_and(|known| self.bench.now < known.heard.plus(LEASE_MS));
        match self.hello(worker, process, name, usable, &[]) {
            Ok(_) => {
                assert!(!alive || session.is_none() && !leased);
                self.processes[worker] = process;
            }
            Err(refusal) => {
                assert!(alive && matches!(refusal, Refusal::OtherProcess { .. }), "{refusal}");
                let core = &self.bench.core;
                assert_eq!((core.workers[&id].session, &core.jobs), (session, &jobs));
            }
        }
    }

    /// 12: without the secret nobody takes up a session, and nothing changes.
    pub(super) fn thief(&mut self, worker: usize) {
        let (id, process, (name, usable)) = (self.ids[worker], self.processes[worker], WORKERS[worker]);
        if !self.bench.core.installations.contains_key(&id) {
            return;
        }
        let (session, held) = (self.session(worker), self.given(worker));
        let (jobs, workers) = (self.bench.core.jobs.clone(), self.bench.core.workers.clone());
        let answer = self.bench.connect_as(id, secret(WorkerId::new()), process, name, usable, &held);
        assert_eq!(answer, Err(Refusal::OtherInstallation(id)));
        let core = &self.bench.core;
        assert_eq!((self.session(worker), &core.jobs, &core.workers), (session, &jobs, &workers));
    }
}
