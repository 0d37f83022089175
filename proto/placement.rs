//! Which variant of a job goes to which worker, by slot, by memory and by room on the disk.
//!
//! A job carries variants in order of preference, and [`place`] takes the first that a worker with an open slot can hold: a later one is
//! chosen only where every earlier one fits nobody who is free. Among the workers that hold a variant the tightest wins, so that large
//! machines stay free for what needs them; then the one that has most of the inputs already; then the first by name.
//! A worker whose disk would not take a variant's inputs, checkpoints and outputs does not hold it.
//!
//! Promise: a pure function, the same for any order of the workers; never more than a worker has left, where it says what that is; and
//! whoever waits is told for what.

use crate::bytes::Bytes;
use crate::task::Slot;
use std::cmp::Reverse;

/// What one variant of a job needs.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A worker that may be given a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, which no other worker has.
    pub name: String,
    /// Memory that jobs may use.
    pub usable: Bytes,
    /// What of it is promised already.
    pub reserved: Bytes,
    /// Slots in which it can start an attempt now: it is connected, does not drain, and nothing runs there.
    pub open: Vec<Slot>,
    /// How much of the job's inputs its cache holds.
    pub held: Bytes,
    /// What its disk has free. `None` where it does not say; then nothing is refused for want of it.
    pub disk_free: Option<Bytes>,
    /// For each variant, how large the inputs are that it would have to fetch first.
    pub to_fetch: Vec<Bytes>,
}

impl Candidate {
    /// Memory that is promised to nobody.
    pub fn free(&self) -> Bytes {
        self.usable.saturating_sub(self.reserved)
    }

    fn has_memory(&self, need: &Need) -> bool {
        self.open.contains(&need.slot) && need.peak <= self.free()
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
        let (free, fetches) = (self.disk_free.unwrap_or_default(), self.fetches(variant));
        let inputs = if fetches > Bytes::ZERO { format!(" and {fetches} for its inputs") } else { String::new() };
        format!("{} has {free} of disk free, the job needs {} for what it writes{inputs}", self.name, need.disk)
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
pub fn place(needs: &[Need], workers: &[Candidate]) -> Placement {
    for (variant, need) in needs.iter().enumerate() {
        let fitting = || {
            workers.iter().enumerate().filter(|(_, worker)| worker.has_memory(need) && worker.has_room(variant, need))
        };
        if let Some((worker, chosen)) = fitting().min_by_key(|(_, w)| (w.free(), Reverse(w.held), &w.name)) {
            let reason = why_placed(needs, variant, chosen, fitting().count(), workers);
            return Placement::On { variant, worker, reason };
        }
    }
    Placement::Wait { reason: why_waiting(needs, workers) }
}

fn why_placed(needs: &[Need], variant: usize, worker: &Candidate, fitting: usize, workers: &[Candidate]) -> String {
    let Need { name, peak, .. } = &needs[variant];
    let mut reason = format!("{name} needs {peak} and fits {}, which has {} free", worker.name, worker.free());
    if fitting > 1 {
        reason += &format!("; the tightest fit of {fitting}");
    }
    if let Some((preferred, lack)) = needs[..variant].iter().enumerate().find_map(|(variant, need)| {
        roomiest(workers.iter().filter(|w| w.has_memory(need))).map(|worker| (need, worker.lacks_room(variant, need)))
    }) {
        reason += &format!("; {}, preferred, fits no free worker: {lack}", preferred.name);
    } else if let Some(preferred) = needs[..variant].iter().min_by_key(|need| need.peak) {
        let least = if variant > 1 {
            format!("{variant} variants, preferred, need at least")
        } else {
            format!("{}, preferred, needs", preferred.name)
        };
        let fit = if variant > 1 { "fit" } else { "fits" };
        reason += &format!("; {least} {} and {fit} no free worker", preferred.peak);
    }
    reason
}

/// The worker whose disk has most free, by name where several have.
fn roomiest<'a>(workers: impl Iterator<Item = &'a Candidate>) -> Option<&'a Candidate> {
    workers.max_by_key(|worker| (worker.disk_free, Reverse(&worker.name)))
}

fn why_waiting(needs: &[Need], workers: &[Candidate]) -> String {
    let Some((variant, smallest)) = needs.iter().enumerate().min_by_key(|(_, need)| need.peak) else {
        return "the job has no variant".to_owned();
    };
    let Some(largest) = workers.iter().max_by_key(|w| (w.usable, Reverse(&w.name))) else {
        return "no worker is connected".to_owned();
    };
    if smallest.peak > largest.usable {
        return format!(
            "too large for every worker: {} offers the most, {}, and the smallest variant, {}, needs {}",
            largest.name, largest.usable, smallest.name, smallest.peak
        );
    }
    // The tightest that would hold it, were it free.
    let would = || workers.iter().filter(|w| smallest.peak <= w.usable);
    let Some(worker) = would().filter(|w| w.has_room(variant, smallest)).min_by_key(|w| (w.usable, &w.name)) else {
        return roomiest(would()).unwrap_or(largest).lacks_room(variant, smallest);
    };
    let fits = format!("{} ({}) fits {}", smallest.name, smallest.peak, worker.name);
    if worker.open.contains(&smallest.slot) {
        format!("{fits}, but {} of its {} are reserved", worker.reserved, worker.usable)
    } else {
        format!("{fits}, but {} is busy", worker.name)
    }
}

#[cfg(test)]
mod tests;
