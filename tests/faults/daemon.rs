//! A daemon and whoever starts it again, as launchd or systemd would.

use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vertigo_tests::Process;

/// How long after its end a daemon is started again that has ended of itself.
const RESPAWN: Duration = Duration::from_millis(500);

/// A daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    process: Option<Process>,
    /// When it is started, where it does not run.
    due: Instant,
}

impl Daemon {
    pub(crate) fn new(
        name: &str,
        program: PathBuf,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Daemon {
        Daemon { name: name.to_owned(), program, arguments, environment, process: None, due: Instant::now() }
    }

    pub(crate) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// `kill -9`; it is started again after `down`.
    pub(crate) fn kill(&mut self, down: Duration) {
        self.process = None;
        self.due = Instant::now() + down;
    }

    /// Starts it with another value of an option from here on. It is ended for that.
    pub(crate) fn is_told(&mut self, option: &str, value: &str) {
        if let Some(at) = self.arguments.iter().position(|argument| argument == option) {
            self.arguments[at + 1] = value.to_owned();
        }
        self.kill(Duration::ZERO);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Starts it where it is due. Where it has ended of itself, says how, with its last words.
    pub(crate) fn tend(&mut self, logs: &Path) -> Option<String> {
        if let Some(process) = &mut self.process {
            let status = process.ended()?;
            let log = process.log();
            let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let told = format!("{} ended by itself ({status}): {last}", self.name);
            self.kill(RESPAWN);
            return Some(told);
        }
        if self.due <= Instant::now() {
            let mut command = Command::new(&self.program);
            command.args(&self.arguments).env_remove("OTEL_EXPORTER_OTLP_ENDPOINT").current_dir(logs);
            command.envs(self.environment.iter().map(|(key, value)| (key, value))).stdout(Stdio::null());
            self.process = Some(Process::spawn(&self.name, &mut command, logs));
        }
        None
    }
}
