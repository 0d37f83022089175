//! Bounds of what is asked about access.

use super::{ID_BYTES_MAX, text};
use vertigo::api_error::ApiError;
use vertigo::principal::PRINCIPAL_CHARS_MAX;
use vertigo::secret::SECRET_BYTES;
use vertigo::v1;
use vertigo_access::authority::REQUEST_BYTES_MAX;

/// The name of a role is one of four short words.
const ROLE_BYTES_MAX: usize = 16;

/// The name of a namespace.
const NAMESPACE_BYTES_MAX: usize = 63;

pub(in crate::api) fn join(request: &v1::JoinRequest) -> Result<(), ApiError> {
    let v1::JoinRequest { secret, request, name, worker_id, worker_secret, clock_ms: _, otherwise } = request;
    bytes("the token's secret", secret, SECRET_BYTES)?;
    bytes("the certificate request", request, REQUEST_BYTES_MAX)?;
    text("the name", name, PRINCIPAL_CHARS_MAX)?;
    text("the name", otherwise, PRINCIPAL_CHARS_MAX)?;
    text("the worker's id", worker_id, ID_BYTES_MAX)?;
    text("the worker's secret", worker_secret, 2 * SECRET_BYTES)
}

pub(in crate::api) fn renew(request: &v1::RenewRequest) -> Result<(), ApiError> {
    let v1::RenewRequest { request, clock_ms: _ } = request;
    bytes("the certificate request", request, REQUEST_BYTES_MAX)
}

pub(in crate::api) fn create_token(request: &v1::CreateTokenRequest) -> Result<(), ApiError> {
    let v1::CreateTokenRequest { role, ttl_ms: _, uses: _, name, namespace } = request;
    text("the role", role, ROLE_BYTES_MAX)?;
    text("the name", name, PRINCIPAL_CHARS_MAX)?;
    text("the namespace", namespace, NAMESPACE_BYTES_MAX)
}

pub(in crate::api) fn revoke_token(request: &v1::RevokeTokenRequest) -> Result<(), ApiError> {
    let v1::RevokeTokenRequest { id } = request;
    text("the token's id", id, ID_BYTES_MAX)
}

pub(in crate::api) fn revoke_principal(request: &v1::RevokePrincipalRequest) -> Result<(), ApiError> {
    let v1::RevokePrincipalRequest { name } = request;
    text("the name", name, PRINCIPAL_CHARS_MAX)
}

fn bytes(what: &str, bytes: &[u8], bytes_max: usize) -> Result<(), ApiError> {
    match bytes.len() {
        found if found > bytes_max => {
            Err(ApiError::invalid(format!("{what} has {found} bytes, and at most {bytes_max} are taken")))
        }
        _ => Ok(()),
    }
}
