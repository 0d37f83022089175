//! What an attempt says, as the core takes it: manifests read, and their blobs looked for.

use super::contents::{Difference, difference};
use crate::artifacts::{BlobError, Blobs};
use crate::core::{Failure, Made, Report, ReportBody};
use vertigo::bounds::MANIFEST_BYTES_MAX;
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::manifest::{Kind, Manifest};
use vertigo::task::Cure;
use vertigo::v1::{self, finished, report};

/// Outputs of an attempt that are looked at: more than any kind makes.
const OUTPUTS_MAX: usize = 16;

/// Reads a report.
///
/// # Errors
/// The store of blobs cannot be asked; then the report has to come again.
pub(super) async fn read(message: v1::Report, blobs: &Blobs) -> Result<Report, BlobError> {
    let body = match &message.body {
        Some(report::Body::Started(started)) => {
            let read = |caveats| Caveats::from_message(started.skipped_examples, Some(caveats));
            ReportBody::Started { caveats: started.caveats.as_ref().map(read), resumed_at: started.resumed_at }
        }
        Some(report::Body::Step(step)) => ReportBody::Progress { peak: Bytes(step.peak_bytes) },
        Some(report::Body::Progress(progress)) => ReportBody::Progress { peak: Bytes(progress.peak_bytes) },
        Some(report::Body::Checkpoint(checkpoint)) => {
            match checkpoint_of(&checkpoint.manifest_json, blobs).await? {
                Ok(manifest) => ReportBody::Checkpoint { iter: checkpoint.iter, manifest },
                Err(failure) => {
                    // Training goes on, and the next checkpoint may be whole.
                    tracing::warn!(problem = failure.message, "a checkpoint is passed over");
                    ReportBody::Progress { peak: Bytes::ZERO }
                }
            }
        }
        Some(report::Body::Finished(finished)) => {
            let outcome = match &finished.outcome {
                Some(finished::Outcome::Outputs(outputs)) => made(outputs, blobs).await?,
                Some(finished::Outcome::Failure(failure)) => Err(read_failure(failure)),
                None => Err(of_this_worker("the worker reported an end without an outcome")),
            };
            ReportBody::Finished { peak: Bytes(finished.peak_bytes), outcome }
        }
        Some(
            report::Body::Validation(_) | report::Body::Log(_) | report::Body::Warning(_) | report::Body::Measured(_),
        )
        | None => ReportBody::Progress { peak: Bytes::ZERO },
    };
    Ok(Report { number: message.number, body, message })
}

fn failure(cure: Cure, code: &str, message: impl Into<String>) -> Failure {
    Failure { cure, message: message.into(), code: code.to_owned() }
}

/// A worker that says what makes no sense: a new process may do better.
fn of_this_worker(message: impl Into<String>) -> Failure {
    failure(Cure::FreshProcess, "outputs", message)
}

fn read_failure(said: &v1::Failure) -> Failure {
    failure(said.cure().into(), &said.code, said.message.clone())
}

/// What an attempt has made, all blobs of which the store has, or the failure that its lack is. Which roles and kinds it should be, the
/// core knows.
async fn made(outputs: &v1::Outputs, blobs: &Blobs) -> Result<Result<Made, Failure>, BlobError> {
    let mut made = Made { outputs: Vec::new(), remark: outputs.remark.clone() };
    for v1::Made { role, manifest_json } in outputs.made.iter().take(OUTPUTS_MAX) {
        match manifest(role, manifest_json, blobs).await? {
            Ok(manifest) => made.outputs.push((role.clone(), manifest)),
            Err(failure) => return Ok(Err(failure)),
        }
    }
    Ok(Ok(made))
}

async fn checkpoint_of(json: &str, blobs: &Blobs) -> Result<Result<Manifest, Failure>, BlobError> {
    let read = manifest("checkpoint", json, blobs).await?;
    Ok(read.and_then(|manifest| match manifest.kind() {
        Kind::Checkpoint => Ok(manifest),
        other => Err(of_this_worker(format!("the worker sent an artifact of kind {other} for a checkpoint"))),
    }))
}

/// A manifest whose blobs the store has, or the failure that its lack is.
async fn manifest(what: &str, json: &str, blobs: &Blobs) -> Result<Result<Manifest, Failure>, BlobError> {
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
    Ok(match difference(blobs, &manifest).await? {
        None => Ok(manifest),
        Some(missing @ Difference::Missing { .. }) => {
            Err(failure(Cure::Later, "outputs", format!("the worker's {what}: {missing}")))
        }
        Some(size @ Difference::Size { .. }) => Err(of_this_worker(format!("the worker's {what}: {size}"))),
    })
}
