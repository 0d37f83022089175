//! Which plan of a job goes to which worker, by memory and by room on the disk.
//!
//! A job carries plans in order of preference, and [`place`] takes the first that an available worker can hold: a later plan is
//! chosen only where every earlier one fits nobody who is free. Among the workers that hold a plan the tightest wins, so that large
//! machines stay free for what needs them; then the one that has most of the inputs already; then the first by name.
//! A worker whose disk would not take a plan's inputs, checkpoints and adapter does not hold it.
//!
//! Promise: a pure function, the same for any order of the workers; never more than a worker has left, where it says what that is; and
//! whoever waits is told for what.

use crate::bytes::Bytes;
use std::cmp::Reverse;

/// What one plan of a job needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The recipe's name.
    pub recipe: String,
    /// Predicted peak memory.
    pub peak: Bytes,
    /// What it writes on its worker's disk: [`crate::estimate::bytes_written`].
    pub disk: Bytes,
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
    /// Whether it can start a job now: connected, not draining, no job running.
    pub available: bool,
    /// How much of the job's inputs its cache holds.
    pub held: Bytes,
    /// What its disk has free. `None` where it does not say; then nothing is refused for want of it.
    pub disk_free: Option<Bytes>,
    /// For each plan, how large the inputs are that it would have to fetch first.
    pub to_fetch: Vec<Bytes>,
}

impl Candidate {
    /// Memory that is promised to nobody.
    pub fn free(&self) -> Bytes {
        self.usable.saturating_sub(self.reserved)
    }

    fn has_memory(&self, need: &Need) -> bool {
        self.available && need.peak <= self.free()
    }

    /// What is to be fetched for a plan.
    fn fetches(&self, plan: usize) -> Bytes {
        self.to_fetch.get(plan).copied().unwrap_or_default()
    }

    fn has_room(&self, plan: usize, need: &Need) -> bool {
        self.disk_free.is_none_or(|free| need.disk + self.fetches(plan) <= free)
    }

    /// Why its disk does not take a plan.
    fn lacks_room(&self, plan: usize, need: &Need) -> String {
        let (free, fetches) = (self.disk_free.unwrap_or_default(), self.fetches(plan));
        let inputs = if fetches > Bytes::ZERO { format!(" and {fetches} for its inputs") } else { String::new() };
        format!("{} has {free} of disk free, the job needs {} for its checkpoints{inputs}", self.name, need.disk)
    }
}

/// Where a job goes, or why it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// Onto a worker.
    On {
        /// Index into the needs.
        plan: usize,
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

/// Places a job whose plans need `needs`, in order of preference, on one of `workers`.
pub fn place(needs: &[Need], workers: &[Candidate]) -> Placement {
    for (plan, need) in needs.iter().enumerate() {
        let fitting =
            || workers.iter().enumerate().filter(|(_, worker)| worker.has_memory(need) && worker.has_room(plan, need));
        if let Some((worker, chosen)) = fitting().min_by_key(|(_, w)| (w.free(), Reverse(w.held), &w.name)) {
            let reason = why_placed(needs, plan, chosen, fitting().count(), workers);
            return Placement::On { plan, worker, reason };
        }
    }
    Placement::Wait { reason: why_waiting(needs, workers) }
}

fn why_placed(needs: &[Need], plan: usize, worker: &Candidate, fitting: usize, workers: &[Candidate]) -> String {
    let Need { recipe, peak, .. } = &needs[plan];
    let mut reason = format!("{recipe} needs {peak} and fits {}, which has {} free", worker.name, worker.free());
    if fitting > 1 {
        reason += &format!("; the tightest fit of {fitting}");
    }
    if let Some((preferred, lack)) = needs[..plan].iter().enumerate().find_map(|(plan, need)| {
        roomiest(workers.iter().filter(|w| w.has_memory(need))).map(|worker| (need, worker.lacks_room(plan, need)))
    }) {
        reason += &format!("; {}, preferred, fits no free worker: {lack}", preferred.recipe);
    } else if let Some(preferred) = needs[..plan].iter().min_by_key(|need| need.peak) {
        let least = if plan > 1 {
            format!("{} plans, preferred, need at least", plan)
        } else {
            format!("{}, preferred, needs", preferred.recipe)
        };
        let fit = if plan > 1 { "fit" } else { "fits" };
        reason += &format!("; {least} {} and {fit} no free worker", preferred.peak);
    }
    reason
}

/// The worker whose disk has most free, by name where several have.
fn roomiest<'a>(workers: impl Iterator<Item = &'a Candidate>) -> Option<&'a Candidate> {
    workers.max_by_key(|worker| (worker.disk_free, Reverse(&worker.name)))
}

fn why_waiting(needs: &[Need], workers: &[Candidate]) -> String {
    let Some((plan, smallest)) = needs.iter().enumerate().min_by_key(|(_, need)| need.peak) else {
        return "the job has no plan".to_owned();
    };
    let Some(largest) = workers.iter().max_by_key(|w| (w.usable, Reverse(&w.name))) else {
        return "no worker is connected".to_owned();
    };
    if smallest.peak > largest.usable {
        return format!(
            "too large for every worker: {} offers the most, {}, and the smallest plan, {}, needs {}",
            largest.name, largest.usable, smallest.recipe, smallest.peak
        );
    }
    // The tightest that would hold it, were it free.
    let would = || workers.iter().filter(|w| smallest.peak <= w.usable);
    let Some(worker) = would().filter(|w| w.has_room(plan, smallest)).min_by_key(|w| (w.usable, &w.name)) else {
        return roomiest(would()).unwrap_or(largest).lacks_room(plan, smallest);
    };
    let fits = format!("{} ({}) fits {}", smallest.recipe, smallest.peak, worker.name);
    if worker.available {
        format!("{fits}, but {} of its {} are reserved", worker.reserved, worker.usable)
    } else {
        format!("{fits}, but {} is busy", worker.name)
    }
}

#[cfg(test)]
mod tests;
