//! The worker's folder: who it is, and what it keeps.
//!
//! ```text
//! lock          held while a daemon runs
//! worker-id     made once, as is
//! secret        what proves to the coordinator that the id is this installation's
//! identity.json what a coordinator on another machine knows it by: certificate and key
//! cache/        inputs, by digest, up to a limit
//! attempts/ID/  spec.json, epoch, pid, log, reports, out/, output/
//! endings.json  how often jobs met the same end here
//! boot.json     which start of the machine the worker ran under
//! when          the policy of the machine's owner, and the one that the command line last had
//! ledgers/      what keys of services elsewhere have used up of what those allow
//! attempts/kept/JOB/  an adapter that is finished and could not be sent yet
//! ```
//!
//! Promise: one daemon a folder; id and secret outlive restarts and belong together; the folder is its owner's alone.

use serde::{Deserialize, Serialize};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use vertigo::files::{AtPath, FileError, FolderLock, write_private};
use vertigo::id::WorkerId;
use vertigo::secret::{Installed, Secret, SecretError};
use vertigo_host::policy::Policy;

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
    /// The policy is damaged.
    #[error("{}: {problem}; remove the file, and give the worker its policy again with --when", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
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

    /// The installation whose folder this is, which is made where it is not there: for who joins before the daemon runs, or
    /// while it does.
    ///
    /// # Errors
    /// The folder cannot be read or written; [`StateError::Locked`] where another is just making it.
    pub fn installed(folder: &Path) -> Result<Installed, StateError> {
        fs::create_dir_all(folder).at(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700)).at(folder)?;
        let lock = FolderLock::take(folder)?;
        // Whoever has the folder has made id and secret, the id last; or makes them, and two would each make half.
        if lock.is_none() && !folder.join("worker-id").exists() {
            return Err(StateError::Locked(folder.to_owned()));
        }
        let Identity { id, secret } = identity(folder)?;
        Ok(Installed { id, secret: secret.hash() })
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

    /// The policy that counts: the command line's where that has another than it had, else the one that is kept. What counts is kept.
    ///
    /// # Errors
    /// The file cannot be read or written, or is no policy.
    pub fn policy(&self, given: Option<&Policy>) -> Result<Policy, StateError> {
        let path = self.folder.join("when");
        let wrong = |problem: String| StateError::Policy { path: path.clone(), problem };
        let kept: Option<When> = match read(&path)? {
            Some(text) => Some(serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?),
            None => None,
        };
        let parsed = |when: &When| when.policy.parse::<Policy>().map_err(|error| wrong(error.to_string()));
        let known = given.map(ToString::to_string);
        match (&kept, given) {
            // What a person has set since outlives a restart by the same command line.
            (Some(when), _) if known.is_none() || when.given == known => parsed(when),
            (_, None) => Ok(Policy::default()),
            (_, Some(policy)) => {
                self.keep(&When { policy: policy.to_string(), given: known })?;
                Ok(policy.clone())
            }
        }
    }

    /// Keeps a policy that a person has set while the daemon runs.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn keep_policy(&self, policy: &Policy) -> Result<(), StateError> {
        let kept = read(&self.folder.join("when"))?;
        let given = kept.and_then(|text| serde_json::from_str::<When>(&text).ok()).and_then(|when| when.given);
        self.keep(&When { policy: policy.to_string(), given })
    }

    fn keep(&self, when: &When) -> Result<(), StateError> {
        let text = serde_json::to_vec(when)
            .map_err(|error| StateError::Policy { path: self.folder.join("when"), problem: error.to_string() })?;
        Ok(write_private(&self.folder.join("when"), &text)?)
    }

    /// Where attempts are.
    pub fn attempts(&self) -> PathBuf {
        self.folder.join("attempts")
    }
}

/// The file `when`.
#[derive(Debug, Serialize, Deserialize)]
struct When {
    policy: String,
    /// The command line's at the last start that had one.
    given: Option<String>,
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
    fn two_that_join_at_once_are_one_installation() {
        for _ in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            let joined: Vec<Installed> = std::thread::scope(|scope| {
                let joins = || State::installed(dir.path()).ok();
                let all: Vec<_> = (0..4).map(|_| scope.spawn(joins)).collect();
                all.into_iter().filter_map(|join| join.join().unwrap()).collect()
            });
            let state = State::open(dir.path()).unwrap();
            let Identity { id, secret } = state.identity().clone();
            let one = Installed { id, secret: secret.hash() };
            assert!(!joined.is_empty() && joined.iter().all(|it| *it == one));
        }
    }

    #[test]
    fn the_newest_of_what_a_person_said_is_the_policy() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        let policy = |text: &str| text.parse::<Policy>().unwrap();
        assert_eq!(state.policy(None).unwrap(), Policy::default());
        assert!(!dir.path().join("when").exists(), "nobody has said anything");
        assert_eq!(state.policy(Some(&policy("on-ac"))).unwrap(), policy("on-ac"));
        assert_eq!(state.policy(None).unwrap(), policy("on-ac"));
        // Set from elsewhere, it outlives a restart by the same command line.
        state.keep_policy(&policy("never")).unwrap();
        assert_eq!(state.policy(Some(&policy("on-ac"))).unwrap(), policy("never"));
        assert_eq!(state.policy(None).unwrap(), policy("never"));
        assert_eq!(state.policy(Some(&policy("always"))).unwrap(), policy("always"));
        fs::write(dir.path().join("when"), r#"{"policy":"on-tap","given":null}"#).unwrap();
        let error = state.policy(None).unwrap_err().to_string();
        assert!(error.contains("`on-tap` is no condition") && error.contains("--when"), "{error}");
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
