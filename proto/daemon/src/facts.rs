//! What a machine says of itself before anything is done to it.

use crate::places::Os;
use std::path::PathBuf;

/// What starts programs with the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// macOS.
    Launchd,
    /// Most Linux systems.
    Systemd,
}

/// Who asks, and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The system.
    pub os: Os,
    /// What starts programs here; `None` on a Linux without systemd, such as in a container.
    pub init: Option<Init>,
    /// Whether root asks.
    pub is_root: bool,
    /// Who became root to ask: `SUDO_USER`.
    pub invoker: Option<String>,
    /// The home of who asks.
    pub home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
}

impl Facts {
    /// What a program is described for where nothing here starts any: the system's usual one.
    pub fn init_or_usual(&self) -> Init {
        self.init.unwrap_or(match self.os {
            Os::MacOs => Init::Launchd,
            Os::Linux => Init::Systemd,
        })
    }
}

/// Somebody with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Its name.
    pub name: String,
    /// Its home.
    pub home: PathBuf,
    /// Its number.
    pub uid: u32,
    /// Its own group's.
    pub gid: u32,
}
