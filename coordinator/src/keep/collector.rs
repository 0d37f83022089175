//! Finds what goes, and has it go.

use super::decide::{self, Checkpoint, Maker, is_over};
use super::{Gate, Keep};
use crate::blobs::{Amount, BlobError, Blobs, Sweep};
use crate::core::{Command, Core, EventBody, Forget, ReportBody};
use crate::store::{ApplyError, CheckpointRow, EndedRow, Event, Stopped, Store, StoreError, Which};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;
use vertigo::files::FileError;
use vertigo::id::{Digest, JobId, Millis, WorkerId};
use vertigo::manifest::Manifest;

/// Jobs whose rows are read at a time.
const JOBS_PAGE: usize = 64;

/// Artifacts or events that one command lets go: it holds the writer for about a millisecond.
const FORGET_MAX: usize = 256;

/// Events that are read at a time.
const EVENTS_PAGE: usize = 1024;

/// Whether what goes does go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is counted, and stays.
    Count,
    /// It goes.
    Remove,
}

/// What went, or would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Checkpoints. Their files' bytes: those that nothing else names are counted among the blobs again.
    pub checkpoints: Amount,
    /// Partial uploads.
    pub uploads: Amount,
    /// Blobs that nothing names.
    pub blobs: Amount,
    /// Events of the journal.
    pub events: u64,
    /// Workers.
    pub workers: u64,
}

