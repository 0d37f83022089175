//! A daemon in launchd's words: its property list, the rotation of its log, and what `launchctl print` says of it.
//!
//! Promise: pure. Every key is one that launchd.plist(5) knows, with the type that it has there.

use crate::daemon::Daemon;
use crate::daemon::Name;
use crate::state::{Running, Written};
use plist::{Dictionary, Value};
use std::io;
use std::path::PathBuf;

/// Where the files of a machine's daemons lie.
const DAEMONS: &str = "/Library/LaunchDaemons";

/// Where newsyslog looks for what it rotates.
const ROTATED: &str = "/etc/newsyslog.d";

/// launchd waits as long between two starts of a daemon that ends at once.
const THROTTLE_SECONDS: u64 = 30;

/// Files that a daemon may open. launchd's own default of 256 is fewer than a coordinator has connections.
const OPEN_FILES: u64 = 8_192;

/// Files are their owner's alone: 0077, which a property list can say in decimal only.
const UMASK: u64 = 0o077;

/// A log is moved away when it has this many KiB, and so many old ones are kept.
const LOG_KIB: u64 = 10_240;
const LOGS_KEPT: u64 = 5;

/// What the environment calls the file that a daemon's log goes to; see [`log_file`](crate::log_file).
pub const LOG_FILE: &str = "VERTIGO_LOG_FILE";

/// The daemon's file.
pub fn path(name: Name) -> PathBuf {
    PathBuf::from(DAEMONS).join(format!("{}.plist", name.label()))
}

/// newsyslog's file for it.
pub fn rotation_path(name: Name) -> PathBuf {
    PathBuf::from(ROTATED).join(format!("{}.conf", name.word()))
}

/// How `launchctl` calls it.
pub fn target(name: Name) -> String {
    format!("system/{}", name.label())
}

/// The property list.
///
/// # Errors
/// plist's own: there is none for a daemon that was described.
pub fn plist(daemon: &Daemon) -> io::Result<String> {
    let text = |text: &str| Value::String(text.to_owned());
    let mut list = Dictionary::new();
    let mut put = |key: &str, value: Value| list.insert(key.to_owned(), value);
    put("Label", text(&daemon.name.label()));
    let program = daemon.program.display().to_string();
    let words = std::iter::once(&program).chain(&daemon.arguments).map(|word| text(word));
    put("ProgramArguments", Value::Array(words.collect()));
    let mut environment: Dictionary =
        daemon.environment.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    if let Some(file) = daemon.log_file() {
        let file = text(&file.display().to_string());
        environment.insert(LOG_FILE.to_owned(), file.clone());
        put("StandardOutPath", file.clone());
        put("StandardErrorPath", file);
    }
    put("EnvironmentVariables", Value::Dictionary(environment));
    if let Some(user) = &daemon.user {
        put("UserName", text(user));
        put("InitGroups", Value::Boolean(true));
    }
    put("WorkingDirectory", text(&daemon.state.display().to_string()));
    put("Umask", Value::from(UMASK));
    put("RunAtLoad", Value::Boolean(true));
    put("KeepAlive", Value::Boolean(true));
    put("ThrottleInterval", Value::from(THROTTLE_SECONDS));
    // What macOS takes for work in the background is kept to slow cores, and Metal goes slower by a factor.
    put("ProcessType", text("Interactive"));
    put("ExitTimeOut", Value::from(daemon.exit_timeout.as_secs()));
    let files = || Value::Dictionary([("NumberOfFiles".to_owned(), Value::from(OPEN_FILES))].into_iter().collect());
    put("SoftResourceLimits", files());
    put("HardResourceLimits", files());
    let mut bytes = Vec::new();
    Value::Dictionary(list).to_writer_xml(&mut bytes).map_err(io::Error::other)?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// newsyslog's entry, where the daemon's log is a file.
///
/// Old logs are not compressed and nobody is signalled: the daemon looks by itself whether its file was moved, and what it says until then
/// goes to the one that was moved.
pub fn rotation(daemon: &Daemon) -> Option<String> {
    let (file, user) = (daemon.log_file()?, daemon.user.as_ref()?);
    Some(format!(
        "# Written by `{} install`.\n# logfilename owner:group mode count size when flags\n{} {user}: 600 {LOGS_KEPT} {LOG_KIB} * N\n",
        daemon.name.word(),
        file.display(),
    ))
}

/// What a property list says, as far as it is one of ours.
pub fn read(text: &str) -> Written {
    let Ok(Value::Dictionary(list)) = Value::from_reader_xml(text.as_bytes()) else { return Written::default() };
    let word = |key: &str| list.get(key).and_then(Value::as_string).map(str::to_owned);
    let program = list.get("ProgramArguments").and_then(Value::as_array).and_then(|words| words.first()?.as_string());
    Written {
        program: program.map(PathBuf::from),
        user: word("UserName"),
        state: word("WorkingDirectory").map(PathBuf::from),
        log: word("StandardErrorPath").map(PathBuf::from),
    }
}

/// What `launchctl print` says of a daemon that it knows.
pub fn running(printed: &str) -> Running {
    // What is deeper is said of ports and events, in the same words.
    let outer =
        printed.lines().filter_map(|line| line.strip_prefix('\t').filter(|rest| !rest.starts_with(['\t', ' '])));
    let mut pairs = outer.filter_map(|line| line.split_once(" = "));
    let (mut pid, mut ended) = (None, None);
    for (key, value) in pairs.by_ref() {
        match key {
            "pid" => pid = value.trim().parse().ok(),
            "last exit code" if !value.contains("never exited") => {
                ended = Some(format!("its last exit code was {value}"))
            }
            "last terminating signal" => ended = Some(format!("it was ended by {value}")),
            _ => {}
        }
    }
    pid.map_or(Running::Down { ended }, |pid| Running::Up { pid })
}

#[cfg(test)]
mod tests;
