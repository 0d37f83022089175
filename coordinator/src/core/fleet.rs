//! All workers, and lists of them in the orders in which a placement looks for one.
//!
//! Promise: the lists say what the workers are. A worker is changed by way of [`Fleet::change`] alone, which brings the lists up to date;
//! everything that only reads sees a plain map. A worker that is kept for a job is on no list of open slots until it is let go.

use super::Worker;
use super::queue::Rank;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use vertigo::bytes::Bytes;
use vertigo::id::WorkerId;
use vertigo::task::Slot;

/// A worker's place in a list: an amount of memory, then the name, which no two connected workers share.
pub(super) type Place = (Bytes, String, WorkerId);

/// All slots.
pub(super) const SLOTS: [Slot; 3] = [Slot::Gpu, Slot::Cpu, Slot::Service];

/// What is asked of each worker that may be chosen, kept beside its place so that most are passed over without a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    /// What its disk has free, where it says so.
    pub(super) disk_free: Option<Bytes>,
    /// Whether its cache has anything at all.
    pub(super) has_cache: bool,
}

/// Workers with an open slot of one kind that are kept for nobody.
#[derive(Debug, Clone, Default, PartialEq)]
struct Offers {
    /// By the memory that is promised to nobody.
    by_free: BTreeMap<Place, Seat>,
    /// By the memory that jobs may use, with what is promised to nobody.
    by_usable: BTreeMap<Place, Bytes>,
}

/// All workers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fleet {
    workers: BTreeMap<WorkerId, Worker>,
    /// Workers that are kept for a job that waits for their memory, and that job.
    kept: BTreeMap<WorkerId, Rank>,
    /// By the memory that jobs may use.
    connected: BTreeSet<Place>,
    away: BTreeSet<Place>,
    offers: [Offers; SLOTS.len()],
}

/// Everything that the lists have of a worker.
#[derive(Debug, PartialEq)]
struct Standing {
    id: WorkerId,
    name: String,
    usable: Bytes,
    free: Bytes,
    is_connected: bool,
    is_open: [bool; SLOTS.len()],
    seat: Seat,
}

impl Standing {
    fn of(worker: &Worker) -> Standing {
        Standing {
            id: worker.id,
            name: worker.name.clone(),
            usable: worker.machine.usable,
            free: worker.free(),
            is_connected: worker.session.is_some(),
            is_open: SLOTS.map(|slot| worker.has_open(slot)),
            seat: Seat { disk_free: worker.machine.disk_free, has_cache: !worker.cached.is_empty() },
        }
    }

    fn place(&self, memory: Bytes) -> Place {
        (memory, self.name.clone(), self.id)
    }
}

/// Where a list begins that is in order of memory and starts at this much.
fn at_least(memory: Bytes) -> Place {
    (memory, String::new(), WorkerId(Default::default()))
}

impl FromIterator<Worker> for Fleet {
    fn from_iter<I: IntoIterator<Item = Worker>>(workers: I) -> Fleet {
        let mut fleet = Fleet::default();
        workers.into_iter().for_each(|worker| fleet.insert(worker));
        fleet
    }
}

impl Deref for Fleet {
    type Target = BTreeMap<WorkerId, Worker>;

    fn deref(&self) -> &Self::Target {
        &self.workers
    }
}

impl Fleet {
    /// Adds a worker, in the place of one of its id.
    pub(super) fn insert(&mut self, worker: Worker) {
        self.remove(worker.id);
        self.list(&Standing::of(&worker));
        self.workers.insert(worker.id, worker);
    }

    pub(super) fn remove(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.remove(&id) {
            self.strike(&Standing::of(&worker));
            self.kept.remove(&id);
        }
    }

    /// Changes a worker. The one way to do so.
    pub(super) fn change<T>(&mut self, id: WorkerId, act: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        let worker = self.workers.get_mut(&id)?;
        let before = Standing::of(worker);
        let outcome = act(worker);
        let after = Standing::of(worker);
        if before != after {
            self.strike(&before);
            self.list(&after);
        }
        Some(outcome)
    }

