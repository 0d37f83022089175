//! The worker's folder: who it is, and what it keeps.
//!
//! ```text
//! lock          held while a daemon runs
//! worker-id     made once, as is
//! secret        what proves to the coordinator that the id is this installation's
//! cache/        inputs, by digest, up to a limit
//! attempts/ID/  spec.json, epoch, pid, log, reports, out/, output/
//! endings.json  how often jobs met the same end here
//! boot.json     which start of the machine the worker ran under
//! ledgers/      what keys of services elsewhere have used up of what those allow
//! attempts/kept/JOB/  an adapter that is finished and could not be sent yet
//! ```
//!
//! Promise: one daemon a folder; id and secret outlive restarts and belong together; the folder is its owner's alone.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use vertigo::files::{AtPath, FileError, FolderLock, write_private};
use vertigo::id::WorkerId;
use vertigo::secret::{Secret, SecretError};

/// What is wrong with the worker's folder.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
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
    /// The secret is damaged.
    #[error(
        "{}: {problem}; restore the file, or remove `worker-id` beside it, and the worker joins as a new one", path.display()
    )]
    Secret {
        /// The file.
        path: PathBuf,
        /// What a secret is.
        problem: SecretError,
    },
}

/// Who this installation is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What everyone may know.
    pub id: WorkerId,
    /// What the coordinator alone is told.
    pub secret: Secret,
}

/// The worker's folder, locked until this is dropped.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    identity: Identity,
    _lock: FolderLock,
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
        // The secret is in it, and what people train on.
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).at(&folder)?;
        let lock = FolderLock::take(&folder)?.ok_or_else(|| StateError::Locked(folder.clone()))?;
        let identity = identity(&folder)?;
        for path in [folder.join("cache"), folder.join("attempts")] {
            fs::create_dir_all(&path).at(&path)?;
        }
        Ok(State { folder, identity, _lock: lock })
    }

    /// Who the installation is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where inputs are.
    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    /// Where it is kept what keys have used up.
    pub fn ledgers(&self) -> PathBuf {
        self.folder.join("ledgers")
    }

    /// Where it is kept which start of the machine this is.
    pub fn boot(&self) -> PathBuf {
        self.folder.join("boot.json")
    }

    /// Where it is kept how jobs ended here.
    pub fn endings(&self) -> PathBuf {
        self.folder.join("endings.json")
    }

    /// Where attempts are.
    pub fn attempts(&self) -> PathBuf {
        self.folder.join("attempts")
    }
}

/// The id and the secret in `folder`. Where there is no id both are made: to remove it is how a copied folder becomes a worker of its
/// own, and the copy must not share its secret. An id from before there were secrets gets one.
fn identity(folder: &Path) -> Result<Identity, StateError> {
    let (id_path, secret_path) = (folder.join("worker-id"), folder.join("secret"));
    let id = match read(&id_path)? {
        Some(text) => Some(text.trim().parse().map_err(|problem| StateError::Id { path: id_path.clone(), problem })?),
        None => None,
    };
    let kept = if id.is_some() { read(&secret_path)? } else { None };
    let secret = match kept {
        Some(text) => {
            // One that was copied or restored may have come with other rights.
            fs::set_permissions(&secret_path, Permissions::from_mode(0o600)).at(&secret_path)?;
            text.trim().parse().map_err(|problem| StateError::Secret { path: secret_path, problem })?
        }
        None => {
            let secret = Secret::from(rand::random::<[u8; 32]>());
            write_private(&secret_path, secret.to_hex().as_bytes())?;
            secret
        }
    };
    // Last, so that an id never stands beside another one's secret.
    let id = match id {
        Some(id) => id,
        None => {
            let id = WorkerId::new();
            write_private(&id_path, id.to_string().as_bytes())?;
            id
        }
    };
    Ok(Identity { id, secret })
}

/// The file's text, or `None` where there is no file.
fn read(path: &Path) -> Result<Option<String>, StateError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError { path: path.to_owned(), error }.into()),
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
        let id = state.identity().id;
        let second = State::open(&folder).unwrap_err();
        assert!(matches!(second, StateError::Locked(_)) && second.to_string().contains("--state"), "{second}");
        drop(state);
        assert_eq!(State::open(&folder).unwrap().identity().id, id);
    }

    #[test]
    fn a_damaged_id_is_said_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("worker-id"), "nobody").unwrap();
        let error = State::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("worker-id") && error.contains("`nobody`"), "{error}");
    }

    #[test]
    fn the_secret_is_made_once_and_is_its_owner_s_alone() {
        let dir = tempfile::tempdir().unwrap();
        let hex = |state: &State| state.identity().secret.to_hex();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let first = hex(&State::open(dir.path()).unwrap());
        let path = dir.path().join("secret");
        assert_eq!((mode(dir.path()), mode(&path)), (0o700, 0o600));
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let state = State::open(dir.path()).unwrap();
        assert_eq!((hex(&state), mode(&path)), (first.clone(), 0o600));
        assert!(!format!("{state:?}").contains(&first));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(hex(&State::open(other.path()).unwrap()), first);
    }

    #[test]
    fn an_id_from_before_secrets_is_kept_and_a_removed_id_takes_its_secret_along() {
        let dir = tempfile::tempdir().unwrap();
        let id = WorkerId::new();
        fs::write(dir.path().join("worker-id"), id.to_string()).unwrap();
        let (kept, secret) = {
            let state = State::open(dir.path()).unwrap();
            (state.identity().id, state.identity().secret.to_hex())
        };
        assert_eq!(kept, id);
        // What the coordinator tells the owner of a copied folder to do.
        fs::remove_file(dir.path().join("worker-id")).unwrap();
        let state = State::open(dir.path()).unwrap();
        assert_ne!(state.identity().id, id);
        assert_ne!(state.identity().secret.to_hex(), secret);
    }

    #[test]
    fn a_damaged_secret_is_said_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        drop(State::open(dir.path()).unwrap());
        fs::write(dir.path().join("secret"), "abc123").unwrap();
        let error = State::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("worker-id") && !error.contains("abc123"), "{error}");
    }
}
