//! The API over gRPC: six services, each call a span that is a child of its caller's, so that one job is one trace.
//!
//! What people ask is passed on as it came. Workers' sessions are a protocol of their own ([`fleet`]), which has no other form.

mod access;
mod artifacts;
mod fleet;
mod jobs;
mod sessions;
mod storage;
mod tags;

pub use sessions::Sessions;

use crate::api::{Api, Caller};
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Status};
use vertigo::api_error::ApiError;
use vertigo::bounds::MESSAGE_BYTES_MAX;
use vertigo::v1::access_server::AccessServer;
use vertigo::v1::artifacts_server::ArtifactsServer;
use vertigo::v1::fleet_server::FleetServer;
use vertigo::v1::jobs_server::JobsServer;
use vertigo::v1::storage_server::StorageServer;
use vertigo::v1::tags_server::TagsServer;

/// What the services share.
#[derive(Debug, Clone)]
pub struct Context {
    /// The use cases.
    pub api: Api,
    /// Who is connected.
    pub sessions: Sessions,
    /// A lease ends this long after the last heartbeat that named it.
    pub lease: Duration,
}

/// The services as HTTP routes.
pub fn router(context: Context) -> axum::Router {
    let jobs = JobsServer::new(jobs::Jobs(context.api.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let artifacts = ArtifactsServer::new(artifacts::Artifacts(context.api.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let storage = StorageServer::new(storage::Storage(context.api.clone()));
    let tags = TagsServer::new(tags::Tags(context.api.clone()));
    let access = AccessServer::new(access::Access(context.api.clone()));
    let fleet = FleetServer::new(fleet::Fleet(context))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let routes = Routes::new(jobs)
        .add_service(fleet)
        .add_service(artifacts)
        .add_service(storage)
        .add_service(tags)
        .add_service(access);
    routes.prepare().into_axum_router()
}

/// Who makes a call, as the door before all services has found out.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let nobody = || ApiError::internal("nobody has found out who makes this call");
    request.extensions().get().cloned().ok_or_else(|| nobody().into())
}

/// `span` as a child of the caller's.
fn traced(metadata: &MetadataMap, span: tracing::Span) -> tracing::Span {
    vertigo_telemetry::child_of(span, vertigo_telemetry::parent_of(metadata).as_deref())
}

#[cfg(test)]
mod tests;
