//! Workers: machines that run attempts.

use super::{Hold, Mark};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Digest, Millis, WorkerId};
use vertigo::placement::{Need, Shut};
use vertigo::principal::PrincipalName;
use vertigo::task::Slot;

/// How long a machine takes nothing for its GPU after a panic: time for whoever is there to look, and for what was hot to cool.
pub(super) const COOL_MS: u64 = 15 * 60 * 1000;

/// Why a machine takes nothing for its GPU meanwhile.
pub(super) const COOLS: &str = "its kernel panicked, and its GPU cools down for a quarter of an hour";

/// Since when a machine cools that does so until then.
pub(super) fn cooling_since(until: Millis) -> Millis {
    Millis(until.0.saturating_sub(COOL_MS))
}

/// A worker's connection. Numbers rise within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What a worker runs on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The chip's name.
    pub chip: String,
    /// The system's name and version.
    pub os: String,
    /// All memory.
    pub memory: Bytes,
    /// What the GPU may hold without being paged out.
    pub gpu_limit: Bytes,
    /// What plans may use.
    pub usable: Bytes,
    /// What was free when it last said.
    pub free: Bytes,
    /// The worker's version.
    pub version: String,
    /// What was free on the disk that its inputs, checkpoints and adapters lie on when it last said. `None` where it does not say.
    pub disk_free: Option<Bytes>,
    /// Attempts that may run at a time on its GPU.
    pub gpu_slots: u32,
    /// Attempts that may run beside those on its processor alone.
    pub cpu_slots: u32,
    /// Services that may run beside both. None on a worker of an earlier version.
    #[serde(default)]
    pub service_slots: u32,
    /// Up to which edition of our messages it understands what it is told.
    #[serde(default)]
    pub edition: u32,
}

impl Machine {
    /// Attempts that may run at a time in slots of this kind.
    pub fn slots(&self, slot: Slot) -> usize {
        match slot {
            Slot::Gpu => self.gpu_slots as usize,
            Slot::Cpu => self.cpu_slots as usize,
            Slot::Service => self.service_slots as usize,
        }
    }
}

/// What a worker says of its machine that may change at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions {
    /// Whether somebody may be looking at its screen. `None` where that is not known.
    pub is_watched: Option<bool>,
    /// Memory that nobody new is offered, because the machine is short of it.
    pub withheld: Bytes,
}

/// Free disk changes all the time, and jobs are placed anew when there is more of it: it is counted in steps of this many bytes,
/// rounded down.
const DISK_STEP_BYTES: u64 = 64 << 20;

/// What a worker says that its disk has free. 0 is what one says that does not know.
pub fn disk_free(said: u64) -> Option<Bytes> {
    (said > 0).then_some(Bytes(said / DISK_STEP_BYTES * DISK_STEP_BYTES))
}

/// What an attempt that holds a lease has of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// The slot that it takes.
    pub slot: Slot,
    /// Memory that is promised to it.
    pub memory: Bytes,
}

/// A worker that has connected at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The installation.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
    /// What it runs on.
    pub machine: Machine,
    /// When it was last heard of.
    pub last_seen: Millis,
    /// Inputs that it has fetched, as far as we know. Only a preference: a wrong entry costs a download.
    pub cached: BTreeSet<Digest>,
    /// Why it takes nothing new, until it is resumed.
    pub hold: Option<Hold>,
    /// What befell its machine, the newest last.
    pub marks: Vec<Mark>,

    // What follows is not written; a restart finds it out again.
    /// Until when its GPU takes nothing new, after what befell it.
    pub cools_until: Option<Millis>,
    /// Its connection.
    pub session: Option<SessionId>,
    /// Whether it takes no more attempts, as it says itself: it is about to go.
    pub draining: bool,
    /// Why it takes none for now, by the policy of the machine's owner.
    pub away: Option<String>,
    /// What else it says of its machine.
    pub conditions: Conditions,
    /// The attempts that hold a lease here, and what each has. There are never more than slots.
    pub leases: BTreeMap<AttemptId, Reservation>,
    /// Attempts that were told to stop and that the worker still holds. Until they are gone their memory is not free.
    pub stopping: BTreeSet<AttemptId>,
}

impl Worker {
    /// Whether it takes attempts in such a slot, if not now then once what runs there has ended.
    pub fn takes(&self, slot: Slot) -> bool {
        self.session.is_some() && matches!(self.shut(slot), None | Some(Shut::Stops | Shut::Busy))
    }

    /// Whether it is large enough for one of these and takes attempts in its slot.
    pub(super) fn takes_one_of(&self, needs: &[Need]) -> bool {
        needs.iter().any(|need| need.peak <= self.machine.usable && self.takes(need.slot))
    }

    /// Whether it can start an attempt in such a slot now.
    pub fn has_open(&self, slot: Slot) -> bool {
        self.session.is_some() && self.shut(slot).is_none()
    }

    /// Why it starts nothing in such a slot although it is connected: first what only a person ends.
    pub fn shut(&self, slot: Slot) -> Option<Shut<'_>> {
        let slots = self.machine.slots(slot);
        let taken = || self.leases.values().filter(|taken| taken.slot == slot).count();
        if slots == 0 {
            return Some(Shut::NoSlot);
        }
        if let Some(Hold { by, since, reason }) = self.hold.as_ref().filter(|hold| hold.closes(slot)) {
            return Some(Shut::Held { by: by.person().map(PrincipalName::as_str), since: *since, reason });
        }
        if self.draining {
            return Some(Shut::Drains);
        }
        if let Some(reason) = &self.away {
            return Some(Shut::Away(reason));
        }
        if let Some(until) = self.cools_until.filter(|_| slot != Slot::Cpu) {
            return Some(Shut::Held { by: None, since: cooling_since(until), reason: COOLS });
        }
        if !self.stopping.is_empty() {
            return Some(Shut::Stops);
        }
        (taken() >= slots).then_some(Shut::Busy)
    }

    /// The same for a job that goes elsewhere where it failed, or before which another one goes.
    pub(super) fn shut_to(&self, slot: Slot, is_shunned: bool, is_kept: bool) -> Option<Shut<'_>> {
        match self.shut(slot) {
            Some(Shut::Stops | Shut::Busy) | None if is_shunned => Some(Shut::FailedIt),
            None if is_kept => Some(Shut::Kept),
            shut => shut,
        }
    }

    /// Memory that is promised.
    pub fn reserved(&self) -> Bytes {
        self.leases.values().map(|taken| taken.memory).sum()
    }

    /// Memory that is promised to nobody and offered.
    pub fn free(&self) -> Bytes {
        self.machine.usable.saturating_sub(self.reserved()).saturating_sub(self.conditions.withheld)
    }
}
