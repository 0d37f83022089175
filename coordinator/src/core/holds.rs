//! Workers that are held, let work again, told what their owners want, and removed.
//!
//! A hold is kept: it outlives restarts of both sides and every coming and going of the worker, until somebody resumes it. What runs there
//! goes on to its end; services leave at once, as from a worker that drains by itself. A worker that is removed is as one that never
//! joined: its id and its secret are forgotten, and what it had a lease on is queued again.

use super::{Core, EventBody, Moment, Outgoing, Refusal, Worker};
use serde::{Deserialize, Serialize};
use vertigo::id::{Millis, WorkerId};
use vertigo::principal::PrincipalName;
use vertigo::task::Slot;

/// Why a worker takes nothing new, until it is resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who holds it.
    pub by: HeldBy,
    /// Since when.
    pub since: Millis,
    /// Why, in words; may be empty.
    pub reason: String,
}

/// Who holds a worker. Whoever it is, [`Command::Resume`](super::Command::Resume) ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldBy {
    /// A person.
    Person(PrincipalName),
    /// The coordinator itself, for what befell the machine: nothing runs on its GPU.
    Coordinator,
}

impl Hold {
    /// Whether no attempt begins in such a slot.
    pub fn closes(&self, slot: Slot) -> bool {
        match self.by {
            HeldBy::Person(_) => true,
            HeldBy::Coordinator => slot != Slot::Cpu,
        }
    }
}

impl HeldBy {
    /// The person.
    pub fn person(&self) -> Option<&PrincipalName> {
        match self {
            HeldBy::Person(name) => Some(name),
            HeldBy::Coordinator => None,
        }
    }
}

impl Core {
    /// Has a worker take nothing new. One that is held is held by whoever asked last; asked again for the same, nothing changes.
    pub(super) fn hold(&mut self, now: Millis, id: WorkerId, by: HeldBy, reason: String) -> Result<(), Refusal> {
        let worker = self.workers.get(&id).ok_or(Refusal::NoWorker(id))?;
        if worker.hold.as_ref().is_some_and(|hold| hold.by == by && hold.reason == reason) {
            return Ok(());
        }
        let (name, hold) = (worker.name.clone(), Hold { by: by.clone(), since: now, reason: reason.clone() });
        self.workers.change(id, |worker| worker.hold = Some(hold));
        self.effects.workers.insert(id);
        self.unsettled = true;
        self.journal_fleet(now, EventBody::Held { worker: id, name, by, reason });
        self.move_services(now, id);
        Ok(())
    }

    /// Ends the hold of a worker, whoever holds it, and what befell its machine is forgotten: somebody has looked. One that nobody holds
    /// and that has no mark stays as it is.
    pub(super) fn resume(&mut self, now: Millis, id: WorkerId, by: PrincipalName) -> Result<(), Refusal> {
        let worker = self.workers.get(&id).ok_or(Refusal::NoWorker(id))?;
        if worker.hold.is_none() && worker.marks.is_empty() {
            return Ok(());
        }
        let name = worker.name.clone();
        self.workers.change(id, |worker| {
            (worker.hold, worker.cools_until) = (None, None);
            worker.marks.clear();
        });
        self.effects.workers.insert(id);
        self.unsettled = true;
        self.journal_fleet(now, EventBody::Resumed { worker: id, name, by });
        Ok(())
    }

    /// Tells a worker by which policy its machine takes part. The worker keeps it; the journal has who said so.
    pub(super) fn set_policy(
        &mut self,
        now: Millis,
        id: WorkerId,
        when: String,
        by: PrincipalName,
    ) -> Result<(), Refusal> {
        let name = self.tell(id, Outgoing::Policy { when: when.clone() })?;
        self.journal_fleet(now, EventBody::Set { worker: id, name, by, when });
        Ok(())
    }

    /// Has a worker save and give back what runs, and start anew.
    pub(super) fn start_anew(&mut self, now: Millis, id: WorkerId, by: PrincipalName) -> Result<(), Refusal> {
        let name = self.tell(id, Outgoing::StartAnew)?;
        self.journal_fleet(now, EventBody::StartedAnew { worker: id, name, by });
        Ok(())
    }

    /// Tells a worker what is the worker's own to keep or to do, and gives its name: one that is not there cannot be told, and
    /// neither can one that is too old to understand it.
    fn tell(&mut self, id: WorkerId, what: Outgoing) -> Result<String, Refusal> {
        let worker = self.workers.get(&id).ok_or(Refusal::NoWorker(id))?;
        let session = worker.session.ok_or_else(|| Refusal::WorkerNotThere(worker.name.clone()))?;
        if worker.machine.edition < what.edition() {
            let (name, version) = (worker.name.clone(), worker.machine.version.clone());
            return Err(Refusal::WorkerTooOld { name, version });
        }
        self.effects.outbox.push((session, what));
        Ok(worker.name.clone())
    }

    /// Forgets a worker and whose its id is. It has to be away, or held and without anything that runs there.
    pub(super) fn remove(&mut self, at: Moment, id: WorkerId, by: PrincipalName) -> Result<(), Refusal> {
        let worker = self.workers.get(&id).ok_or(Refusal::NoWorker(id))?;
        let Worker { name, session, hold, leases, stopping, .. } = worker.clone();
        if session.is_some() && !(hold.is_some() && leases.is_empty() && stopping.is_empty()) {
            return Err(Refusal::WorkerThere { name, is_held: hold.is_some() });
        }
        for attempt in leases.into_keys() {
            self.lose(at, attempt, "its worker was removed");
        }
        if let Some(session) = session {
            self.sessions.remove(&session);
            let reason = "the worker was removed".to_owned();
            self.effects.outbox.push((session, Outgoing::Close { reason }));
        }
        self.workers.remove(id);
        self.installations.remove(&id);
        self.effects.workers.insert(id);
        self.effects.installations.insert(id);
        self.unsettled = true;
        self.journal_fleet(at.now, EventBody::Removed { worker: id, name, by });
        Ok(())
    }
}
