//! An attempt from its assignment to its `Finished`: fetch the inputs, run the child, send up what it makes.
//!
//! Promise: every attempt that is taken ends in exactly one `Finished` report, unless its lease is over first; whatever can
//! be cured by waiting is tried again for as long as the lease lives. Children run one at a time: a new one begins when
//! the one before is gone.

use crate::attempt::Spec;
use crate::backoff;
use crate::cache::{Cache, CacheError, Entry};
use crate::child::{self, Launch, Patience};
use crate::held::{Attempt, Attempts, Stop};
use crate::job::Job;
use crate::machine::Machine;
use crate::outcome::{Verdict, classify};
use crate::train;
use futures::FutureExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, info_span};
use vertigo::bytes::Bytes;
use vertigo::manifest::{Kind, Manifest};
use vertigo::telemetry;
use vertigo::transfer::{Transfer, TransferError, describe};
use vertigo::v1::report::Body;
use vertigo::v1::{self, Checkpoint, Failure, FailureKind, Finished, finished};
use vertigo_engine::{Event, Outcome};

/// What attempts need of this worker.
#[derive(Debug)]
pub struct Supervisor {
    /// All attempts.
    pub attempts: Arc<Attempts>,
    /// Inputs.
    pub cache: Cache,
    /// Where outputs go.
    pub transfer: Transfer,
    /// This machine.
    pub machine: Arc<Machine>,
    /// The program whose `attempt` command is the child.
    pub executable: PathBuf,
    /// One child at a time.
    pub gpu: Semaphore,
    /// How long it is waited for.
    pub patience: Patience,
}

/// Why an attempt ends without a result.
#[derive(Debug)]
enum Halt {
    Stopped(Stop),
    Failed { kind: FailureKind, message: String, peak: Bytes },
}

impl Supervisor {
    /// Takes an assignment, or, where there is a reason not to, hands it back as one that another try may help.
    pub fn take(self: &Arc<Self>, assignment: v1::Assignment, refusal: Option<&str>) {
        let id = match assignment.attempt_id.parse() {
            Ok(id) => id,
            Err(error) => return tracing::error!(%error, "an assignment without an attempt"),
        };
        let attempt = match self.attempts.begin(id, vertigo::id::Epoch(assignment.epoch)) {
            Ok(Some(attempt)) => attempt,
            Ok(None) => return,
            Err(error) => {
                return tracing::error!(%error, attempt = %id, "cannot keep an attempt; its lease will run out");
            }
        };
        let job = match (Job::parse(&assignment), refusal) {
            (_, Some(refusal)) => Err((FailureKind::Transient, refusal.to_owned())),
            (Err(problem), None) => Err((FailureKind::BadInput, problem)),
            (Ok(job), None) => Ok(job),
        };
        match job {
            Ok(job) => drop(tokio::spawn(self.clone().attend(Arc::new(job), attempt))),
            Err((kind, message)) => self.end(&attempt, Err(Halt::Failed { kind, message, peak: Bytes::ZERO })),
        }
    }

    async fn attend(self: Arc<Self>, job: Arc<Job>, attempt: Arc<Attempt>) {
        let span = info_span!("attempt", job = %job.id, attempt = %attempt.id(), recipe = job.recipe);
        telemetry::set_parent(&span, &job.traceparent);
        let work = AssertUnwindSafe(self.work(&job, &attempt)).catch_unwind().instrument(span.clone());
        let result = work.await.unwrap_or_else(|_| {
            let message = "the worker's supervisor panicked; its log says where".to_owned();
            Err(Halt::Failed { kind: FailureKind::Crashed, message, peak: Bytes::ZERO })
        });
        span.in_scope(|| self.end(&attempt, result));
    }

