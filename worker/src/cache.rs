//! Inputs by digest: fetched once, used by every attempt that names them.
//!
//! Promise: an entry is whole and verified, or not there; two attempts that want the same input fetch it once. What a running attempt
//! uses stays. Everything else goes, the longest unused first, when a fetch would take the cache past its limit.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::Kind;
use vertigo::transfer::{Transfer, TransferError};

/// One fetch at a time; whoever holds it uses the entry.
type Turn = tokio::sync::Mutex<()>;

/// Inputs by digest.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    limit: Bytes,
    transfer: Transfer,
    used: Arc<Used>,
}

/// Entries in use, by digest in hexadecimal.
#[derive(Debug, Default)]
struct Used(Mutex<HashMap<String, Weak<Turn>>>);

/// An input in its folder. It stays for as long as this lives.
#[derive(Debug)]
pub struct Entry {
    folder: PathBuf,
    _turn: Arc<Turn>,
}

/// Why an input is not there.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It could not be fetched.
    #[error("{kind} {}: {error}", digest.short())]
    Transfer {
        /// What it should be.
        kind: Kind,
        /// Its name.
        digest: Digest,
        /// Why.
        error: TransferError,
    },
    /// The coordinator gave another artifact, or one of another kind.
    #[error("asked for {kind} {}, got {got}", digest.short())]
    Other {
        /// What it should be.
        kind: Kind,
        /// Its name.
        digest: Digest,
        /// What came.
        got: String,
    },
}

impl Entry {
    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Cache {
    /// A cache in `folder`, filled by `transfer`, of `limit` bytes: more only where running attempts need more.
    pub fn new(folder: PathBuf, limit: Bytes, transfer: Transfer) -> Cache {
        Cache { folder, limit, transfer, used: Arc::default() }
    }

    /// The files of artifact `digest`, fetched where they are not here. What is fetched and cut off goes on where it was.
    ///
    /// # Errors
    /// [`CacheError::Transfer`], and [`CacheError::Other`] where the artifact is not a `kind`.
    pub async fn get(&self, kind: Kind, digest: Digest) -> Result<Entry, CacheError> {
        let turn = self.used.turn(&digest);
        let mine = turn.lock().await;
        let folder = self.folder.join(digest.hex());
        if !folder.exists() {
            let failed = |error| CacheError::Transfer { kind, digest, error };
            let (name, manifest) = self.transfer.manifest(&digest.to_string()).await.map_err(failed)?;
            if name != digest || manifest.kind() != kind {
                return Err(CacheError::Other { kind, digest, got: format!("{} {}", manifest.kind(), name.short()) });
            }
            self.make_room(manifest.bytes()).await;
            self.transfer.pull(&manifest, &folder, &|_| {}).await.map_err(failed)?;
            tracing::info!(%kind, digest = %digest.short(), size = %manifest.bytes(), "fetched");
        }
        // The folder's own time says when it was last used; one that cannot be set makes it go earlier, no more.
        let _ = File::open(&folder).and_then(|folder| folder.set_modified(SystemTime::now()));
        drop(mine);
        Ok(Entry { folder, _turn: turn })
    }

    /// Removes what must go before `need` more bytes come. A cache that cannot be made smaller is no reason not to work.
    async fn make_room(&self, need: Bytes) {
        let (folder, limit, used) = (self.folder.clone(), self.limit, self.used.clone());
        let done = tokio::task::spawn_blocking(move || make_room(&folder, limit, need, &used)).await;
        if let Err(error) = done.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            tracing::warn!(%error, folder = %self.folder.display(), "cannot make room in the cache");
        }
    }
}

impl Used {
    /// The turn at `digest`. While it is held, the entry is in use.
    fn turn(&self, digest: &Digest) -> Arc<Turn> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = used.get(&digest.hex()).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::default());
        used.insert(digest.hex(), Arc::downgrade(&turn));
        turn
    }

    /// Does `work` unless the entry is in use; nobody begins to use it meanwhile.
    fn unless_used<T>(&self, digest: &str, work: impl FnOnce() -> T) -> Option<T> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(digest).is_none_or(|turn| turn.strong_count() == 0).then(work)
    }
}

/// A folder in the cache: an entry, or what was fetched of one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    digest: String,
    bytes: u64,
    used: SystemTime,
}

/// The ending of a folder that is being removed.
const GONE: &str = ".gone";

