//! Queued jobs, by rank and in cohorts.
//!
//! A **cohort** is the queued jobs of which a placement cannot tell one from another: their variants need and read the same, and they avoid
//! the same workers. What holds for its head holds for every other member until something else changes, so that a placement looks at heads
//! and not at the queue.
//!
//! Promise: each queued job is a member of one cohort; a cohort without members is gone; and no act costs more for a longer queue, but for
//! the depth of a tree.

use super::fleet::SLOTS;
use super::{Index, Variant};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use vertigo::bytes::Bytes;
use vertigo::id::{Digest, JobId, Millis, WorkerId};
use vertigo::placement::Need;
use vertigo::task::Slot;

/// A job's place among queued jobs: priority, then age.
pub(super) type Rank = (Reverse<i32>, Millis, JobId);

/// A cohort's number. It is never given to another one.
pub(super) type CohortId = u64;

/// Everything about a job that decides where it goes: what its variants want, in order of preference, and whom it avoids.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wants {
    /// What each variant has to find.
    pub(super) needs: Vec<Need>,
    /// What each variant reads.
    pub(super) reads: Vec<Reads>,
    /// What they read together, each once.
    pub(super) all: Reads,
    /// Workers whose machine has failed it: others go first.
    pub(super) avoid: BTreeSet<WorkerId>,
}

/// Artifacts by digest, and how large they are.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reads {
    pub(super) artifacts: Box<[(Digest, Bytes)]>,
    /// Of all of them.
    pub(super) bytes: Bytes,
}

impl FromIterator<(Digest, Bytes)> for Reads {
    fn from_iter<I: IntoIterator<Item = (Digest, Bytes)>>(artifacts: I) -> Reads {
        let each_once: BTreeMap<Digest, Bytes> = artifacts.into_iter().collect();
        Reads { bytes: each_once.values().copied().sum(), artifacts: each_once.into_iter().collect() }
    }
}

impl Reads {
    /// How much of it `cached` has.
    pub(super) fn held(&self, cached: &BTreeSet<Digest>) -> Bytes {
        self.artifacts.iter().filter(|(digest, _)| cached.contains(digest)).map(|(_, bytes)| *bytes).sum()
    }

    /// How much of it `cached` lacks.
    pub(super) fn lacking(&self, cached: &BTreeSet<Digest>) -> Bytes {
        self.artifacts.iter().filter(|(digest, _)| !cached.contains(digest)).map(|(_, bytes)| *bytes).sum()
    }
}

impl Wants {
    pub(super) fn new(variants: &[Variant], avoid: &BTreeSet<WorkerId>, index: &Index) -> Wants {
        let reads: Vec<Reads> = variants.iter().map(|variant| reads(variant, index).collect()).collect();
        Wants {
            needs: variants.iter().map(Variant::wants).collect(),
            all: reads.iter().flat_map(|reads| reads.artifacts.iter().copied()).collect(),
            reads,
            avoid: avoid.clone(),
        }
    }

    /// The variant that needs the least memory, and its index.
    pub(super) fn smallest(&self) -> Option<(usize, &Need)> {
        self.needs.iter().enumerate().min_by_key(|(_, need)| need.peak)
    }

    /// Which of the lists of heads its cohort is on.
    fn list(&self) -> usize {
        self.needs.iter().fold(0, |list, need| list | 1 << need.slot as usize)
    }
}

/// What an attempt at a variant reads, and how large that is: its inputs, and a checkpoint to go on from.
pub(super) fn reads(variant: &Variant, index: &Index) -> impl Iterator<Item = (Digest, Bytes)> {
    let checkpoint = variant.resume.and_then(|it| Some((it.checkpoint, index.get(&it.checkpoint)?.manifest.bytes())));
    variant.artifacts().chain(checkpoint)
}

/// Lists of heads, one for each set of slots that a cohort's variants take.
const LISTS: usize = 1 << SLOTS.len();

#[derive(Debug, Clone)]
struct Cohort {
    wants: Arc<Wants>,
    members: BTreeSet<Rank>,
}

/// All queued jobs.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    jobs: BTreeMap<Rank, CohortId>,
    cohorts: BTreeMap<CohortId, Cohort>,
    by_wants: BTreeMap<Arc<Wants>, CohortId>,
    /// The first members of all cohorts, by the slots that they take: who takes none that is open is not looked at.
    heads: [BTreeSet<Rank>; LISTS],
    /// Jobs of which nobody has been told yet why they wait.
    untold: BTreeSet<Rank>,
    newest: CohortId,
}

