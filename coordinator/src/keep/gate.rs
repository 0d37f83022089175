//! A backup copies blobs that a database names which is gone before it is done: no sweep runs meanwhile.
//!
//! It is a lock on a file of the state folder, so it holds between processes, and ends with the one that has it.

use crate::private;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use vertigo::files::{AtPath, FileError};

/// What a sweep and a backup have in turns.
#[derive(Debug, Clone)]
pub struct Gate {
    path: PathBuf,
}

impl Gate {
    /// Of a state folder.
    pub fn of(state: &Path) -> Gate {
        Gate { path: state.join("sweep") }
    }

    /// Takes it until the file is dropped; `None` while somebody else has it.
    ///
    /// # Errors
    /// The file's.
    pub fn take(&self) -> Result<Option<File>, FileError> {
        let file = private::file(&self.path).at(&self.path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).at(&self.path),
        }
    }
}
