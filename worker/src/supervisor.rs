//! An attempt from its assignment to its `Finished`: fetch the inputs, run the child, send up what it makes.
//!
//! Promise: every attempt that is taken ends in exactly one `Finished` report, unless its lease is over first; whatever can be cured by
//! waiting is tried again for as long as the lease lives, and what a child has finished outlives it. A child has a slot of its own: a
//! new one begins when the one before it in the slot is gone. What a task is, only the child knows.

mod checkpoints;
mod going;
mod halt;
mod names;
mod slots;

use crate::backoff;
use crate::cache::{Cache, CacheError, Entry, Kinds};
use crate::child::process::{self, GRACE, Launch, News, Patience, SERVICE_GRACE};
use crate::endings::remembered::Remembered;
use crate::held::{Attempt, Attempts, Stop};
use crate::job::{Job, JobError};
use crate::machine::Machine;
use crate::manners::Conditions;
use crate::memory;
use crate::names::input_of;
use crate::outcome::{Ending, Verdict, classify};
use crate::output::{Output, Part, Work};
use crate::task::{Done, Event, Spec, TaskError, codes};
use checkpoints::Position;
use futures::FutureExt;
pub use halt::Halt;
use halt::{check_length, not_sent, of_this_machine};
use serde_json::Value;
pub use slots::Slots;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, info_span};
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo::server_key::KeyRule;
use vertigo::task::{Cure, Failure, Slot, role, split_number};
use vertigo::v1::report::Body;
use vertigo::v1::{self, Finished, LogLine, Made, Outputs, finished};
use vertigo_client::{Transfer, TransferError, describe};
use vertigo_host::Host;
use vertigo_host::buffers::Length;
use vertigo_host::policy::Policy;
use vertigo_host::presence::Presence;

