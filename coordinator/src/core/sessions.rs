//! Workers come, say what they hold, and go.

use super::archive::Past;
use super::installation::{self, Caller, Standing};
use super::marks::{Mark, Mishap};
use super::{Conditions, Connect, Core, Moment, Outcome, Outgoing, Refusal, SessionId, Worker};
use crate::core::Installation;
use std::collections::{BTreeMap, BTreeSet};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Epoch, Millis, WorkerId};

impl Core {
    pub(super) fn connect(&mut self, at: Moment, hello: Connect) -> Result<(), Refusal> {
        let Connect { session, worker: id, secret, process, name, machine, held, away, conditions, reboots } = hello;
        self.admit(at.now, Caller { worker: id, secret, process })?;
        let namesakes: Vec<_> = self.workers.values().filter(|w| w.name == name && w.id != id).collect();
        if namesakes.iter().any(|worker| worker.session.is_some()) {
            return Err(Refusal::NameTaken(name));
        }
        if self.workers.get(&id).and_then(|worker| worker.session).is_some_and(|newer| newer > session) {
            // A Hello that was overtaken: what it says that the worker holds is old.
            return Err(Refusal::NoSession);
        }
        let past = self.past(held.iter().map(|(id, _)| *id))?;
        // Whoever held the machine held it by this name.
        let inherited = namesakes.iter().rev().find_map(|worker| worker.hold.clone());
        // A machine that was set up anew: its former self will not come back, unless an attempt still runs under it.
        let gone: Vec<WorkerId> =
            namesakes.iter().filter(|worker| worker.leases.is_empty()).map(|worker| worker.id).collect();
        for former in gone {
            self.workers.remove(former);
            self.effects.workers.insert(former);
        }
        reboots.iter().for_each(|reboot| self.went_down(at, id, reboot));
        let mut worker = self.workers.get(&id).cloned().unwrap_or_else(|| Worker {
            id,
            name: String::new(),
            machine: Default::default(),
            last_seen: at.now,
            cached: BTreeSet::new(),
            hold: None,
            marks: Vec::new(),
            cools_until: None,
            session: None,
            draining: false,
            away: None,
            conditions: Conditions::default(),
            leases: BTreeMap::new(),
            stopping: BTreeSet::new(),
        });
        (worker.name, worker.machine, worker.last_seen) = (name, machine, at.now);
        (worker.draining, worker.away, worker.stopping) = (false, away, BTreeSet::new());
        worker.conditions = conditions;
        worker.hold = worker.hold.or(inherited);
        let is_held = worker.hold.is_some();
        let (before, leases) = (worker.session.replace(session), worker.leases.keys().copied().collect());
        self.workers.insert(worker);
        self.sessions.insert(session, id);
        if let Some(before) = before {
            self.sessions.remove(&before);
            let reason = "the worker has connected again".to_owned();
            self.effects.outbox.push((before, Outgoing::Close { reason }));
        }
        self.effects.workers.insert(id);
        for reboot in reboots.into_iter().filter(|reboot| reboot.panic.is_some()) {
            self.mark(at.now, id, Mark { at: reboot.at, mishap: Mishap::Panic, of: reboot.boot });
        }
        self.settle_in(at.now, Caller { worker: id, secret, process });
        self.unsettled = true;
        self.greet(at, (session, id), leases, &held, &past);
        self.end_waits_for_screens(at.now);
        if is_held {
            self.move_services(at.now, id);
        }
        Ok(())
    }

    /// Whether the caller is the installation that its id belongs to, and no other process of it is there. An id without a
    /// secret is new, or from before there were secrets: its first Hello gives it one.
    fn admit(&self, now: Millis, caller: Caller) -> Result<(), Refusal> {
        let Some(known) = self.installations.get(&caller.worker) else { return Ok(()) };
        let worker = self.workers.get(&caller.worker);
        let standing = Standing {
            place: worker.map_or("an unknown machine", |worker| &worker.name),
            is_connected: worker.is_some_and(|worker| worker.session.is_some()),
            has_lease: worker.is_some_and(|worker| !worker.leases.is_empty()),
        };
        installation::admit(caller, known, standing, now, self.settings.lease_ms)
    }

    /// Notes the process that was let in.
    fn settle_in(&mut self, now: Millis, caller: Caller) {
        let Caller { worker, secret, process } = caller;
        let fresh = Installation { secret, process: None, heard: now, since: now };
        let known = self.installations.entry(worker).or_insert(fresh);
        known.heard = now;
        if known.process != Some(process) {
            (known.process, known.since) = (Some(process), now);
            self.effects.installations.insert(worker);
        }
    }

    /// Welcomes a worker and settles what it holds against what we believe that it holds.
    fn greet(
        &mut self,
        at: Moment,
        (session, worker): (SessionId, WorkerId),
        leases: Vec<AttemptId>,
        held: &[(AttemptId, Epoch)],
        past: &Past,
    ) {
        let live: Vec<_> =
            held.iter().filter(|(id, epoch)| self.is_live(worker, *id, *epoch)).map(|(id, _)| *id).collect();
        let acks = live.iter().map(|id| (*id, self.attempts[id].last_report)).collect();
        self.effects.outbox.push((session, Outgoing::Welcome { acks }));
        self.renew(at.now, &live);
        for (id, _) in held.iter().filter(|(id, _)| !live.contains(id)) {
            self.stop_on(session, worker, *id, past);
        }
        for lost in leases.into_iter().filter(|id| !live.contains(id)) {
            self.lose(at, lost, "the worker came back without it");
        }
    }

