//! How a daemon is, as its init says it.

use crate::daemon::{Name, Scope};
use crate::facts::Init;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// What the file says that a daemon was installed by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The program's file.
    pub program: Option<PathBuf>,
    /// As whom it runs.
    pub user: Option<String>,
    /// Its folder.
    pub state: Option<PathBuf>,
    /// The file of its log.
    pub log: Option<PathBuf>,
}

/// Whether a daemon runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Running {
    /// It does.
    Up {
        /// Its process.
        pid: u32,
    },
    /// It was started and has not said yet that it is ready.
    Starting,
    /// It does not.
    Down {
        /// How it ended, in the init's words, where it ever did.
        ended: Option<String>,
    },
}

/// How a daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Which.
    pub name: Name,
    /// What starts it.
    pub init: Init,
    /// Whose it is, and how it is; `None` where it is not installed.
    pub installed: Option<(Scope, Running)>,
    /// What its file says.
    pub written: Written,
}

impl Status {
    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        matches!(self.installed, Some((_, Running::Up { .. })))
    }

    /// Where what it says can be read.
    pub fn log(&self) -> String {
        match (self.init, &self.written.log, self.installed.as_ref().map(|(scope, _)| scope)) {
            (_, Some(file), _) => format!("tail -n 50 '{}'", file.display()),
            (Init::Systemd, None, Some(Scope::Person)) => format!("journalctl --user -u {} -n 50", self.name.word()),
            (_, None, _) => format!("journalctl -u {} -n 50", self.name.word()),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.word();
        let Some((scope, running)) = &self.installed else {
            return write!(f, "{name} is not installed: `{name} install` has it start with this machine");
        };
        match running {
            Running::Up { pid } => write!(f, "{name} runs (process {pid})")?,
            Running::Starting => write!(f, "{name} is starting")?,
            Running::Down { ended: None } => write!(f, "{name} is installed and does not run")?,
            Running::Down { ended: Some(ended) } => write!(f, "{name} is installed and does not run: {ended}")?,
        }
        let with = if *scope == Scope::Machine { "the machine" } else { "its person's session" };
        write!(f, "\nstarts with {with}")?;
        if let Some(user) = &self.written.user {
            write!(f, " as {user}")?;
        }
        if let Some(state) = &self.written.state {
            write!(f, "\nfolder: {}", state.display())?;
        }
        write!(f, "\nlog:    {}", self.log())
    }
}
