//! Installing, taking away, asking: what coordinator, worker and CLI call.
//!
//! Promise: what can be refused is refused before the first step; an error names the step that failed, and doing the same again goes on
//! from there.

use crate::daemon::{Asked, Daemon, Name, OWN_USER, Refused, Scope, describe, user};
use crate::facts::{Facts, Init};
use crate::machine::{Commands, Failed, must};
use crate::places::has_dot_folder;
use crate::plan::{self, Step};
use crate::state::{Running, Status, Written};
use crate::{launchd, systemd};
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two looks whether something is gone.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a daemon that was started is looked at until it runs.
const COMES_UP: Duration = Duration::from_secs(10);

/// Files that a daemon of ours has in its folder. A folder with files and none of these is somebody else's. A `lock` tells nothing: `/var`
/// has one, and so has many a program's folder.
pub const OWN_FILES: [&str; 3] = ["access/authority.pem", "vertigo.db", "worker-id"];

/// Why it is not installed, or not taken away.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It was refused before anything was done.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A command.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// launchd still knows it.
    #[error("{0} has not ended in time; look at it with `{1}`, then run the same again")]
    Lingers(&'static str, String),
    /// There is none.
    #[error("{0} is not installed on this machine")]
    NotInstalled(&'static str),
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The file that says so.
    pub file: PathBuf,
    /// Whether it took the place of another.
    pub replaced: bool,
    /// How the daemon is now.
    pub status: Status,
}

/// What was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uninstalled {
    /// The file that was.
    pub file: PathBuf,
    /// What stays: the daemon's folder and its log.
    pub stays: Vec<PathBuf>,
}

/// The daemon that is asked for, on this machine.
///
/// # Errors
/// As [`describe`].
pub fn daemon(asked: Asked, machine: &dyn Commands) -> Result<Daemon, Refused> {
    let facts = machine.facts();
    let user = user(asked.user.as_deref(), &facts)?;
    let person = user.as_deref().and_then(|name| machine.person(name));
    // The home of an account that is only daemons' is no person's home.
    let person = person.filter(|person| person.name != OWN_USER);
    describe(asked, &facts, person.as_ref(), has_dot_folder)
}

/// The folder of a person's own units.
fn own_units(facts: &Facts) -> PathBuf {
    let config = facts.xdg_config_home.clone().or_else(|| facts.home.as_ref().map(|home| home.join(".config")));
    config.unwrap_or_else(|| PathBuf::from("/etc/xdg")).join("systemd/user")
}

/// Refuses what cannot be installed on this machine. Whoever puts something into the daemon's folder before it is installed asks this first:
/// afterwards the folder looks like a daemon's own, whosever it was.
///
/// # Errors
/// It is refused, or the folder or the program cannot be looked at.
pub fn ready(daemon: &Daemon, machine: &dyn Commands) -> Result<Init, InstallError> {
    let facts = machine.facts();
    let init = facts.init.ok_or(Refused::NoInit(daemon.name.word()))?;
    let is_persons = daemon.scope() == Scope::Person;
    if (is_persons && init == Init::Launchd) || (!is_persons && !facts.is_root) {
        return Err(Refused::NotRoot.into());
    }
    if !machine.is_there(&daemon.program) {
        return Err(at(&daemon.program)(io::ErrorKind::NotFound.into()));
    }
    // What root does to a folder it would do to whatever the link leads to, or to the link alone.
    let mut folders = std::iter::once(&daemon.state).chain(&daemon.logs);
    if let Some(link) = folders.find(|folder| !is_persons && machine.is_link(folder)) {
        return Err(Refused::Link(link.clone()).into());
    }
    let names = machine.names_in(&daemon.state).map_err(at(&daemon.state))?;
    if !names.is_empty() && !OWN_FILES.iter().any(|name| machine.is_there(&daemon.state.join(name))) {
        return Err(Refused::NotOwn(daemon.state.clone()).into());
    }
    if let Some(missing) = daemon.writes.iter().find(|folder| !machine.is_there(folder)) {
        return Err(Refused::Missing(missing.clone()).into());
    }
    Ok(init)
}

/// Installs a daemon and starts it. One that is there already is replaced and started anew.
///
/// # Errors
/// It is refused, or a step fails.
pub fn install(daemon: &Daemon, machine: &dyn Commands) -> Result<Installed, InstallError> {
    let init = ready(daemon, machine)?;
    let own = own_units(&machine.facts());
    let file = plan::file(daemon.name, init, daemon.scope(), &own);
    let replaced = machine.is_there(&file);
    for step in plan::install(daemon, init, &own).map_err(at(&file))? {
        take(&step, daemon.name, machine)?;
    }
    let status = come_up(daemon.name, machine)?;
    Ok(Installed { file, replaced, status })
}

