//! What people are told about a placement, in a line each.
//!
//! Promise: whoever decides, over whatever index, says the same of the same decision.

use super::{Need, Shut};
use crate::bytes::Bytes;
use crate::task::Slot;
use crate::times::moment;

/// Of a job without variants.
pub const NO_VARIANT: &str = "the job has no variant";

/// Of a job that waits where there is no worker.
pub const NO_WORKER: &str = "no worker is connected";

/// Who was chosen.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// Index into the needs.
    pub variant: usize,
    /// The worker's name.
    pub worker: &'a str,
    /// What it had free before.
    pub free: Bytes,
    /// How many workers would have taken that variant.
    pub fitting: usize,
}

/// What of a worker's memory is not to be had.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// What jobs may use.
    pub usable: Bytes,
    /// What of it is promised.
    pub reserved: Bytes,
    /// What of it nobody new is offered.
    pub withheld: Bytes,
}

/// Why a job goes where it goes. `roomless` is the first preferred variant that some free worker had the memory for and not the disk,
/// and what the roomiest of them lacks.
pub fn placed(needs: &[Need], chosen: Chosen<'_>, roomless: Option<(usize, String)>) -> String {
    let Chosen { variant, worker, free, fitting } = chosen;
    let Need { name, peak, .. } = &needs[variant];
    let mut reason = format!("{name} needs {peak} and fits {worker}, which has {free} free");
    if fitting > 1 {
        reason += &format!("; the tightest fit of {fitting}");
    }
    if let Some((preferred, lack)) = roomless {
        reason += &format!("; {}, preferred, fits no free worker: {lack}", needs[preferred].name);
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

/// Why a job waits whose smallest variant needs more than the largest worker offers.
pub fn too_large(smallest: &Need, largest: &str, offers: Bytes) -> String {
    format!(
        "too large for every worker: {largest} offers the most, {offers}, and the smallest variant, {}, needs {}",
        smallest.name, smallest.peak
    )
}

/// Why a worker's disk does not take a job that would have to fetch `fetches` there.
pub fn lacks_room(worker: &str, disk_free: Option<Bytes>, need: &Need, fetches: Bytes) -> String {
    let free = disk_free.unwrap_or_default();
    let inputs = if fetches > Bytes::ZERO { format!(" and {fetches} for its inputs") } else { String::new() };
    format!("{worker} has {free} of disk free, the job needs {} for what it writes{inputs}", need.disk)
}

/// Why a job waits for memory of a worker that has an open slot for it.
pub fn lacks_memory(smallest: &Need, worker: &str, taken: Taken) -> String {
    let Taken { usable, reserved, withheld } = taken;
    let fits = fits(smallest, worker);
    if withheld == Bytes::ZERO {
        format!("{fits}, but {reserved} of its {usable} are reserved")
    } else {
        format!("{fits}, but {reserved} of its {usable} are reserved and {withheld} withheld while its memory is short")
    }
}

/// Why a job waits for a worker that has no open slot for it, and what a person can do about it where one has to.
pub fn is_shut(smallest: &Need, worker: &str, shut: Shut<'_>) -> String {
    let fits = fits(smallest, worker);
    match shut {
        Shut::NoSlot => format!("{fits}, which has no slot for {}", slot_words(smallest.slot)),
        Shut::Held { by, since, reason } => {
            let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!("{fits}, which is held{by} since {}{why}; `vertigo resume {worker}` ends it", moment(since))
        }
        Shut::Drains => format!("{fits}, which drains: it is about to go"),
        Shut::Away(reason) => format!("{fits}, which is kept away: {reason}"),
        Shut::FailedIt => format!("{fits}, which failed it before; it waits for another machine"),
        Shut::Stops => format!("{fits}, but {worker} still ends what it was told to stop"),
        Shut::Busy => format!("{fits}, but {worker} is busy"),
        Shut::Kept => format!("{fits}, but {worker} is kept for a job that goes before"),
    }
}

fn slot_words(slot: Slot) -> &'static str {
    match slot {
        Slot::Gpu => "its GPU",
        Slot::Cpu => "its processor",
        Slot::Service => "services",
    }
}

/// Why a job waits that only a worker which is away could hold.
pub fn is_away(smallest: &Need, worker: &str) -> String {
    format!("{}, which is not connected", fits(smallest, worker))
}

fn fits(need: &Need, worker: &str) -> String {
    format!("{} ({}) fits {worker}", need.name, need.peak)
}
