//! What an attempt says, as the core takes it: manifests read, and their blobs looked for.

use super::contents::{Difference, difference};
use crate::blobs::{BlobError, Blobs, Hold};
use crate::core::{Made, Measured, Progress, Report, ReportBody, Serving, Started, Step, Validation};
use vertigo::bounds::{MANIFEST_BYTES_MAX, shorten};
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::endpoint::Endpoint;
use vertigo::id::Millis;
use vertigo::manifest::{Kind, Manifest};
use vertigo::task::{Cure, Failure};
use vertigo::v1::{self, finished, report};

/// Outputs of an attempt that are looked at: more than any kind makes.
const OUTPUTS_MAX: usize = 16;

/// What is told of a manifest that is wrong.
const PROBLEM_BYTES_MAX: usize = 2 << 10;

/// Where blobs are looked for, and what of them has been found: it has to stay until the reports are committed.
#[derive(Debug)]
pub(crate) struct Holding<'a> {
    blobs: &'a Blobs,
    held: Vec<Hold>,
}

impl<'a> Holding<'a> {
    /// Nothing is held yet.
    pub(crate) fn new(blobs: &'a Blobs) -> Holding<'a> {
        Holding { blobs, held: Vec::new() }
    }

    /// What was found.
    pub(crate) fn into_held(self) -> Vec<Hold> {
        self.held
    }
}

/// Reads a report.
///
/// # Errors
/// The store of blobs cannot be asked; then the report has to come again.
pub(crate) async fn read(message: v1::Report, blobs: &mut Holding<'_>) -> Result<Report, BlobError> {
    let v1::Report { number, at_ms, body } = message;
    let body = match body {
        Some(report::Body::Started(it)) => ReportBody::Started(started(&it)),
        Some(report::Body::Step(it)) => ReportBody::Step(step(&it)),
        Some(report::Body::Validation(v1::Validation { iter, loss, tokens })) => {
            ReportBody::Validation(Validation { iter, loss, tokens })
        }
        Some(report::Body::Progress(v1::Progress { done, total, unit, peak_bytes })) => {
            ReportBody::Progress(Progress { done, total, unit, peak: Bytes(peak_bytes) })
        }
        Some(report::Body::Measured(v1::Measured { name, value })) => ReportBody::Measured(Measured { name, value }),
        Some(report::Body::Serving(serving)) => self::serving(serving),
        Some(report::Body::Log(v1::LogLine { text })) => ReportBody::Log(text),
        Some(report::Body::Warning(v1::Warning { text })) => ReportBody::Warning(text),
        Some(report::Body::Checkpoint(v1::Checkpoint { iter, manifest_json })) => {
            match checkpoint_of(&manifest_json, blobs).await? {
                Ok(artifact) => ReportBody::Checkpoint { iter, artifact },
                Err(failure) => {
                    // Training goes on, and the next checkpoint may be whole.
                    tracing::warn!(problem = failure.message, "a checkpoint is passed over");
                    ReportBody::Warning(format!("the checkpoint at {iter} is passed over: {}", failure.message))
                }
            }
        }
        Some(report::Body::Finished(v1::Finished { peak_bytes, outcome })) => {
            let outcome = match outcome {
                Some(finished::Outcome::Outputs(outputs)) => made(&outputs, blobs).await?,
                Some(finished::Outcome::Failure(failure)) => Err(failure.into()),
                None => Err(of_this_worker("the worker reported an end without an outcome")),
            };
            ReportBody::Finished { peak: Bytes(peak_bytes), outcome }
        }
        None => ReportBody::Unknown,
    };
    Ok(Report { number, at: Millis(at_ms), body })
}

fn started(it: &v1::Started) -> Started {
    let read = |caveats| Caveats::from_message(it.skipped_examples, Some(caveats));
    Started {
        trainable_parameters: it.trainable_parameters,
        train_examples: it.train_examples,
        valid_examples: it.valid_examples,
        skipped_examples: it.skipped_examples,
        resumed_at: it.resumed_at,
        iters: it.iters,
        caveats: it.caveats.as_ref().map(read),
    }
}

/// Where a service answers. Nobody is sent to another machine in the clear, nor by what is no address.
fn serving(it: v1::Serving) -> ReportBody {
    match it.url.parse::<Endpoint>() {
        Ok(endpoint) if !endpoint.is_tls() => {
            ReportBody::Serving(Serving { url: endpoint.url().to_owned(), models: it.models })
        }
        // A service has no certificate, whatever its address says.
        Ok(_) | Err(_) => ReportBody::Warning(format!(
            "the service says that it answers at `{}`, which is no loopback address",
            it.url
        )),
    }
}

fn step(it: &v1::Step) -> Step {
    Step {
        iter: it.iter,
        iters: it.iters,
        loss: it.loss,
        learning_rate: it.learning_rate,
        tokens_per_second: it.tokens_per_second,
        trained_tokens: it.trained_tokens,
        peak: Bytes(it.peak_bytes),
        grad_norm: it.grad_norm,
    }
}

fn failure(cure: Cure, code: &str, message: impl Into<String>) -> Failure {
    // A manifest that is wrong may be so by a path of any length, and this is kept with the job.
    Failure::new(cure, code, shorten(&message.into(), PROBLEM_BYTES_MAX))
}

/// A worker that says what makes no sense: a new process may do better.
fn of_this_worker(message: impl Into<String>) -> Failure {
    failure(Cure::FreshProcess, "outputs", message)
}

/// What an attempt has made, all blobs of which the store has, or the failure that its lack is. Which roles and kinds it should be, the
/// core knows.
async fn made(outputs: &v1::Outputs, blobs: &mut Holding<'_>) -> Result<Result<Made, Failure>, BlobError> {
    let mut made = Made { outputs: Vec::new(), remark: outputs.remark.clone() };
    for v1::Made { role, manifest_json } in outputs.made.iter().take(OUTPUTS_MAX) {
        match manifest(role, manifest_json, blobs).await? {
            Ok(manifest) => made.outputs.push((role.clone(), manifest)),
            Err(failure) => return Ok(Err(failure)),
        }
    }
    Ok(Ok(made))
}

async fn checkpoint_of(json: &str, blobs: &mut Holding<'_>) -> Result<Result<Manifest, Failure>, BlobError> {
    let read = manifest("checkpoint", json, blobs).await?;
    Ok(read.and_then(|manifest| match manifest.kind() {
        Kind::Checkpoint => Ok(manifest),
        other => Err(of_this_worker(format!("the worker sent an artifact of kind {other} for a checkpoint"))),
    }))
}

/// A manifest whose blobs the store has, or the failure that its lack is.
async fn manifest(what: &str, json: &str, blobs: &mut Holding<'_>) -> Result<Result<Manifest, Failure>, BlobError> {
    if json.len() > MANIFEST_BYTES_MAX {
        let (size, most) = (Bytes(json.len() as u64), Bytes(MANIFEST_BYTES_MAX as u64));
        let message = format!("the worker's manifest of the {what} is {size} long, and at most {most} are taken");
        // It would be as long the next time.
        return Ok(Err(failure(Cure::Never, "outputs", message)));
    }
    let manifest = match Manifest::parse(json) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(Err(of_this_worker(format!("the worker's manifest of the {what}: {error}")))),
    };
    let mut hold = blobs.blobs.hold();
    hold.add(manifest.files().iter().map(|file| file.digest)).await;
    Ok(match difference(blobs.blobs, &manifest).await? {
        None => {
            blobs.held.push(hold.is_there());
            Ok(manifest)
        }
        Some(missing @ Difference::Missing { .. }) => {
            Err(failure(Cure::Later, "outputs", format!("the worker's {what}: {missing}")))
        }
        Some(size @ Difference::Size { .. }) => Err(of_this_worker(format!("the worker's {what}: {size}"))),
    })
}
