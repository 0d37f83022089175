//! The door: who asks is found out, and whether it may, before any route sees a request, over gRPC and HTTP alike.
//!
//! Without certificates a coordinator listens on loopback only, and whoever speaks there may do everything, since a process on that machine
//! can anyway ([`Door::Loopback`]). Over TLS a request is its certificate's principal's. One without a certificate may knock; whoever
//! knocks otherwise gets an answer that says nothing of what is behind the door.
//!
//! It is two layers, [`meet`] before the guard and [`admit`] behind it, so that of a request that is none a stranger hears nothing, and
//! somebody who has joined hears what is wrong with it.
//!
//! Promise: a request that reaches a route has a [`Caller`] as an extension, whose role may ask it; a worker has reached what its own
//! attempts need and nothing else. What no table names is refused ([`super::permissions`]).

use super::connections::principal;
use super::guard::{refusal, speaks_grpc};
use super::http::BLOBS;
use super::permissions::{Permission, Verdict, required, verdict};
use crate::access::registry::Principal;
use crate::access::{Access, Upload};
use crate::api::{Api, Caller, DEFAULT_NAMESPACE};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use futures::TryStreamExt;
use std::convert::Infallible;
use tokio::sync::broadcast::error::RecvError;
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::bytes::Bytes;
use vertigo::id::{Digest, Millis};
use vertigo_port::guard::shown;
use vertigo_port::{Peer, Peers};

/// Who is let in.
#[derive(Debug, Clone)]
pub enum Door {
    /// Whoever reaches loopback.
    Loopback,
    /// Whoever has a certificate.
    Certificates(Access),
}

impl Door {
    /// Who asks; `None` for a stranger.
    ///
    /// # Errors
    /// A certificate whose principal is not known, or was revoked.
    fn caller(&self, peer: Option<&Peer>) -> Result<Option<Caller>, ApiError> {
        let access = match self {
            Door::Loopback => return Ok(Some(Caller::local())),
            Door::Certificates(access) => access,
        };
        let Some(peer) = peer.filter(|peer| peer.is_tls && peer.certificate.is_some()) else { return Ok(None) };
        let id =
            principal(peer).ok_or_else(|| ApiError::new(ErrorCode::Stranger, "the certificate is no principal's"))?;
        // Asked at each request: who was revoked since its connection began is refused.
        Ok(Some(caller(access.principal(id)?)))
    }
}

fn caller(principal: Principal) -> Caller {
    let Principal { id, name, role, worker, namespace, .. } = principal;
    Caller { principal: Some(id), name, role, worker, namespace }
}

/// Ends the connections of whoever is revoked, for ever. New requests of theirs are refused already.
pub async fn close_revoked(access: &Access, peers: &Peers) -> Infallible {
    let mut revocations = access.revocations();
    loop {
        let closed = match revocations.recv().await {
            Ok(gone) => peers.close_where(|peer| principal(peer) == Some(gone)),
            // Some were missed: then all are looked at.
            Err(RecvError::Lagged(_)) => {
                peers.close_where(|peer| principal(peer).is_some_and(|id| access.principal(id).is_err()))
            }
            // Not reached while there is `access`, which has the other end.
            Err(RecvError::Closed) => std::future::pending().await,
        };
        tracing::info!(closed, "connections of a revoked principal are closed");
    }
}

/// What a request takes, as [`meet`] found it for [`admit`].
#[derive(Debug, Clone, Copy)]
struct Asked(Option<Permission>);

/// Finds out who asks, before anything else is said of a request: whoever shows no certificate hears the same of every path but where it
/// may knock, whether there is something at it or not.
pub async fn meet(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let required = required(request.method(), request.uri().path());
    let met = match door.caller(request.extensions().get::<Peer>()) {
        Ok(None) if required != Some(Permission::Knock) => Err(stranger()),
        met => met,
    };
    match met {
        Ok(caller) => {
            // Without a caller no use case begins that keeps whose doing it is.
            caller.map(|caller| request.extensions_mut().insert(caller));
            request.extensions_mut().insert(Asked(required));
            next.run(request).await
        }
        Err(error) => refused(request.into_parts().0, error),
    }
}

/// Answers for the routes where a request may not be asked by whom it is.
pub async fn admit(State((door, api)): State<(Door, Api)>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match decide(&door, &api, &parts).await {
        Ok(None) => next.run(Request::from_parts(parts, body)).await,
        Ok(Some(upload)) => next.run(Request::from_parts(parts, metered(body, upload))).await,
        Err(error) => refused(parts, error),
    }
}