    /// Keeps a worker for a job: nobody else is offered it.
    pub(super) fn keep(&mut self, id: WorkerId, rank: Rank) {
        if let Some(worker) = self.workers.get(&id) {
            let standing = Standing::of(worker);
            self.withdraw(&standing);
            self.kept.insert(id, rank);
        }
    }

    /// Lets all go that were kept.
    pub(super) fn let_go(&mut self) {
        for id in std::mem::take(&mut self.kept).into_keys() {
            if let Some(standing) = self.workers.get(&id).map(Standing::of) {
                self.offer(&standing);
            }
        }
    }

    /// Whether a worker is kept for a job that goes before `rank`.
    pub(super) fn is_kept_before(&self, id: WorkerId, rank: Rank) -> bool {
        self.kept.get(&id).is_some_and(|keeper| *keeper < rank)
    }

    /// Whether anybody is offered who has such a slot open.
    pub(super) fn has_offers(&self, slot: Slot) -> bool {
        !self.offers[slot as usize].by_free.is_empty()
    }

    /// Who has such a slot open and at least this much memory free: the tightest first, then by name.
    pub(super) fn free(&self, slot: Slot, memory: Bytes) -> impl Iterator<Item = (&Place, &Seat)> {
        self.offers[slot as usize].by_free.range(at_least(memory)..)
    }

    /// Who has such a slot open, could hold this much memory and has less of it free: the smallest first, then by name.
    pub(super) fn lacking(&self, slot: Slot, memory: Bytes) -> impl Iterator<Item = &Place> {
        let large = self.offers[slot as usize].by_usable.range(at_least(memory)..);
        large.filter(move |(_, free)| **free < memory).map(|(place, _)| place)
    }

    /// Connected workers that could hold this much memory: the smallest first, then by name.
    pub(super) fn connected(&self, memory: Bytes) -> impl Iterator<Item = &Place> {
        self.connected.range(at_least(memory)..)
    }

    /// The largest of the connected workers, by name where several are.
    pub(super) fn largest(&self) -> Option<&Place> {
        self.connected.last().and_then(|(usable, ..)| self.connected(*usable).next())
    }

    /// The smallest worker that is not connected and could hold this much memory.
    pub(super) fn away(&self, memory: Bytes) -> Option<&Place> {
        self.away.range(at_least(memory)..).next()
    }

    fn list(&mut self, standing: &Standing) {
        let list = if standing.is_connected { &mut self.connected } else { &mut self.away };
        list.insert(standing.place(standing.usable));
        if !self.kept.contains_key(&standing.id) {
            self.offer(standing);
        }
    }

    fn strike(&mut self, standing: &Standing) {
        let list = if standing.is_connected { &mut self.connected } else { &mut self.away };
        list.remove(&standing.place(standing.usable));
        self.withdraw(standing);
    }

    fn offer(&mut self, standing: &Standing) {
        for (offers, _) in self.offers.iter_mut().zip(standing.is_open).filter(|(_, is_open)| *is_open) {
            offers.by_free.insert(standing.place(standing.free), standing.seat);
            offers.by_usable.insert(standing.place(standing.usable), standing.free);
        }
    }

    fn withdraw(&mut self, standing: &Standing) {
        for (offers, _) in self.offers.iter_mut().zip(standing.is_open).filter(|(_, is_open)| *is_open) {
            offers.by_free.remove(&standing.place(standing.free));
            offers.by_usable.remove(&standing.place(standing.usable));
        }
    }
}

#[cfg(test)]
impl Fleet {
    /// Who is kept, and for whom.
    pub(super) fn kept(&self) -> &BTreeMap<WorkerId, Rank> {
        &self.kept
    }

    /// The same fleet with lists that were made anew.
    pub(super) fn listed_anew(&self) -> Fleet {
        let mut fleet: Fleet = self.workers.values().cloned().collect();
        self.kept.iter().for_each(|(id, rank)| fleet.keep(*id, *rank));
        fleet
    }
}