impl Queue {
    /// Adds a job, of which it `is_told` or not why it waits.
    pub(super) fn insert(&mut self, rank: Rank, wants: Wants, is_told: bool) {
        let list = wants.list();
        let id = match self.by_wants.get(&wants) {
            Some(id) => *id,
            None => {
                self.newest += 1;
                let wants = Arc::new(wants);
                self.by_wants.insert(wants.clone(), self.newest);
                self.cohorts.insert(self.newest, Cohort { wants, members: BTreeSet::new() });
                self.newest
            }
        };
        let Some(cohort) = self.cohorts.get_mut(&id) else { return };
        let before = cohort.members.first().copied();
        cohort.members.insert(rank);
        if before.is_none_or(|head| rank < head) {
            if let Some(head) = before {
                self.heads[list].remove(&head);
            }
            self.heads[list].insert(rank);
        }
        self.jobs.insert(rank, id);
        if !is_told {
            self.untold.insert(rank);
        }
    }

    /// Removes a job, where it is there.
    pub(super) fn remove(&mut self, rank: Rank) {
        let Some(id) = self.jobs.remove(&rank) else { return };
        self.untold.remove(&rank);
        let Some(cohort) = self.cohorts.get_mut(&id) else { return };
        cohort.members.remove(&rank);
        let heads = &mut self.heads[cohort.wants.list()];
        match cohort.members.first() {
            // Another one leads, or does still.
            Some(head) if heads.remove(&rank) => drop(heads.insert(*head)),
            Some(_) => {}
            None => {
                heads.remove(&rank);
                self.by_wants.remove(&cohort.wants);
                self.cohorts.remove(&id);
            }
        }
    }

    /// Notes that it has been said why a job waits.
    pub(super) fn tell(&mut self, rank: Rank) {
        self.untold.remove(&rank);
    }

    /// The cohort of a queued job, and what it wants.
    pub(super) fn cohort(&self, rank: Rank) -> Option<(CohortId, &Arc<Wants>)> {
        let id = *self.jobs.get(&rank)?;
        Some((id, self.wants(id)?))
    }

    /// What the members of a cohort want.
    pub(super) fn wants(&self, id: CohortId) -> Option<&Arc<Wants>> {
        self.cohorts.get(&id).map(|cohort| &cohort.wants)
    }

    /// The first job behind `rank`.
    pub(super) fn first(&self, behind: Option<Rank>) -> Option<Rank> {
        self.jobs.range(from(behind)).next().map(|(rank, _)| *rank)
    }

    /// The first job behind `rank` of which nobody has been told.
    pub(super) fn first_untold(&self, behind: Option<Rank>) -> Option<Rank> {
        self.untold.range(from(behind)).next().copied()
    }

    /// The first head behind `rank` of a cohort that takes one of these slots.
    pub(super) fn first_head(&self, behind: Option<Rank>, slots: impl Iterator<Item = Slot>) -> Option<Rank> {
        let open = slots.fold(0, |open, slot| open | 1 << slot as usize);
        let lists = self.heads.iter().enumerate().filter(|(list, _)| list & open != 0);
        lists.filter_map(|(_, heads)| heads.range(from(behind)).next()).min().copied()
    }

    /// The first member of a cohort behind `rank`.
    pub(super) fn first_member(&self, id: CohortId, behind: Rank) -> Option<Rank> {
        self.cohorts.get(&id)?.members.range(from(Some(behind))).next().copied()
    }
}

fn from(behind: Option<Rank>) -> (Bound<Rank>, Bound<Rank>) {
    (behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

#[cfg(test)]
impl Queue {
    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Rank> {
        self.jobs.keys()
    }

    /// Whether a job is there.
    pub(super) fn contains(&self, rank: &Rank) -> bool {
        self.jobs.contains_key(rank)
    }

    /// Checks what the queue promises of its lists.
    pub(super) fn check(&self) {
        assert_eq!(self.by_wants.len(), self.cohorts.len());
        let of = |(id, cohort): (&CohortId, &Cohort)| {
            assert_eq!(self.by_wants.get(&cohort.wants), Some(id));
            cohort.members.iter().map(|rank| (*rank, *id)).collect::<Vec<_>>()
        };
        assert_eq!(self.cohorts.iter().flat_map(of).collect::<BTreeMap<_, _>>(), self.jobs);
        let mut heads: [BTreeSet<Rank>; LISTS] = Default::default();
        for cohort in self.cohorts.values() {
            heads[cohort.wants.list()].insert(*cohort.members.first().expect("a cohort has a member"));
        }
        assert_eq!(heads, self.heads);
        assert!(self.untold.iter().all(|rank| self.jobs.contains_key(rank)));
    }
}