/// The same body, whose bytes are counted as they come. With its last reader it is dropped, and the upload with it.
fn metered(body: Body, mut upload: Upload) -> Body {
    Body::from_stream(body.into_data_stream().inspect_ok(move |chunk| upload.came(chunk.len())))
}

fn refused(parts: Parts, error: ApiError) -> Response {
    tracing::debug!(method = %parts.method, path = shown(parts.uri.path().as_bytes()), %error, "not let in");
    refusal(speaks_grpc(parts.version, &parts.headers), error)
}

/// Whether who asks may; where it sends something, the upload that counts against its quota.
async fn decide(door: &Door, api: &Api, request: &Parts) -> Result<Option<Upload>, ApiError> {
    // Whoever may do everything is told by the routes what there is not.
    if matches!(door, Door::Loopback) {
        return Ok(None);
    }
    let path = request.uri.path();
    let required = request.extensions.get::<Asked>().and_then(|Asked(required)| *required);
    let Some(caller) = request.extensions.get::<Caller>() else {
        return if required == Some(Permission::Knock) { Ok(None) } else { Err(stranger()) };
    };
    let required = required.ok_or_else(|| caller.may_not(format_args!("ask {}", shown(path.as_bytes()))))?;
    match verdict(caller.role, required) {
        // All that there is lies in one namespace, but for who one is.
        Verdict::Yes | Verdict::ForItsAttempts if !sees(caller, required) => Err(elsewhere(caller)),
        Verdict::Yes => count(door, caller, request),
        Verdict::ForItsAttempts if may_touch(api, caller, required, path).await? => count(door, caller, request),
        Verdict::ForItsAttempts => Err(caller.may_not("touch what none of its attempts needs")),
        Verdict::No => Err(denied(caller, required)),
    }
}

/// Begins to count what an upload brings against its principal's quota. A worker sends what its attempts make, for as long as it has one:
/// of a full run, whose checkpoints pass a day's quota within hours, the later ones would be lost, and the GPU waited with the result.
fn count(door: &Door, caller: &Caller, request: &Parts) -> Result<Option<Upload>, ApiError> {
    let (Door::Certificates(access), Some(id)) = (door, caller.principal) else { return Ok(None) };
    if request.method != Method::PUT || caller.worker.is_some() {
        return Ok(None);
    }
    let length = request.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    // Ours say it always.
    let length = length.ok_or_else(|| ApiError::invalid("an upload has to say its length: Content-Length"))?;
    let begun = access.begin_upload(Millis::now(), id, Bytes(length));
    begun.map(Some).map_err(|exceeded| ApiError::new(ErrorCode::Quota, exceeded))
}

/// Whether a worker's own attempts need what it asks. Of a call that is no blob's, the use case finds out: what it is about is not in the
/// head.
async fn may_touch(api: &Api, caller: &Caller, required: Permission, path: &str) -> Result<bool, ApiError> {
    let Some(worker) = caller.worker else { return Ok(false) };
    let Some(blob) = path.strip_prefix(BLOBS) else { return Ok(true) };
    let name = blob.split('/').next().unwrap_or_default();
    let Some(digest) = name.strip_prefix("sha256:").and_then(|hex| hex.parse::<Digest>().ok()) else {
        // Not as we write it. A route may read it all the same, as it reads what is escaped, so it is refused here.
        return Ok(false);
    };
    let look = move |core: &crate::core::Core| match required {
        Permission::Send => Ok(core.may_write_blob(worker)),
        _ => Ok(core.may_read_blob(worker, digest).map_err(crate::core::ReferenceError::from)?),
    };
    api.look(look).await
}

/// Whether what a caller asks lies where it sees it.
fn sees(caller: &Caller, required: Permission) -> bool {
    matches!(required, Permission::Knock | Permission::Own) || caller.sees(DEFAULT_NAMESPACE)
}

fn elsewhere(caller: &Caller) -> ApiError {
    let (name, namespace) = (&caller.name, &caller.namespace);
    ApiError::new(
        ErrorCode::Denied,
        format!("`{name}` sees the namespace `{namespace}`, and all that is here is in `{DEFAULT_NAMESPACE}`"),
    )
}

/// What a stranger is told, whatever it asked.
fn stranger() -> ApiError {
    ApiError::new(ErrorCode::Stranger, "whoever asks has to show a certificate")
        .with_hint("get one with a token: `vertigo login` on a laptop, `vertigo-worker join` on a Mac that is to work")
}

fn denied(caller: &Caller, required: Permission) -> ApiError {
    let error = caller.may_not(required.words());
    error.with_hint("an administrator gives another role with a new token: `vertigo token create --role`")
}
