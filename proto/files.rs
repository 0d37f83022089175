//! Files of our own: what the system says of them, with their paths, and a folder that is one process's alone.
//!
//! Promise: an error here names its file. A [`FolderLock`] ends with its process, whatever ends that, so none is left behind.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A lock's file is its owner's alone, as all that lies beside it.
const LOCK_MODE: u32 = 0o600;

/// What the system says of a file or folder.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// Attaches the path to an I/O error.
pub trait AtPath<T> {
    /// The same result, whose error names `path`.
    ///
    /// # Errors
    /// The error that it had.
    fn at(self, path: impl Into<PathBuf>) -> Result<T, FileError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, FileError> {
        self.map_err(|error| FileError { path: path.into(), error })
    }
}

/// A folder that this process has for itself until this is dropped.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl FolderLock {
    /// Takes the folder, by a file `lock` in it; `None` where another process has it.
    ///
    /// # Errors
    /// The file's.
    pub fn take(folder: &Path) -> Result<Option<FolderLock>, FileError> {
        let path = folder.join("lock");
        let open = || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(LOCK_MODE).open(&path)?;
            // One that was copied or restored may have come with other rights.
            file.set_permissions(Permissions::from_mode(LOCK_MODE))?;
            Ok(file)
        };
        let file = open().at(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FolderLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).at(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_holders_until_that_lets_go_and_its_lock_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lock"), "").unwrap();
        let first = FolderLock::take(dir.path()).unwrap();
        assert!(first.is_some());
        assert!(FolderLock::take(dir.path()).unwrap().is_none());
        let mode = std::fs::metadata(dir.path().join("lock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, LOCK_MODE);
        drop(first);
        assert!(FolderLock::take(dir.path()).unwrap().is_some());
    }

    #[test]
    fn an_error_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = FolderLock::take(&dir.path().join("none")).unwrap_err();
        assert_eq!((error.path, error.error.kind()), (dir.path().join("none/lock"), io::ErrorKind::NotFound));
    }
}
