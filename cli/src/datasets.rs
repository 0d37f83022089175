//! Datasets' folders, and what a person can do where one does not read.

use crate::error::{CliError, Result};
use std::io::ErrorKind;
use std::path::Path;
use vertigo_model::dataset::{Dataset, DatasetError};

/// Reads a dataset's folder.
pub(crate) fn read(dir: &Path) -> Result<Dataset> {
    Dataset::read(dir).map_err(|e| told(&e))
}

pub(crate) fn told(error: &DatasetError) -> CliError {
    let told = CliError::refused(error);
    match error {
        DatasetError::Line { .. } => told.hint("nothing was uploaded; mend the line and run the command again"),
        DatasetError::Read { error, .. } if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            told.hint("name the folder that holds the .jsonl files")
        }
        // What is wrong with a file, such as a link that leaves the folder, says what to do itself.
        DatasetError::Read { .. } | DatasetError::Empty(_) => told,
    }
}
