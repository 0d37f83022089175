//! Folders that are whole or not there, whenever the power goes.
//!
//! Promise: after [`whole`] returns, the folder and all in it are on the disk; before that, the folder is as it was, or gone, but
//! never half of anything. A write that fails, as on a full disk, leaves nothing of itself.

use crate::error::Result;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use vertigo::files::AtPath;

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
        Ok(fs::rename(&partial, folder).at(folder)?)
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

/// Makes the folder `to` of the files in the folder `from`, which take no more room for it where the file system can share them.
pub(crate) fn linked(from: &Path, to: &Path) -> Result<()> {
    whole(to, |partial| {
        for entry in fs::read_dir(from).at(from)? {
            let entry = entry.at(from)?;
            take_file(&entry.path(), &partial.join(entry.file_name()))?;
        }
        Ok(())
    })
}

/// Gives the file `from` the name `to` as well. Nothing here changes a file that is written: it is replaced. So a link is as good as a
/// copy, which is made where the file system has no links.
pub(crate) fn take_file(from: &Path, to: &Path) -> Result<()> {
    Ok(fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop)).at(from)?)
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
    Ok(File::open(path).and_then(|file| file.sync_all()).at(path)?)
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
        let write = |name: &'static str| move |at: &Path| Ok(fs::write(at.join(name), name).at(at)?);
        whole(&folder, write("one")).unwrap();
        whole(&folder, write("two")).unwrap();
        assert_eq!((names(&folder), names(&dir.path().join("a"))), (vec!["two".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn a_linked_folder_keeps_its_files_when_the_other_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let write =
            |text: &'static str| move |at: &Path| Ok(fs::write(at.join("weights"), text).at(at.join("weights"))?);
        whole(&one, write("first")).unwrap();
        linked(&one, &other).unwrap();
        whole(&one, write("second")).unwrap();
        let read = |folder: &Path| fs::read_to_string(folder.join("weights")).unwrap();
        assert_eq!((read(&one), read(&other)), ("second".to_owned(), "first".to_owned()));
        let missing = linked(&dir.path().join("none"), &other).unwrap_err();
        assert!(missing.to_string().contains("none"), "{missing}");
        assert_eq!(read(&other), "first");
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("b");
        whole(&folder, |at| Ok(fs::write(at.join("one"), "1").at(at)?)).unwrap();
        let failed = whole(&folder, |at| {
            fs::write(at.join("two"), "2").at(at)?;
            Err(EngineError::input("stop"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "stop");
        assert_eq!((names(&folder), names(dir.path())), (vec!["one".to_owned()], vec!["b".to_owned()]));
        whole(&folder, |at| Ok(fs::write(at.join("three"), "3").at(at)?)).unwrap();
        assert_eq!((names(&folder), names(dir.path())), (vec!["three".to_owned()], vec!["b".to_owned()]));
    }
}
