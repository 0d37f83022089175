//! Whether an entry still is what its manifest says.
//!
//! Hashing gigabytes takes a while, so it is done once after the daemon's start and again only where the folder shows that something
//! was written: another set of files, or another size, time or inode of one. Such a look costs a few system calls.
//!
//! Promise: an entry that passes has the manifest's files, their bytes, and nothing else; links are never followed.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use vertigo::id::Digest;
use vertigo::manifest::Manifest;

/// What the system says of a file without reading it. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

/// An entry's files as they were when they were verified, by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look(BTreeMap<String, Stamp>);

/// How an entry differs from its manifest, for a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    /// A file is missing.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A file is there that the manifest does not name.
    #[error("`{0}` is not of it")]
    Extra(String),
    /// A link or a file where the entry's folder should be.
    #[error("it is no folder")]
    NoFolder,
    /// Something else than a file or a folder, such as a link.
    #[error("`{0}` is no file")]
    NoFile(String),
    /// A file of another size.
    #[error("`{path}` has {found} bytes instead of {expected}")]
    Size {
        /// The file.
        path: String,
        /// Its size by the manifest.
        expected: u64,
        /// Its size.
        found: u64,
    },
    /// A file of other bytes.
    #[error("`{0}` has other bytes than it was fetched with")]
    Bytes(String),
    /// It changed while it was looked at.
    #[error("it was written to while it was verified")]
    Moving,
    /// It cannot be read: by the manifest it should be there, so a disk that does not give it back has lost it.
    #[error("`{path}` cannot be read: {problem}")]
    Unreadable {
        /// The file or folder.
        path: String,
        /// Why.
        problem: String,
    },
}

fn unreadable(path: &str) -> impl Fn(io::Error) -> Damage {
    move |error| Damage::Unreadable { path: path.to_owned(), problem: error.to_string() }
}

impl Look {
    /// What lies in `folder` now.
    pub(super) fn at(folder: &Path) -> Result<Look, Damage> {
        if !fs::symlink_metadata(folder).map_err(unreadable(""))?.is_dir() {
            return Err(Damage::NoFolder);
        }
        let mut files = BTreeMap::new();
        list(folder, "", &mut files)?;
        Ok(Look(files))
    }

