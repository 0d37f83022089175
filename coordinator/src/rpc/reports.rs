//! What an attempt says, as the core takes it: manifests read, and their blobs looked for.

use super::contents::{Difference, difference};
use crate::artifacts::{BlobError, Blobs};
use crate::core::{Failure, FailureKind, Report, ReportBody};
use vertigo::bounds::MANIFEST_BYTES_MAX;
use vertigo::bytes::Bytes;
use vertigo::dataset::Caveats;
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1::{self, finished, report};

/// Reads a report.
///
/// # Errors
/// The store of blobs cannot be asked; then the report has to come again.
pub(super) async fn read(message: v1::Report, blobs: &Blobs) -> Result<Report, BlobError> {
    let body = match &message.body {
        Some(report::Body::Started(started)) => {
            let caveats = Caveats::from_message(started.skipped_examples, started.caveats.as_ref());
            ReportBody::Started { caveats }
        }
        Some(report::Body::Step(step)) => ReportBody::Progress { peak: Bytes(step.peak_bytes) },
        Some(report::Body::Checkpoint(checkpoint)) => {
            match manifest(&checkpoint.manifest_json, Kind::Checkpoint, blobs).await? {
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
                Some(finished::Outcome::ManifestJson(json)) => manifest(json, Kind::Adapter, blobs).await?,
                Some(finished::Outcome::Failure(failure)) => Err(read_failure(failure)),
                None => Err(failure(FailureKind::Crashed, "the worker reported an end without an outcome")),
            };
            ReportBody::Finished { peak: Bytes(finished.peak_bytes), outcome }
        }
        Some(report::Body::Validation(_) | report::Body::Log(_) | report::Body::Warning(_)) | None => {
            ReportBody::Progress { peak: Bytes::ZERO }
        }
    };
    Ok(Report { number: message.number, body, message })
}

fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into() }
}

fn read_failure(said: &v1::Failure) -> Failure {
    let kind = match said.kind() {
        v1::FailureKind::BadInput => FailureKind::BadInput,
        v1::FailureKind::OutOfMemory => FailureKind::OutOfMemory,
        v1::FailureKind::Diverged => FailureKind::Diverged,
        v1::FailureKind::Crashed | v1::FailureKind::Unspecified => FailureKind::Crashed,
        // Nobody cancelled the job, or the attempt would not be live: the worker gave it up, and another may take it.
        v1::FailureKind::Transient | v1::FailureKind::Cancelled => FailureKind::Transient,
    };
    failure(kind, said.message.clone())
}

/// A manifest of this kind whose blobs the store has, or the failure that its lack is.
async fn manifest(json: &str, kind: Kind, blobs: &Blobs) -> Result<Result<Manifest, Failure>, BlobError> {
    if json.len() > MANIFEST_BYTES_MAX {
        let (size, most) = (Bytes(json.len() as u64), Bytes(MANIFEST_BYTES_MAX as u64));
        let message = format!("the worker's manifest of a {kind} is {size} long, and at most {most} are taken");
        // It would be as long the next time.
        return Ok(Err(failure(FailureKind::BadInput, message)));
    }
    let manifest = match Manifest::parse(json) {
        Ok(manifest) if manifest.kind() == kind => manifest,
        Ok(other) => {
            let message = format!("the worker sent an artifact of kind {} for a {kind}", other.kind());
            return Ok(Err(failure(FailureKind::Crashed, message)));
        }
        Err(error) => return Ok(Err(failure(FailureKind::Crashed, format!("the worker's manifest: {error}")))),
    };
    Ok(match difference(blobs, &manifest).await? {
        None => Ok(manifest),
        Some(missing @ Difference::Missing { .. }) => {
            Err(failure(FailureKind::Transient, format!("the worker's {kind}: {missing}")))
        }
        Some(size @ Difference::Size { .. }) => {
            Err(failure(FailureKind::Crashed, format!("the worker's {kind}: {size}")))
        }
    })
}
