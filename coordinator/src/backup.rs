//! Everything that a coordinator keeps, copied into a folder while it runs, and back.
//!
//! A backup is a folder with `vertigo.db`, the database as it was at one moment, `blobs/`, the blobs that it names, laid out as in a
//! store that is a folder, and `access/`, by which machines know the coordinator and it knows them. The database is copied first, by
//! SQLite's own backup; then those of its blobs that the folder lacks, each verified by its digest. The new database takes its place
//! last, and only then do the blobs go that it does not name: a backup that was cut off leaves the one before as it was. Whatever is
//! collected meanwhile, blobs are not: a backup and a sweep have the [`Gate`](crate::keep::Gate) in turns.
//!
//! Promise: what a backup has said to be done can be restored, though the state and the store that it was made of be gone; and a restore
//! makes the database appear last, so that no coordinator starts on a part of one.

use crate::access;
use crate::blobs::{Amount, BackendError, BlobError, Blobs, Extent, Start, Sweep, Uploaded, folder_of, open_backend};
use crate::keep::Gate;
use crate::private;
use crate::store::{StoreError, copy_database};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use url::Url;
use vertigo::bytes::Bytes;
use vertigo::files::{AtPath, FileError, FolderLock, write_private};
use vertigo::id::Digest;

/// How long a backup waits for a sweep of the blobs to end, and how often it looks.
const GATE_WAIT: Duration = Duration::from_secs(600);
const GATE_PACE: Duration = Duration::from_millis(100);

/// The database's name, in a state folder and in a backup.
const DATABASE: &str = "vertigo.db";

/// Why there is no backup, or nothing restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to back up, or to restore.
    #[error("{} has no {DATABASE}: {hint}", folder.display())]
    Nothing {
        /// Where it should be.
        folder: PathBuf,
        /// What to name instead.
        hint: &'static str,
    },
    /// There is something where a restore would put its own.
    #[error("{} is not empty, and a restore puts nothing over what is there: name a new folder with --state", .0.display())]
    NotEmpty(PathBuf),
    /// Another backup into the folder, or a restore from it, runs.
    #[error("another backup into {} runs, or a restore from it", .0.display())]
    Taken(PathBuf),
    /// A sweep does not end.
    #[error("blobs are being collected for {} minutes; try again later", GATE_WAIT.as_secs() / 60)]
    Sweeping,
    /// The backup is there, without some blobs.
    #[error(
        "{done}. But the store lacks {missing} of the blobs that artifacts name, such as {example}: import them again, and check that --store is \
         the coordinator's"
    )]
    Incomplete {
        /// What was done.
        done: Box<Done>,
        /// How many it lacks.
        missing: u64,
        /// One of them.
        example: Digest,
    },
    /// A file or folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// A database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A store of blobs.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A blob.
    #[error("{digest}: {error}")]
    Blob {
        /// Which.
        digest: Digest,
        /// What is wrong with it.
        error: BlobError,
    },
    /// Blobs that are no longer needed.
    #[error("the backup is done; dropping what it does not need any more: {0}")]
    Drop(BlobError),
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// To where.
    pub to: PathBuf,
    /// The database's size.
    pub database: Bytes,
    /// Blobs that were copied.
    pub copied: Amount,
    /// Blobs that were there already.
    pub there: Amount,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { to, database, copied, there } = self;
        let (new, old) = (Bytes(copied.bytes), Bytes(there.bytes));
        write!(f, "{}: a database of {database}, {} blobs copied ({new}), ", to.display(), copied.count)?;
        write!(f, "{} there already ({old})", there.count)
    }
}

/// Copies the coordinator's state in `state`, with its blobs in `store` or in the state folder, into `to`.
///
/// # Errors
/// [`BackupError`]. Whatever it says but for [`BackupError::Incomplete`] and [`BackupError::Drop`], the backup that was there before is
/// as it was.
pub async fn backup(state: &Path, store: Option<&Url>, to: &Path) -> Result<Done, BackupError> {
    let database = state.join(DATABASE);
    if !database.is_file() {
        let hint = "name the coordinator's folder with --state";
        return Err(BackupError::Nothing { folder: state.to_owned(), hint });
    }
    private::folder(to).at(to)?;
    let _lock = FolderLock::take(to)?.ok_or_else(|| BackupError::Taken(to.to_owned()))?;
    let _gate = gate(state).await?;
    let (new, last) = (to.join("vertigo.db.new"), to.join(DATABASE));
    let blobs = blocking(&new, move |new| copy_database(&database, new)).await?;
    let (from, into) = (open(&store_of(state, store)?, &state.join("uploads"))?, in_folder(to)?);
    let (copied, there, missing) = copy(&from, &into, &blobs).await?;
    copy_access(state, to)?;
    fs::rename(&new, &last).at(&last)?;
    sync(to)?;
    drop_unnamed(&into, blobs.keys().copied().collect()).await?;
    let size = fs::metadata(&last).at(&last)?.len();
    let done = Done { to: to.to_owned(), database: Bytes(size), copied, there };
    match missing.first() {
        None => Ok(done),
        Some(example) => {
            Err(BackupError::Incomplete { done: Box::new(done), missing: missing.len() as u64, example: *example })
        }
    }
}