    /// Reports how the attempt ended, and lets it go where nobody will acknowledge that.
    fn end(&self, attempt: &Attempt, result: Result<Finished, Halt>) {
        let failed = |kind: FailureKind, message: String, peak: Bytes| {
            tracing::warn!(attempt = %attempt.id(), kind = kind.as_str_name(), "{message}");
            let failure = Failure { kind: kind.into(), message };
            Some(Finished { peak_bytes: peak.0, outcome: Some(finished::Outcome::Failure(failure)) })
        };
        let finished = match result {
            Ok(finished) => Some(finished),
            Err(Halt::Failed { kind, message, peak }) => failed(kind, message, peak),
            Err(Halt::Stopped(Stop::WorkerLeaves)) => {
                failed(FailureKind::Transient, "the worker was told to stop at once".to_owned(), Bytes::ZERO)
            }
            Err(Halt::Stopped(Stop::LeaseOver(reason))) => {
                tracing::info!(attempt = %attempt.id(), reason, "stopped");
                None
            }
        };
        let said = finished.is_some_and(|finished| match say_last(attempt, finished) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, attempt = %attempt.id(), "cannot write down how an attempt ended; its lease will run out");
                false
            }
        });
        if !said || attempt.is_over() {
            self.attempts.forget(attempt.id());
        }
    }

    async fn work(self: &Arc<Self>, job: &Arc<Job>, attempt: &Arc<Attempt>) -> Result<Finished, Halt> {
        // The inputs stay in the cache until this ends.
        let (spec, _inputs) = unless_stopped(attempt, self.fetch(job, attempt)).await??;
        let _turn = unless_stopped(attempt, self.gpu.acquire()).await?;
        let (latest, checkpoints) = watch::channel(None);
        let uploads = self.clone().send_checkpoints(job.clone(), attempt.clone(), checkpoints);
        let uploads = AbortOnDropHandle::new(tokio::spawn(uploads.in_current_span()));
        match self.run_child(job, attempt, &spec, latest).await? {
            Verdict::Succeeded(outcome) => {
                // The result outdoes any checkpoint that is still on its way.
                drop(uploads);
                let facts = train::adapter_facts(&job.recipe, job.base, job.data, &outcome);
                let manifest = unless_stopped(attempt, self.send(Kind::Adapter, &outcome.folder, facts)).await??;
                Ok(succeeded(&outcome, &manifest))
            }
            Verdict::Failed { kind, message, peak } => {
                if let Some(stop) = attempt.stop_reason() {
                    return Err(Halt::Stopped(stop));
                }
                // The next attempt goes on from it.
                let _ = unless_stopped(attempt, uploads).await?;
                Err(Halt::Failed { kind, message, peak })
            }
        }
    }

    /// All inputs, and what the child is to do with them.
    async fn fetch(&self, job: &Job, attempt: &Attempt) -> Result<(Spec, Vec<Entry>), Halt> {
        let get = |kind: Kind, digest| {
            let fetch = persist(move || self.cache.get(kind, digest), CacheError::is_transient);
            async move { fetch.await.map_err(|e| e.halt()) }.instrument(info_span!("fetch", %kind, digest = %digest))
        };
        let checkpoint = async {
            match job.checkpoint {
                Some(digest) => get(Kind::Checkpoint, digest).await.map(Some),
                None => Ok(None),
            }
        };
        let (base, data, checkpoint) =
            tokio::try_join!(get(Kind::Base, job.base), get(Kind::Dataset, job.data), checkpoint)?;
        let path = |entry: &Entry| entry.folder().to_owned();
        let spec = Spec {
            job: job.id,
            attempt: attempt.id(),
            epoch: attempt.epoch(),
            reserved: job.reserved,
            recipe: job.recipe.clone(),
            yaml: job.yaml.clone(),
            base: path(&base),
            data: path(&data),
            checkpoint: checkpoint.as_ref().map(path),
            out: attempt.folder().join("out"),
        };
        Ok((spec, [base, data].into_iter().chain(checkpoint).collect()))
    }

    async fn run_child(
        &self,
        job: &Job,
        attempt: &Attempt,
        spec: &Spec,
        latest: watch::Sender<Option<(u64, PathBuf)>>,
    ) -> Result<Verdict, Halt> {
        let path = attempt.folder().join("spec.json");
        spec.save(&path).map_err(|error| of_this_machine(&path, &error))?;
        let span = info_span!("child", recipe = job.recipe, reserved = %job.reserved);
        let traceparent = telemetry::traceparent_of(&span);
        let launch = Launch { executable: &self.executable, spec: path, traceparent, patience: self.patience };
        let mut reports = train::Reports::default();
        let hear = |event: Event| {
            if let Event::Checkpoint { iter, folder } = &event {
                latest.send_replace(Some((*iter, folder.clone())));
            }
            if let Some(body) = reports.of(&event) {
                attempt.mention(body);
            }
        };
        let ending = child::run(launch, attempt, &self.machine, hear).instrument(span).await;
        let ending = ending.map_err(|error| of_this_machine(self.executable.as_path(), &error))?;
        Ok(classify(ending))
    }

    /// Sends checkpoints up as they come. One that is outdated before its turn is passed over and removed, so that a coordinator that
    /// is away for hours costs two checkpoints of disk: the one on its way and the newest.
    async fn send_checkpoints(
        self: Arc<Self>,
        job: Arc<Job>,
        attempt: Arc<Attempt>,
        mut latest: watch::Receiver<Option<(u64, PathBuf)>>,
    ) {
        let mut newer = latest.clone();
        while latest.changed().await.is_ok() {
            let Some((iter, folder)) = latest.borrow_and_update().clone() else { continue };
            newer.mark_unchanged();
            let facts = train::checkpoint_facts(&job.recipe, attempt.epoch(), iter);
            let remove_outdated = async {
                while newer.changed().await.is_ok() {
                    if let Some((_, newest)) = newer.borrow_and_update().as_ref()
                        && let Err(error) = remove_older(newest, &folder)
                    {
                        tracing::warn!(%error, "cannot remove outdated checkpoints");
                    }
                }
                std::future::pending::<()>().await
            };
            let sent = tokio::select! {
                sent = self.send(Kind::Checkpoint, &folder, facts) => sent,
                () = remove_outdated => unreachable!("it goes on for as long as the checkpoint is on its way"),
            };
            let reported = sent.and_then(|manifest| {
                let checkpoint = Checkpoint { iter, manifest_json: manifest.to_json() };
                let report = attempt.report(Body::Checkpoint(checkpoint));
                report.and_then(|()| remove_older(&folder, &folder)).map_err(|error| of_this_machine(&folder, &error))
            });
            if let Err(halt) = reported {
                // The run does not need it; only a run after it would.
                tracing::warn!(iter, ?halt, "a checkpoint was not sent");
            }
        }
    }

    /// Sends a folder up as an artifact's files.
    async fn send(&self, kind: Kind, folder: &Path, facts: BTreeMap<String, Value>) -> Result<Manifest, Halt> {
        let span = info_span!("upload", %kind, digest = tracing::field::Empty);
        async {
            let manifest = describe(kind, folder, facts).await.map_err(failed_transfer)?;
            tracing::Span::current().record("digest", manifest.digest().to_string());
            let push = || self.transfer.push(folder, &manifest, &|_| {});
            persist(push, TransferError::is_transient).await.map_err(failed_transfer)?;
            tracing::info!(%kind, digest = %manifest.digest().short(), size = %manifest.bytes(), "sent");
            Ok(manifest)
        }
        .instrument(span)
        .await
    }
}

