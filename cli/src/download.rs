//! From an artifact to a folder that holds its files.

use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use crate::render::progress::Moving;
use std::fs;
use std::path::Path;
use vertigo::manifest::Manifest;

/// Fetches an artifact's files into `folder`, with its progress shown.
pub(crate) async fn pull(
    manifest: &Manifest,
    name: &str,
    folder: &Path,
    from: &Coordinator,
    output: Output,
) -> Result<()> {
    let moving = Moving::new(output, format!("fetching {name}"), manifest.bytes());
    let pulled = from.transfer().pull(manifest, folder, &|bytes| moving.add(bytes)).await;
    pulled.map_err(|e| from.transfer_error(&e))?;
    moving.finish();
    Ok(())
}

/// That a folder can be made here: there is nothing, or an empty folder.
pub(crate) fn check_is_free(dir: &Path) -> Result<()> {
    if dir.file_name().is_none() {
        let error = CliError::new(Exit::Refused, format!("{} is no name of a folder to make", dir.display()));
        return Err(error.hint(format!("name one, such as {}", dir.join("adapter").display())));
    }
    let taken = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => dir.exists(),
    };
    if taken {
        let error = CliError::new(Exit::Refused, format!("{} is there already, and not empty", dir.display()));
        return Err(error.hint("name a folder that is not there yet"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(check_is_free(dir.path()), Ok(()));
        assert_eq!(check_is_free(&dir.path().join("new")), Ok(()));
        fs::write(dir.path().join("x"), "").unwrap();
        assert_eq!(check_is_free(dir.path()).unwrap_err().exit, Exit::Refused);
        assert!(check_is_free(&dir.path().join("x")).is_err());
        for nameless in [".", "..", "/", "a/.."] {
            assert!(check_is_free(Path::new(nameless)).unwrap_err().hint.unwrap().contains("adapter"), "{nameless}");
        }
    }
}
