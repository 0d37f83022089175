//! A database in memory, for tests: what is committed lives as long as a handle on it.
//!
//! It says what [`Durable`] means in the fewest words, and so is the measure of the other one.

use super::StoreError;
use super::durable::{Durable, Records, Which};
use super::listing::{JobFilter, Listed};
use super::rows::{CheckpointRow, DatabaseSize, EndedRow, Rows, SeeArtifact};
use crate::core::{
    Archive, ArchiveError, Attempt, Core, Effects, Event, EventBody, FactorKey, Index, Installation, Job, Move,
    ReportBody, Snapshot, Worker,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vertigo::id::{AttemptId, JobId, Millis, MoveId, WorkerId};
use vertigo::manifest::{Kind, Manifest};

/// A handle on the database. Clones share it: one that is opened after a restart finds what the one before has written.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    jobs: BTreeMap<JobId, Job>,
    attempts: BTreeMap<AttemptId, Attempt>,
    workers: BTreeMap<WorkerId, Worker>,
    installations: BTreeMap<WorkerId, Installation>,
    index: Index,
    /// By tag, and in order.
    moves: BTreeMap<String, Vec<Move>>,
    factors: BTreeMap<FactorKey, Vec<f64>>,
    /// By position.
    journal: BTreeMap<u64, Event>,
    /// Positions of a job's events and of all jobs', and of the lines among them.
    pages: BTreeMap<(Option<JobId>, bool), BTreeSet<u64>>,
}

impl Memory {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Durable for Memory {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        let tables = self.tables();
        let mut snapshot = Snapshot {
            jobs: tables.jobs.values().filter(|job| !job.state.is_terminal()).cloned().collect(),
            attempts: tables.attempts.values().filter(|attempt| !tables.has_ended(attempt.job)).cloned().collect(),
            workers: tables.workers.values().map(away).collect(),
            installations: tables.installations.iter().map(|(id, known)| (*id, unheard(known))).collect(),
            index: tables.index.clone(),
            last_seq: tables.journal.keys().next_back().copied().unwrap_or_default(),
            ..Snapshot::default()
        };
        for (key, ratios) in &tables.factors {
            ratios.iter().for_each(|ratio| snapshot.factors.push(key.clone(), *ratio));
        }
        Ok(snapshot)
    }

    fn commit(&mut self, core: &Core, effects: &Effects) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.jobs.extend(effects.jobs.iter().filter_map(|id| Some((*id, core.job(*id)?.clone()))));
        tables.attempts.extend(effects.attempts.iter().filter_map(|id| Some((*id, core.attempt(*id)?.clone()))));
        for id in &effects.workers {
            match core.worker(*id) {
                Some(worker) => drop(tables.workers.insert(*id, worker.clone())),
                None => drop(tables.workers.remove(id)),
            }
        }
        for id in &effects.installations {
            match core.installation(*id) {
                Some(known) => drop(tables.installations.insert(*id, known.clone())),
                None => drop(tables.installations.remove(id)),
            }
        }
        for digest in &effects.forgotten.artifacts {
            tables.index.remove(*digest);
        }
        effects.forgotten.events.iter().for_each(|seq| tables.strike(*seq));
        for artifact in effects.artifacts.iter().filter_map(|digest| core.index().get(digest)) {
            tables.index.insert(Arc::clone(&artifact.manifest), artifact.created, artifact.origin.clone());
        }
        for moved in &effects.moves {
            tables.index.note_move(moved);
            tables.moves.entry(moved.tag.clone()).or_default().push(moved.clone());
        }
        for key in &effects.factors {
            tables.factors.insert(key.clone(), core.factors().ratios(key).collect());
        }
        effects.journal.iter().for_each(|event| tables.append(event));
        Ok(())
    }

    fn records(&self) -> Arc<dyn Records> {
        Arc::new(self.clone())
    }

    fn rows(&self) -> Arc<dyn Rows> {
        Arc::new(self.clone())
    }
}

impl Tables {
    fn has_ended(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_none_or(|job| job.state.is_terminal())
    }

    fn append(&mut self, event: &Event) {
        let is_line = matches!(&event.body, EventBody::Report(report) if matches!(report.body, ReportBody::Log(_)));
        let pages: BTreeSet<_> = [None, event.job].into_iter().flat_map(|job| [(job, false), (job, true)]).collect();
        for (job, lines) in pages {
            if is_line || !lines {
                self.pages.entry((job, lines)).or_default().insert(event.seq);
            }
        }
        self.journal.insert(event.seq, event.clone());
    }

    fn strike(&mut self, seq: u64) {
        self.journal.remove(&seq);
        self.pages.values_mut().for_each(|page| {
            page.remove(&seq);
        });
    }
}

impl Records for Memory {
    fn events(&self, job: Option<JobId>, after: u64, which: Which, limit: usize) -> Result<Vec<Event>, StoreError> {
        let tables = self.tables();
        let page = tables.pages.get(&(job, which == Which::Logs)).into_iter();
        let behind = page.flat_map(|page| page.range(after.saturating_add(1)..)).take(limit);
        Ok(behind.filter_map(|seq| tables.journal.get(seq).cloned()).collect())
    }