    pub(super) fn disconnect(&mut self, now: Millis, session: SessionId) {
        let Some(id) = self.sessions.remove(&session) else { return };
        let leave = |worker: &mut Worker| {
            (worker.session, worker.last_seen) = (None, now);
            worker.stopping.clear();
        };
        if self.workers.change(id, leave).is_some() {
            self.effects.workers.insert(id);
            self.unsettled = true;
        }
        // A process whose session has ended is not waited for.
        if let Some(installation) = self.installations.get_mut(&id) {
            installation.process = None;
            self.effects.installations.insert(id);
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        now: Millis,
        session: SessionId,
        (free, disk_free): (Bytes, Option<Bytes>),
        held: &[(AttemptId, Epoch)],
    ) -> Result<(), Refusal> {
        let id = *self.sessions.get(&session).ok_or(Refusal::NoSession)?;
        let past = self.past(held.iter().map(|(id, _)| *id))?;
        let live: Vec<_> = held.iter().filter(|(a, epoch)| self.is_live(id, *a, *epoch)).map(|(a, _)| *a).collect();
        self.renew(now, &live);
        if let Some(installation) = self.installations.get_mut(&id) {
            installation.heard = now;
        }
        let offers_more = self.workers.change(id, |worker| {
            // Whoever waits for room on a disk is placed when there is more.
            let has_more_disk = disk_free > worker.machine.disk_free;
            (worker.last_seen, worker.machine.free, worker.machine.disk_free) = (now, free, disk_free);
            let was = worker.stopping.len();
            worker.stopping.retain(|attempt| held.iter().any(|(id, _)| id == attempt));
            has_more_disk || worker.stopping.len() < was
        });
        self.unsettled |= offers_more.unwrap_or(false);
        for (attempt, _) in held.iter().filter(|(id, _)| !live.contains(id)) {
            // One that ended by its own report is about to be let go: the worker has not read the acknowledgement yet.
            if !self.outcome(&past, *attempt).is_some_and(Outcome::is_own) {
                self.stop_on(session, id, *attempt, &past);
            }
        }
        Ok(())
    }

    pub(super) fn drain(&mut self, now: Millis, session: SessionId) -> Result<(), Refusal> {
        let id = *self.sessions.get(&session).ok_or(Refusal::NoSession)?;
        self.unsettled |= self.workers.change(id, |worker| worker.draining = true).is_some();
        self.move_services(now, id);
        Ok(())
    }

    /// The worker takes no attempts for this reason, or takes them again. Those that it has it gives back itself, once they are where they
    /// can go on from.
    pub(super) fn away(&mut self, session: SessionId, reason: Option<String>) -> Result<(), Refusal> {
        let id = *self.sessions.get(&session).ok_or(Refusal::NoSession)?;
        self.unsettled |= self.workers.change(id, |worker| worker.away = reason).is_some();
        Ok(())
    }

    /// What a worker says of its machine is another thing than before.
    pub(super) fn conditions(
        &mut self,
        now: Millis,
        session: SessionId,
        conditions: Conditions,
    ) -> Result<(), Refusal> {
        let id = *self.sessions.get(&session).ok_or(Refusal::NoSession)?;
        let before = self.workers.change(id, |worker| std::mem::replace(&mut worker.conditions, conditions));
        self.unsettled |= before.is_some_and(|before| before.withheld != conditions.withheld);
        if before.is_some_and(|before| before.is_watched != conditions.is_watched) {
            self.end_waits_for_screens(now);
        }
        Ok(())
    }

    /// Whether the attempt holds a lease on this worker under this epoch.
    pub(super) fn is_live(&self, worker: WorkerId, id: AttemptId, epoch: Epoch) -> bool {
        let holds = |attempt: &super::Attempt| {
            attempt.outcome == Outcome::Running && attempt.worker == worker && attempt.epoch == epoch
        };
        self.attempts.get(&id).is_some_and(holds)
    }

    fn renew(&mut self, now: Millis, attempts: &[AttemptId]) {
        for id in attempts {
            self.leases.insert(*id, now.plus(self.settings.lease_ms));
        }
    }

    /// Tells a worker to stop an attempt that has no lease, and keeps its memory off the market until it is gone.
    pub(super) fn stop_on(&mut self, session: SessionId, worker: WorkerId, attempt: AttemptId, past: &Past) {
        let reason = match self.outcome(past, attempt) {
            None => "the coordinator does not know this attempt".to_owned(),
            Some(Outcome::Running) => "its epoch is not the live one".to_owned(),
            Some(Outcome::Cancelled) => "the job was cancelled".to_owned(),
            Some(outcome) => format!("its lease is over ({outcome})"),
        };
        self.workers.change(worker, |worker| worker.stopping.insert(attempt));
        self.effects.outbox.push((session, Outgoing::Stop { attempt, reason }));
    }
}
