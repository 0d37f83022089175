//! An attempt from its assignment to its `Finished`: fetch the inputs, run the child, send up what it makes.
//!
//! Promise: every attempt that is taken ends in exactly one `Finished` report, unless its lease is over first; whatever can
//! be cured by waiting is tried again for as long as the lease lives, and what a child has finished outlives it. Children run one at a time: a new one begins when
//! the one before is gone.

use crate::attempt::Spec;
use crate::backoff;
use crate::cache::{Cache, CacheError, Entry};
use crate::child::{self, Launch, Patience};
use crate::held::{Attempt, Attempts, Stop};
use crate::job::Job;
use crate::machine::Machine;
use crate::memory;
use crate::outcome::{Verdict, classify};
use crate::output::{Output, Work};
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
use vertigo::v1::{self, Checkpoint, Failure, FailureKind, Finished, LogLine, finished};
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
    /// What it may hold beside what MLX holds and what grows with its examples.
    pub beside_mlx: Bytes,
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
        if result.is_err() {
            // Before the end is said: whoever takes it takes the attempt's files away.
            self.attempts.keep_output(attempt);
        }
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
        if let Some(output) = unless_stopped(attempt, self.finished_before(job, attempt)).await? {
            return self.deliver(attempt, output).await;
        }
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
                let output = record(job, attempt, outcome).await?;
                self.deliver(attempt, output).await
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

    /// What an earlier attempt at the same work has finished here and could not send, where its files are still what they were.
    async fn finished_before(&self, job: &Job, attempt: &Attempt) -> Option<Output> {
        let kept = self.attempts.take_output(attempt, &Work::of(job)).unwrap_or_else(|error| {
            tracing::warn!(%error, job = %job.id, "cannot use a kept adapter; training again");
            None
        })?;
        let found = describe(Kind::Adapter, &kept.folder, BTreeMap::new()).await;
        if found.is_ok_and(|found| found.files() == kept.manifest.files()) {
            tracing::info!(job = %job.id, "finished here before; its adapter is sent instead of training again");
            return Some(kept);
        }
        tracing::error!(job = %job.id, "a kept adapter was damaged on this machine's disk; training again");
        if let Err(error) = kept.folder.parent().map_or(Ok(()), fs::remove_dir_all) {
            tracing::warn!(%error, folder = %kept.folder.display(), "cannot remove a damaged adapter");
        }
        None
    }

    /// Sends what a child has finished. Whatever the coordinator answers, the files are as good as they were: it is sent for as
    /// long as the lease lives, and kept beyond it.
    async fn deliver(&self, attempt: &Attempt, output: Output) -> Result<Finished, Halt> {
        let told = |error: &TransferError| {
            let text = format!("the adapter is finished and waits on this worker until it can be sent: {error}");
            attempt.mention(Body::Log(LogLine { text }));
        };
        let span = upload_span(Kind::Adapter);
        let sent = self.send_files(&output.folder, &output.manifest, told).instrument(span);
        unless_stopped(attempt, sent).await??;
        Ok(succeeded(&output.outcome, &output.manifest))
    }

    /// All inputs, and what the child is to do with them.
    async fn fetch(&self, job: &Job, attempt: &Attempt) -> Result<(Spec, Vec<Entry>), Halt> {
        let get = |kind: Kind, digest| {
            let fetch = persist(move || self.cache.get(kind, digest), CacheError::is_transient);
            fetch.instrument(info_span!("fetch", %kind, digest = %digest))
        };
        let checkpoint = async {
            let Some(digest) = job.checkpoint else { return Ok(None) };
            match get(Kind::Checkpoint, digest).await {
                Err(error) if error.is_of_damage() => {
                    // Nobody can import it again, and the same run gives the same bits without it.
                    let text = format!("training from the beginning, because the checkpoint is lost: {error}");
                    attempt.mention(Body::Log(LogLine { text }));
                    Ok(None)
                }
                fetched => fetched.map(Some),
            }
        };
        let fetched = tokio::try_join!(get(Kind::Base, job.base), get(Kind::Dataset, job.data), checkpoint);
        let (base, data, checkpoint) = fetched.map_err(|error| error.halt())?;
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
        let examples = memory::file_bytes(&spec.data);
        let launch = Launch {
            executable: &self.executable,
            spec: path,
            traceparent,
            patience: self.patience,
            resident_limit: memory::resident_limit(self.machine.usable(), self.beside_mlx, examples),
        };
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
        async {
            let manifest = describe(kind, folder, facts).await.map_err(not_sent)?;
            self.send_files(folder, &manifest, |_| {}).await?;
            Ok(manifest)
        }
        .instrument(upload_span(kind))
        .await
    }

    /// Sends the files of `manifest` up from `folder`, until they are taken. `told` hears the first refusal.
    async fn send_files(&self, folder: &Path, manifest: &Manifest, told: impl Fn(&TransferError)) -> Result<(), Halt> {
        let digest = manifest.digest();
        tracing::Span::current().record("digest", digest.to_string());
        let mut refusals = 0;
        let push = || self.transfer.push(folder, manifest, &|_| {});
        let waits = |error: &TransferError| {
            refusals += 1;
            if refusals == 1 {
                told(error);
            }
            !error.is_local()
        };
        persist(push, waits).await.map_err(not_sent)?;
        tracing::info!(kind = %manifest.kind(), digest = %digest.short(), size = %manifest.bytes(), "sent");
        Ok(())
    }
}

