//! Checkpoints on their way from a run to the coordinator.
//!
//! Promise: the newest goes up first; what is outdated before its turn is removed from this machine unsent.

use super::Supervisor;
use super::halt::of_this_machine;
use crate::held::Attempt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;
use vertigo::manifest::Kind;
use vertigo::v1::Checkpoint;
use vertigo::v1::report::Body;

/// A checkpoint on this machine.
#[derive(Debug, Clone)]
pub(super) struct Position {
    pub(super) iter: u64,
    pub(super) folder: PathBuf,
    pub(super) facts: BTreeMap<String, Value>,
}

impl Supervisor {
    /// Sends checkpoints up as they come. One that is outdated before its turn is passed over and removed, so that a coordinator that
    /// is away for hours costs two checkpoints of disk: the one on its way and the newest.
    pub(super) async fn send_checkpoints(
        self: Arc<Self>,
        attempt: Arc<Attempt>,
        mut latest: watch::Receiver<Option<Position>>,
    ) {
        let mut newer = latest.clone();
        while latest.changed().await.is_ok() {
            let Some(Position { iter, folder, facts }) = latest.borrow_and_update().clone() else { continue };
            newer.mark_unchanged();
            let remove_outdated = async {
                while newer.changed().await.is_ok() {
                    if let Some(newest) = newer.borrow_and_update().as_ref()
                        && let Err(error) = remove_older(&newest.folder, &folder)
                    {
                        tracing::warn!(%error, "cannot remove outdated checkpoints");
                    }
                }
                std::future::pending::<()>().await
            };
            let sent = tokio::select! {
                sent = self.send(Kind::Checkpoint, &folder, facts) => sent,
                () = remove_outdated => unreachable!("it goes on for as long as the checkpoint is on its way"),
            };
            let reported = sent.and_then(|manifest| {
                let checkpoint = Checkpoint { iter, manifest_json: manifest.to_json() };
                let report = attempt.report(Body::Checkpoint(checkpoint));
                report.and_then(|()| remove_older(&folder, &folder)).map_err(|error| of_this_machine(&folder, &error))
            });
            if let Err(halt) = reported {
                // The run does not need it; only a run after it would.
                tracing::warn!(iter, ?halt, "a checkpoint was not sent");
            }
        }
    }
}

/// Removes the checkpoints before `newest` on this machine, but for `busy`: their names sort by iteration.
pub(super) fn remove_older(newest: &Path, busy: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (newest.parent(), newest.file_name()) else { return Ok(()) };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let older = entry.file_name().as_os_str() < name && entry.path() != busy;
        if older && !entry.file_name().to_string_lossy().starts_with('.') {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
