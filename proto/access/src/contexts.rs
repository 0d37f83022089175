//! The coordinators that a person speaks to from this machine, each with who that person is there.
//!
//! ```text
//! NAME.json   an identity
//! current     the name of the one that is meant where nobody says which
//! ```
//!
//! Promise: the folder is its owner's alone; a name drives no path out of it.

use crate::identity::{Identity, IdentityError};
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::str::FromStr;
use vertigo::endpoint::Endpoint;
use vertigo::files::{AtPath, FileError, try_keeping, write_private};
use vertigo::id::Millis;

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 63;

/// Contexts of a person.
const CONTEXTS_MAX: usize = 1_000;

/// What a person calls a coordinator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContextName(String);

/// A text that names no context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a context: write up to {NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`, beginning with a letter or digit"
)]
pub struct ContextNameError(String);

impl FromStr for ContextName {
    type Err = ContextNameError;
    fn from_str(text: &str) -> Result<ContextName, ContextNameError> {
        let named = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if text.len() > NAME_BYTES_MAX || !begins_well || !text.chars().all(named) {
            return Err(ContextNameError(text.chars().take(NAME_BYTES_MAX).collect()));
        }
        Ok(ContextName(text.to_owned()))
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The folder of them.
#[derive(Debug, Clone)]
pub struct Contexts {
    folder: PathBuf,
}

impl Contexts {
    /// In a folder, which need not be there.
    pub fn at(folder: impl Into<PathBuf>) -> Contexts {
        Contexts { folder: folder.into() }
    }

    /// Where a context lies.
    pub fn path(&self, name: &ContextName) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    fn current_path(&self) -> PathBuf {
        self.folder.join("current")
    }

    /// One of them; `None` where there is none of that name.
    ///
    /// # Errors
    /// Its file is damaged.
    pub fn get(&self, name: &ContextName) -> Result<Option<Identity>, IdentityError> {
        Identity::read(&self.path(name))
    }

    /// The names, in their order.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn names(&self) -> Result<Vec<ContextName>, FileError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.at(&self.folder)?,
        };
        let mut names = Vec::new();
        for entry in entries.take(2 * CONTEXTS_MAX) {
            let file = entry.at(&self.folder)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".json")).and_then(|name| name.parse().ok());
            names.extend(name);
        }
        names.sort();
        Ok(names)
    }

    /// The one that is meant where nobody says which.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn current(&self) -> Result<Option<ContextName>, FileError> {
        let path = self.current_path();
        match fs::read_to_string(&path) {
            // One that was removed or written by hand means none.
            Ok(text) => Ok(text.trim().parse().ok().filter(|name| self.path(name).exists())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError { path, error }),
        }
    }

    /// From now on this one is meant.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn choose(&self, name: &ContextName) -> Result<(), FileError> {
        write_private(&self.current_path(), format!("{name}\n").as_bytes())
    }

    /// Finds out whether an identity can be kept, before there is one: a token opens once.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn prepare(&self) -> Result<(), FileError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).at(&self.folder)?;
        try_keeping(&self.folder)
    }

    /// Keeps an identity, in the place of one of that name.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn keep(&self, name: &ContextName, identity: &Identity) -> Result<(), FileError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).at(&self.folder)?;
        identity.write(&self.path(name))
    }

    /// What an identity is kept as where nobody named it: its coordinator's host, with more to it where that is another's that can still be
    /// used. Whoever logs in with less than they had, or to a second coordinator on one machine, loses nothing.
    pub fn name_for(&self, identity: &Identity, now: Millis) -> ContextName {
        let Identity { coordinator, principal, .. } = identity;
        let host = Some(coordinator.host()).filter(|host| host.parse::<ContextName>().is_ok()).unwrap_or("coordinator");
        let port = coordinator.authority().rsplit(':').next().unwrap_or_default();
        let is_free = |name: &ContextName| match self.get(name) {
            Ok(Some(other)) => {
                other.life.ends <= now
                    || (other.coordinator, other.principal) == (coordinator.clone(), principal.clone())
            }
            // One that is damaged is of no use to anybody.
            Ok(None) | Err(_) => true,
        };
        let names = [host.to_owned(), format!("{host}-{principal}"), format!("{host}-{port}-{principal}")];
        let free = names.iter().filter_map(|name| name.parse().ok()).find(is_free);
        free.unwrap_or_else(|| ContextName(host.to_owned()))
    }

    /// Forgets one. Gives whether there was one.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn remove(&self, name: &ContextName) -> Result<bool, FileError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FileError { path, error }),
        }
    }

    /// Who this person is to the coordinator at `endpoint`: by the context that is meant where that is its, or else by the first. A file
    /// that is damaged, or of a later version, stands in the way only where it may have been that.
    ///
    /// # Errors
    /// No other is it, and a file is damaged, or cannot be read.
    pub fn find(&self, endpoint: &Endpoint) -> Result<Option<(ContextName, Identity)>, IdentityError> {
        let current = self.current()?;
        let others = self.names()?.into_iter().filter(|name| Some(name) != current.as_ref());
        let mut unread = None;
        for name in current.iter().cloned().chain(others) {
            match self.get(&name) {
                Ok(Some(identity)) if identity.coordinator == *endpoint => return Ok(Some((name, identity))),
                Ok(_) => {}
                Err(error) => unread = unread.or(Some(error)),
            }
        }
        unread.map_or(Ok(None), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::tests::identity;
    use std::os::unix::fs::PermissionsExt;

    fn name(text: &str) -> ContextName {
        text.parse().unwrap()
    }

    #[test]
    fn several_coordinators_are_kept_and_one_is_meant() {
        let dir = tempfile::tempdir().unwrap();
        let contexts = Contexts::at(dir.path().join("a/contexts"));
        contexts.prepare().unwrap();
        assert!(contexts.names().unwrap().is_empty() && contexts.current().unwrap().is_none());
        let (home, work) = (identity("http://127.0.0.1:1"), identity("http://127.0.0.1:2"));
        contexts.keep(&name("home"), &home).unwrap();
        contexts.keep(&name("work"), &work).unwrap();
        assert_eq!(fs::metadata(dir.path().join("a/contexts")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(contexts.names().unwrap(), [name("home"), name("work")]);
        let (found, _) = contexts.find(&work.coordinator).unwrap().unwrap();
        assert_eq!(found, name("work"));
        assert!(contexts.find(&"http://127.0.0.1:3".parse().unwrap()).unwrap().is_none());
        contexts.choose(&name("work")).unwrap();
        assert_eq!(contexts.current().unwrap(), Some(name("work")));
        assert!(contexts.remove(&name("work")).unwrap() && !contexts.remove(&name("work")).unwrap());
        assert_eq!(contexts.current().unwrap(), None);
    }

    #[test]
    fn a_damaged_context_stands_in_nobodys_way_but_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let contexts = Contexts::at(dir.path());
        let work = identity("http://127.0.0.1:2");
        contexts.keep(&name("work"), &work).unwrap();
        fs::write(contexts.path(&name("home")), "{\"format\": 2").unwrap();
        contexts.choose(&name("home")).unwrap();
        assert_eq!(contexts.find(&work.coordinator).unwrap().unwrap().0, name("work"));
        let error = contexts.find(&"http://127.0.0.1:1".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("home.json"), "{error}");
    }

    #[test]
    fn whoever_logs_in_again_loses_nothing_that_can_still_be_used() {
        let dir = tempfile::tempdir().unwrap();
        let contexts = Contexts::at(dir.path());
        let admin = identity("https://mini:7420");
        let (now, later) = (Millis(admin.life.made.0 + 1), admin.life.ends);
        let kept = |it: &Identity, now| contexts.name_for(it, now).to_string();
        assert_eq!(kept(&admin, now), "mini");
        contexts.keep(&name("mini"), &admin).unwrap();
        assert_eq!(kept(&admin, now), "mini", "the same, with its next certificate");
        let mut guest = admin.clone();
        guest.principal = "guest".parse().unwrap();
        assert_eq!((kept(&guest, now).as_str(), kept(&guest, later).as_str()), ("mini-guest", "mini"));
        let mut second = guest.clone();
        second.coordinator = "https://mini:7421".parse().unwrap();
        contexts.keep(&name("mini-guest"), &guest).unwrap();
        assert_eq!(kept(&second, now), "mini-7421-guest");
        fs::write(contexts.path(&name("mini")), "").unwrap();
        assert_eq!(kept(&guest, now), "mini", "a damaged one is of no use");
        assert_eq!(kept(&identity("https://[::1]:7420"), now), "coordinator");
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        for bad in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "ü"] {
            assert!(bad.parse::<ContextName>().is_err(), "{bad}");
        }
    }
}
