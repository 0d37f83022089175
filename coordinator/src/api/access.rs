//! Who may speak to this coordinator: joining, and what an administrator makes of it.

use super::{Api, Caller, bounds};
use crate::access::registry::{Denied, KeptToken, NewToken, Principal};
use crate::access::{Access, AccessError, Asks, Granted};
use std::net::IpAddr;
use std::time::Duration;
use tokio::task::spawn_blocking;
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::id::{Millis, TokenId};
use vertigo::principal::{PrincipalName, Role};
use vertigo::secret::{Installed, Secret};
use vertigo::v1;

impl Api {
    /// A certificate for whoever holds a token. It needs no caller.
    ///
    /// # Errors
    /// Why not; that a token opens nothing is said in one way, whatever the reason.
    pub(crate) async fn join(&self, from: IpAddr, request: v1::JoinRequest) -> Result<v1::Certificate, ApiError> {
        bounds::join(&request)?;
        let asks = Asks {
            secret: Secret::try_from(&request.secret[..]).map_err(|_| ApiError::from(Denied::Token))?,
            request: request.request,
            name: named(&request.name)?,
            otherwise: named(&request.otherwise)?,
            worker: installed(&request.worker_id, &request.worker_secret)?,
            clock: Millis(request.clock_ms),
        };
        let granted = self.ask_access(move |access| access.join(Millis::now(), from, &asks)).await?;
        Ok(certificate(granted))
    }

    /// The caller's next certificate.
    ///
    /// # Errors
    /// It has none now.
    pub(crate) async fn renew(&self, caller: &Caller, request: v1::RenewRequest) -> Result<v1::Certificate, ApiError> {
        bounds::renew(&request)?;
        let id = caller.principal.ok_or_else(|| {
            ApiError::conflict("who speaks from the coordinator's own machine without a certificate has none to renew")
        })?;
        let renew = move |access: &Access| access.renew(Millis::now(), id, &request.request, Millis(request.clock_ms));
        Ok(certificate(self.ask_access(renew).await?))
    }

    /// Who the caller is.
    ///
    /// # Errors
    /// It was revoked in this moment.
    pub(crate) async fn who_am_i(&self, caller: &Caller) -> Result<v1::Principal, ApiError> {
        match caller.principal {
            Some(id) => Ok(principal(&self.ask_access(move |access| Ok(access.principal(id)?)).await?)),
            None => Ok(v1::Principal {
                name: caller.name.to_string(),
                role: caller.role.to_string(),
                namespace: caller.namespace.clone(),
                ..Default::default()
            }),
        }
    }

    /// Makes a token.
    ///
    /// # Errors
    /// A role, a time or a number that there is not.
    pub(crate) async fn create_token(
        &self,
        caller: &Caller,
        request: v1::CreateTokenRequest,
    ) -> Result<v1::CreatedToken, ApiError> {
        bounds::create_token(&request)?;
        let new = NewToken {
            role: request.role.parse::<Role>().map_err(ApiError::invalid)?,
            ttl: Duration::from_millis(request.ttl_ms),
            uses: request.uses.max(1),
            name: named(&request.name)?,
            namespace: Some(request.namespace).filter(|it| !it.is_empty()).unwrap_or_else(|| caller.namespace.clone()),
            made_by: caller.name.clone(),
        };
        let (kept, line) = self.ask_access(move |access| access.create_token(Millis::now(), new)).await?;
        tracing::info!(token = %kept.id, role = %kept.role, by = %caller.name, "made a token");
        Ok(v1::CreatedToken { token: Some(token(&kept)), line })
    }

    /// Tokens that can be used.
    ///
    /// # Errors
    /// The coordinator has no access to give.
    pub(crate) async fn tokens(&self) -> Result<v1::ListTokensResponse, ApiError> {
        let tokens = self.ask_access(|access| Ok(access.tokens(Millis::now()))).await?;
        Ok(v1::ListTokensResponse { tokens: tokens.iter().map(token).collect() })
    }

    /// Ends a token.
    ///
    /// # Errors
    /// There is none of that id.
    pub(crate) async fn revoke_token(
        &self,
        caller: &Caller,
        request: v1::RevokeTokenRequest,
    ) -> Result<v1::Token, ApiError> {
        bounds::revoke_token(&request)?;
        let id: TokenId = request.id.parse().map_err(ApiError::invalid)?;
        let gone = self.ask_access(move |access| access.revoke_token(Millis::now(), id)).await?;
        tracing::info!(token = %gone.id, by = %caller.name, "revoked a token");
        Ok(token(&gone))
    }