/// What attempts need of this worker.
#[derive(Debug)]
pub struct Supervisor {
    /// All attempts.
    pub attempts: Arc<Attempts>,
    /// Inputs.
    pub cache: Cache,
    /// Where it is kept what keys have used up.
    pub ledgers: PathBuf,
    /// Where outputs go.
    pub transfer: Transfer,
    /// This machine.
    pub machine: Arc<Machine>,
    /// How jobs ended on it before.
    pub remembered: Remembered,
    /// The program whose `attempt` command is the child.
    pub executable: PathBuf,
    /// Which children may run beside one another.
    pub slots: Slots,
    /// Says when the worker drains: services are given back then.
    pub drains: CancellationToken,
    /// What the machine is doing beside.
    pub host: Arc<dyn Host>,
    /// What of that changes how its children behave.
    pub conditions: watch::Receiver<Conditions>,
    /// What its owner wants of it.
    pub policy: watch::Receiver<Policy>,
    /// Whether the worker takes part by that.
    pub presence: watch::Receiver<Presence>,
    /// Which keys of this machine jobs may have.
    pub keys: KeyRule,
    /// How long it is waited for.
    pub patience: Patience,
    /// What it may hold beside what MLX holds and what grows with its examples.
    pub beside_mlx: Bytes,
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
            (_, Some(refusal)) => Err(Halt::failed(Cure::Later, codes::TRANSIENT, refusal.to_owned())),
            // A newer worker may know it.
            (Err(error @ JobError::Task(TaskError::Unknown)), None) => {
                Err(Halt::failed(Cure::AnotherMachine, codes::THIS_MACHINE, error.to_string()))
            }
            (Err(error), None) => Err(Halt::failed(Cure::Never, codes::BAD_INPUT, error.to_string())),
            (Ok(job), None) => Ok(job),
        };
        match job {
            Ok(job) => drop(tokio::spawn(self.clone().attend(Arc::new(job), attempt))),
            Err(halt) => end(&self.attempts, &attempt, Err(halt)),
        }
    }

    async fn attend(self: Arc<Self>, job: Arc<Job>, attempt: Arc<Attempt>) {
        // A service would hold the drain for ever.
        let _given_back = (job.slot == Slot::Service).then(|| {
            let (worker, id) = (self.clone(), attempt.id());
            AbortOnDropHandle::new(tokio::spawn(async move {
                worker.drains.cancelled().await;
                worker.attempts.stop(id, Stop::GivenBack);
            }))
        });
        let span = info_span!("attempt", job = %job.id, attempt = %attempt.id(), variant = job.variant);
        vertigo_telemetry::set_parent(&span, &job.traceparent);
        let work = AssertUnwindSafe(self.work(&job, &attempt)).catch_unwind().instrument(span.clone());
        let result = work.await.unwrap_or_else(|_| {
            let message = "the worker's supervisor panicked; its log says where".to_owned();
            Err(Halt::failed(Cure::FreshProcess, codes::CRASHED, message))
        });
        span.in_scope(|| end(&self.attempts, &attempt, result));
    }

    async fn work(self: &Arc<Self>, job: &Arc<Job>, attempt: &Arc<Attempt>) -> Result<Finished, Halt> {
        if let Some(output) = unless_stopped(attempt, self.finished_before(job, attempt)).await? {
            return self.deliver(attempt, output).await;
        }
        // The inputs stay in the cache until this ends.
        let ready = async {
            let inputs = self.named_now(&job.task, &job.inputs).await;
            let (spec, entries) = self.fetch(job, &inputs, attempt).await?;
            Ok((self.slots.of(job.slot).acquire().await, inputs, spec, entries))
        };
        // Nobody types on a machine that works by night.
        let _awake = self.stay_awake(&job.variant);
        let (_turn, inputs, spec, entries) = unless_stopped(attempt, self.unless_away(ready)).await??;
        let (latest, checkpoints) = watch::channel(None);
        let uploads = self.clone().send_checkpoints(attempt.clone(), checkpoints);
        let uploads = AbortOnDropHandle::new(tokio::spawn(uploads.in_current_span()));
        let (news, follows) = self.follow(job, attempt, inputs, entries);
        let buffers = self.buffers(job.id).await;
        let verdict = self.run_child(job, attempt, &spec, buffers, latest, news).await?;
        drop(follows);
        match verdict {
            Verdict::Succeeded(done) => {
                // The result outdoes any checkpoint that is still on its way.
                drop(uploads);
                self.remembered.forget(job.id);
                let output = record(job, attempt, done).await?;
                self.deliver(attempt, output).await
            }
            Verdict::Failed { failure, peak } => {
                if let Some(stop) = attempt.stop_reason() {
                    return Err(Halt::Stopped(stop));
                }
                // The next attempt goes on from it.
                let _ = unless_stopped(attempt, uploads).await?;
                Err(Halt::Failed { failure: self.remembered.judge(job.id, buffers, failure), peak })
            }
        }
    }

    /// What an earlier attempt at the same work has finished here and could not send, where its files are still what they were.
    async fn finished_before(&self, job: &Job, attempt: &Attempt) -> Option<Output> {
        let kept = self.attempts.take_output(attempt, &Work::of(job)).unwrap_or_else(|error| {
            tracing::warn!(%error, job = %job.id, "cannot use a kept output; working again");
            None
        })?;
        let mut is_whole = true;
        for part in &kept.parts {
            let found = describe(part.manifest.kind(), &part.folder, BTreeMap::new()).await;
            is_whole &= found.is_ok_and(|found| found.files() == part.manifest.files());
        }
        if is_whole {
            tracing::info!(job = %job.id, "finished here before; what it made is sent instead of working again");
            return Some(kept);
        }
        tracing::error!(job = %job.id, "a kept output was damaged on this machine's disk; working again");
        for part in &kept.parts {
            if let Err(error) = fs::remove_dir_all(&part.folder) {
                tracing::warn!(%error, folder = %part.folder.display(), "cannot remove a damaged output");
            }
        }
        None
    }

    /// Sends what a child has finished. Whatever the coordinator answers, the files are as good as they were: it is sent for as
    /// long as the lease lives, and kept beyond it.
    async fn deliver(&self, attempt: &Attempt, output: Output) -> Result<Finished, Halt> {
        let finished = succeeded(&output);
        check_length(&finished)?;
        for Part { role, folder, manifest } in &output.parts {
            let told = |error: &TransferError| {
                let text = format!("the {role} is finished and waits on this worker until it can be sent: {error}");
                attempt.mention(Body::Log(LogLine { text }));
            };
            let span = upload_span(manifest.kind());
            let sent = self.send_files(folder, manifest, told).instrument(span);
            unless_stopped(attempt, sent).await??;
        }
        Ok(finished)
    }

    /// All inputs, and what the child is to do with them.
    async fn fetch(
        &self,
        job: &Job,
        inputs: &BTreeMap<String, Digest>,
        attempt: &Attempt,
    ) -> Result<(Spec, Vec<Entry>), Halt> {
        let get = |kinds: Kinds, digest: Digest| {
            let fetch = persist(move || self.cache.get(kinds, digest), CacheError::is_transient);
            fetch.instrument(info_span!("fetch", kind = %kinds, digest = %digest))
        };
        let checkpoint = async {
            let Some(digest) = job.checkpoint else { return Ok(None) };
            match get(Kinds(&[Kind::Checkpoint]), digest).await {
                Err(error) if error.is_of_damage() => {
                    // Nobody can import it again, and the same run gives the same bits without it.
                    let text = format!("starting from the beginning, because the checkpoint is lost: {error}");
                    attempt.mention(Body::Log(LogLine { text }));
                    Ok(None)
                }
                fetched => fetched.map(Some),
            }
        };
        let input = |(role, digest): (&String, &Digest)| {
            let (role, digest) = (role.clone(), *digest);
            let kinds = Kinds(job.task.kind().input(&role).map_or(&[], |input| input.takes));
            async move { get(kinds, digest).await.map(|entry| (role, digest, entry)) }
        };
        let all = futures::future::try_join_all(inputs.iter().map(input));
        let (entries, checkpoint) = tokio::try_join!(all, checkpoint).map_err(|error| error.halt())?;
        let given = |(role, digest, entry): &(String, Digest, Entry)| (role.clone(), input_of(*digest, entry));
        let spec = Spec {
            job: job.id,
            attempt: attempt.id(),
            epoch: attempt.epoch(),
            reserved: job.reserved,
            slot: job.slot,
            task: job.task.clone(),
            inputs: entries.iter().map(given).collect(),
            checkpoint: checkpoint.as_ref().map(|entry| entry.folder().to_owned()),
            out: attempt.folder().join("out"),
            ledgers: self.ledgers.clone(),
        };
        Ok((spec, entries.into_iter().map(|(.., entry)| entry).chain(checkpoint).collect()))
    }

    async fn run_child(
        &self,
        job: &Job,
        attempt: &Attempt,
        spec: &Spec,
        buffers: Length,
        latest: watch::Sender<Option<Position>>,
        news: News,
    ) -> Result<Verdict, Halt> {
        let path = attempt.folder().join("spec.json");
        spec.save(&path).map_err(|error| of_this_machine(&path, &error))?;
        let span = info_span!("child", variant = job.variant, reserved = %job.reserved);
        let traceparent = vertigo_telemetry::traceparent_of(&span);
        let is_data = |name: &str| split_number(name).map_or(name, |(role, _)| role) == role::DATA;
        let data = spec.inputs.iter().filter(|(name, _)| is_data(name));
        let examples = data.fold(Bytes::ZERO, |sum, (_, data)| sum + memory::file_bytes(&data.folder));
        // The GPU's attempt may have what the machine offers; one beside it has what was reserved for it.
        let offered = match job.slot {
            Slot::Gpu => self.machine.usable(),
            Slot::Cpu | Slot::Service => job.reserved,
        };
        let launch = Launch {
            executable: &self.executable,
            spec: path,
            traceparent,
            patience: self.patience,
            presence: self.presence.clone(),
            conditions: self.conditions.clone(),
            is_service: job.slot == Slot::Service,
            buffers,
            keys: &self.keys,
            grace: if job.slot == Slot::Service { SERVICE_GRACE } else { GRACE },
            news,
            resident_limit: memory::resident_limit(offered, self.beside_mlx, examples),
        };
        let hear = |event: Event| {
            if let Event::Checkpoint { iter, folder, facts } = &event {
                latest.send_replace(Some(Position { iter: *iter, folder: folder.clone(), facts: facts.clone() }));
            }
            if let Some(body) = event.body() {
                attempt.mention(body);
            }
        };
        let ending = process::run(launch, attempt, &self.machine, hear).instrument(span).await;
        let ending = ending.map_err(|error| of_this_machine(self.executable.as_path(), &error))?;
        Ok(classify(Ending { worker_goes: self.drains.is_cancelled(), ..ending }))
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
async fn record(job: &Job, attempt: &Attempt, done: Done) -> Result<Output, Halt> {
    let mut output = Output { parts: Vec::new(), remark: done.remark, peak: Bytes(done.peak_bytes) };
    for product in done.products {
        let Some(made) = job.task.kind().output(&product.role) else {
            let message =
                format!("the attempt's process made a `{}`, which no {} makes", product.role, job.task.kind());
            return Err(Halt::failed(Cure::FreshProcess, codes::CRASHED, message));
        };
        let manifest = describe(made.kind, &product.folder, product.facts).await.map_err(not_sent)?;
        output.parts.push(Part { role: product.role, folder: product.folder, manifest });
    }
    if let Err(error) = output.record(attempt.folder(), Work::of(job)) {
        tracing::warn!(%error, job = %job.id, "cannot write down that the work is finished; it is lost with its lease");
    }
    Ok(output)
}

/// Reports how the attempt ended, and lets it go where nobody will acknowledge that.
pub fn end(attempts: &Attempts, attempt: &Attempt, result: Result<Finished, Halt>) {
    if result.is_err() {
        // Before the end is said: whoever takes it takes the attempt's files away.
        attempts.keep_output(attempt);
    }
    let failed = |failure: Failure, peak: Bytes| {
        tracing::warn!(attempt = %attempt.id(), cure = ?failure.cure, code = failure.code, "{}", failure.message);
        Some(Finished { peak_bytes: peak.0, outcome: Some(finished::Outcome::Failure(failure.into())) })
    };
    let finished = match result {
        Ok(finished) => Some(finished),
        Err(Halt::Failed { failure, peak }) => failed(failure, peak),
        Err(Halt::Stopped(Stop::WorkerLeaves)) => {
            let why = "the worker was told to stop at once";
            failed(Failure::new(Cure::Later, codes::TRANSIENT, why), Bytes::ZERO)
        }
        Err(Halt::Stopped(Stop::GivenBack)) => {
            tracing::info!(attempt = %attempt.id(), "given back: the worker drains");
            None
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
        attempts.forget(attempt.id());
    }
}

/// An attempt's last word. A disk that has no room for it gets some: what the child made is up by now, or of no use.
fn say_last(attempt: &Attempt, finished: Finished) -> io::Result<()> {
    attempt.report(Body::Finished(finished.clone())).or_else(|_| {
        let _ = fs::remove_dir_all(attempt.folder().join("out"));
        attempt.report(Body::Finished(finished))
    })
}

fn succeeded(output: &Output) -> Finished {
    let made = |part: &Part| Made { role: part.role.clone(), manifest_json: part.manifest.to_json() };
    let outputs = Outputs { made: output.parts.iter().map(made).collect(), remark: output.remark.clone() };
    Finished { peak_bytes: output.peak.0, outcome: Some(finished::Outcome::Outputs(outputs)) }
}

/// Does `work`, unless the attempt must stop before it is done.
pub async fn unless_stopped<T>(attempt: &Attempt, work: impl Future<Output = T>) -> Result<T, Halt> {
    tokio::select! {
        biased;
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

#[cfg(test)]
mod tests;
