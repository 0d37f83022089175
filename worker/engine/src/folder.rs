//! Folders that are whole or not there, whenever the power goes.
//!
//! Promise: after [`whole`] returns, the folder and all in it are on the disk; before that, the folder is as it was, or gone, but
//! never half of anything. A write that fails, as on a full disk, leaves nothing of itself.

use crate::error::{AtPath, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Makes `folder` of the files that `write` puts into the folder it is given; what was at `folder` before is replaced.
pub(crate) fn whole(folder: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let (partial, old) = (beside(folder, "partial"), beside(folder, "old"));
    for leftover in [&partial, &old] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).at(leftover)?;
        }
    }
    let made = fill(&partial, write).and_then(|()| {
        // Moved aside, not removed in place: a folder half removed would look whole.
        if folder.exists() {
            fs::rename(folder, &old).at(folder)?;
        }
        fs::rename(&partial, folder).at(folder)
    });
    if made.is_err() {
        // On a disk that is full this is the room that others need. Where it cannot be removed either, the next write tries to.
        let _ = fs::remove_dir_all(&partial);
        if old.exists() && !folder.exists() {
            let _ = fs::rename(&old, folder);
        }
        return made;
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync(parent)?;
    }
    if old.exists() {
        fs::remove_dir_all(&old).at(&old)?;
    }
    Ok(())
}

/// Writes into a new folder, to the disk.
fn fill(partial: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    fs::create_dir_all(partial).at(partial)?;
    write(partial)?;
    for entry in fs::read_dir(partial).at(partial)? {
        sync(&entry.at(partial)?.path())?;
    }
    sync(partial)
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).at(path)
}

fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::EngineError;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_replaced_as_one_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let write = |name: &'static str| move |at: &Path| fs::write(at.join(name), name).at(at);
        whole(&folder, write("one")).unwrap();
        whole(&folder, write("two")).unwrap();
        assert_eq!((names(&folder), names(&dir.path().join("a"))), (vec!["two".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("b");
        whole(&folder, |at| fs::write(at.join("one"), "1").at(at)).unwrap();
        let failed = whole(&folder, |at| {
            fs::write(at.join("two"), "2").at(at)?;
            Err(EngineError::input("stop"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "stop");
        assert_eq!((names(&folder), names(dir.path())), (vec!["one".to_owned()], vec!["b".to_owned()]));
        whole(&folder, |at| fs::write(at.join("three"), "3").at(at)).unwrap();
        assert_eq!((names(&folder), names(dir.path())), (vec!["three".to_owned()], vec!["b".to_owned()]));
    }
}
