//! Which coordinator a person means, and who that person is there.
//!
//! An address says it, or the name of a context that `vertigo login` gave; without either it is the context in use, and where there is none the
//! coordinator of this machine, on loopback.

use crate::access::{Access, AccessError};
use crate::joining;
use vertigo::endpoint::Endpoint;
use vertigo::files::FileError;
use vertigo::id::Millis;
use vertigo_access::contexts::{ContextName, Contexts};
use vertigo_access::identity::{Identity, IdentityError};

/// Why no coordinator is meant.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// There is no context of that name.
    #[error("there is no context `{0}`: `vertigo context` lists them, and `vertigo login` makes one")]
    Unknown(ContextName),
    /// A context's file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The folder of contexts.
    #[error(transparent)]
    File(#[from] FileError),
    /// An address and certificates that do not go together.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// A coordinator that is meant.
#[derive(Debug)]
pub struct Chosen {
    /// How it is reached.
    pub access: Access,
    /// Who this person is there, where certificates are asked for.
    who: Option<(ContextName, Identity)>,
}

/// The coordinator that is meant by an address, by a name, or by neither.
///
/// # Errors
/// What is meant is not there, or is damaged.
pub fn choose(
    endpoint: Option<&Endpoint>,
    name: Option<&ContextName>,
    contexts: &Contexts,
) -> Result<Chosen, ChooseError> {
    let who = match (endpoint, name) {
        (Some(endpoint), _) if !endpoint.is_tls() => None,
        (_, Some(name)) => {
            let identity = contexts.get(name)?.ok_or_else(|| ChooseError::Unknown(name.clone()))?;
            Some((name.clone(), identity))
        }
        (Some(endpoint), None) => contexts.find(endpoint)?,
        (None, None) => match contexts.current()? {
            Some(name) => contexts.get(&name)?.map(|identity| (name, identity)),
            None => None,
        },
    };
    let Some((name, identity)) = who else {
        let access = Access::plain(endpoint.cloned().unwrap_or_default())?;
        return Ok(Chosen { access, who: None });
    };
    let endpoint = endpoint.unwrap_or(&identity.coordinator).clone();
    let (config, _) = identity.tls()?;
    Ok(Chosen { access: Access::new(endpoint, Some(config))?, who: Some((name, identity)) })
}

impl Chosen {
    /// Asks for the next certificate where it is time to, and keeps it. That this fails is no failure of what a person asked for: it is
    /// tried the next time, and there is a third of a life left.
    pub async fn renew(&self, contexts: &Contexts) {
        let Some((name, identity)) = &self.who else { return };
        if !identity.life.until_renewal(Millis::now()).is_zero() {
            return;
        }
        match joining::renew(&self.access, identity).await {
            Ok(renewed) => {
                if let Err(error) = contexts.keep(name, &renewed) {
                    tracing::error!(%error, "the next certificate cannot be kept");
                }
            }
            Err(error) => tracing::warn!(%error, "the next certificate did not come"),
        }
    }
}

#[cfg(test)]
mod tests;
