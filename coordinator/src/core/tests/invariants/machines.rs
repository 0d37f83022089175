//! Machines that go down and come up again.

use super::*;

impl World {
    /// A worker connects whose machine was restarted under what it was given last, and says so twice. 18: the attempt has an outcome of its
    /// own, once; what befell the machine is counted once; two panics within a day hold it.
    pub(super) fn reboot(&mut self, worker: usize, panicked: bool, boot: u8) {
        let (id, given) = (self.ids[worker], self.given(worker));
        let reboot = Reboot {
            boot: boot.to_string(),
            at: self.bench.now,
            panic: panicked.then(String::new),
            attempts: given.clone(),
        };
        let before = self.bench.core.jobs.clone();
        let is_live = |attempt: &Attempt| !before[&attempt.job].state.is_terminal();
        let ended: Vec<Attempt> = given.iter().map(|id| self.bench.core.attempts[id].clone()).filter(is_live).collect();
        self.bench.reboots = vec![reboot.clone(), reboot];
        let (name, usable) = WORKERS[worker];
        self.hello(worker, self.processes[worker], name, usable, &[]).unwrap();
        let core = &self.bench.core;
        for attempt in ended {
            let now = &core.attempts[&attempt.id].outcome;
            match attempt.outcome {
                Outcome::Running | Outcome::Lost(_) => {
                    assert!(matches!(now, Outcome::Failed { code, .. } if code.starts_with("machine_")), "18: {now:?}");
                    let panics = before[&attempt.job].panics + u32::from(panicked);
                    assert_eq!(core.jobs[&attempt.job].panics, panics, "18: it is counted once");
                }
                other => assert_eq!(*now, other),
            }
        }
        let worker = &core.workers[&id];
        let panics = |mark: &&Mark| mark.mishap == Mishap::Panic;
        assert!(worker.marks.iter().filter(panics).filter(|mark| mark.of == boot.to_string()).count() <= 1);
        if panicked {
            assert!(worker.hold.is_some() || worker.cools_until.is_some() || worker.marks.len() > 1, "18: {worker:?}");
        }
    }

    /// 18: after two panics within a day nobody's work for the GPU begins there.
    pub(super) fn check_machines(&self) {
        for worker in self.bench.core.workers.values() {
            let recent =
                |mark: &&Mark| mark.mishap == Mishap::Panic && self.bench.now.0 - mark.at.0 < 24 * 60 * 60 * 1000;
            if worker.marks.iter().filter(recent).count() >= 2 {
                assert!(
                    worker.hold.is_some() && !worker.has_open(Slot::Gpu) && !worker.has_open(Slot::Service),
                    "18: {worker:?}"
                );
            }
            assert!(worker.cools_until.is_none_or(|until| until > self.bench.now));
        }
    }
}