/// What [`install`] would write and run, as a person would do it by hand.
///
/// # Errors
/// As [`plan::install`].
pub fn dry_run(daemon: &Daemon, machine: &dyn Commands) -> Result<String, InstallError> {
    let facts = machine.facts();
    let steps = plan::install(daemon, facts.init_or_usual(), &own_units(&facts)).map_err(at(&daemon.state))?;
    let mut text = String::new();
    for step in steps {
        // A string takes all that is written.
        let _ = writeln!(text, "{}", step.to_string().trim_end());
    }
    Ok(text)
}

/// Ends a daemon and takes it away; its folder and its log stay.
///
/// # Errors
/// There is none, root has to ask, or a step fails.
pub fn uninstall(name: Name, exit_timeout: Duration, machine: &dyn Commands) -> Result<Uninstalled, InstallError> {
    let facts = machine.facts();
    let init = facts.init.ok_or(Refused::NoInit(name.word()))?;
    let own = own_units(&facts);
    let (scope, written) = found(name, init, &own, machine)?.ok_or(InstallError::NotInstalled(name.word()))?;
    if scope == Scope::Machine && !facts.is_root {
        return Err(Refused::NotRoot.into());
    }
    for step in plan::uninstall(name, init, scope, &own, exit_timeout) {
        take(&step, name, machine)?;
    }
    let stays = written.state.into_iter().chain(written.log).collect();
    Ok(Uninstalled { file: plan::file(name, init, scope, &own), stays })
}

/// How a daemon is.
///
/// # Errors
/// Its file is there and cannot be read.
pub fn status(name: Name, machine: &dyn Commands) -> Result<Status, InstallError> {
    let facts = machine.facts();
    let init = facts.init_or_usual();
    let Some((scope, written)) = found(name, init, &own_units(&facts), machine)? else {
        return Ok(Status { name, init, installed: None, written: Written::default() });
    };
    // What the init does not know does not run.
    let said = machine.run(&plan::asks(name, init, scope)).ok().filter(|ran| ran.is_well).map(|ran| ran.out);
    let said = said.unwrap_or_default();
    let running = if init == Init::Launchd { launchd::running(&said) } else { systemd::running(&said) };
    Ok(Status { name, init, installed: Some((scope, running)), written })
}

/// Whose daemon is installed, and what its file says: the machine's before a person's.
fn found(name: Name, init: Init, own: &Path, machine: &dyn Commands) -> Result<Option<(Scope, Written)>, InstallError> {
    let scopes: &[Scope] = if init == Init::Launchd { &[Scope::Machine] } else { &[Scope::Machine, Scope::Person] };
    for scope in scopes {
        let file = plan::file(name, init, *scope, own);
        if let Some(text) = machine.read(&file).map_err(at(&file))? {
            let written = if init == Init::Launchd { launchd::read(&text) } else { systemd::read(&text) };
            return Ok(Some((*scope, written)));
        }
    }
    Ok(None)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |error| InstallError::File { path, error }
}

/// Does one step.
fn take(step: &Step, name: Name, machine: &dyn Commands) -> Result<(), InstallError> {
    match step {
        Step::Write { path, text, mode } => machine.write(path, text, *mode).map_err(at(path)),
        Step::Remove(path) => machine.remove(path).map_err(at(path)),
        Step::Run(command) => Ok(must(machine, command).map(|_| ())?),
        Step::Try(command) => {
            if let Err(error) = must(machine, command) {
                tracing::debug!(%error, "nothing is lost");
            }
            Ok(())
        }
        Step::UntilGone { command, most } => {
            let until = Instant::now() + *most;
            while machine.run(command).is_ok_and(|ran| ran.is_well) {
                if Instant::now() >= until {
                    return Err(InstallError::Lingers(name.word(), plan::shell(command)));
                }
                machine.pause(PAUSE);
            }
            Ok(())
        }
    }
}

/// The daemon's state once it runs, or when it has had time to.
fn come_up(name: Name, machine: &dyn Commands) -> Result<Status, InstallError> {
    let until = Instant::now() + COMES_UP;
    loop {
        let status = status(name, machine)?;
        let waits = status.installed.as_ref().is_some_and(|(_, running)| !matches!(running, Running::Up { .. }));
        if !waits || Instant::now() >= until {
            return Ok(status);
        }
        machine.pause(PAUSE);
    }
}

#[cfg(test)]
mod tests;
