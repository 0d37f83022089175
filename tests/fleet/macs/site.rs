//! Several machines on one: a network namespace each, with a switch between them.
//!
//! Promise: the namespaces go with the [`Site`]; those that a killed test left are taken away by the next one that makes a site.

use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use vertigo_tests::{Process, Ran, binary};

/// What namespaces of tests are called, before the process that made them and the machine's own name.
const PREFIX: &str = "vertigo";

/// Machines with a network between them.
pub(crate) struct Site {
    dir: TempDir,
    id: String,
    machines: Vec<&'static str>,
}

/// Runs `ip`, and says what it said where it failed.
fn ip(words: &[&str]) -> Result<(), String> {
    let output =
        Command::new("ip").args(words).stdin(Stdio::null()).output().map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim())),
    }
}

impl Site {
    /// Machines by name; the first has the switch, and the address 10.77.0.1, and so on. `Err` says why this system has none.
    pub(crate) fn build(machines: &[&'static str]) -> Result<Site, String> {
        if !cfg!(target_os = "linux") || !Uid::effective().is_root() {
            return Err("network namespaces are root's, and Linux's".to_owned());
        }
        sweep();
        let site = Site {
            dir: tempfile::tempdir().expect("a temporary folder"),
            id: format!("{PREFIX}-{}", std::process::id()),
            machines: machines.to_vec(),
        };
        for machine in machines {
            ip(&["netns", "add", &site.space(machine)])?;
            ip(&["-n", &site.space(machine), "link", "set", "lo", "up"])?;
            std::fs::create_dir(site.home(machine)).expect("the test's folder can be written");
        }
        let switch = site.space(machines[0]);
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &switch, "addr", "add", "10.77.0.1/24", "dev", "br0"])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        for (n, machine) in machines.iter().enumerate().skip(1) {
            let (space, port, address) = (site.space(machine), format!("to{n}"), format!("10.77.0.{}/24", n + 1));
            ip(&["link", "add", "eth0", "netns", &space, "type", "veth", "peer", "name", &port, "netns", &switch])?;
            ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
            ip(&["-n", &space, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &space, "link", "set", "eth0", "up"])?;
        }
        Ok(site)
    }

    fn space(&self, machine: &str) -> String {
        format!("{}-{machine}", self.id)
    }

    /// The home folder of whoever works on a machine.
    pub(crate) fn home(&self, machine: &str) -> PathBuf {
        self.dir.path().join(machine)
    }

    /// The folder of all of it.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Pulls a machine's cable, or puts it in again.
    pub(crate) fn cable(&self, machine: &str, state: &str) {
        ip(&["-n", &self.space(machine), "link", "set", "eth0", state]).unwrap();
    }

    /// A program of ours on a machine.
    pub(crate) fn command(&self, machine: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(machine)]).arg(binary(program));
        command.env("HOME", self.home(machine)).env_remove("VERTIGO_COORDINATOR").env_remove("VERTIGO_CONTEXT");
        command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT").current_dir(self.home(machine));
        command
    }

    /// Runs a program to its end, with `input` on its stdin.
    pub(crate) fn run(&self, machine: &str, program: &str, words: &[&str], input: &str) -> Ran {
        use std::io::Write;
        let mut command = self.command(machine, program);
        let mut child =
            command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that reads nothing has ended, and is told of below.
        let _ = child.stdin.take().expect("stdin is a pipe").write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    /// A command of the CLI on a machine that went well: its stdout.
    pub(crate) fn cli(&self, machine: &str, words: &[&str]) -> String {
        self.run(machine, "vertigo", words, "").ok()
    }

    /// Starts a program on a machine, and gives the first line that it wrote.
    pub(crate) fn start(&self, machine: &str, program: &str, words: &[&str]) -> (Process, String) {
        Process::start(&format!("{machine}-{program}"), self.command(machine, program).args(words), self.dir.path())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for machine in &self.machines {
            // One that was not made cannot be taken away.
            let _ = ip(&["netns", "del", &self.space(machine)]);
        }
    }
}

/// Takes away what tests left whose process is gone.
fn sweep() {
    let Ok(output) = Command::new("ip").args(["netns", "list"]).output() else { return };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let process =
            name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-')?.split('-').next()?.parse().ok());
        if process.is_some_and(|process| kill(Pid::from_raw(process), None).is_err()) {
            let _ = ip(&["netns", "del", name]);
        }
    }
}