    fn list(&self, filter: &JobFilter, after: Option<Listed>, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let tables = self.tables();
        let fitting = tables.jobs.values().filter(|job| filter.fits(job)).map(Listed::of);
        let mut listed: Vec<_> = fitting.filter(|listed| after.is_none_or(|after| *listed < after)).collect();
        listed.sort_unstable_by_key(|listed| Reverse(*listed));
        listed.truncate(limit);
        Ok(listed)
    }

    fn jobs(&self, ids: &[JobId]) -> Result<Vec<(Job, Vec<Attempt>)>, StoreError> {
        let tables = self.tables();
        let attempts = |job: &Job| job.attempts.iter().map(|id| tables.attempts[id].clone()).collect();
        Ok(ids.iter().filter_map(|id| tables.jobs.get(id)).map(|job| (job.clone(), attempts(job))).collect())
    }

    fn moves(&self, tag: &str, before: Option<u64>, limit: usize) -> Result<Vec<Move>, StoreError> {
        let tables = self.tables();
        let of_tag = tables.moves.get(tag).into_iter().flatten().rev();
        let behind = of_tag.filter(|moved| before.is_none_or(|before| moved.number < before));
        Ok(behind.take(limit).cloned().collect())
    }

    fn one_move(&self, id: MoveId) -> Result<Option<Move>, StoreError> {
        Ok(self.tables().moves.values().flatten().find(|moved| moved.id == Some(id)).cloned())
    }

    fn waits(&self) -> bool {
        false
    }
}

impl Archive for Memory {
    fn job(&self, id: JobId) -> Result<Option<Job>, ArchiveError> {
        Ok(self.tables().jobs.get(&id).cloned())
    }

    fn has_job(&self, id: JobId) -> Result<bool, ArchiveError> {
        Ok(self.tables().jobs.contains_key(&id))
    }

    fn attempt(&self, id: AttemptId) -> Result<Option<Attempt>, ArchiveError> {
        Ok(self.tables().attempts.get(&id).cloned())
    }

    fn named(&self, name: &str) -> Result<Option<JobId>, ArchiveError> {
        let tables = self.tables();
        Ok(tables.jobs.values().rfind(|job| job.name.as_deref() == Some(name)).map(|job| job.id))
    }

    fn beginning_with(&self, prefix: &str, limit: usize) -> Result<Vec<JobId>, ArchiveError> {
        let tables = self.tables();
        let fits = |id: &&JobId| !prefix.is_empty() && id.to_string().starts_with(prefix);
        Ok(tables.jobs.keys().filter(fits).take(limit).copied().collect())
    }

    fn has_move(&self, id: MoveId) -> Result<bool, ArchiveError> {
        Ok(self.tables().moves.values().flatten().any(|moved| moved.id == Some(id)))
    }
}

impl Rows for Memory {
    fn checkpoints(&self, after: Option<JobId>, jobs: usize) -> Result<Vec<CheckpointRow>, StoreError> {
        let tables = self.tables();
        let made = tables.index.list(Some(Kind::Checkpoint), None);
        let mut by_job: BTreeMap<JobId, Vec<CheckpointRow>> = BTreeMap::new();
        for (digest, artifact) in made {
            let Some(job) = artifact.job().and_then(|job| tables.jobs.get(&job)) else { continue };
            let (manifest, created) = (Manifest::clone(&artifact.manifest), artifact.created);
            let row = CheckpointRow { digest, manifest, created, job: job.id, ended: job.ended };
            by_job.entry(job.id).or_default().push(row);
        }
        let behind = by_job.into_iter().filter(|(job, _)| after.is_none_or(|after| *job > after));
        Ok(behind.take(jobs).flat_map(|(_, made)| made).collect())
    }

    fn ended(&self, after: (Millis, JobId), limit: usize) -> Result<Vec<EndedRow>, StoreError> {
        let tables = self.tables();
        let ends = tables.jobs.values().filter_map(|job| Some((job.ended?, job.id)));
        let behind: BTreeSet<_> = ends.filter(|end| *end > after).collect();
        let events = |job| tables.pages.get(&(Some(job), false)).map_or(0, |page| page.len() as u64);
        let row = |(ended, job)| EndedRow { job, ended, events: events(job) };
        Ok(behind.into_iter().take(limit).map(row).collect())
    }

    fn artifacts(&self, see: SeeArtifact<'_>) -> Result<(), StoreError> {
        let tables = self.tables();
        let all = tables.index.list(None, None);
        all.for_each(|(digest, artifact)| see(digest, Manifest::clone(&artifact.manifest), artifact.job()));
        Ok(())
    }

    fn size(&self) -> Result<DatabaseSize, StoreError> {
        let tables = self.tables();
        let (jobs, events) = (tables.jobs.len() as u64, tables.journal.len() as u64);
        Ok(DatabaseSize { jobs, events, ..DatabaseSize::default() })
    }
}

/// A worker as a restart finds it.
fn away(worker: &Worker) -> Worker {
    let (leases, stopping) = Default::default();
    Worker {
        session: None,
        cools_until: None,
        draining: false,
        away: None,
        conditions: Default::default(),
        leases,
        stopping,
        ..worker.clone()
    }
}

/// An installation as a restart finds it.
fn unheard(known: &Installation) -> Installation {
    Installation { heard: Millis::default(), since: Millis::default(), ..known.clone() }
}
