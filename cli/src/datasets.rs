//! Datasets' folders, and what a person can do where one does not read.

use crate::coordinator::Coordinator;
use crate::download::pull;
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use vertigo::files::AtPath;
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
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

/// A dataset's folder, and what the coordinator knows of it where it is not a person's own.
pub(crate) struct Found {
    pub(crate) folder: PathBuf,
    pub(crate) kept: Option<(Digest, Manifest)>,
}

/// The dataset in a folder of this name, or else the one that the coordinator has under it. `argument` is where the name was given.
pub(crate) async fn named(
    name: &str,
    argument: &str,
    scratch: &Path,
    coordinator: &Coordinator,
    output: Output,
) -> Result<Dataset> {
    read(&found(name, argument, |_| true, scratch, coordinator, output).await?.folder)
}

/// The folder of a dataset with those of its files that are `wanted`: a person's own, or the coordinator's, fetched.
pub(crate) async fn found(
    name: &str,
    argument: &str,
    wanted: impl Fn(&str) -> bool,
    scratch: &Path,
    coordinator: &Coordinator,
    output: Output,
) -> Result<Found> {
    if Path::new(name).is_dir() {
        return Ok(Found { folder: PathBuf::from(name), kept: None });
    }
    let (digest, manifest) = coordinator.transfer().manifest(name).await.map_err(|e| {
        let error = coordinator.transfer_error(&e);
        // The coordinator's own hint may name the dataset that was meant.
        let meant = error.hint.as_ref().map(|hint| format!("{hint}; ")).unwrap_or_default();
        let hint = format!("{meant}{argument} takes a folder of .jsonl or the tag of a dataset");
        if error.exit == Exit::NotFound { error.hint(hint) } else { error }
    })?;
    if manifest.kind() != Kind::Dataset {
        return Err(CliError::refused(format!("`{name}` is a {}; {argument} takes a dataset", manifest.kind())));
    }
    let folder = scratch.join(format!("data-{}", digest.short()));
    let files: Vec<_> = manifest.files().iter().filter(|file| wanted(&file.path)).cloned().collect();
    if files.is_empty() {
        std::fs::create_dir_all(&folder).at(&folder).map_err(CliError::refused)?;
    } else if !folder.exists() {
        let part = Manifest::new(Kind::Dataset, files, BTreeMap::new()).map_err(CliError::refused)?;
        pull(&part, name, &folder, coordinator, output).await?;
    }
    Ok(Found { folder, kept: Some((digest, manifest)) })
}
