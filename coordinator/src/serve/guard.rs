//! What is asked of every request before any route sees it: that it comes from a program, not from a page in a browser.
//!
//! Most pages give themselves away by what a browser adds to their requests ([`vertigo_port::guard`]). Besides, without our consent, which
//! nobody gets, a page sends no `application/grpc`, and to loopback it speaks no HTTP/2.
//!
//! The decision, [`decide`], is a function of the request's head. What changes anything has to be gRPC or a blob, so that a service
//! that is added later is behind the same door; besides, there are routes that are only read. A browser that does not send
//! `Sec-Fetch-Site` yet may read one of those, and its page does not see the answer; what it can hold open is bounded like any feed
//! ([`super::connections`]).

use super::http::{self, BLOBS, READS};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Version};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use tonic::Status;
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo_port::guard::{Foreign, Hosts, check, shown};

/// Where the paths of gRPC's services begin.
const SERVICES: &str = "/vertigo.";

/// Why a request is answered by no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It names no host, or another than ours.
    #[error(
        "the request is for host `{0}`, and this coordinator does not answer for it: by itself it answers for loopback (127.0.0.1, [::1], \
         localhost), and with certificates for the names in its own"
    )]
    Host(String),
    /// A page of another site made it.
    #[error("the request comes from a page of {0}; Vertigo takes none from browsers")]
    Page(String),
    /// A path of gRPC's, asked in another way.
    #[error("{0} speaks gRPC: POST of application/grpc over HTTP/2")]
    NotGrpc(String),
    /// What is only read, asked to change something.
    #[error("{0} is only read, by GET")]
    ReadOnly(String),
    /// No route that is read.
    #[error("there is nothing at {0}")]
    Nothing(String),
}

impl From<Foreign> for Refusal {
    fn from(foreign: Foreign) -> Refusal {
        match foreign {
            Foreign::Host(host) => Refusal::Host(host),
            Foreign::Page(page) => Refusal::Page(page),
        }
    }
}

impl Refusal {
    fn error(&self) -> ApiError {
        let routes = || format!("{BLOBS} has blobs, and {} are read by GET", READS.join(", "));
        match self {
            Refusal::Host(_) | Refusal::Page(_) => ApiError::new(ErrorCode::Denied, self),
            Refusal::NotGrpc(_) => ApiError::new(ErrorCode::Protocol, self).with_hint(routes()),
            Refusal::ReadOnly(_) => ApiError::new(ErrorCode::Method, self)
                .with_hint("what changes anything goes over gRPC: `vertigo --help`"),
            Refusal::Nothing(_) => ApiError::not_found(self).with_hint(routes()),
        }
    }
}

/// The answer where there is no route.
pub(crate) fn nothing(path: &str) -> Response {
    http::refused(Refusal::Nothing(shown(path.as_bytes())).error())
}

/// A refusal as who asked reads it: HTTP's status and JSON, or for gRPC's callers its own status.
pub(super) fn refusal(to_grpc: bool, error: ApiError) -> Response {
    if !to_grpc {
        return http::refused(error);
    }
    let status = http::status(&error);
    let mut response = Status::from(error).into_http();
    *response.status_mut() = status;
    response
}

/// Whether a request may go on to the routes.
///
/// # Errors
/// Says what about it is not as our own programs do it.
pub fn decide(hosts: &Hosts, request: &Parts) -> Result<(), Refusal> {
    check(hosts, request)?;
    let path = request.uri.path();
    let grpc = request.method == Method::POST && speaks_grpc(request.version, &request.headers);
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let is_below = |route: &str| path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_read = READS.into_iter().any(is_below);
    if path.starts_with(BLOBS) || grpc || (is_read && reads) {
        return Ok(());
    }
    let path = shown(path.as_bytes());
    Err(match (is_read, reads && !path.starts_with(SERVICES)) {
        (true, _) => Refusal::ReadOnly(path),
        (false, true) => Refusal::Nothing(path),
        (false, false) => Refusal::NotGrpc(path),
    })
}

/// Whether a request is `application/grpc` over HTTP/2, with a format or parameters behind it, but not `application/grpc-web`,
/// which is made for browsers.
pub(crate) fn speaks_grpc(version: Version, headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let kind = if version == Version::HTTP_2 { headers.get(CONTENT_TYPE) } else { None };
    kind.map(|value| value.as_bytes()).is_some_and(|kind| {
        let (name, rest) = kind.split_at(kind.len().min(GRPC.len()));
        name.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// Answers for the routes where [`decide`] refuses.
pub async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match decide(&hosts, &parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => {
            tracing::debug!(method = %parts.method, path = shown(parts.uri.path().as_bytes()), %refusal, "refused");
            let mut response = self::refusal(speaks_grpc(parts.version, &parts.headers), refusal.error());
            if matches!(refusal, Refusal::ReadOnly(_)) {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            response
        }
    }
}

#[cfg(test)]
mod tests;
