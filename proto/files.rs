//! Files of our own: what the system says of them, with their paths, and a folder that is one process's alone.
//!
//! Promise: an error here names its file. A [`FolderLock`] ends with its process, whatever ends that, so none is left behind.
//! [`write_private`] leaves the file as it was or as it is meant to be, and never between, whoever else writes it meanwhile.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The mode of a file that is its owner's alone.
const PRIVATE_MODE: u32 = 0o600;

/// As much as any small file of ours has.
const PROBE_BYTES: usize = 16 << 10;

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

/// Writes a small file that only its owner reads. It is there whole or as it was before, through a power cut too.
///
/// # Errors
/// The file's, or its folder's.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    // Not by `with_extension`, which would give `a.b` and `a.c` one name.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut file = own(&fresh).at(&fresh)?;
    let mut write = || {
        file.set_len(0)?;
        // One that a crash left may have other rights.
        file.set_permissions(Permissions::from_mode(PRIVATE_MODE))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().at(&fresh)?;
    // Under the lock still, so that what appears is what was written here.
    fs::rename(&fresh, path).at(path)?;
    drop(file);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).at(folder)
}

/// Finds out whether small files of ours can be kept in a folder, by one that is gone again: before something is done that cannot be done
/// twice, and whose outcome is kept there.
///
/// # Errors
/// The file's, or its folder's.
pub fn try_keeping(folder: &Path) -> Result<(), FileError> {
    let probe = folder.join("probe");
    write_private(&probe, &[0; PROBE_BYTES])?;
    match fs::remove_file(&probe) {
        // Another who tried it at once has taken both away.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.at(&probe),
    }
}

/// The file at `fresh`, made where it is not there, which is this call's until it is closed: two commands of one person may well renew the
/// same certificate at once.
fn own(fresh: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE_MODE).open(fresh)?;
        file.lock()?;
        let open = file.metadata()?;
        match fs::symlink_metadata(fresh) {
            // A link is none of ours, whatever it leads to.
            Ok(there) if there.is_symlink() || there.nlink() > 1 => fs::remove_file(fresh)?,
            Ok(there) if (there.dev(), there.ino()) == (open.dev(), open.ino()) => return Ok(file),
            // Whoever had it before has put it into its place.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
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
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE_MODE).open(&path)?;
            // One that was copied or restored may have come with other rights.
            file.set_permissions(Permissions::from_mode(PRIVATE_MODE))?;
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
        assert_eq!(mode & 0o777, PRIVATE_MODE);
        drop(first);
        assert!(FolderLock::take(dir.path()).unwrap().is_some());
    }

    #[test]
    fn a_private_file_is_its_owners_alone_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.json");
        // What a crash left behind, with rights of its own.
        std::fs::write(dir.path().join("secret.json.new"), "half").unwrap();
        for text in ["one", "another, longer"] {
            write_private(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, PRIVATE_MODE);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let error = write_private(&dir.path().join("none/x"), b"").unwrap_err();
        assert_eq!(error.path, dir.path().join("none/x.new"));
    }

    #[test]
    fn whoever_reads_finds_a_whole_file_however_many_write_it_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.json");
        write_private(&path, b"0").unwrap();
        std::thread::scope(|scope| {
            for size in 1..=8usize {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..50 {
                        write_private(path, size.to_string().repeat(size * 1000).as_bytes()).unwrap();
                        let text = std::fs::read_to_string(path).unwrap();
                        let first = text.chars().next().unwrap_or_default();
                        let expected = first.to_digit(10).unwrap_or_default() as usize * 1000;
                        assert!(
                            text.len() == expected && text.chars().all(|c| c == first),
                            "{} of {first}",
                            text.len()
                        );
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_its_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, others) = (dir.path().join("secret"), dir.path().join("others"));
        for link in [
            |from: &Path, to: &Path| std::os::unix::fs::symlink(from, to),
            |from: &Path, to: &Path| std::fs::hard_link(from, to),
        ] {
            std::fs::write(&others, "theirs").unwrap();
            link(&others, &dir.path().join("secret.new")).unwrap();
            write_private(&path, b"mine").unwrap();
            assert_eq!(std::fs::read_to_string(&others).unwrap(), "theirs");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        }
    }

    #[test]
    fn a_folder_is_tried_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        try_keeping(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(try_keeping(&dir.path().join("none")).is_err());
    }

    #[test]
    fn an_error_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = FolderLock::take(&dir.path().join("none")).unwrap_err();
        assert_eq!((error.path, error.error.kind()), (dir.path().join("none/lock"), io::ErrorKind::NotFound));
    }
}