/// Makes of a backup a state in `state`, which is new or empty, with its blobs in `store` or in the state folder.
///
/// # Errors
/// [`BackupError`]. Then the state has no database, and no coordinator starts on it.
pub async fn restore(from: &Path, state: &Path, store: Option<&Url>) -> Result<Done, BackupError> {
    let database = from.join(DATABASE);
    if !database.is_file() {
        let hint = "name a folder that `vertigo-coordinator backup` has made";
        return Err(BackupError::Nothing { folder: from.to_owned(), hint });
    }
    private::folder(state).at(state)?;
    if fs::read_dir(state).at(state)?.next().is_some() {
        return Err(BackupError::NotEmpty(state.to_owned()));
    }
    let _from = FolderLock::take(from)?.ok_or_else(|| BackupError::Taken(from.to_owned()))?;
    let _state = FolderLock::take(state)?.ok_or_else(|| BackupError::NotEmpty(state.to_owned()))?;
    let (new, last) = (state.join("vertigo.db.new"), state.join(DATABASE));
    let blobs = blocking(&new, move |new| copy_database(&database, new)).await?;
    let (kept, into) = (in_folder(from)?, open(&store_of(state, store)?, &state.join("uploads"))?);
    let (copied, there, missing) = copy(&kept, &into, &blobs).await?;
    copy_access(from, state)?;
    fs::rename(&new, &last).at(&last)?;
    sync(state)?;
    let size = fs::metadata(&last).at(&last)?.len();
    let done = Done { to: state.to_owned(), database: Bytes(size), copied, there };
    match missing.first() {
        None => Ok(done),
        Some(example) => {
            Err(BackupError::Incomplete { done: Box::new(done), missing: missing.len() as u64, example: *example })
        }
    }
}

/// Copies the authority and who has joined, where there are any. A token for an administrator is made anew at each start.
fn copy_access(from: &Path, to: &Path) -> Result<(), BackupError> {
    let (from, to) = (access::folder_in(from), access::folder_in(to));
    for name in access::FILES {
        let file = from.join(name);
        match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            bytes => {
                private::folder(&to).at(&to)?;
                write_private(&to.join(name), &bytes.at(&file)?)?;
            }
        }
    }
    Ok(())
}

/// Waits until no blobs are swept, and keeps them from being swept.
async fn gate(state: &Path) -> Result<File, BackupError> {
    let (gate, begun) = (Gate::of(state), Instant::now());
    loop {
        if let Some(held) = gate.take()? {
            return Ok(held);
        }
        if begun.elapsed() > GATE_WAIT {
            return Err(BackupError::Sweeping);
        }
        tokio::time::sleep(GATE_PACE).await;
    }
}

fn store_of(state: &Path, store: Option<&Url>) -> Result<Url, BackupError> {
    if let Some(url) = store {
        return Ok(url.clone());
    }
    folder_url(&state.join("blobs"))
}

fn folder_url(folder: &Path) -> Result<Url, BackupError> {
    let whole = std::path::absolute(folder).at(folder)?;
    Ok(Url::from_file_path(&whole).map_err(|()| io::Error::from(io::ErrorKind::InvalidInput)).at(folder)?)
}

/// The blobs of a backup: a store in its folder, into which uploads come by way of a folder beside them.
fn in_folder(folder: &Path) -> Result<Blobs, BackupError> {
    open(&folder_url(folder)?, &folder.join("partial"))
}

fn open(url: &Url, staging: &Path) -> Result<Blobs, BackupError> {
    let (store, prefix) = open_backend(url, std::env::vars())?;
    Ok(Blobs::new(store, prefix, staging).at(staging)?.in_folder(folder_of(url)))
}

/// Copies what `into` lacks, verified by its digest. Gives what was copied, what was there, and what is nowhere.
async fn copy(
    from: &Blobs,
    into: &Blobs,
    blobs: &BTreeMap<Digest, u64>,
) -> Result<(Amount, Amount, Vec<Digest>), BackupError> {
    let (mut copied, mut there, mut missing) = (Amount::default(), Amount::default(), Vec::new());
    for (&digest, &bytes) in blobs {
        let wrong = |error| BackupError::Blob { digest, error };
        if into.size(digest).await.map_err(wrong)? == Some(bytes) {
            there.add(bytes);
            continue;
        }
        if from.size(digest).await.map_err(wrong)?.is_none() {
            missing.push(digest);
            continue;
        }
        let extent = Extent { start: Start::Anew, end: Some(bytes), total: Some(bytes) };
        let read = from.read(digest, 0, bytes).await.map_err(wrong)?;
        match into.upload(digest, extent, read).await {
            Ok(Uploaded::Existed) => there.add(bytes),
            Ok(Uploaded::Created | Uploaded::Partly { .. }) => copied.add(bytes),
            // The copy at hand is of no use; the others are.
            Err(BlobError::Mismatch { found }) => {
                tracing::error!(blob = %digest, %found, "a blob is damaged and is not copied");
                missing.push(digest);
            }
            Err(error) => return Err(wrong(error)),
        }
    }
    Ok((copied, there, missing))
}

/// Drops the blobs of a backup that its database does not name.
async fn drop_unnamed(blobs: &Blobs, named: HashSet<Digest>) -> Result<(), BackupError> {
    let sweep = Sweep { named: &named, since: Instant::now(), grace: Duration::ZERO, is_dry: false };
    blobs.sweep(&sweep).await.map_err(BackupError::Drop)?;
    blobs.drop_stale_uploads(Duration::ZERO, false).await.map_err(BackupError::Drop)?;
    Ok(())
}

/// A rename is durable once its folder is.
fn sync(folder: &Path) -> Result<(), BackupError> {
    Ok(File::open(folder).and_then(|folder| folder.sync_all()).at(folder)?)
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, BackupError> {
    let path = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&path)).await;
    Ok(done.map_err(|error| StoreError::Writer(error.to_string()))??)
}
