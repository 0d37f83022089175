//! What is done to a machine, behind a trait, so that tests see it and `--dry-run` says it.

use crate::facts::{Facts, Init, Person};
use crate::places::Os;
use crate::plan::shell;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{Uid, User, geteuid};
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Characters of what a command said that an error repeats.
const SAID_MAX: usize = 2_000;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Whether it succeeded.
    pub is_well: bool,
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub err: String,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its rights.
    pub mode: u32,
    /// Whose it is, where that has a name.
    pub owner: Option<String>,
}

/// A machine, seen by what can be asked of it and done to it.
pub trait Commands {
    /// Who asks, and on what.
    fn facts(&self) -> Facts;
    /// Somebody with an account.
    fn person(&self, name: &str) -> Option<Person>;
    /// Whether there is something at a path.
    fn is_there(&self, path: &Path) -> bool;
    /// Whether a path is a link, wherever that leads.
    fn is_link(&self, path: &Path) -> bool;
    /// The names of what is in a folder; none where there is no folder.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn names_in(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// What is at a path; `None` where nothing is, or nobody may look.
    fn found(&self, path: &Path) -> Option<Found>;
    /// How many files a program that is started here may open, and how many it may ask for.
    fn open_files(&self) -> Option<(u64, u64)>;
    /// A file's text; `None` where there is no file.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn read(&self, path: &Path) -> io::Result<Option<String>>;
    /// Writes a file whole or not at all, and makes the folders above it.
    ///
    /// # Errors
    /// The file's.
    fn write(&self, path: &Path, text: &str, mode: u32) -> io::Result<()>;
    /// Takes a file away, where it is there.
    ///
    /// # Errors
    /// The file's.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Runs a command to its end.
    ///
    /// # Errors
    /// It cannot be started.
    fn run(&self, command: &[String]) -> io::Result<Ran>;
    /// Waits.
    fn pause(&self, time: Duration);
}

/// The machine that this program runs on.
#[derive(Debug, Clone, Copy)]
pub struct ThisMachine;

impl Commands for ThisMachine {
    fn facts(&self) -> Facts {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let init = match Os::THIS {
            Os::MacOs => Some(Init::Launchd),
            Os::Linux => sd_notify::booted().unwrap_or(false).then_some(Init::Systemd),
        };
        Facts {
            os: Os::THIS,
            init,
            is_root: geteuid().is_root(),
            invoker: std::env::var("SUDO_USER").ok(),
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            xdg_state_home: path("XDG_STATE_HOME"),
            xdg_config_home: path("XDG_CONFIG_HOME"),
        }
    }

    fn person(&self, name: &str) -> Option<Person> {
        let found = User::from_name(name).ok().flatten()?;
        Some(Person { name: found.name, home: found.dir })
    }

    fn is_there(&self, path: &Path) -> bool {
        path.exists()
    }

    fn is_link(&self, path: &Path) -> bool {
        path.is_symlink()
    }

    fn names_in(&self, folder: &Path) -> io::Result<Vec<String>> {
        match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        }
    }

    fn found(&self, path: &Path) -> Option<Found> {
        let found = fs::metadata(path).ok()?;
        let owner = User::from_uid(Uid::from_raw(found.uid())).ok().flatten().map(|user| user.name);
        Some(Found { mode: found.permissions().mode() & 0o7777, owner })
    }

    fn open_files(&self) -> Option<(u64, u64)> {
        getrlimit(Resource::RLIMIT_NOFILE).ok()
    }

    fn read(&self, path: &Path) -> io::Result<Option<String>> {
        match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn write(&self, path: &Path, text: &str, mode: u32) -> io::Result<()> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path).map(|_| ()).map_err(|error| error.error)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn run(&self, command: &[String]) -> io::Result<Ran> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).env("LC_ALL", "C").output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ran { is_well: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) })
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A command that was refused, with what it said.
#[derive(Debug, thiserror::Error)]
#[error("`{}` failed: {said}", shell(command))]
pub struct Failed {
    /// The command.
    pub command: Vec<String>,
    /// What it said.
    pub said: String,
}

/// Runs a command that has to succeed.
///
/// # Errors
/// It did not.
pub fn must(machine: &dyn Commands, command: &[String]) -> Result<Ran, Failed> {
    let failed = |said: String| Failed { command: command.to_vec(), said };
    let ran = machine.run(command).map_err(|error| failed(error.to_string()))?;
    if ran.is_well {
        return Ok(ran);
    }
    let said = if ran.err.trim().is_empty() { ran.out } else { ran.err };
    Err(failed(said.trim().chars().take(SAID_MAX).collect()))
}
