//! All that a run needs to go on bit for bit: weights, optimizer, half-made gradients, data cursor, counters.
//!
//! Random draws need no state: shuffling, dropout and first values come from the seed and the iteration.
//!
//! Promise: a checkpoint's folder is complete or not there; it is written beside its place and renamed.

use crate::adapter;
use crate::batch::Cursor;
use crate::error::{AtPath, EngineError, Result};
use crate::model::Parameters;
use crate::optimizer::Adam;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use vertigo::recipe::Recipe;

/// The counters of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Iterations done.
    pub iter: u64,
    /// Where in the data.
    pub cursor: Cursor,
    /// Optimizer steps taken.
    pub optimizer_step: u64,
    /// Tokens learned from.
    pub trained_tokens: u64,
    /// Tokens behind the gradients that wait for the next optimizer step.
    pub accumulated_tokens: u64,
    /// Sum of losses and tokens since the last report, so that a resumed run reports the same.
    pub report: (f64, u64),
    /// Validation loss before the first iteration.
    pub validation_before: Option<f64>,
    /// The best validation so far, and how many since were no better.
    pub best: Option<(f64, u64)>,
}

/// A run at one iteration.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The counters.
    pub progress: Progress,
    /// What is trained.
    pub parameters: Parameters,
    /// The optimizer.
    pub adam: Adam,
    /// Gradients that wait for the next optimizer step.
    pub accumulated: Option<Parameters>,
    /// The parameters of the best validation, where the recipe stops early.
    pub best: Option<Parameters>,
}

const PROGRESS: &str = "progress.json";
const STATE: &str = "optimizer.safetensors";

impl Checkpoint {
    /// Writes the checkpoint to `folder`, which must not be there yet.
    ///
    /// # Errors
    /// [`EngineError::File`] where it cannot be written.
    pub fn save(&self, folder: &Path, recipe: &Recipe) -> Result<()> {
        let partial = partial(folder);
        if partial.exists() {
            fs::remove_dir_all(&partial).at(&partial)?;
        }
        adapter::save(&partial, &self.parameters, recipe)?;
        let mut state = Parameters::new();
        let groups = [("m.", Some(&self.adam.m)), ("v.", Some(&self.adam.v)), ("g.", self.accumulated.as_ref()), ("best.", self.best.as_ref())];
        for (prefix, arrays) in groups {
            let named = arrays.into_iter().flatten().map(|(name, x)| (format!("{prefix}{name}"), x.clone()));
            state.extend(named);
        }
        adapter::save_arrays(&partial.join(STATE), &state)?;
        let text = serde_json::to_string_pretty(&self.progress).map_err(|e| EngineError::input(e.to_string()))?;
        let path = partial.join(PROGRESS);
        fs::write(&path, text).at(&path)?;
        if folder.exists() {
            fs::remove_dir_all(folder).at(folder)?;
        }
        fs::rename(&partial, folder).at(folder)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`EngineError::Input`] naming the file that is missing or broken.
    pub fn load(folder: &Path) -> Result<Checkpoint> {
        let path = folder.join(PROGRESS);
        let text = fs::read_to_string(&path).at(&path)?;
        let progress: Progress =
            serde_json::from_str(&text).map_err(|e| EngineError::input(format!("{}: {e}", path.display())))?;
        let state = adapter::load_arrays(&folder.join(STATE))?;
        let group = |prefix: &str| -> Parameters {
            let named = state.iter().filter_map(|(name, x)| Some((name.strip_prefix(prefix)?.to_owned(), x.clone())));
            named.collect()
        };
        let some = |arrays: Parameters| (!arrays.is_empty()).then_some(arrays);
        Ok(Checkpoint {
            parameters: adapter::load(folder)?,
            adam: Adam { m: group("m."), v: group("v."), step: progress.optimizer_step },
            accumulated: some(group("g.")),
            best: some(group("best.")),
            progress,
        })
    }
}

fn partial(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.partial"))
}
