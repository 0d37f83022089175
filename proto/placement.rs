//! Which plan of a job goes to which worker, by memory.
//!
//! A job carries plans in order of preference, and [`place`] takes the first that an available worker can hold: a later plan is
//! chosen only where every earlier one fits nobody who is free. Among the workers that hold a plan the tightest wins, so that large
//! machines stay free for what needs them; then the one that has most of the inputs already; then the first by name.
//!
//! Promise: a pure function, the same for any order of the workers; never more than a worker has left; and whoever waits is told
//! for what.

use crate::bytes::Bytes;
use std::cmp::Reverse;

/// What one plan of a job needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The recipe's name.
    pub recipe: String,
    /// Predicted peak memory.
    pub peak: Bytes,
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
}

impl Candidate {
    /// Memory that is promised to nobody.
    pub fn free(&self) -> Bytes {
        self.usable.saturating_sub(self.reserved)
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
        let fits = |worker: &&(usize, &Candidate)| worker.1.available && need.peak <= worker.1.free();
        let order = |&(_, worker): &(usize, &Candidate)| (worker.free(), Reverse(worker.held), worker.name.clone());
        let workers: Vec<_> = workers.iter().enumerate().collect();
        if let Some(&(index, worker)) = workers.iter().filter(fits).min_by_key(|worker| order(worker)) {
            let others = workers.iter().filter(fits).count() - 1;
            return Placement::On { plan, worker: index, reason: why_placed(needs, plan, worker, others) };
        }
    }
    Placement::Wait { reason: why_waiting(needs, workers) }
}

fn why_placed(needs: &[Need], plan: usize, worker: &Candidate, others: usize) -> String {
    let need = &needs[plan];
    let mut reason = format!("{} needs {} and fits {}, which has {} free", need.recipe, need.peak, worker.name, worker.free());
    if others > 0 {
        let besides = if others == 1 { "one other fits".to_owned() } else { format!("{others} others fit") };
        reason += &format!("; the tightest ({besides})");
    }
    if let Some(before) = needs[..plan].iter().min_by_key(|need| need.peak) {
        let what = if plan == 1 { before.recipe.as_str() } else { "every plan before it" };
        reason += &format!("; {what} needs {} or more and fits no worker that is free", before.peak);
    }
    reason
}

fn why_waiting(needs: &[Need], workers: &[Candidate]) -> String {
    let Some(smallest) = needs.iter().min_by_key(|need| need.peak) else {
        return "the job has no plan".to_owned();
    };
    let by_size = |worker: &&Candidate| (worker.usable, Reverse(worker.name.clone()));
    let Some(largest) = workers.iter().max_by_key(by_size) else {
        return "no worker is connected".to_owned();
    };
    if smallest.peak > largest.usable {
        return format!(
            "too large for every worker: {} offers the most, {}, and the smallest plan, {}, needs {}",
            largest.name, largest.usable, smallest.recipe, smallest.peak
        );
    }
    // The tightest that would hold it, were it free.
    let would = workers.iter().filter(|worker| smallest.peak <= worker.usable);
    let Some(worker) = would.min_by_key(|worker| (worker.usable, worker.name.clone())) else {
        return "no worker is connected".to_owned();
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