/// Why a collection ended early. What went before is gone.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gate between a sweep and a backup.
    #[error(transparent)]
    File(#[from] FileError),
    /// The coordinator is stopping.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The store of blobs, or the staging folder.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

impl From<ApplyError> for CollectError {
    fn from(error: ApplyError) -> CollectError {
        match error {
            ApplyError::Stopped(stopped) => stopped.into(),
            ApplyError::Refused(refusal) => StoreError::Writer(refusal.to_string()).into(),
        }
    }
}

/// Collects, one run at a time. Clones share the turn.
#[derive(Debug, Clone)]
pub struct Collector {
    store: Store,
    blobs: Blobs,
    keep: Keep,
    gate: Option<Gate>,
    seen: Arc<Mutex<Seen>>,
}

/// What a collection need not look at again. Lost with the process: then it looks once more.
#[derive(Debug)]
struct Seen {
    /// The last job, by its end, whose steps were thinned.
    thinned: (Millis, JobId),
    /// The last job, by its end, of which the journal has its states alone.
    told: (Millis, JobId),
    /// Where ended jobs that still have checkpoints had their lowest validation.
    best: HashMap<JobId, Option<u64>>,
}

impl Default for Seen {
    fn default() -> Seen {
        let beginning = (Millis(0), JobId(Default::default()));
        Seen { thinned: beginning, told: beginning, best: HashMap::new() }
    }
}

impl Collector {
    /// Collects by `keep`.
    pub fn new(store: Store, blobs: Blobs, keep: Keep) -> Collector {
        Collector { store, blobs, keep, gate: None, seen: Arc::default() }
    }

    /// The same, which leaves the blobs alone while a backup has the gate.
    pub fn behind(self, gate: Gate) -> Collector {
        Collector { gate: Some(gate), ..self }
    }

    /// The policy.
    pub fn keep(&self) -> &Keep {
        &self.keep
    }

    /// Collects every so often, for as long as it is polled.
    pub async fn run(&self, every: Duration) -> std::convert::Infallible {
        let mut pace = tokio::time::interval(every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is now: workers dial again first.
        pace.tick().await;
        loop {
            pace.tick().await;
            let begun = Instant::now();
            match self.collect(Mode::Remove).await {
                Ok(gone) if gone == Collected::default() => {}
                Ok(Collected { checkpoints, uploads, blobs, events, workers }) => tracing::info!(
                    checkpoints = checkpoints.count,
                    uploads = uploads.count,
                    blobs = blobs.count,
                    bytes = blobs.bytes + uploads.bytes,
                    events,
                    workers,
                    ms = begun.elapsed().as_millis() as u64,
                    "collected"
                ),
                Err(error) => tracing::warn!(%error, "collection ended early; it goes on the next time"),
            }
        }
    }

    /// Has go what goes, or counts it.
    ///
    /// # Errors
    /// [`CollectError`]. What went before is gone.
    pub async fn collect(&self, mode: Mode) -> Result<Collected, CollectError> {
        let mut seen = self.seen.lock().await;
        let (now, mut gone) = (Millis::now(), Collected::default());
        let mut doomed = BTreeSet::new();
        self.checkpoints(mode, now, &mut seen, (&mut gone.checkpoints, &mut doomed)).await?;
        gone.events = self.journal(mode, now, &mut seen).await?;
        gone.workers = self.workers(mode, now).await?;
        if let Some(keep) = self.keep.uploads {
            gone.uploads = self.blobs.drop_stale_uploads(keep, mode == Mode::Count).await?;
        }
        if let Some(grace) = self.keep.blobs {
            let held = self.gate.as_ref().filter(|_| mode == Mode::Remove).map(Gate::take).transpose()?;
            if matches!(held, Some(None)) {
                tracing::info!("a backup runs; blobs are collected after it");
                return Ok(gone);
            }
            let since = Instant::now();
            let named = self.named(doomed).await?;
            let sweep = Sweep { named: &named, since, grace, is_dry: mode == Mode::Count };
            gone.blobs = self.blobs.sweep(&sweep).await?;
        }
        Ok(gone)
    }

    /// All blobs that artifacts name, but for those of `doomed`.
    pub(crate) async fn named(&self, doomed: BTreeSet<Digest>) -> Result<HashSet<Digest>, StoreError> {
        let see = move |named: &mut HashSet<Digest>, digest: Digest, manifest: Manifest, _: Option<JobId>| {
            if !doomed.contains(&digest) {
                named.extend(manifest.files().iter().map(|file| file.digest));
            }
        };
        self.store.artifacts(HashSet::new(), see).await
    }

    /// Counts into `gone` and names there what would go.
    async fn checkpoints(
        &self,
        mode: Mode,
        now: Millis,
        seen: &mut Seen,
        gone: (&mut Amount, &mut BTreeSet<Digest>),
    ) -> Result<(), CollectError> {
        let (mut behind, mut with_some) = (None, BTreeSet::new());
        loop {
            let rows = self.store.checkpoints(behind, JOBS_PAGE).await?;
            let Some(last) = rows.last() else { break };
            behind = Some(last.job);
            let mut of_jobs: BTreeMap<JobId, (Option<Millis>, Vec<Checkpoint>)> = BTreeMap::new();
            for row in rows {
                of_jobs.entry(row.job).or_insert((row.ended, Vec::new())).1.push(checkpoint(&row));
            }
            let resumes = self.resumes(of_jobs.keys().copied().collect()).await?;
            let mut candidates = Vec::new();
            for (job, (ended, made)) in of_jobs {
                let best = if ended.is_some() && made.len() > 1 { self.best(job, seen).await? } else { None };
                let resumes = resumes.get(&job).cloned().unwrap_or_default();
                let goes = decide::checkpoints(&made, &Maker { ended, resumes, best }, &self.keep, now);
                candidates.extend(made.into_iter().filter(|it| goes.contains(&it.digest)));
                with_some.insert(job);
            }
            for some in candidates.chunks(FORGET_MAX) {
                let went = self.forget_artifacts(mode, some.iter().map(|it| it.digest).collect()).await?;
                some.iter().filter(|it| went.contains(&it.digest)).for_each(|it| gone.0.add(it.bytes));
                gone.1.extend(went);
            }
        }
        seen.best.retain(|job, _| with_some.contains(job));
        Ok(())
    }

    /// What jobs that have not ended would go on from.
    async fn resumes(&self, jobs: Vec<JobId>) -> Result<BTreeMap<JobId, BTreeSet<Digest>>, Stopped> {
        let look = move |core: &Core| {
            let of = |id: JobId| {
                let job = core.job(id).filter(|job| !job.state.is_terminal())?;
                let resumes = job.variants.iter().filter_map(|variant| variant.resume);
                Some((id, resumes.map(|resume| resume.checkpoint).collect()))
            };
            jobs.into_iter().filter_map(of).collect()
        };
        self.store.read(look).await
    }

    /// Where a job that has ended had its lowest validation.
    async fn best(&self, job: JobId, seen: &mut Seen) -> Result<Option<u64>, StoreError> {
        if let Some(best) = seen.best.get(&job) {
            return Ok(*best);
        }
        let mut best: Option<(f64, u64)> = None;
        self.events(job, |event| {
            if let EventBody::Report(report) = &event.body
                && let ReportBody::Validation(found) = &report.body
                && best.is_none_or(|(loss, _)| found.loss < loss)
            {
                best = Some((found.loss, found.iter));
            }
        })
        .await?;
        let best = best.map(|(_, iter)| iter);
        seen.best.insert(job, best);
        Ok(best)
    }

    /// All events of a job, in order.
    async fn events(&self, job: JobId, mut see: impl FnMut(&Event)) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let page = self.store.events(Some(job), after, Which::All, EVENTS_PAGE).await?;
            page.iter().for_each(&mut see);
            match page.last() {
                Some(last) if page.len() == EVENTS_PAGE => after = last.seq,
                _ => return Ok(()),
            }
        }
    }

    /// Lets artifacts go, or looks which may. Gives those that went, or would.
    async fn forget_artifacts(&self, mode: Mode, artifacts: Vec<Digest>) -> Result<Vec<Digest>, CollectError> {
        if mode == Mode::Count {
            let look = |core: &Core| artifacts.into_iter().filter(|digest| !core.is_named(*digest)).collect();
            return Ok(self.store.read(look).await?);
        }
        let forget = Forget { artifacts: artifacts.clone(), ..Forget::default() };
        self.store.apply(Command::Forget(forget)).await?;
        let look = |core: &Core| artifacts.into_iter().filter(|digest| core.index().get(digest).is_none()).collect();
        Ok(self.store.read(look).await?)
    }

    /// Thins the steps of jobs that ended long ago, and drops all but the states of those that ended longer ago.
    async fn journal(&self, mode: Mode, now: Millis, seen: &mut Seen) -> Result<u64, CollectError> {
        let told = Goes { keep: self.keep.journal, few: 0, from: |events| events.detail };
        // A job of few events has few steps.
        let thinned =
            Goes { keep: self.keep.steps, few: decide::STEPS_KEPT as u64, from: |it| decide::steps(&it.steps) };
        let behind = self.old_jobs(mode, now, &told, seen.told).await?;
        // What is dropped is not thinned as well.
        let thin = self.old_jobs(mode, now, &thinned, seen.thinned.max(behind.0)).await?;
        if mode == Mode::Remove {
            (seen.told, seen.thinned) = (behind.0, thin.0);
        }
        Ok(behind.1 + thin.1)
    }

    /// Goes through the jobs that ended behind `behind` and long enough ago. Gives the last of them, and how many events went.
    async fn old_jobs(
        &self,
        mode: Mode,
        now: Millis,
        goes: &Goes,
        mut behind: (Millis, JobId),
    ) -> Result<((Millis, JobId), u64), CollectError> {
        let mut count = 0;
        loop {
            let page = self.store.ended(behind, JOBS_PAGE).await?;
            let is_old = |row: &&EndedRow| row.ended < now && is_over(row.ended, goes.keep, now);
            let old: Vec<EndedRow> = page.iter().take_while(is_old).copied().collect();
            for row in old.iter().filter(|row| row.events > goes.few) {
                let mut events = Events::default();
                self.events(row.job, |event| events.sort(event)).await?;
                let gone = (goes.from)(events);
                count += gone.len() as u64;
                for some in gone.chunks(FORGET_MAX).filter(|_| mode == Mode::Remove) {
                    let forget = Forget { events: vec![(row.job, some.to_vec())], ..Forget::default() };
                    self.store.apply(Command::Forget(forget)).await?;
                }
            }
            if let Some(last) = old.last() {
                behind = (last.ended, last.job);
            }
            if old.len() < JOBS_PAGE {
                return Ok((behind, count));
            }
        }
    }

    async fn workers(&self, mode: Mode, now: Millis) -> Result<u64, CollectError> {
        let keep = self.keep.workers;
        let look = move |core: &Core| -> Vec<WorkerId> {
            let is_old =
                |worker: &&crate::core::Worker| worker.session.is_none() && is_over(worker.last_seen, keep, now);
            let old = core.workers().filter(is_old).map(|worker| worker.id);
            old.filter(|id| !core.is_needed(*id)).take(FORGET_MAX).collect()
        };
        let workers = self.store.read(look).await?;
        let count = workers.len() as u64;
        if mode == Mode::Remove && count > 0 {
            self.store.apply(Command::Forget(Forget { workers, ..Forget::default() })).await?;
        }
        Ok(count)
    }
}

