//! The coordinator that is meant, from what is typed and what this person has logged in to.

use crate::cli::Global;
use crate::error::{CliError, Exit, Result};
use vertigo_access::contexts::Contexts;
use vertigo_client::chosen::{ChooseError, Chosen};
use vertigo_daemon::places;

/// Where this person's contexts are.
pub(crate) fn contexts() -> Result<Contexts> {
    places::contexts().map(Contexts::at).map_err(CliError::refused)
}

/// The coordinator that is meant.
pub(crate) fn choose(global: &Global, contexts: &Contexts) -> Result<Chosen> {
    let chosen = vertigo_client::chosen::choose(global.coordinator.as_ref(), global.context.as_ref(), contexts);
    chosen.map_err(|error| {
        let exit = match error {
            ChooseError::Unknown(_) => Exit::NotFound,
            ChooseError::Access(_) => Exit::Usage,
            _ => Exit::Refused,
        };
        CliError::new(exit, error.to_string())
    })
}
