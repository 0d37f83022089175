//! What can be asked of the machine that a worker runs on.

use crate::facts::Facts;
use futures::future::BoxFuture;
use std::fmt::Debug;
use std::io;
use std::process::{Child, Stdio};
use vertigo_daemon::life::OWN_ENVIRONMENT;

/// The machine that a worker runs on.
pub trait Host: Debug + Send + Sync {
    /// What it is doing now. What it does not say within some seconds is not known.
    fn facts(&self) -> BoxFuture<'_, Facts>;

    /// Keeps it awake until the guard is dropped or this process has ended, however it ends. Its screen may sleep.
    ///
    /// # Errors
    /// Where the system's command for it cannot be started.
    fn stay_awake(&self, why: &str) -> io::Result<Awake>;

    /// When it began, where it says.
    fn boot(&self) -> BoxFuture<'_, Option<Boot>>;
}

/// One time that a machine was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Another each time.
    pub id: String,
    /// When, in seconds since 1970, by the machine's clock.
    pub at_seconds: u64,
}

/// While it is there, the machine does not sleep.
#[derive(Debug)]
pub struct Awake {
    /// `None` where there is nothing to keep awake.
    keeper: Option<Child>,
}

impl Awake {
    /// For a machine that does not sleep.
    pub fn needless() -> Awake {
        Awake { keeper: None }
    }

    /// By a command that keeps the machine awake for as long as it runs. It has to end when its stdin closes or this process does.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn by(command: &mut std::process::Command) -> io::Result<Awake> {
        // What an init put into ours: a keeper would be heard in our name.
        for own in OWN_ENVIRONMENT {
            command.env_remove(own);
        }
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Awake { keeper: Some(command.spawn()?) })
    }

    /// Whether the machine is kept awake: a command may have failed after it was started.
    pub fn holds(&mut self) -> bool {
        self.keeper.as_mut().is_none_or(|keeper| matches!(keeper.try_wait(), Ok(None)))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        // By its own means first: what it has started ends with its stdin.
        drop(keeper.stdin.take());
        // One that is gone already is what was wanted.
        let _ = keeper.kill().and_then(|()| keeper.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_keeper_lives_as_long_as_its_guard_and_one_that_fails_holds_nothing() {
        let mut awake = Awake::by(&mut Command::new("cat")).unwrap();
        assert!(awake.holds());
        let pid = awake.keeper.as_ref().unwrap().id();
        drop(awake);
        assert!(!Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status().unwrap().success());
        let mut failed = Awake::by(&mut Command::new("false")).unwrap();
        failed.keeper.as_mut().unwrap().wait().unwrap();
        assert!(!failed.holds());
        assert!(Awake::by(&mut Command::new("/no/such/program")).is_err());
        assert!(Awake::needless().holds());
    }
}
