//! Which variant of a job goes to which worker, by slot, by memory and by room on the disk.
//!
//! A job carries variants in order of preference, and [`place`] takes the first that a worker with an open slot can hold: a later one is
//! chosen only where every earlier one fits nobody who is free. Among the workers that hold a variant the tightest wins, so that large
//! machines stay free for what needs them; then the one that has most of the inputs already; then the first by name.
//! A worker whose disk would not take a variant's inputs, checkpoints and outputs does not hold it.
//!
//! Promise: a pure function, the same for any order of the workers; never more than a worker has left, where it says what that is; and
//! whoever waits is told for what.

pub mod why;

use crate::bytes::Bytes;
use crate::id::Millis;
use crate::task::Slot;
use std::cmp::Reverse;

/// What one variant of a job needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// What it is called.
    pub name: String,
    /// Predicted peak memory.
    pub peak: Bytes,
    /// What it writes on its worker's disk.
    pub disk: Bytes,
    /// The slot that it takes.
    pub slot: Slot,
}

/// Why a connected worker starts nothing in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut<'a> {
    /// It has no slot of that kind at all.
    NoSlot,
    /// It takes nothing new until somebody resumes it.
    Held {
        /// The person who holds it; `None` where the coordinator does.
        by: Option<&'a str>,
        /// Since when.
        since: Millis,
        /// Why; may be empty.
        reason: &'a str,
    },
    /// It is about to go, as it says itself.
    Drains,
    /// Its machine's owner keeps it away, for this reason.
    Away(&'a str),
    /// It failed the job before, and another one is large enough.
    FailedIt,
    /// It has not ended yet what it was told to stop.
    Stops,
    /// Something runs in each of its slots.
    Busy,
    /// It is kept for a job that goes before, and waits for memory there.
    Kept,
}

impl Shut<'_> {
    /// How little it helps to wait for such a worker: the first is open again by itself, the last is another one's turn.
    pub fn rank(shut: Option<Shut<'_>>) -> u8 {
        match shut {
            None | Some(Shut::Stops | Shut::Busy | Shut::Kept) => 0,
            Some(Shut::NoSlot | Shut::Held { .. } | Shut::Drains | Shut::Away(_)) => 1,
            Some(Shut::FailedIt) => 2,
        }
    }
}

/// A worker that may be given a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its name, which no other worker has.
    pub name: String,
    /// Memory that jobs may use.
    pub usable: Bytes,
    /// What of it is promised already.
    pub reserved: Bytes,
    /// What of it nobody new is offered, because its machine is short of memory.
    pub withheld: Bytes,
    /// Slots in which it cannot start an attempt now, and why.
    pub shut: Vec<(Slot, Shut<'a>)>,
    /// How much of the job's inputs its cache holds.
    pub held: Bytes,
    /// What its disk has free. `None` where it does not say; then nothing is refused for want of it.
    pub disk_free: Option<Bytes>,
    /// For each variant, how large the inputs are that it would have to fetch first.
    pub to_fetch: Vec<Bytes>,
}

impl<'a> Candidate<'a> {
    /// Memory that is promised to nobody and offered.
    pub fn free(&self) -> Bytes {
        self.usable.saturating_sub(self.reserved).saturating_sub(self.withheld)
    }

    fn shut(&self, slot: Slot) -> Option<Shut<'a>> {
        self.shut.iter().find(|(shut, _)| *shut == slot).map(|(_, why)| *why)
    }

    fn has_memory(&self, need: &Need) -> bool {
        self.shut(need.slot).is_none() && need.peak <= self.free()
    }

    /// What is to be fetched for a variant.
    fn fetches(&self, variant: usize) -> Bytes {
        self.to_fetch.get(variant).copied().unwrap_or_default()
    }

    fn has_room(&self, variant: usize, need: &Need) -> bool {
        self.disk_free.is_none_or(|free| need.disk + self.fetches(variant) <= free)
    }

    /// Why its disk does not take a variant.
    fn lacks_room(&self, variant: usize, need: &Need) -> String {
        why::lacks_room(&self.name, self.disk_free, need, self.fetches(variant))
    }
}

/// Where a job goes, or why it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// Onto a worker.
    On {
        /// Index into the needs.
        variant: usize,
        /// Index into the workers.
        worker: usize,
        /// Why this one, in a line for a person.
        reason: String,
    },
    /// Nowhere for now.
    Wait {
        /// Why, in a line for a person.
        reason: String,
    },
}

/// Places a job whose variants need `needs`, in order of preference, on one of `workers`.
pub fn place(needs: &[Need], workers: &[Candidate<'_>]) -> Placement {
    for (variant, need) in needs.iter().enumerate() {
        let fitting = || {
            workers.iter().enumerate().filter(|(_, worker)| worker.has_memory(need) && worker.has_room(variant, need))
        };
        if let Some((worker, chosen)) = fitting().min_by_key(|(_, w)| (w.free(), Reverse(w.held), &w.name)) {
            let of_need = |(variant, need): (usize, &Need)| {
                let worker = roomiest(workers.iter().filter(|w| w.has_memory(need)))?;
                Some((variant, worker.lacks_room(variant, need)))
            };
            let roomless = needs[..variant].iter().enumerate().find_map(of_need);
            let chosen = why::Chosen { variant, worker: &chosen.name, free: chosen.free(), fitting: fitting().count() };
            return Placement::On { variant, worker, reason: why::placed(needs, chosen, roomless) };
        }
    }
    Placement::Wait { reason: why_waiting(needs, workers) }
}

/// The worker whose disk has most free, by name where several have.
fn roomiest<'a, 'b: 'a>(workers: impl Iterator<Item = &'a Candidate<'b>>) -> Option<&'a Candidate<'b>> {
    workers.max_by_key(|worker| (worker.disk_free, Reverse(&worker.name)))
}

fn why_waiting(needs: &[Need], workers: &[Candidate<'_>]) -> String {
    let Some((variant, smallest)) = needs.iter().enumerate().min_by_key(|(_, need)| need.peak) else {
        return why::NO_VARIANT.to_owned();
    };
    let Some(largest) = workers.iter().max_by_key(|w| (w.usable, Reverse(&w.name))) else {
        return why::NO_WORKER.to_owned();
    };
    if smallest.peak > largest.usable {
        return why::too_large(smallest, &largest.name, largest.usable);
    }
    // The tightest that would hold it, were it free: of those that will be by themselves where there are such.
    let would = || workers.iter().filter(|w| smallest.peak <= w.usable);
    let rank = |worker: &Candidate<'_>| Shut::rank(worker.shut(smallest.slot));
    match would().filter(|w| w.has_room(variant, smallest)).min_by_key(|w| (rank(w), w.usable, &w.name)) {
        None => roomiest(would()).unwrap_or(largest).lacks_room(variant, smallest),
        Some(worker) => match worker.shut(smallest.slot) {
            None => {
                let Candidate { usable, reserved, withheld, .. } = *worker;
                why::lacks_memory(smallest, &worker.name, why::Taken { usable, reserved, withheld })
            }
            Some(shut) => why::is_shut(smallest, &worker.name, shut),
        },
    }
}

#[cfg(test)]
mod tests;
