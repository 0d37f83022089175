//! The folder that a run leaves its work in, and the checkpoint that it goes on from.
//!
//! ```text
//! adapter/            what training ends with
//! best/               the weights of the lowest validation: written whenever a validation is the best so far
//! checkpoints/ITER/   what a run goes on from
//! ```
//!
//! Promise: a run that goes on from a checkpoint has the `best/` that it had at that checkpoint, whatever lies there now.

use crate::adapter::{self, WEIGHTS};
use crate::error::Result;
use crate::folder::{linked, take_file, whole};
use std::fs;
use std::path::{Path, PathBuf};
use vertigo::files::AtPath;
use vertigo_model::recipe::Recipe;

/// Where a run writes, and what it goes on from.
#[derive(Debug, Clone)]
pub struct RunFolder {
    folder: PathBuf,
    resume: Option<PathBuf>,
}

impl RunFolder {
    /// Of a run from the start, which writes to `folder`.
    pub fn fresh(folder: impl Into<PathBuf>) -> RunFolder {
        RunFolder { folder: folder.into(), resume: None }
    }

    /// The same, of a run that goes on from a checkpoint's folder.
    pub fn resumed(folder: impl Into<PathBuf>, checkpoint: impl Into<PathBuf>) -> RunFolder {
        RunFolder { folder: folder.into(), resume: Some(checkpoint.into()) }
    }

    /// The checkpoint to go on from.
    pub(crate) fn checkpoint_to_resume(&self) -> Option<&Path> {
        self.resume.as_deref()
    }

    /// Where the adapter that training ends with goes.
    pub(crate) fn adapter(&self) -> PathBuf {
        self.folder.join("adapter")
    }

    /// Where the best adapter goes.
    pub(crate) fn best(&self) -> PathBuf {
        self.folder.join("best")
    }

    /// Where the checkpoint of an iteration goes. Names sort by iteration.
    pub(crate) fn checkpoint(&self, iter: u64) -> PathBuf {
        self.folder.join("checkpoints").join(format!("{iter:08}"))
    }

    /// Makes `best/` of the weights in the file `best`, or takes it away where there are none yet. Gives the file in `best/`.
    pub(crate) fn restore_best(&self, best: Option<&Path>, recipe: &Recipe) -> Result<Option<PathBuf>> {
        let folder = self.best();
        let Some(weights) = best else {
            if folder.exists() {
                fs::remove_dir_all(&folder).at(&folder)?;
            }
            return Ok(None);
        };
        whole(&folder, |partial| {
            take_file(weights, &partial.join(WEIGHTS))?;
            adapter::write_config(partial, recipe)
        })?;
        Ok(Some(folder.join(WEIGHTS)))
    }

    /// Makes `adapter/` of the files of `best/`.
    pub(crate) fn end_with_best(&self) -> Result<()> {
        linked(&self.best(), &self.adapter())
    }

    /// Makes `best/` of the files of `adapter/`.
    pub(crate) fn best_is_the_last(&self) -> Result<()> {
        linked(&self.adapter(), &self.best())
    }
}
