//! What an init hears of a daemon's life: that it is ready, what it does, that it ends; and, for as long as it lives, that it does.
//!
//! Promise: where no init listens (no `NOTIFY_SOCKET`), nothing happens. What cannot be said is logged, and never the daemon's end.

use crate::launchd::LOG_FILE;
use crate::log_file;
use sd_notify::NotifyState;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

/// What an init put into the environment that is the daemon's alone: its children are not heard, and must not try.
pub const OWN_ENVIRONMENT: [&str; 4] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", LOG_FILE];

/// How often a log is looked at that may have been moved away.
const LOOK: Duration = Duration::from_secs(60);

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the init did not hear how this daemon is");
    }
}

/// It can be used.
pub fn ready() {
    say(&[NotifyState::Ready]);
}

/// It does this, in one line for people.
pub fn does(what: &str) {
    say(&[NotifyState::Status(&what.replace(char::is_control, " "))]);
}

/// It was told to end, and does.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// Runs a daemon's work, and beside it what a daemon does for its init: it says that it lives, and goes on in a new log where the old one
/// was moved. Both are done by the runtime that the work is done by: where that stands still, the init hears nothing.
pub async fn beside<T>(work: impl Future<Output = T>) -> T {
    let beat = async {
        match sd_notify::watchdog_enabled() {
            // As systemd advises: twice in the time that it allows.
            Some(patience) if !patience.is_zero() => every(patience / 2, || say(&[NotifyState::Watchdog])).await,
            _ => std::future::pending().await,
        }
    };
    let log = async {
        match std::env::var_os(LOG_FILE).map(PathBuf::from).filter(|file| file.is_absolute()) {
            Some(file) => every(LOOK, || log_file::follow(&file)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = work => done,
        never = beat => match never {},
        never = log => match never {},
    }
}

async fn every(time: Duration, mut act: impl FnMut()) -> std::convert::Infallible {
    let mut ticks = tokio::time::interval(time);
    loop {
        ticks.tick().await;
        act();
    }
}
