//! Who takes a job, and what keeps it waiting, found in the fleet's lists.
//!
//! Promise: the worker, the variant and the words are those that [`vertigo::placement::place`] would find by looking at every worker
//! (`tests/oracle.rs` holds the two together).

use super::fleet::Place;
use super::queue::{CohortId, Rank, Wants};
use super::{Core, Job, Worker};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use vertigo::bytes::Bytes;
use vertigo::id::{JobId, WorkerId};
use vertigo::placement::{Need, Shut, why};

/// Where a job goes.
pub(super) struct Choice {
    pub(super) variant: usize,
    pub(super) worker: WorkerId,
    pub(super) reason: String,
}

/// What keeps a cohort waiting, but for what changes while jobs are placed.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// This, whoever is free.
    Told(String),
    /// This worker, the tightest that would hold its smallest variant of those that are worth waiting for, is not free for it.
    Worker(WorkerId),
}

/// The first of those that have the least rank. Nobody is looked at behind one of the rank 0.
fn least_by<T>(all: impl Iterator<Item = T>, rank: impl Fn(&T) -> u8) -> Option<T> {
    let mut least = None;
    for it in all {
        let rank = rank(&it);
        if rank == 0 {
            return Some(it);
        }
        if least.as_ref().is_none_or(|(known, _)| rank < *known) {
            least = Some((rank, it));
        }
    }
    least.map(|(_, it)| it)
}

/// Obstacles that have been found. They hold for as long as no worker comes, goes, says what its disk and its cache have, or is held,
/// drains or is kept away or let work again.
pub(super) type Obstacles = BTreeMap<CohortId, Obstacle>;

/// Why jobs wait, made for those that somebody asks about: what holds for one job is found once for all of its cohort.
#[derive(Debug)]
pub struct Reasons<'a> {
    core: &'a Core,
    found: RefCell<Obstacles>,
}

impl<'a> Reasons<'a> {
    /// Of the jobs of a core, as it is now.
    pub fn new(core: &'a Core) -> Reasons<'a> {
        Reasons { core, found: RefCell::default() }
    }

    /// The core.
    pub fn core(&self) -> &'a Core {
        self.core
    }

    /// Why a job waits, failed or was cancelled, or what its success lacks; else empty.
    pub fn of(&self, job: &Job) -> String {
        let waits = self.core.waiting_reason(job.rank(), &mut self.found.borrow_mut());
        // What is no queued job, or could go on by now and will be placed with the next change, says what it last said.
        waits.unwrap_or_else(|| job.reason.clone())
    }
}

impl Core {
    /// The worker and the variant of jobs that want this, where there is one now: of the first variant that anybody takes, the tightest
    /// fit, then the one that has most of the inputs, then the first by name.
    pub(super) fn choose(&self, wants: &Wants) -> Option<Choice> {
        let shuns = self.shuns(wants);
        let mut roomless = None;
        for (variant, need) in wants.needs.iter().enumerate() {
            let (mut fitting, mut best, mut roomiest) = (0, None::<(&Place, Bytes)>, None);
            let open = self.workers.free(need.slot, need.peak);
            for (place, seat) in open.filter(|((.., id), _)| !(shuns && wants.avoid.contains(id))) {
                let (free, name, id) = place;
                if !self.has_room(wants, variant, *id, seat.disk_free) {
                    roomiest = roomiest.max(Some((seat.disk_free, Reverse(name), *id)));
                    continue;
                }
                fitting += 1;
                let held = || if seat.has_cache { self.held(wants, *id) } else { Bytes::ZERO };
                match best {
                    None => best = Some((place, held())),
                    Some(((least, ..), most)) if least == free && most < wants.all.bytes => {
                        let held = held();
                        if held > most {
                            best = Some((place, held));
                        }
                    }
                    Some(_) => {}
                }
            }
            if let Some(((free, name, worker), _)) = best {
                let chosen = why::Chosen { variant, worker: name, free: *free, fitting };
                return Some(Choice { variant, worker: *worker, reason: why::placed(&wants.needs, chosen, roomless) });
            }
            let lack = roomiest.map(|(.., id)| (variant, self.lacks_room(wants, variant, id)));
            roomless = roomless.or(lack);
        }
        None
    }

    /// The worker whose memory jobs that want this wait for: it has an open slot for one, and enough memory but for what runs there.
    pub(super) fn lacking_memory(&self, wants: &Wants) -> Option<WorkerId> {
        let of_need =
            |need: &Need| self.workers.lacking(need.slot, need.peak).find(|(.., id)| !wants.avoid.contains(id));
        wants.needs.iter().filter_map(of_need).min().map(|(.., id)| *id)
    }

    /// Whether jobs that want this might wait for the memory of this worker, where nobody is.
    pub(super) fn might_lack_memory_of(&self, worker: WorkerId, wants: &Wants) -> bool {
        let Some(worker) = self.workers.get(&worker) else { return false };
        let (usable, free) = (worker.machine.usable, worker.free());
        let lacks = |need: &Need| worker.has_open(need.slot) && need.peak <= usable && need.peak > free;
        !wants.avoid.contains(&worker.id) && wants.needs.iter().any(lacks)
    }

