//! Inputs by digest: fetched once, used by every attempt that names them.
//!
//! Promise: an entry that is given out is whole and has the bytes of its digest, or it is not given out: one that was damaged on the disk
//! is moved away and fetched again. Two attempts that want the same input fetch it once. What a running attempt uses stays. Everything
//! else goes, the longest unused first, when a fetch would take the cache past its limit.
//!
//! `DIGEST/` has an entry's files and `.DIGEST.manifest` beside it says what they must be: its own SHA-256 is the digest, so it cannot be
//! damaged unseen. Links are not followed.

mod soundness;

use soundness::{Damage, Look};

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;
use vertigo::bytes::Bytes;
use vertigo::files::FileError;
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo_client::{Transfer, TransferError};

/// One fetch at a time; whoever holds it uses the entry.
type Turn = tokio::sync::Mutex<()>;

/// Inputs by digest.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    limit: Bytes,
    transfer: Transfer,
    used: Arc<Used>,
    /// How entries looked when they were last verified by this daemon.
    looks: Mutex<HashMap<Digest, Look>>,
}

/// Entries in use, by digest in hexadecimal.
#[derive(Debug, Default)]
struct Used(Mutex<HashMap<String, Weak<Turn>>>);

/// An input in its folder. It stays for as long as this lives.
#[derive(Debug)]
pub struct Entry {
    folder: PathBuf,
    manifest: Manifest,
    _turn: Arc<Turn>,
}

/// Kinds of artifact that an input may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(pub &'static [Kind]);

impl std::fmt::Display for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.0.iter().map(|kind| kind.as_str()).collect();
        f.write_str(&names.join(" or "))
    }
}

