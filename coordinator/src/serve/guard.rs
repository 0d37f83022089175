//! What is asked of every request before any route sees it: that it comes from a program, not from a page in a browser.
//!
//! A page that is open in a browser on this machine, or at the end of a tunnel to it, can send requests to loopback. What a
//! browser adds to them, or cannot change, gives them away:
//!
//! - it names the host that the page asked for, which is the page's own name where that name was pointed at loopback after the
//!   page was loaded (DNS rebinding): only [`Hosts`] that are ours are answered;
//! - it names the page's origin on everything but plain reads, and how that relates to us in `Sec-Fetch-Site`;
//! - without our consent, which nobody gets, a page sends no `application/grpc`, and to loopback it speaks no HTTP/2.
//!
//! The decision, [`decide`], is a function of the request's head. What changes anything has to be gRPC or a blob, so that a service
//! that is added later is behind the same door; besides, there are routes that are only read. A browser that does not send
//! `Sec-Fetch-Site` yet may read one of those, and its page does not see the answer; what it can hold open is bounded like any feed
//! ([`super::connections`]).

use super::http::{self, READS};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Version};
use axum::middleware::Next;
use axum::response::Response;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use tonic::Status;
use vertigo::api_error::{ApiError, ErrorCode};

/// Where blobs come and go.
const BLOBS: &str = "/v1/blobs/";

/// Where the paths of gRPC's services begin.
const SERVICES: &str = "/vertigo.";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The hosts that requests may name: this machine's own addresses, with any port, since a tunnel may end at another one than
/// ours; and names that were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    names: BTreeSet<String>,
}

impl Hosts {
    /// Loopback: 127.0.0.0/8, `[::1]` and `localhost`.
    pub fn loopback() -> Hosts {
        Hosts { names: BTreeSet::from(["localhost".to_owned()]) }
    }

    /// Whether `authority`, as in `Host` or `:authority`, is one of them.
    pub fn allow(&self, authority: &str) -> bool {
        let Ok(parsed) = authority.parse::<Authority>() else { return false };
        // What stands before an `@` is a user's name, and no request of ours has one.
        if authority.contains('@') {
            return false;
        }
        let host = parsed.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        bare.parse::<IpAddr>().map_or_else(|_| self.names.contains(&host.to_ascii_lowercase()), |ip| ip.is_loopback())
    }
}

/// Why a request is answered by no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It names no host, or another than ours.
    #[error(
        "the request is for host `{0}`, and this coordinator answers for loopback only (127.0.0.1, [::1], localhost)"
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
    check_host(hosts, request)?;
    check_page(&request.headers)?;
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

/// Every host that the request names, in `Host` and in the URI, is one of ours, and it names one.
fn check_host(hosts: &Hosts, request: &Parts) -> Result<(), Refusal> {
    let headers = request.headers.get_all(HOST).iter().map(|value| value.as_bytes());
    let mut named = false;
    for authority in headers.chain(request.uri.authority().map(|authority| authority.as_str().as_bytes())) {
        named = true;
        if !std::str::from_utf8(authority).is_ok_and(|authority| hosts.allow(authority)) {
            return Err(Refusal::Host(shown(authority)));
        }
    }
    if named { Ok(()) } else { Err(Refusal::Host(String::new())) }
}

/// No page made the request. Ours are programs and name no origin; the one page that could be of our own origin would be one
/// that this coordinator served, and it serves none.
fn check_page(headers: &HeaderMap) -> Result<(), Refusal> {
    if let Some(origin) = headers.get(ORIGIN) {
        return Err(Refusal::Page(format!("origin `{}`", shown(origin.as_bytes()))));
    }
    let foreign = |site: &[u8]| site != b"none" && site != b"same-origin";
    match headers.get_all(SEC_FETCH_SITE).iter().find(|site| foreign(site.as_bytes())) {
        Some(site) => Err(Refusal::Page(format!("another site (Sec-Fetch-Site `{}`)", shown(site.as_bytes())))),
        None => Ok(()),
    }
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

/// The beginning of what was sent, safe to show.
fn shown(bytes: &[u8]) -> String {
    const SHOWN_CHARS_MAX: usize = 100;
    String::from_utf8_lossy(bytes).chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_default).collect()
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
