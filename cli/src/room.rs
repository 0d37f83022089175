//! The Luau room, whose processes are this program again.

use crate::error::{CliError, Result};
use std::process::Command;
use vertigo_luau::child;
use vertigo_luau::sandbox::Sandbox;

/// Programs that run at the same time.
pub(crate) const AT_ONCE: usize = 2;

/// Opens it.
pub(crate) fn open() -> Result<Sandbox> {
    let told = |problem: String| CliError::refused(format!("cannot open the room for Luau: {problem}"));
    let mut command = Command::new(std::env::current_exe().map_err(|error| told(error.to_string()))?);
    command.arg(child::COMMAND);
    Sandbox::open(command, AT_ONCE).map_err(|error| told(error.to_string()))
}