/// An attempt's last word. A disk that has no room for it gets some: what the child made is up by now, or of no use.
fn say_last(attempt: &Attempt, finished: Finished) -> io::Result<()> {
    attempt.report(Body::Finished(finished.clone())).or_else(|_| {
        let _ = fs::remove_dir_all(attempt.folder().join("out"));
        attempt.report(Body::Finished(finished))
    })
}

/// A failure of this machine's own, such as a full disk: another may do better.
fn of_this_machine(path: &Path, error: &io::Error) -> Halt {
    let message = format!("{}: {error}", path.display());
    Halt::Failed { kind: FailureKind::Transient, message, peak: Bytes::ZERO }
}

fn succeeded(outcome: &Outcome, manifest: &Manifest) -> Finished {
    Finished { peak_bytes: outcome.peak_bytes, outcome: Some(finished::Outcome::ManifestJson(manifest.to_json())) }
}

/// Does `work`, unless the attempt must stop before it is done.
async fn unless_stopped<T>(attempt: &Attempt, work: impl Future<Output = T>) -> Result<T, Halt> {
    tokio::select! {
        stop = attempt.stopped() => Err(Halt::Stopped(stop)),
        done = work => Ok(done),
    }
}

/// Tries again, ever more rarely, what can be cured by waiting.
async fn persist<T, E, F>(mut work: impl FnMut() -> F, is_transient: impl Fn(&E) -> bool) -> Result<T, E>
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let mut failures = 0;
    loop {
        match work().await {
            Err(error) if is_transient(&error) => {
                failures += 1;
                let wait = backoff::jittered(failures);
                if failures == 1 {
                    tracing::warn!("{error}; trying again until it goes");
                } else {
                    tracing::debug!(failures, ?wait, "{error}");
                }
                tokio::time::sleep(wait).await;
            }
            done => return done,
        }
    }
}

impl CacheError {
    fn is_transient(&self) -> bool {
        matches!(self, CacheError::Transfer { error, .. } if error.is_transient())
    }

    fn halt(&self) -> Halt {
        let kind = match self {
            CacheError::Transfer { error, .. } => kind_of(error),
            CacheError::Other { .. } => FailureKind::BadInput,
        };
        Halt::Failed { kind, message: self.to_string(), peak: Bytes::ZERO }
    }
}

fn failed_transfer(error: TransferError) -> Halt {
    Halt::Failed { kind: kind_of(&error), message: error.to_string(), peak: Bytes::ZERO }
}

/// What a transfer that cannot be cured by waiting means for the job: an artifact that is not what it should be fails anywhere, a
/// disk or a connection does not.
fn kind_of(error: &TransferError) -> FailureKind {
    use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound};
    match error {
        TransferError::Manifest(_) | TransferError::Size { .. } => FailureKind::BadInput,
        TransferError::Rpc(status) if [NotFound, InvalidArgument, FailedPrecondition].contains(&status.code()) => {
            FailureKind::BadInput
        }
        TransferError::Refused { status: 404, .. } => FailureKind::BadInput,
        _ => FailureKind::Transient,
    }
}

/// Removes the checkpoints before `newest` on this machine, but for `busy`: their names sort by iteration.
fn remove_older(newest: &Path, busy: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (newest.parent(), newest.file_name()) else { return Ok(()) };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let older = entry.file_name().as_os_str() < name && entry.path() != busy;
        if older && !entry.file_name().to_string_lossy().starts_with('.') {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_checkpoints_go_and_unfinished_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["00000010", "00000020", "00000030", ".00000040.partial"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let path = |name: &str| dir.path().join(name);
        remove_older(&path("00000020"), &path("00000020")).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".00000040.partial", "00000020", "00000030"]);
        fs::create_dir(path("00000040")).unwrap();
        remove_older(&path("00000040"), &path("00000020")).unwrap();
        assert!(path("00000020").exists() && !path("00000030").exists(), "the one on its way stays");
    }
}
