//! The worker's folder: who it is, and what it keeps.
//!
//! ```text
//! lock          held while a daemon runs
//! worker-id     made once
//! cache/        inputs, by digest, up to a limit
//! attempts/ID/  spec.json, epoch, pid, log, reports, out/, output/
//! attempts/kept/JOB/  an adapter that is finished and could not be sent yet
//! ```
//!
//! Promise: one daemon a folder; the id outlives restarts.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use vertigo::id::WorkerId;

/// What is wrong with the worker's folder.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another daemon runs on it.
    #[error("another vertigo-worker runs on {}; stop it, or give this one a folder of its own with --state", .0.display())]
    Locked(PathBuf),
    /// The id is damaged.
    #[error("{}: {problem}; remove the file, and the worker takes a new id", path.display())]
    Id {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: vertigo::id::ParseIdError,
    },
}

/// Attaches the path to an I/O error.
pub(crate) trait AtPath<T> {
    fn at(self, path: &Path) -> Result<T, StateError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, StateError> {
        self.map_err(|error| StateError::File { path: path.to_owned(), error })
    }
}

/// The worker's folder, locked until this is dropped.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    id: WorkerId,
    _lock: File,
}

impl State {
    /// Opens the folder, making it where it is not there.
    ///
    /// # Errors
    /// [`StateError::Locked`] where another daemon runs on it.
    pub fn open(folder: &Path) -> Result<State, StateError> {
        fs::create_dir_all(folder).at(folder)?;
        // The child gets paths in it, and may be started from elsewhere.
        let folder = folder.canonicalize().at(folder)?;
        let path = folder.join("lock");
        let lock = File::create(&path).at(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked(folder)),
            Err(TryLockError::Error(error)) => return Err(StateError::File { path, error }),
        }
        let id = worker_id(&folder.join("worker-id"))?;
        for path in [folder.join("cache"), folder.join("attempts")] {
            fs::create_dir_all(&path).at(&path)?;
        }
        Ok(State { folder, id, _lock: lock })
    }

    /// The installation's id.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Where inputs are.
    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    /// Where attempts are.
    pub fn attempts(&self) -> PathBuf {
        self.folder.join("attempts")
    }
}

fn worker_id(path: &Path) -> Result<WorkerId, StateError> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|problem| StateError::Id { path: path.to_owned(), problem }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = WorkerId::new();
            let fresh = path.with_extension("new");
            fs::write(&fresh, id.to_string()).at(&fresh)?;
            fs::rename(&fresh, path).at(path)?;
            Ok(id)
        }
        Err(error) => Err(StateError::File { path: path.to_owned(), error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_daemon_a_folder_and_one_id_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/worker");
        let state = State::open(&folder).unwrap();
        let id = state.id();
        let second = State::open(&folder).unwrap_err();
        assert!(matches!(second, StateError::Locked(_)) && second.to_string().contains("--state"), "{second}");
        drop(state);
        assert_eq!(State::open(&folder).unwrap().id(), id);
    }

    #[test]
    fn a_damaged_id_is_said_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("worker-id"), "nobody").unwrap();
        let error = State::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("worker-id") && error.contains("`nobody`"), "{error}");
    }
}
