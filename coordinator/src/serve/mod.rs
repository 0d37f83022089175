//! The outside of the coordinator: one port, with a guard and a door before it, and the API translated to gRPC and to HTTP.
//!
//! Promise: nothing is decided here about jobs. A translation parses what its protocol carries, calls the API, and says the answer in its
//! own words.

pub mod connections;
pub mod door;
pub mod grpc;
pub mod guard;
pub mod http;
pub mod permissions;

use axum::http::HeaderMap;

/// `span` as a child of the caller's, where the caller says which that is.
fn traced(headers: &HeaderMap, span: tracing::Span) -> tracing::Span {
    vertigo_telemetry::child_of(span, headers.get("traceparent").and_then(|value| value.to_str().ok()))
}