    /// All that ever joined.
    ///
    /// # Errors
    /// The coordinator has no access to give.
    pub(crate) async fn principals(&self) -> Result<v1::ListPrincipalsResponse, ApiError> {
        let principals = self.ask_access(|access| Ok(access.principals())).await?;
        Ok(v1::ListPrincipalsResponse { principals: principals.iter().map(principal).collect() })
    }

    /// Ends a principal, its certificates and its connections.
    ///
    /// # Errors
    /// Nobody is called so.
    pub(crate) async fn revoke_principal(
        &self,
        caller: &Caller,
        request: v1::RevokePrincipalRequest,
    ) -> Result<v1::Principal, ApiError> {
        bounds::revoke_principal(&request)?;
        let name: PrincipalName = request.name.parse().map_err(ApiError::invalid)?;
        let gone = self.ask_access(move |access| access.revoke(Millis::now(), &name)).await?;
        tracing::info!(principal = %gone.name, by = %caller.name, "revoked");
        Ok(principal(&gone))
    }

    /// Asks what writes files, beside the threads that hear heartbeats.
    async fn ask_access<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Access) -> Result<T, AccessError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let Some(access) = self.access.clone() else {
            let alone = ApiError::conflict("this coordinator speaks on its own machine only, without certificates");
            return Err(alone.with_hint("start it with --listen ADDRESS:PORT of an address that other machines reach"));
        };
        Ok(spawn_blocking(move || ask(&access)).await.map_err(super::error::broken)??)
    }
}

fn named(text: &str) -> Result<Option<PrincipalName>, ApiError> {
    let name = Some(text).filter(|text| !text.is_empty());
    name.map(PrincipalName::of_certificate).transpose().map_err(ApiError::invalid)
}

fn installed(id: &str, secret: &str) -> Result<Option<Installed>, ApiError> {
    if id.is_empty() {
        return Ok(None);
    }
    let secret = secret.parse().map_err(|_| ApiError::invalid("a worker that joins has to prove which it is"))?;
    Ok(Some(Installed { id: id.parse().map_err(ApiError::invalid)?, secret }))
}

fn certificate(granted: Granted) -> v1::Certificate {
    v1::Certificate {
        ends_ms: granted.ends.0,
        chain: granted.chain,
        principal: Some(principal(&granted.principal)),
        clock_ms: Millis::now().0,
    }
}

fn principal(it: &Principal) -> v1::Principal {
    v1::Principal {
        name: it.name.to_string(),
        role: it.role.to_string(),
        joined_ms: it.joined.0,
        revoked_ms: it.revoked.map_or(0, |at| at.0),
        ends_ms: it.ends.0,
        worker_id: it.worker.map(|id| id.to_string()).unwrap_or_default(),
        namespace: it.namespace.clone(),
    }
}

fn token(it: &KeptToken) -> v1::Token {
    v1::Token {
        id: it.id.to_string(),
        role: it.role.to_string(),
        created_ms: it.created.0,
        ends_ms: it.ends.0,
        uses_left: it.uses_left,
        name: it.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        made_by: it.made_by.to_string(),
        namespace: it.namespace.clone(),
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> ApiError {
        let code = match denied {
            Denied::Token | Denied::Role { .. } => ErrorCode::Denied,
            Denied::Unknown | Denied::Revoked(_) => ErrorCode::Stranger,
            Denied::NameTaken(_) | Denied::OtherInstallation | Denied::Full(..) => ErrorCode::Conflict,
            Denied::NoToken(_) | Denied::NoPrincipal(_) => ErrorCode::NotFound,
            Denied::Name(_) | Denied::NoName | Denied::Ttl | Denied::Uses => ErrorCode::Invalid,
        };
        let error = ApiError::new(code, &denied);
        match denied {
            Denied::Token => error.with_hint("an administrator makes a new one with `vertigo token create`"),
            Denied::NameTaken(_) => {
                error.with_hint("choose another with --name, or have the first one revoked: `vertigo revoke`")
            }
            Denied::NoToken(_) => error.with_hint("`vertigo token list` lists those that can be used"),
            Denied::NoPrincipal(_) => error.with_hint("`vertigo principals` lists them"),
            Denied::Revoked(_) | Denied::Unknown => error.with_hint("join again with a new token"),
            _ => error,
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> ApiError {
        use vertigo_access::authority::AuthorityError;
        match error {
            AccessError::Denied(denied) => denied.into(),
            AccessError::TooMany(too_many) => ApiError::new(ErrorCode::Busy, too_many),
            AccessError::Skew(skew) => ApiError::new(ErrorCode::Conflict, skew),
            AccessError::Authority(AuthorityError::Request) => ApiError::invalid(AuthorityError::Request),
            error => {
                tracing::error!(%error, "access");
                ApiError::internal(error)
            }
        }
    }
}