fn make_room(folder: &Path, limit: Bytes, need: Bytes, used: &Used) -> io::Result<()> {
    let (mut found, mut busy) = (Vec::new(), HashSet::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(GONE) {
            // Of a daemon that died in the middle of it.
            fs::remove_dir_all(&path)?;
            continue;
        }
        // DIGEST, or .DIGEST.….partial where its fetch was cut off.
        let digest = name.trim_start_matches('.').split('.').next().unwrap_or_default().to_owned();
        if used.unless_used(&digest, || ()).is_none() {
            busy.insert(digest.clone());
        }
        found.push(Found { bytes: size(&path)?, used: fs::metadata(&path)?.modified()?, path, digest });
    }
    for old in to_remove(found, &busy, limit.0, need.0) {
        let gone = folder.join(format!(".{}{GONE}", old.digest));
        if let Some(renamed) = used.unless_used(&old.digest, || fs::rename(&old.path, &gone)) {
            renamed?;
            fs::remove_dir_all(&gone)?;
            tracing::info!(digest = old.digest, size = %Bytes(old.bytes), "removed from the cache");
        }
    }
    Ok(())
}

/// What goes, the longest unused first, so that `need` more bytes stay within `limit`. Nothing that is in use.
fn to_remove(mut found: Vec<Found>, busy: &HashSet<String>, limit: u64, need: u64) -> Vec<Found> {
    let mut total = found.iter().fold(need, |sum, entry| sum.saturating_add(entry.bytes));
    found.sort_by_key(|entry| entry.used);
    found.retain(|entry| {
        let goes = total > limit && !busy.contains(&entry.digest);
        total -= if goes { entry.bytes } else { 0 };
        goes
    });
    found
}

/// Bytes of all files below `path`.
fn size(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?.try_fold(0, |sum, entry| Ok(sum + size(&entry?.path())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn found(n: usize, bytes: u64, age: u64) -> Found {
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - age);
        Found { path: n.to_string().into(), digest: n.to_string(), bytes, used }
    }

    proptest! {
        #[test]
        fn what_goes_is_the_longest_unused_and_no_more_than_must(
            entries in prop::collection::vec((0u64..100, 0u64..1000, any::<bool>()), 0..12), limit in 0u64..600, need in 0u64..100,
        ) {
            let all: Vec<Found> = entries.iter().enumerate().map(|(n, (bytes, age, _))| found(n, *bytes, *age)).collect();
            let busy: HashSet<String> =
                entries.iter().enumerate().filter(|(_, (.., busy))| *busy).map(|(n, _)| n.to_string()).collect();
            let gone = to_remove(all.clone(), &busy, limit, need);
            prop_assert!(gone.iter().all(|entry| !busy.contains(&entry.digest)), "what is used stays");
            let stays: Vec<&Found> = all.iter().filter(|entry| !gone.contains(entry)).collect();
            let free = |entry: &&&Found| !busy.contains(&entry.digest);
            let left: u64 = need + stays.iter().map(|entry| entry.bytes).sum::<u64>();
            prop_assert!(left <= limit || stays.iter().filter(free).count() == 0, "{left} of {limit}");
            let newest = gone.iter().map(|entry| entry.used).max();
            prop_assert!(stays.iter().filter(free).all(|entry| newest.is_none_or(|newest| entry.used >= newest)));
            if let Some(last) = gone.last() {
                prop_assert!(left + last.bytes > limit, "the last one had to go");
            }
        }
    }

    #[test]
    fn room_is_made_on_the_disk_but_not_of_what_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let digests: Vec<Digest> = (0..4u8).map(|n| Digest::of(&[n])).collect();
        for (n, digest) in digests.iter().enumerate() {
            let folder = dir.path().join(if n == 1 {
                format!(".{}.{}.partial", digest.hex(), digest.short())
            } else {
                digest.hex()
            });
            fs::create_dir_all(folder.join("sub")).unwrap();
            fs::write(folder.join("sub/weights"), [0; 100]).unwrap();
            let used = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + n as u64);
            File::open(folder).unwrap().set_modified(used).unwrap();
        }
        fs::create_dir_all(dir.path().join(".dead.gone/sub")).unwrap();
        let used = Used::default();
        let held = used.turn(&digests[0]);
        make_room(dir.path(), Bytes(350), Bytes(100), &used).unwrap();
        let left = || {
            let names =
                fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect::<HashSet<_>>()
        };
        // The oldest is in use; the two after it go, one of them a fetch that was given up.
        assert_eq!(left(), HashSet::from([digests[0].hex(), digests[3].hex()]));
        drop(held);
        make_room(dir.path(), Bytes(150), Bytes::ZERO, &used).unwrap();
        assert_eq!(left(), HashSet::from([digests[3].hex()]));
    }
}
