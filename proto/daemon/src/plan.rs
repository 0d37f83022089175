//! Which files and commands put a daemon there, and which take it away.
//!
//! Promise: pure. The order is safe to be cut off anywhere and begun again; the daemon's folder and logs are never taken away.

use crate::daemon::{Daemon, Name, OWN_USER, Scope};
use crate::facts::Init;
use crate::{launchd, systemd};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The mode of files that an init reads.
const FILE_MODE: u32 = 0o644;

/// How much longer than a daemon's own time to end launchd may take to forget it.
const FORGETS: Duration = Duration::from_secs(15);

/// One thing that is done to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A file is written, and the folders above it are made.
    Write {
        /// Where.
        path: PathBuf,
        /// What.
        text: String,
        /// With which rights.
        mode: u32,
    },
    /// A file is taken away, where it is there.
    Remove(PathBuf),
    /// A command is run and has to succeed.
    Run(Vec<String>),
    /// A command is run, and nothing is lost where it fails.
    Try(Vec<String>),
    /// A command is run until it fails: what it asks for is gone then.
    UntilGone {
        /// The command.
        command: Vec<String>,
        /// For how long at most.
        most: Duration,
    },
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn run(command: &[&str]) -> Step {
    Step::Run(words(command))
}

/// `systemctl` for the units of `scope`.
fn systemctl(scope: Scope, rest: &[&str]) -> Vec<String> {
    let user: &[&str] = if scope == Scope::Person { &["--user"] } else { &[] };
    words(&[&["systemctl"], user, rest].concat())
}

/// The command that says how a daemon is.
pub fn asks(name: Name, init: Init, scope: Scope) -> Vec<String> {
    match init {
        Init::Launchd => words(&["launchctl", "print", &launchd::target(name)]),
        Init::Systemd => systemctl(scope, &["show", "-p", systemd::SHOWN, &systemd::unit_name(name)]),
    }
}

/// The command that starts a daemon that is installed, anew where it runs.
pub fn restarts(name: Name, init: Init, scope: Scope) -> Vec<String> {
    match init {
        Init::Launchd => words(&["launchctl", "kickstart", "-k", &launchd::target(name)]),
        Init::Systemd => systemctl(scope, &["restart", &systemd::unit_name(name)]),
    }
}

/// The daemon's file. `own_units` is the folder of a person's own units.
pub fn file(name: Name, init: Init, scope: Scope, own_units: &Path) -> PathBuf {
    match init {
        Init::Launchd => launchd::path(name),
        Init::Systemd => systemd::path(name, scope, own_units),
    }
}

/// What puts a daemon there and starts it; where there is one already, it takes its place.
///
/// # Errors
/// As [`launchd::plist`].
pub fn install(daemon: &Daemon, init: Init, own_units: &Path) -> io::Result<Vec<Step>> {
    let scope = daemon.scope();
    let mut steps = Vec::new();
    let write = |path: PathBuf, text: String| Step::Write { path, text, mode: FILE_MODE };
    if init == Init::Systemd && daemon.user.as_deref() == Some(OWN_USER) {
        steps.push(write(systemd::ACCOUNTS.into(), systemd::account()));
        steps.push(run(&["systemd-sysusers", systemd::ACCOUNTS]));
    }
    for folder in std::iter::once(&daemon.state).chain(&daemon.logs) {
        let folder = folder.display().to_string();
        let Some(user) = &daemon.user else {
            steps.push(run(&["install", "-d", "-m", "0700", &folder]));
            continue;
        };
        steps.push(run(&["install", "-d", "-m", "0700", "-o", user, &folder]));
        // What root wrote there before, such as a certificate, is the daemon's.
        steps.push(run(&["chown", "-R", "-P", "-h", user, &folder]));
    }
    let path = file(daemon.name, init, scope, own_units);
    match init {
        Init::Launchd => {
            let target = launchd::target(daemon.name);
            if let Some(text) = launchd::rotation(daemon) {
                steps.push(write(launchd::rotation_path(daemon.name), text));
            }
            steps.extend(forgotten(daemon.name, daemon.exit_timeout));
            steps.push(write(path.clone(), launchd::plist(daemon)?));
            steps.push(run(&["launchctl", "enable", &target]));
            steps.push(run(&["launchctl", "bootstrap", "system", &path.display().to_string()]));
            steps.push(run(&["launchctl", "kickstart", &target]));
        }
        Init::Systemd => {
            let unit = systemd::unit_name(daemon.name);
            steps.push(write(path, systemd::unit(daemon)));
            steps.push(Step::Run(systemctl(scope, &["daemon-reload"])));
            steps.push(Step::Run(systemctl(scope, &["enable", &unit])));
            if scope == Scope::Person {
                // Without it a person's units start when they log in, and end when they leave.
                steps.push(Step::Try(words(&["loginctl", "enable-linger"])));
            }
            steps.push(Step::Run(systemctl(scope, &["restart", &unit])));
        }
    }
    Ok(steps)
}

