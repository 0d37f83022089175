//! `install`, `uninstall` and `status` as coordinator and worker have them: what is asked, and what is said of it.
//!
//! Promise: prints nothing; whoever calls it has text for people.

use crate::daemon::{Asked, Daemon, Name};
use crate::installation::{InstallError, daemon, dry_run, install, status, uninstall};
use crate::machine::{Commands, ThisMachine};
use nix::sys::stat::{Mode, umask};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What of the environment of who installs a daemon is its, too. Never what may be a secret: everybody may read it.
const HANDED_ON: [&str; 2] = ["RUST_LOG", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Folders whose programs stay where they are while what they point to comes and goes with versions.
const STABLE: [&str; 4] =
    ["/opt/homebrew/bin", "/usr/local/bin", "/opt/homebrew/opt/vertigo/libexec", "/usr/local/opt/vertigo/libexec"];

/// Options that are of the installation, and none of the daemon's own: they are not handed on as they were typed.
pub const OF_INSTALLATION: [&str; 3] = ["user", "dry_run", "state"];

/// What `install` is told beside the daemon's own options.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct InstallArgs {
    /// The account that it runs as [default: on a Mac who calls sudo, on Linux `vertigo`, which is made; without root yours]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Print the files and commands, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What a binary knows of its daemon.
#[derive(Debug)]
pub struct Wanted {
    /// Which.
    pub name: Name,
    /// The daemon's options as they were given, without [`OF_INSTALLATION`].
    pub arguments: Vec<String>,
    /// `--state`.
    pub state: Option<PathBuf>,
    /// Other folders that it writes to.
    pub writes: Vec<PathBuf>,
    /// How long it may take to end.
    pub exit_timeout: Duration,
}

/// The daemon that is wanted of this machine: what `install` would install. Folders that this process makes from then on can be passed
/// through by the user that it runs as.
///
/// # Errors
/// It is refused, or this program cannot say where it is.
pub fn wanted(wanted: Wanted, args: &InstallArgs, machine: &dyn Commands) -> Result<Daemon, InstallError> {
    let here = |error| InstallError::File { path: wanted.name.word().into(), error };
    let program = std::env::current_exe().map_err(here)?;
    let environment = HANDED_ON.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    let asked = Asked {
        name: wanted.name,
        program: stable(&program),
        arguments: wanted.arguments,
        environment: environment.collect::<BTreeMap<_, _>>(),
        user: args.user.clone(),
        state: wanted.state.map(std::path::absolute).transpose().map_err(here)?,
        writes: wanted.writes,
        exit_timeout: wanted.exit_timeout,
    };
    let daemon = daemon(asked, machine)?;
    if daemon.user.is_some() {
        // What is made above the daemon's folder is there for its user to pass through, and for nobody else to write to, whatever root
        // has set for files of its own.
        umask(Mode::S_IWGRP | Mode::S_IWOTH);
    }
    Ok(daemon)
}

/// The path at which the next version of a program will be, too: Homebrew links to where a version lies.
fn stable(program: &Path) -> PathBuf {
    let same = |path: &PathBuf| is_same(path, program).unwrap_or(false);
    let named = |folder| Some(Path::new(folder).join(program.file_name()?));
    STABLE.into_iter().filter_map(named).find(same).unwrap_or_else(|| program.to_owned())
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(one.canonicalize()? == other.canonicalize()?)
}

/// Installs, or says what would be done, and says what is now.
///
/// # Errors
/// As [`install`].
pub fn installed(daemon: &Daemon, args: &InstallArgs) -> Result<String, InstallError> {
    if args.dry_run {
        return dry_run(daemon, &ThisMachine);
    }
    let installed = install(daemon, &ThisMachine)?;
    let what = if installed.replaced { "installed anew" } else { "installed" };
    Ok(format!("{what}: {}\n{}", installed.file.display(), installed.status))
}

/// Takes away, and says what stays.
///
/// # Errors
/// As [`uninstall`].
pub fn uninstalled(name: Name, exit_timeout: Duration) -> Result<String, InstallError> {
    let gone = uninstall(name, exit_timeout, &ThisMachine)?;
    let mut text = format!("gone: {}", gone.file.display());
    for path in gone.stays {
        // A string takes all that is written.
        let _ = write!(text, "\nstays: {}", path.display());
    }
    Ok(text)
}

/// Says how a daemon is, and whether it runs.
///
/// # Errors
/// As [`status`].
pub fn said(name: Name) -> Result<(String, bool), InstallError> {
    let status = status(name, &ThisMachine)?;
    Ok((status.to_string(), status.is_up()))
}