/// Why an input is not there.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It could not be fetched.
    #[error("{kinds} {}: {error}", digest.short())]
    Transfer {
        /// What it should be.
        kinds: Kinds,
        /// Its name.
        digest: Digest,
        /// Why.
        error: TransferError,
    },
    /// The coordinator gave another artifact, or one of another kind.
    #[error("asked for {kinds} {}, got {got}", digest.short())]
    Other {
        /// What it should be.
        kinds: Kinds,
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

    /// What it is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl Cache {
    /// A cache in `folder`, filled by `transfer`, of `limit` bytes: more only where running attempts need more.
    pub fn new(folder: PathBuf, limit: Bytes, transfer: Transfer) -> Cache {
        Cache { folder, limit, transfer, used: Arc::default(), looks: Mutex::default() }
    }

    /// The files of artifact `digest`, fetched where they are not here or not what they were. What is fetched and cut off goes on where
    /// it was.
    ///
    /// # Errors
    /// [`CacheError::Transfer`], and [`CacheError::Other`] where the artifact is of none of these kinds.
    pub async fn get(&self, kinds: Kinds, digest: Digest) -> Result<Entry, CacheError> {
        let turn = self.used.turn(&digest);
        let mine = turn.lock().await;
        let folder = self.folder.join(digest.hex());
        let manifest = self.manifest(kinds, digest).await?;
        // Not `exists`, which follows links.
        if fs::symlink_metadata(&folder).is_err() || !self.is_sound(kinds, digest, &folder, &manifest).await? {
            self.fetch(kinds, digest, &folder, &manifest).await?;
        }
        // The folder's own time says when it was last used; one that cannot be set makes it go earlier, no more.
        let _ = File::open(&folder).and_then(|folder| folder.set_modified(SystemTime::now()));
        drop(mine);
        Ok(Entry { folder, manifest, _turn: turn })
    }

    /// Fetches an entry that is not there. What comes is verified as it comes.
    async fn fetch(&self, kinds: Kinds, digest: Digest, folder: &Path, manifest: &Manifest) -> Result<(), CacheError> {
        let failed = |error| CacheError::Transfer { kinds, digest, error };
        self.make_room(manifest.bytes()).await;
        let mut pulled = self.transfer.pull(manifest, folder, &|_| {}).await;
        if let Err(error @ TransferError::Damaged { .. }) = &pulled {
            // What was wrong of it is gone; a second time it is not the connection.
            tracing::warn!(%kinds, digest = %digest.short(), "{error}; fetching it once more");
            pulled = self.transfer.pull(manifest, folder, &|_| {}).await;
        }
        pulled.map_err(failed)?;
        // Where this look fails, the next use verifies.
        if let Ok(look) = Look::at(folder) {
            self.looks().insert(digest, look);
        }
        tracing::info!(%kinds, digest = %digest.short(), size = %manifest.bytes(), "fetched");
        Ok(())
    }

    /// Whether the entry in `folder` is what its manifest says. One that is not is moved away.
    async fn is_sound(
        &self,
        kinds: Kinds,
        digest: Digest,
        folder: &Path,
        manifest: &Manifest,
    ) -> Result<bool, CacheError> {
        let last = self.looks().get(&digest).cloned();
        let verified = verify(folder.to_owned(), manifest.clone(), last).await;
        match verified {
            Ok(look) => {
                self.looks().insert(digest, look);
                return Ok(true);
            }
            Err(damage) => {
                tracing::warn!(%kinds, digest = %digest.short(), "this input was damaged on the disk: {damage}; it is fetched again");
            }
        }
        self.looks().remove(&digest);
        let (path, gone) = (folder.to_owned(), self.folder.join(format!(".{}{GONE}", digest.hex())));
        let moved = tokio::task::spawn_blocking(move || discard(&path, &gone)).await;
        moved.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(|error| {
            let error = FileError { path: folder.to_owned(), error };
            CacheError::Transfer { kinds, digest, error: error.into() }
        })?;
        Ok(false)
    }

    /// What the entry must be: by the manifest that lies beside it, or else the coordinator's, which is laid there.
    async fn manifest(&self, kinds: Kinds, digest: Digest) -> Result<Manifest, CacheError> {
        let path = self.folder.join(format!(".{}{MANIFEST}", digest.hex()));
        let kept = fs::read_to_string(&path).ok().and_then(|text| Manifest::parse(&text).ok());
        let manifest = match kept.filter(|manifest| manifest.digest() == digest) {
            Some(manifest) => manifest,
            None => {
                let failed = |error| CacheError::Transfer { kinds, digest, error };
                let (_, manifest) = self.transfer.manifest(&digest.to_string()).await.map_err(failed)?;
                if let Err(error) = fs::write(&path, manifest.to_json()) {
                    tracing::warn!(%error, file = %path.display(), "cannot keep a manifest; it is asked for again when it is needed");
                }
                manifest
            }
        };
        if manifest.digest() != digest || !kinds.0.contains(&manifest.kind()) {
            let got = format!("{} {}", manifest.kind(), manifest.digest().short());
            return Err(CacheError::Other { kinds, digest, got });
        }
        Ok(manifest)
    }

    fn looks(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The ending of the file beside an entry that says what it must be.
const MANIFEST: &str = ".manifest";

/// Verifies an entry off the async threads. Where the caller is dropped, as when its attempt is stopped, the hashing ends too.
async fn verify(folder: PathBuf, manifest: Manifest, last: Option<Look>) -> Result<Look, Damage> {
    struct GivesUp(Arc<AtomicBool>);
    impl Drop for GivesUp {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let caller = GivesUp(Arc::default());
    let given_up = caller.0.clone();
    let work = move || soundness::verify(&folder, &manifest, last.as_ref(), &given_up);
    match tokio::task::spawn_blocking(work).await {
        Ok(Some(verified)) => verified,
        Ok(None) => unreachable!("the caller is here, so nobody gave up"),
        Err(panic) => Err(Damage::Unreadable { path: String::new(), problem: panic.to_string() }),
    }
}

/// Moves an entry away and removes it, whatever it is. It is not there any more, for whoever looks, before its first file is gone.
fn discard(path: &Path, gone: &Path) -> io::Result<()> {
    remove(gone)?;
    fs::rename(path, gone)?;
    remove(gone)
}

/// Removes a folder with all in it, or a file or link; nothing that is not there.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn make_room(folder: &Path, limit: Bytes, need: Bytes, used: &Used) -> io::Result<()> {
    let (mut found, mut busy) = (Vec::new(), HashSet::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(GONE) {
            // Of a daemon that died in the middle of it.
            remove(&path)?;
            continue;
        }
        if let Some(digest) = name.strip_prefix('.').and_then(|name| name.strip_suffix(MANIFEST)) {
            let of_nothing = || fs::symlink_metadata(folder.join(digest)).is_err();
            // A fetch lays it there before the entry comes.
            used.unless_used(digest, || if of_nothing() { remove(&path) } else { Ok(()) }).transpose()?;
            continue;
        }
        // DIGEST, or .DIGEST.….partial where its fetch was cut off.
        let digest = name.trim_start_matches('.').split('.').next().unwrap_or_default().to_owned();
        if used.unless_used(&digest, || ()).is_none() {
            busy.insert(digest.clone());
        }
        found.push(Found { bytes: size(&path)?, used: fs::symlink_metadata(&path)?.modified()?, path, digest });
    }
    for old in to_remove(found, &busy, limit.0, need.0) {
        let gone = folder.join(format!(".{}{GONE}", old.digest));
        if let Some(renamed) = used.unless_used(&old.digest, || fs::rename(&old.path, &gone)) {
            renamed?;
            remove(&gone)?;
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
        let kept = |digest: &Digest| format!(".{}{MANIFEST}", digest.hex());
        for digest in [&digests[2], &digests[3], &Digest::of(b"of nothing")] {
            fs::write(dir.path().join(kept(digest)), "{}").unwrap();
        }
        let used = Used::default();
        let held = used.turn(&digests[0]);
        make_room(dir.path(), Bytes(350), Bytes(100), &used).unwrap();
        let left = || {
            let names =
                fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect::<HashSet<_>>()
        };
        // The oldest is in use; the two after it go, one of them a fetch that was given up.
        // Manifests go with their entries at the latest when room is made the next time.
        assert_eq!(left(), HashSet::from([digests[0].hex(), digests[3].hex(), kept(&digests[2]), kept(&digests[3])]));
        drop(held);
        make_room(dir.path(), Bytes(150), Bytes::ZERO, &used).unwrap();
        assert_eq!(left(), HashSet::from([digests[3].hex(), kept(&digests[3])]));
    }
}