/// Which events of old jobs go.
struct Goes {
    /// For how long they stay.
    keep: Option<Duration>,
    /// A job of no more events than this has none that go.
    few: u64,
    from: fn(Events) -> Vec<u64>,
}

/// Positions of a job's events.
#[derive(Debug, Default)]
struct Events {
    /// Those that tell how far it was.
    steps: Vec<u64>,
    /// All but its states.
    detail: Vec<u64>,
}

impl Events {
    fn sort(&mut self, event: &Event) {
        match &event.body {
            EventBody::State { .. }
            | EventBody::Held { .. }
            | EventBody::Resumed { .. }
            | EventBody::Removed { .. }
            | EventBody::Set { .. }
            | EventBody::StartedAnew { .. } => return,
            EventBody::Report(report) if matches!(report.body, ReportBody::Step(_) | ReportBody::Progress(_)) => {
                self.steps.push(event.seq);
            }
            EventBody::Report(_) | EventBody::Placed { .. } => {}
        }
        self.detail.push(event.seq);
    }
}

fn checkpoint(row: &CheckpointRow) -> Checkpoint {
    let iter = row.manifest.fact("iter").and_then(serde_json::Value::as_u64).unwrap_or(0);
    Checkpoint { digest: row.digest, iter, created: row.created, bytes: row.manifest.bytes().0 }
}