    /// Why the job of a rank waits, as far as those before it leave it workers. `None` where it does not wait.
    pub(super) fn waiting_reason(&self, rank: Rank, found: &mut Obstacles) -> Option<String> {
        let (id, wants) = self.queue.cohort(rank)?;
        let worker = match found.entry(id).or_insert_with(|| self.obstacle(wants)) {
            Obstacle::Told(reason) => return Some(reason.clone()),
            Obstacle::Worker(worker) => self.workers.get(worker)?,
        };
        let (_, smallest) = wants.smallest()?;
        let is_shunned = wants.avoid.contains(&worker.id) && self.shuns(wants);
        let is_kept = self.workers.is_kept_before(worker.id, rank);
        if let Some(shut) = worker.shut_to(smallest.slot, is_shunned, is_kept) {
            return Some(why::is_shut(smallest, &worker.name, shut));
        }
        let (usable, withheld) = (worker.machine.usable, worker.conditions.withheld);
        let taken = why::Taken { usable, reserved: worker.reserved(), withheld };
        (smallest.peak > worker.free()).then(|| why::lacks_memory(smallest, &worker.name, taken))
    }

    fn obstacle(&self, wants: &Wants) -> Obstacle {
        let Some((variant, smallest)) = wants.smallest() else { return Obstacle::Told(why::NO_VARIANT.to_owned()) };
        let largest = self.workers.largest();
        let is_held = largest.is_some_and(|(usable, ..)| smallest.peak <= *usable);
        if let Some((_, name, _)) = self.workers.away(smallest.peak).filter(|_| !is_held) {
            return Obstacle::Told(why::is_away(smallest, name));
        }
        let Some((usable, name, _)) = largest else { return Obstacle::Told(why::NO_WORKER.to_owned()) };
        if !is_held {
            return Obstacle::Told(why::too_large(smallest, name, *usable));
        }
        let would = || self.workers.connected(smallest.peak);
        let disk_free = |id: &WorkerId| self.workers.get(id).and_then(|worker| worker.machine.disk_free);
        let shuns = self.shuns(wants);
        // What changes while jobs are placed, which is who is busy and who is kept, makes no difference to a rank.
        let rank = |id: &WorkerId| {
            let shut = self
                .workers
                .get(id)
                .and_then(|worker| worker.shut_to(smallest.slot, shuns && wants.avoid.contains(id), false));
            Shut::rank(shut)
        };
        let roomy = would().filter(|(.., id)| self.has_room(wants, variant, *id, disk_free(id)));
        if let Some((.., id)) = least_by(roomy, |(.., id)| rank(id)) {
            return Obstacle::Worker(*id);
        }
        match would().max_by_key(|(_, name, id)| (disk_free(id), Reverse(name))) {
            Some((.., id)) => Obstacle::Told(self.lacks_room(wants, variant, *id)),
            None => Obstacle::Told(why::NO_WORKER.to_owned()),
        }
    }

    /// Whether workers that failed these jobs are left to others: there is another one that is large enough and takes such jobs. One
    /// that is held, kept away or about to go may be so for ever.
    fn shuns(&self, wants: &Wants) -> bool {
        let takes = |worker: &Worker| worker.takes_one_of(&wants.needs);
        let is_other = |(.., id): &Place| !wants.avoid.contains(id) && self.workers.get(id).is_some_and(takes);
        !wants.avoid.is_empty()
            && wants.smallest().is_some_and(|(_, need)| self.workers.connected(need.peak).any(is_other))
    }

    /// Whether the workers that failed a job are left to others.
    pub(super) fn goes_elsewhere(&self, job: JobId) -> bool {
        let wants = |job: &Job| Wants::new(&job.variants, &job.avoid, &self.index);
        self.jobs.get(&job).is_some_and(|job| self.shuns(&wants(job)))
    }

    /// Whether a worker's disk takes a variant. What it has cached matters only where there is no room for everything.
    fn has_room(&self, wants: &Wants, variant: usize, worker: WorkerId, disk_free: Option<Bytes>) -> bool {
        let disk = wants.needs[variant].disk;
        disk_free.is_none_or(|free| {
            disk + wants.reads[variant].bytes <= free || disk + self.fetches(wants, variant, worker) <= free
        })
    }

    fn lacks_room(&self, wants: &Wants, variant: usize, worker: WorkerId) -> String {
        let (name, disk_free) = self.workers.get(&worker).map_or(("", None), |it| (&it.name, it.machine.disk_free));
        why::lacks_room(name, disk_free, &wants.needs[variant], self.fetches(wants, variant, worker))
    }

    /// What of a variant's inputs a worker has to fetch first.
    fn fetches(&self, wants: &Wants, variant: usize, worker: WorkerId) -> Bytes {
        self.workers.get(&worker).map_or(Bytes::ZERO, |worker| wants.reads[variant].lacking(&worker.cached))
    }

    /// How much of what all variants read a worker has.
    fn held(&self, wants: &Wants, worker: WorkerId) -> Bytes {
        self.workers.get(&worker).map_or(Bytes::ZERO, |worker| wants.all.held(&worker.cached))
    }
}
