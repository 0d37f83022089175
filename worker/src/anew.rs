//! Whether the program that lies where this one did can take its place.
//!
//! Promise: a worker that is told to start anew goes only for a program that runs on this machine. A package that was copied half-way, or for
//! another machine, or that lacks a library, costs no worker.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use vertigo_daemon::Name;

/// How long a program may take to say what it is: a machine looks at a new one for some seconds first.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether `program` runs, and is a worker.
///
/// # Errors
/// Why not.
pub async fn runs(program: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let said = tokio::time::timeout(PATIENCE, command.output()).await;
    let said = said.map_err(|_| "it does not say what it is".to_owned())?.map_err(|error| error.to_string())?;
    if said.status.success() && said.stdout.starts_with(Name::Worker.word().as_bytes()) {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&said.stderr);
    Err(format!("it ends with {}: {}", said.status, error.lines().next().unwrap_or("it is something else")))
}
