//! What the coordinator's port makes of a request: a stranger's knock, a worker's session, a feed, or a request like any other.

use super::{guard, http};
use axum::http::request::Parts;
use axum::response::Response;
use rustls::pki_types::CertificateDer;
use uuid::Uuid;
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::id::PrincipalId;
use vertigo::v1::{fleet_server, jobs_server};
use vertigo_access::leaf::Leaf;
use vertigo_port::{NotBegun, Peer, Rules, Work};

pub use vertigo_port::{DescriptorError, Limits};

/// The rules of the coordinator's port.
pub(crate) const RULES: Rules = Rules { known_as, work, refuse };

/// Whose a certificate is: a principal's id as a number. Whoever knows more of it looks it up.
fn known_as(certificate: &CertificateDer<'_>) -> Option<u128> {
    Leaf::of(certificate).map(|leaf| leaf.id.0.as_u128())
}

/// Who is at the other end of a connection, where it is a principal. It may be revoked.
pub(super) fn principal(peer: &Peer) -> Option<PrincipalId> {
    peer.known_as.map(|number| PrincipalId(Uuid::from_u128(number)))
}

/// What a request is, by who asks and by its path.
fn work(head: &Parts) -> Work {
    // Whoever shows no certificate over TLS may do nothing that lasts, whatever path it writes.
    if head.extensions.get::<Peer>().is_some_and(|peer| peer.is_tls && peer.certificate.is_none()) {
        return Work::Knock;
    }
    let path = head.uri.path();
    match path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) {
        Some((fleet_server::SERVICE_NAME, "Session")) => Work::Session,
        Some((jobs_server::SERVICE_NAME, "Watch" | "Logs")) => Work::Feed,
        _ if path == http::EVENTS => Work::Feed,
        _ => Work::Request,
    }
}

fn refuse(head: &Parts, error: NotBegun) -> Response {
    let code = match error {
        NotBegun::Closed => ErrorCode::Unavailable,
        NotBegun::Busy | NotBegun::Feeds => ErrorCode::Busy,
    };
    guard::refusal(guard::speaks_grpc(head.version, &head.headers), ApiError::new(code, error))
}
