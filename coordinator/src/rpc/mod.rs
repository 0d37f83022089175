//! What people and workers say, as commands to the store and questions to it.
//!
//! Each service parses at the edge: an id, a tag or a recipe that is wrong is refused here with what to do about it, and the
//! core never sees it. Each call runs in a span that is a child of its caller's, so that one job is one trace.

mod artifacts;
mod bounds;
mod contents;
mod events;
mod filter;
mod fleet;
mod follow;
mod jobs;
mod pages;
mod reports;
mod sessions;
mod submit;
mod view;

pub use sessions::Sessions;

use crate::artifacts::{BlobError, Blobs};
use crate::core::{Ambiguous, Refusal};
use crate::store::{ApplyError, Stopped, Store, StoreError};
use std::time::Duration;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use vertigo::bounds::MESSAGE_BYTES_MAX;
use vertigo::refusal::SessionRefusal;
use vertigo::v1::artifacts_server::ArtifactsServer;
use vertigo::v1::fleet_server::FleetServer;
use vertigo::v1::jobs_server::JobsServer;

/// What the services share.
#[derive(Debug, Clone)]
pub struct Context {
    /// State and journal.
    pub store: Store,
    /// Files by digest.
    pub blobs: Blobs,
    /// Who is connected.
    pub sessions: Sessions,
    /// A lease ends this long after the last heartbeat that named it.
    pub lease: Duration,
}

/// The services as HTTP routes.
pub fn router(context: Context) -> axum::Router {
    let jobs = JobsServer::new(jobs::Jobs(context.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let fleet = FleetServer::new(fleet::Fleet(context.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let artifacts = ArtifactsServer::new(artifacts::Artifacts(context))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Routes::new(jobs).add_service(fleet).add_service(artifacts).prepare().into_axum_router()
}

/// `span` as a child of the caller's.
fn traced(metadata: &MetadataMap, span: tracing::Span) -> tracing::Span {
    if let Some(parent) = vertigo_telemetry::parent_of(metadata) {
        vertigo_telemetry::set_parent(&span, &parent);
    }
    span
}

fn stopped(error: Stopped) -> Status {
    Status::unavailable(error.to_string())
}

fn store_failed(error: StoreError) -> Status {
    tracing::error!(%error, "store");
    Status::internal(error.to_string())
}

fn blobs_failed(error: BlobError) -> Status {
    tracing::error!(%error, "blobs");
    Status::unavailable(error.to_string())
}

fn ambiguous(error: Ambiguous) -> Status {
    bounds::invalid(error)
}

fn not_applied(error: ApplyError) -> Status {
    let refusal = match error {
        ApplyError::Stopped(error) => return stopped(error),
        ApplyError::Refused(refusal) => refusal,
    };
    let message = bounds::brief(&refusal);
    match refusal {
        Refusal::NoJob(_) => Status::not_found(message),
        Refusal::Ended { .. } | Refusal::TooLarge { .. } | Refusal::NoOutput { .. } | Refusal::NoSuchOutput { .. } => {
            Status::failed_precondition(message)
        }
        Refusal::NameTaken(_) => SessionRefusal::NameTaken.status(message),
        Refusal::OtherInstallation(_) => SessionRefusal::OtherInstallation.status(message),
        Refusal::OtherProcess { .. } => SessionRefusal::OtherProcess.status(message),
        Refusal::NoSession => Status::aborted(message),
    }
}