    /// That these are the files of `manifest`, by path and size.
    fn check(&self, manifest: &Manifest) -> Result<(), Damage> {
        for file in manifest.files() {
            match self.0.get(&file.path) {
                None => return Err(Damage::Missing(file.path.clone())),
                Some(stamp) if stamp.bytes != file.bytes.0 => {
                    let (path, expected) = (file.path.clone(), file.bytes.0);
                    return Err(Damage::Size { path, expected, found: stamp.bytes });
                }
                Some(_) => {}
            }
        }
        match self.0.keys().find(|path| manifest.file(path).is_none()) {
            Some(extra) => Err(Damage::Extra(extra.clone())),
            None => Ok(()),
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            bytes: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

fn list(folder: &Path, prefix: &str, into: &mut BTreeMap<String, Stamp>) -> Result<(), Damage> {
    for entry in fs::read_dir(folder).map_err(unreadable(prefix))? {
        let entry = entry.map_err(unreadable(prefix))?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // Of the entry itself: a link is not what it points at.
        let metadata = entry.metadata().map_err(unreadable(&name))?;
        if metadata.is_dir() {
            list(&entry.path(), &format!("{name}/"), into)?;
        } else if metadata.is_file() {
            into.insert(name, Stamp::of(&metadata));
        } else {
            return Err(Damage::NoFile(name));
        }
    }
    Ok(())
}

/// Verifies the files of `manifest` in `folder`, hashing them unless they look as they did at `last`. `None` where nobody waits for the
/// answer any more.
pub(super) fn verify(
    folder: &Path,
    manifest: &Manifest,
    last: Option<&Look>,
    given_up: &AtomicBool,
) -> Option<Result<Look, Damage>> {
    let checked = Look::at(folder).and_then(|look| look.check(manifest).map(|()| look));
    let look = match checked {
        Ok(look) if last == Some(&look) => return Some(Ok(look)),
        Ok(look) => look,
        Err(damage) => return Some(Err(damage)),
    };
    for file in manifest.files() {
        match hash(&folder.join(&file.path), given_up) {
            Ok(None) => return None,
            Ok(Some(found)) if found == file.digest => {}
            Ok(Some(_)) => return Some(Err(Damage::Bytes(file.path.clone()))),
            Err(error) => return Some(Err(unreadable(&file.path)(error))),
        }
    }
    // What was hashed is what is there only if nobody wrote meanwhile.
    Some(Look::at(folder).and_then(|after| if after == look { Ok(look) } else { Err(Damage::Moving) }))
}

/// The digest of a file's bytes; `None` where nobody waits for it any more.
fn hash(path: &Path, given_up: &AtomicBool) -> io::Result<Option<Digest>> {
    let found = Digest::of_reader_while(File::open(path)?, || !given_up.load(Ordering::Relaxed))?;
    Ok(found.map(|(digest, _)| digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use vertigo::bytes::Bytes;
    use vertigo::manifest::{FileEntry, Kind};

    const FILES: [(&str, &str); 3] = [("config.json", "{}"), ("model/a", "weights"), ("model/b", "more")];

    /// An entry with its manifest.
    fn entry() -> (tempfile::TempDir, Manifest) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("model")).unwrap();
        let file = |(path, text): (&str, &str)| {
            fs::write(dir.path().join(path), text).unwrap();
            FileEntry { path: path.to_owned(), digest: Digest::of(text.as_bytes()), bytes: Bytes(text.len() as u64) }
        };
        let files = FILES.map(file).to_vec();
        (dir, Manifest::new(Kind::Base, files, Default::default()).unwrap())
    }

    fn verified(folder: &Path, manifest: &Manifest, last: Option<&Look>) -> Result<Look, Damage> {
        verify(folder, manifest, last, &AtomicBool::new(false)).expect("nobody gave up")
    }

    #[test]
    fn one_flipped_byte_of_the_same_size_and_time_is_found_without_a_last_look() {
        let (dir, manifest) = entry();
        let path = dir.path().join("model/a");
        verified(dir.path(), &manifest, None).unwrap();
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "weightz").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert_eq!(verified(dir.path(), &manifest, None), Err(Damage::Bytes("model/a".to_owned())));
    }

    #[test]
    fn what_looks_as_it_did_is_not_read_again_and_what_was_written_is() {
        let (dir, manifest) = entry();
        let look = verified(dir.path(), &manifest, None).unwrap();
        // Where nobody waits, a hash gives up: that this answers shows that nothing was hashed.
        let given_up = AtomicBool::new(true);
        assert_eq!(verify(dir.path(), &manifest, Some(&look), &given_up), Some(Ok(look.clone())));
        assert_eq!(verify(dir.path(), &manifest, None, &given_up), None);
        let path = dir.path().join("model/b");
        fs::write(&path, "less").unwrap();
        assert_eq!(verify(dir.path(), &manifest, Some(&look), &given_up), None, "it is hashed");
        assert_eq!(verified(dir.path(), &manifest, Some(&look)), Err(Damage::Bytes("model/b".to_owned())));
        fs::write(&path, "more").unwrap();
        let again = verified(dir.path(), &manifest, Some(&look)).unwrap();
        assert_ne!(again, look);
    }

    #[test]
    fn another_set_of_files_is_no_entry() {
        let said = |change: &dyn Fn(&Path)| {
            let (dir, manifest) = entry();
            let look = verified(dir.path(), &manifest, None).unwrap();
            change(dir.path());
            verified(dir.path(), &manifest, Some(&look)).unwrap_err().to_string()
        };
        assert_eq!(said(&|dir| fs::remove_file(dir.join("model/b")).unwrap()), "`model/b` is missing");
        assert_eq!(said(&|dir| fs::write(dir.join("model/c"), "").unwrap()), "`model/c` is not of it");
        assert_eq!(said(&|dir| fs::write(dir.join("model/b"), "mor").unwrap()), "`model/b` has 3 bytes instead of 4");
        let linked = said(&|dir| {
            fs::rename(dir.join("model/b"), dir.join("b")).unwrap();
            symlink("../b", dir.join("model/b")).unwrap();
            fs::remove_file(dir.join("b")).unwrap();
        });
        assert_eq!(linked, "`model/b` is no file");
        let folder = said(&|dir| {
            fs::remove_dir_all(dir.join("model")).unwrap();
            symlink(dir, dir.join("model")).unwrap();
        });
        assert_eq!(folder, "`model` is no file");
    }
}
