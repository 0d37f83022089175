//! A daemon in systemd's words: its unit, the account that it runs as, and what `systemctl show` says of it.
//!
//! Promise: pure. What the program needs is left open, and nothing else of what a unit can close: the coordinator serves and writes to its
//! folder; the worker computes, starts processes, builds kernels with the system's compiler in a folder of its own, and puts walls of its
//! own (seccomp, limits) around Luau that a model wrote, which no wall here may forbid.

use crate::daemon::{Daemon, Name, OWN_USER, Scope};
use crate::state::{Running, Written};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a machine's own units lie.
const UNITS: &str = "/etc/systemd/system";

/// Where accounts are described.
pub const ACCOUNTS: &str = "/etc/sysusers.d/vertigo.conf";

/// Seconds between an end and the next start.
const RESTART_SECONDS: u64 = 5;

/// A daemon whose loop has stood still for so long is started again.
const WATCHDOG: Duration = Duration::from_secs(120);

/// How long it may take until it is ready: a database of a year is brought up to a new schema meanwhile.
const START: Duration = Duration::from_secs(600);

/// Files that it may open.
const OPEN_FILES: u64 = 8_192;

/// What a process of ours may ask of Linux. `seccomp` is in no set of those; without it Luau would run behind limits alone.
const CALLS: [&str; 2] =
    ["SystemCallFilter=@system-service seccomp", "SystemCallFilter=~@privileged @keyring userfaultfd"];

/// Walls that need no root, so that a person's own unit has them too.
const OPEN_TO_ALL: [&str; 11] = [
    "NoNewPrivileges=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
    CALLS[0],
    CALLS[1],
];

/// Walls of a machine's unit. `ProcSubset=pid` is not among them: the worker reads how much memory is left.
const OF_MACHINE: [&str; 15] = [
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "PrivateTmp=yes",
    "PrivateMounts=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "ProtectProc=invisible",
    "RemoveIPC=yes",
    "DevicePolicy=closed",
];

/// The unit's name.
pub fn unit_name(name: Name) -> String {
    format!("{}.service", name.word())
}

/// The unit's file. `own` is the folder of a person's own units.
pub fn path(name: Name, scope: Scope, own: &Path) -> PathBuf {
    let folder = if scope == Scope::Machine { Path::new(UNITS) } else { own };
    folder.join(unit_name(name))
}

/// The account that [`OWN_USER`] is.
pub fn account() -> String {
    format!("# Written by Vertigo.\nu {OWN_USER} - \"Vertigo\" /var/lib/vertigo\n")
}