fn upload_span(kind: Kind) -> tracing::Span {
    info_span!("upload", %kind, digest = tracing::field::Empty)
}

/// Writes down what the child has finished. Where that cannot be, such as on a full disk, it is sent from where it is.
async fn record(job: &Job, attempt: &Attempt, outcome: Outcome) -> Result<Output, Halt> {
    let facts = train::adapter_facts(&job.recipe, job.base, job.data, &outcome);
    let manifest = describe(Kind::Adapter, &outcome.folder, facts).await.map_err(not_sent)?;
    let recorded = Output::record(attempt.folder(), Work::of(job), outcome.clone(), manifest.clone());
    Ok(recorded.unwrap_or_else(|error| {
        tracing::warn!(%error, job = %job.id, "cannot write down that the adapter is finished; it is lost with its lease");
        Output { folder: outcome.folder.clone(), outcome, manifest }
    }))
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
async fn persist<T, E, F>(mut work: impl FnMut() -> F, mut is_transient: impl FnMut(&E) -> bool) -> Result<T, E>
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

    /// Whether the store has no whole copy of it.
    fn is_of_damage(&self) -> bool {
        use TransferError::{Damaged, Missing};
        matches!(self, CacheError::Transfer { error: Missing { .. } | Damaged { .. }, .. })
    }

    fn halt(&self) -> Halt {
        let kind = match self {
            CacheError::Transfer { error, .. } => kind_of(error),
            CacheError::Other { .. } => FailureKind::BadInput,
        };
        Halt::Failed { kind, message: self.to_string(), peak: Bytes::ZERO }
    }
}

/// A folder that was not sent up. That is never the input's fault: a run that trained well ends here.
fn not_sent(error: TransferError) -> Halt {
    let kind = match error {
        // Files that make no artifact are what this worker's own engine has written.
        TransferError::Manifest(_) => FailureKind::Crashed,
        _ => FailureKind::Transient,
    };
    Halt::Failed { kind, message: error.to_string(), peak: Bytes::ZERO }
}

/// What a download that cannot be cured by waiting means for the job: an artifact that is not what it should be fails anywhere, a
/// disk or a connection does not.
fn kind_of(error: &TransferError) -> FailureKind {
    use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound};
    match error {
        TransferError::Manifest(_) | TransferError::Size { .. } => FailureKind::BadInput,
        TransferError::Rpc(status) if [NotFound, InvalidArgument, FailedPrecondition].contains(&status.code()) => {
            FailureKind::BadInput
        }
        // A blob that is missing may be imported again, and then the job goes on.
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
mod tests;