/// What ends launchd's knowledge of a daemon. It answers before the daemon has ended, and until then takes no other of its name.
fn forgotten(name: Name, exit_timeout: Duration) -> [Step; 2] {
    let target = launchd::target(name);
    let gone = Step::UntilGone { command: asks(name, Init::Launchd, Scope::Machine), most: exit_timeout + FORGETS };
    [Step::Try(words(&["launchctl", "bootout", &target])), gone]
}

/// What takes a daemon away. Its folder, its logs and its account stay.
pub fn uninstall(name: Name, init: Init, scope: Scope, own_units: &Path, exit_timeout: Duration) -> Vec<Step> {
    let path = file(name, init, scope, own_units);
    match init {
        Init::Launchd => {
            let [out, gone] = forgotten(name, exit_timeout);
            vec![out, gone, Step::Remove(path), Step::Remove(launchd::rotation_path(name))]
        }
        Init::Systemd => vec![
            Step::Run(systemctl(scope, &["disable", "--now", &systemd::unit_name(name)])),
            Step::Remove(path),
            Step::Run(systemctl(scope, &["daemon-reload"])),
        ],
    }
}

/// A command as a shell takes it.
pub fn shell(command: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@+".contains(c);
    let word = |word: &String| {
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// As a person would do it by hand.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Write { path, text, mode } => {
                writeln!(f, "# {} ({mode:04o}):", path.display())?;
                text.lines().try_for_each(|line| writeln!(f, "{}", format!("    {line}").trim_end()))
            }
            Step::Remove(path) => writeln!(f, "{}", shell(&words(&["rm", "-f", &path.display().to_string()]))),
            Step::Run(command) => writeln!(f, "{}", shell(command)),
            Step::Try(command) => writeln!(f, "{} || true", shell(command)),
            Step::UntilGone { command, most } => {
                writeln!(
                    f,
                    "while {} >/dev/null 2>&1; do sleep 1; done   # for {} s at most",
                    shell(command),
                    most.as_secs()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::{persons, usual};
    use crate::places::Os;

    fn said(steps: &[Step]) -> String {
        let is_text = |step: &&Step| !matches!(step, Step::Write { .. });
        let written = steps.iter().filter_map(|step| match step {
            Step::Write { path, mode, .. } => Some(format!("write {mode:o} {}\n", path.display())),
            _ => None,
        });
        written.chain(steps.iter().filter(is_text).map(Step::to_string)).collect()
    }

    #[test]
    fn what_is_done_is_this() {
        let own = Path::new("/home/me/.config/systemd/user");
        for (what, daemon, init) in [
            ("launchd", usual(Name::Worker, Os::MacOs), Init::Launchd),
            ("systemd", usual(Name::Coordinator, Os::Linux), Init::Systemd),
            ("systemd-user", persons(Name::Worker), Init::Systemd),
        ] {
            insta::assert_snapshot!(format!("install-{what}"), said(&install(&daemon, init, own).unwrap()));
            let away = uninstall(daemon.name, init, daemon.scope(), own, daemon.exit_timeout);
            insta::assert_snapshot!(format!("uninstall-{what}"), said(&away));
        }
    }

    #[test]
    fn the_daemons_folders_are_made_before_it_is_started_and_never_taken_away() {
        for (daemon, init) in [(usual(Name::Worker, Os::MacOs), Init::Launchd), (persons(Name::Worker), Init::Systemd)]
        {
            let steps = install(&daemon, init, Path::new("/u")).unwrap();
            let at = |found: &dyn Fn(&Step) -> bool| steps.iter().position(found).unwrap();
            let folder = at(&|step| step.to_string().contains("install -d -m 0700"));
            let file = at(
                &|step| matches!(step, Step::Write { path, .. } if *path == self::file(daemon.name, init, daemon.scope(), Path::new("/u"))),
            );
            assert!(folder < file && file < steps.len() - 1);
            let away = uninstall(daemon.name, init, daemon.scope(), Path::new("/u"), daemon.exit_timeout);
            assert!(away.iter().all(|step| !step.to_string().contains(&daemon.state.display().to_string())));
        }
    }

    #[test]
    fn a_shell_reads_a_word_as_one() {
        assert_eq!(shell(&words(&["a", "b c", "it's", ""])), r"a 'b c' 'it'\''s' ''");
    }
}