/// The unit.
pub fn unit(daemon: &Daemon) -> String {
    let mut text = String::new();
    let is_machines = daemon.scope() == Scope::Machine;
    let mut line = |line: &str| {
        text += line;
        text.push('\n');
    };
    line(&format!("# Written by `{} install`.", daemon.name.word()));
    line("[Unit]");
    line(&format!("Description={}", daemon.name.about()));
    if is_machines {
        line("Wants=network-online.target");
        line("After=network-online.target");
    }
    // It is started again for ever: a coordinator that is away for a night is no reason to give up.
    line("StartLimitIntervalSec=0");
    line("");
    line("[Service]");
    line("Type=notify");
    line("NotifyAccess=main");
    let words = std::iter::once(daemon.program.display().to_string()).chain(daemon.arguments.iter().cloned());
    let words: Vec<String> = words.map(|word| quoted(&word).replace('$', "$$")).collect();
    line(&format!("ExecStart={}", words.join(" ")));
    for (name, value) in &daemon.environment {
        line(&format!("Environment={}", quoted(&format!("{name}={value}"))));
    }
    if is_machines {
        // Keys of a bucket, which this file must not hold: everybody may read it.
        line(&format!("EnvironmentFile=-/etc/vertigo/{}.env", daemon.name.word()));
    }
    if let Some(user) = &daemon.user {
        line(&format!("User={user}"));
    }
    line(&format!("WorkingDirectory={}", percent(&daemon.state.display().to_string())));
    line("Restart=always");
    line(&format!("RestartSec={RESTART_SECONDS}"));
    line(&format!("TimeoutStartSec={}", START.as_secs()));
    line(&format!("TimeoutStopSec={}", daemon.exit_timeout.as_secs()));
    line(&format!("WatchdogSec={}", WATCHDOG.as_secs()));
    // The daemon ends its own children, in order.
    line("KillMode=mixed");
    // An attempt that takes too much memory is an outcome, and no reason to end the daemon and all that runs beside it.
    line("OOMPolicy=continue");
    line("UMask=0077");
    line(&format!("LimitNOFILE={OPEN_FILES}"));
    line("");
    OPEN_TO_ALL.iter().for_each(|wall| line(wall));
    if daemon.name == Name::Coordinator {
        // It asks the kernel which addresses this machine has: they stand in its certificate and in tokens. One more to those above.
        line("RestrictAddressFamilies=AF_NETLINK");
    }
    if is_machines {
        OF_MACHINE.iter().for_each(|wall| line(wall));
        let folders = std::iter::once(&daemon.state).chain(&daemon.writes);
        let folders: Vec<String> = folders.map(|folder| quoted(&folder.display().to_string())).collect();
        line(&format!("ReadWritePaths={}", folders.join(" ")));
        line(&format!("ProtectHome={}", if daemon.sees_homes { "read-only" } else { "yes" }));
        if daemon.name == Name::Worker {
            // Where both run as one user, what a job does must not read the authority's key.
            let beside = daemon.state.with_file_name(Name::Coordinator.part());
            line(&format!("InaccessiblePaths={}", quoted(&format!("-{}", beside.display()))));
        }
        if daemon.name == Name::Coordinator {
            // It computes nothing, so nobody's priorities are its matter.
            line("SystemCallFilter=~@resources");
            line("ProcSubset=pid");
            line("PrivateUsers=yes");
        }
    }
    line("");
    line("[Install]");
    line(&format!("WantedBy={}", if is_machines { "multi-user.target" } else { "default.target" }));
    text
}

/// `%` begins one of systemd's own words.
fn percent(text: &str) -> String {
    text.replace('%', "%%")
}

/// A word as systemd.syntax(7) has it quoted, whatever is in it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            // A string takes all that is written.
            c if c.is_control() => c.to_string().bytes().for_each(|byte| {
                let _ = write!(text, "\\x{byte:02x}");
            }),
            c => text.push(c),
        }
    }
    text.push('"');
    percent(&text)
}

/// What a unit says, as far as it is one of ours.
pub fn read(text: &str) -> Written {
    let word = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
    let program = word("ExecStart").and_then(|line| first_word(&line.replace("$$", "$").replace("%%", "%")));
    Written {
        program: program.map(PathBuf::from),
        user: word("User"),
        state: word("WorkingDirectory").map(|folder| PathBuf::from(folder.replace("%%", "%"))),
        log: None,
    }
}

/// The first word of a line that [`quoted`] made.
fn first_word(line: &str) -> Option<String> {
    let Some(rest) = line.strip_prefix('"') else { return line.split(' ').next().map(str::to_owned) };
    let (mut word, mut chars) = (String::new(), rest.chars());
    loop {
        match chars.next()? {
            '"' => return Some(word),
            '\\' => word.push(chars.next()?),
            c => word.push(c),
        }
    }
}

/// What is asked of `systemctl show`.
pub const SHOWN: &str = "ActiveState,SubState,MainPID,Result,ExecMainStatus";

/// What `systemctl show` says of a unit.
pub fn running(shown: &str) -> Running {
    let value =
        |key: &str| shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default();
    match value("ActiveState") {
        "active" => match value("MainPID").parse() {
            Ok(pid) if pid > 0 => Running::Up { pid },
            _ => Running::Starting,
        },
        "activating" if value("SubState").starts_with("start") => Running::Starting,
        _ => {
            let ended = match (value("Result"), value("ExecMainStatus")) {
                ("" | "success", "" | "0") => None,
                ("" | "success" | "exit-code", status) => Some(format!("its last exit code was {status}")),
                (result, _) => Some(format!("systemd says {result}")),
            };
            Running::Down { ended }
        }
    }
}

#[cfg(test)]
mod tests;
