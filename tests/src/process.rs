//! A process of a fleet: its output kept for when the test fails, its life no longer than the test's.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` and waits for the first line that it writes on stdout, which it gives back.
    ///
    /// # Panics
    /// Where it ends without one; its log is printed.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> (Process, String) {
        let mut process = Process::spawn(name, command.stdout(Stdio::piped()), folder);
        let stdout = process.child.stdout.take().expect("stdout is a pipe");
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        lines.read_line(&mut line).expect("a pipe can be read");
        assert!(!line.is_empty(), "{name} ended at once:\n{}", process.log());
        // Whatever else it writes is taken, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        (process, line.trim().to_owned())
    }

    /// Starts `command` with stderr in `FOLDER/NAME.log`.
    pub fn spawn(name: &str, command: &mut Command, folder: &Path) -> Process {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("the test's folder can be written");
        let child = command.stdin(Stdio::null()).stderr(file).spawn();
        let child = child.unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Process { name: name.to_owned(), child, log }
    }

    /// What it has written on stderr.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal to the process, and to none of its children.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits until it has ended of itself.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// How it ended, where it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// After [`DEADLINE`](crate::waiting::DEADLINE).
    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(begun.elapsed() < crate::waiting::DEADLINE, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Reads its stdout, which must be a pipe, line by line until one is as `is_last` says, and gives all of them. Blocks.
    ///
    /// # Panics
    /// Where it ends before.
    pub fn lines_until(&mut self, mut is_last: impl FnMut(&str) -> bool) -> Vec<String> {
        let stdout = self.child.stdout.as_mut().expect("stdout is a pipe");
        let mut lines = Vec::new();
        for line in BufReader::new(stdout).lines() {
            lines.push(line.expect("text"));
            if is_last(&lines[lines.len() - 1]) {
                return lines;
            }
        }
        panic!("{} ended after:\n{}", self.name, lines.join("\n"));
    }

    /// Waits for its end and gives its stdout, which must be a pipe.
    pub fn output(mut self) -> (ExitStatus, String) {
        let mut text = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut text).expect("text");
        }
        (self.wait(), text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} wrote ---\n{}", self.name, self.log());
        }
    }
}
