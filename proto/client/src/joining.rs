//! How a machine becomes somebody to a coordinator: for a token at first, and for the certificate that it has from then on.

use crate::access::{Access, AccessError};
use crate::tls::trouble;
use crate::traced;
use std::sync::Arc;
use tonic::Status;
use vertigo::api_error::ApiError;
use vertigo::endpoint::Endpoint;
use vertigo::id::Millis;
use vertigo::principal::{PrincipalName, PrincipalNameError, Role, RoleError};
use vertigo::secret::Installed;
use vertigo::v1;
use vertigo::v1::access_client::AccessClient;
use vertigo_access::identity::{Granted, Identity, IdentityError, Request};
use vertigo_access::life::Life;
use vertigo_access::tls::{HeldError, Joining};
use vertigo_access::token::Token;

/// Who joins.
#[derive(Debug, Clone, Default)]
pub struct Newcomer {
    /// What it is to be called, whatever the token says.
    pub name: Option<PrincipalName>,
    /// What it is to be called where the token says nothing.
    pub otherwise: Option<PrincipalName>,
    /// Of a worker: which it is.
    pub worker: Option<Installed>,
}

/// Why a machine did not join, or has no next certificate.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Nobody answered at any address of the token.
    #[error("no coordinator answers at {}: {problem}", addresses.iter().map(Endpoint::to_string).collect::<Vec<_>>().join(", "))]
    Unreachable {
        /// Where it was looked for.
        addresses: Vec<Endpoint>,
        /// What happened at the last of them.
        problem: String,
    },
    /// The token's time is over, by this machine's clock.
    #[error(
        "this token's time is over: make a new one with `vertigo token create`, or set this machine's clock where that is wrong"
    )]
    Ended,
    /// The coordinator's own words.
    #[error("{0}")]
    Refused(String),
    /// It answered with something else.
    #[error("the coordinator answered with what is no certificate: {0}; is it of another version?")]
    Answer(String),
    /// An address and TLS.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// TLS.
    #[error(transparent)]
    Held(#[from] HeldError),
    /// A key or certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl From<PrincipalNameError> for JoinError {
    fn from(error: PrincipalNameError) -> JoinError {
        JoinError::Answer(error.to_string())
    }
}

impl From<RoleError> for JoinError {
    fn from(error: RoleError) -> JoinError {
        JoinError::Answer(error.to_string())
    }
}

impl JoinError {
    /// Whether nobody answered, so that it may be tried again.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, JoinError::Unreachable { .. })
    }
}

/// Joins for a token, at the first of its addresses where its coordinator answers.
///
/// # Errors
/// Why not. The same token can be used again unless the coordinator says otherwise.
pub async fn join(token: &Token, newcomer: &Newcomer) -> Result<Identity, JoinError> {
    // Only to spare a person the refusal: the coordinator's clock decides, and says what is wrong with this one's.
    if token.ends.0.saturating_add(DAY_MS) < Millis::now().0 {
        return Err(JoinError::Ended);
    }
    let request = Request::new()?;
    let mut problem = Problem::default();
    for endpoint in &token.addresses {
        match join_at(endpoint, token, newcomer, &request).await {
            Err(At::Nobody(found)) => problem = problem.or(found),
            Err(At::Failed(error)) => return Err(error),
            Ok(identity) => return Ok(identity),
        }
    }
    Err(JoinError::Unreachable { addresses: token.addresses.clone(), problem: problem.words })
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What happened at an address.
enum At {
    /// Nobody who knows the token answered there; another address may do.
    Nobody(Problem),
    Failed(JoinError),
}

impl<E: Into<JoinError>> From<E> for At {
    fn from(error: E) -> At {
        At::Failed(error.into())
    }
}

async fn join_at(endpoint: &Endpoint, token: &Token, newcomer: &Newcomer, request: &Request) -> Result<Identity, At> {
    let joining = Joining::new(token.anchor);
    let access = Access::new(endpoint.clone(), Some(Arc::new(joining.config()?)))?;
    let mut client = AccessClient::new(access.channel());
    let text = |name: &Option<PrincipalName>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    let asked = v1::JoinRequest {
        secret: token.secret.to_bytes(),
        request: request.der.clone(),
        name: text(&newcomer.name),
        otherwise: text(&newcomer.otherwise),
        worker_id: newcomer.worker.map(|worker| worker.id.to_string()).unwrap_or_default(),
        worker_secret: newcomer.worker.map(|worker| worker.secret.to_string()).unwrap_or_default(),
        clock_ms: Millis::now().0,
    };
    let certificate = client.join(traced(asked)).await.map_err(|status| failed(&status))?.into_inner();
    let anchor = joining.met().ok_or_else(|| JoinError::Answer("it has shown none".to_owned()))?;
    Ok(Identity::new(request, granted(certificate)?, endpoint.clone(), anchor)?)
}

/// The coordinator's own answer, or what there was instead of one.
fn failed(status: &Status) -> At {
    match ApiError::of(status) {
        Some(error) => At::Failed(JoinError::Refused(error.to_string())),
        None => At::Nobody(Problem::of(status)),
    }
}

/// Why there was no answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Problem {
    words: String,
    /// Whether somebody was there, with whom TLS did not work out.
    is_of_tls: bool,
}

impl Problem {
    fn of(status: &Status) -> Problem {
        match trouble(status) {
            Some(words) => Problem { words, is_of_tls: true },
            None => Problem { words: status.message().to_owned(), is_of_tls: false },
        }
    }

    /// What is told of two addresses: that a certificate or a clock is wrong goes before that nobody is at the other one.
    fn or(self, next: Problem) -> Problem {
        if self.is_of_tls { self } else { next }
    }
}

/// What was granted, its life by this machine's clock.
fn granted(certificate: v1::Certificate) -> Result<Granted, JoinError> {
    let v1::Certificate { chain, principal, ends_ms, clock_ms } = certificate;
    let principal = principal.ok_or_else(|| JoinError::Answer("it says of nobody whose it is".to_owned()))?;
    let (now, left) = (Millis::now(), ends_ms.saturating_sub(clock_ms));
    Ok(Granted {
        chain,
        principal: PrincipalName::of_certificate(&principal.name)?,
        role: principal.role.parse::<Role>()?,
        life: Life { made: now, ends: Millis(now.0.saturating_add(left)) },
    })
}

/// The same machine's next certificate, for the one that `access` shows.
///
/// # Errors
/// Why not.
pub async fn renew(access: &Access, identity: &Identity) -> Result<Identity, JoinError> {
    let request = Request::new()?;
    let asked = v1::RenewRequest { request: request.der.clone(), clock_ms: Millis::now().0 };
    let answer = AccessClient::new(access.channel()).renew(traced(asked)).await;
    let certificate = answer.map_err(|status| match ApiError::of(&status) {
        Some(error) => JoinError::Refused(error.to_string()),
        None => {
            JoinError::Unreachable { addresses: vec![access.endpoint().clone()], problem: Problem::of(&status).words }
        }
    })?;
    Ok(identity.renewed(&request, granted(certificate.into_inner())?)?)
}
