//! What the daemon tells a child to do, in a file.

use super::Task;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Digest, Epoch, JobId};
use vertigo::task::Slot;
use vertigo_engine::EngineError;

/// What the child is to do. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Whose attempt it is.
    pub job: JobId,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its epoch.
    pub epoch: Epoch,
    /// What the plan may use.
    pub reserved: Bytes,
    /// The slot that it takes.
    pub slot: Slot,
    /// What is done.
    pub task: Task,
    /// What it reads, by role.
    pub inputs: BTreeMap<String, Input>,
    /// The folder of the checkpoint to go on from.
    pub checkpoint: Option<PathBuf>,
    /// Where checkpoints and outputs go.
    pub out: PathBuf,
    /// Where this machine keeps what a key has used up: it outlives attempts.
    pub ledgers: PathBuf,
}

/// An input on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The artifact.
    pub digest: Digest,
    /// Its files.
    pub folder: PathBuf,
    /// What its manifest says of it.
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
}

impl Spec {
    /// An input that the task needs.
    ///
    /// # Errors
    /// [`EngineError::Input`] where it was not given.
    pub fn input(&self, role: &str) -> Result<&Input, EngineError> {
        let missing = || EngineError::Input(format!("the {} has no input `{role}`", self.task.kind()));
        self.inputs.get(role).ok_or_else(missing)
    }

    /// Writes it for the child.
    ///
    /// # Errors
    /// The file's.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        fs::write(path, serde_json::to_vec_pretty(self)?)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn load(path: &Path) -> Result<Spec, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }
}
