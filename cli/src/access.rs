//! Which coordinator is meant, and who this person is there.
//!
//! `--coordinator` says an address; `--context` a name that `vertigo login` gave; without either it is the context in use, and where there is
//! none the coordinator of this machine, on loopback.

use crate::cli::Global;
use crate::error::{CliError, Exit, Result};
use vertigo::endpoint::Endpoint;
use vertigo::id::Millis;
use vertigo_access::contexts::{ContextName, Contexts, folder_in};
use vertigo_access::identity::Identity;
use vertigo_client::{Access, joining};

/// A coordinator that is meant.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// How it is reached.
    pub(crate) access: Access,
    /// Who this person is there, where certificates are asked for.
    who: Option<(ContextName, Identity)>,
}

/// Where this person's contexts are.
pub(crate) fn contexts() -> Result<Contexts> {
    let home =
        std::env::home_dir().ok_or_else(|| CliError::refused("there is no home folder, where contexts are kept"))?;
    Ok(Contexts::at(folder_in(&home)))
}

/// The coordinator that is meant.
pub(crate) fn choose(global: &Global, contexts: &Contexts) -> Result<Chosen> {
    let who = match (&global.coordinator, &global.context) {
        (Some(endpoint), _) if !endpoint.is_tls() => return plain(endpoint.clone()),
        (Some(endpoint), None) => contexts.find(endpoint).map_err(CliError::refused)?,
        (_, Some(name)) => {
            let identity = contexts.get(name).map_err(CliError::refused)?;
            let unknown = || {
                CliError::new(Exit::NotFound, format!("there is no context `{name}`"))
                    .hint("`vertigo context` lists them; `vertigo login` makes one")
            };
            Some((name.clone(), identity.ok_or_else(unknown)?))
        }
        (None, None) => match contexts.current().map_err(CliError::refused)? {
            Some(name) => contexts.get(&name).map_err(CliError::refused)?.map(|identity| (name, identity)),
            None => return plain(Endpoint::default()),
        },
    };
    let Some((name, identity)) = who else {
        return plain(global.coordinator.clone().unwrap_or_default());
    };
    let endpoint = global.coordinator.clone().unwrap_or_else(|| identity.coordinator.clone());
    let (config, _) = identity.tls().map_err(CliError::refused)?;
    let access = Access::new(endpoint, Some(config)).map_err(CliError::refused)?;
    Ok(Chosen { access, who: Some((name, identity)) })
}

fn plain(endpoint: Endpoint) -> Result<Chosen> {
    let access = Access::plain(endpoint).map_err(CliError::refused)?;
    Ok(Chosen { access, who: None })
}

impl Chosen {
    /// Asks for the next certificate where it is time to. That this fails is no failure of what a person asked for: it is tried at the next
    /// command again, and there is a third of a life left.
    pub(crate) async fn renew(&self, contexts: &Contexts) {
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
