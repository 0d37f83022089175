//! Blobs: files by the digest of their bytes, in whatever store the operator chose.
//!
//! Bytes come and go over HTTP (`serve::http::blobs`). An upload is staged in the state folder, survives a lost connection and a
//! restart, and goes on where it was; only when the whole of it has the digest that it claims does it go to the store. What
//! artifacts are made of blobs is the core's index.
//!
//! It promises: a blob that can be seen is whole and has its digest; one digest has one upload at a time; a sweep takes no blob that
//! somebody was promised; nothing outside the staging folder and the store is touched, since a digest is the only name that reaches a path.

mod backend;
mod check;
#[cfg(test)]
mod faults;
mod holds;
mod place;
mod publish;
mod receive;
mod room;
mod staging;
mod sweep;

pub use backend::{BackendError, folder_of, open_backend};
pub use check::Checked;
pub use holds::Hold;
pub use room::{Disk, Measure, NoRoom, Room};
pub use sweep::{Amount, Stock, Sweep};

use bytes::Bytes as Chunk;
use check::Checks;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use holds::Holds;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt};
use receive::{Received, Receiver};
use staging::Staging;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::timeout;
use tokio_util::io::ReaderStream;
use vertigo::id::Digest;

/// Bytes that are read or written at a time.
const CHUNK: usize = 256 * 1024;

/// How long an upload may pause before its sender is taken for gone: longer than a lost packet, shorter than a person waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so many bytes an upload looks again whether there is room.
const ROOM_BYTES: u64 = 64 << 20;

/// Look-ups in the store at a time.
const LOOKUPS: usize = 16;

/// What can go wrong with a blob.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Another upload of the same blob runs.
    #[error("another upload of this blob runs, and has {kept} bytes; try again when it is done")]
    Busy {
        /// Bytes that it has so far.
        kept: u64,
    },
    /// The upload does not begin where the last one ended.
    #[error("the upload begins at byte {start}, but {kept} bytes are kept: go on from there")]
    Offset {
        /// Where it begins.
        start: u64,
        /// Bytes of the last one.
        kept: u64,
    },
    /// More bytes than it said.
    #[error("more than the {expected} bytes that Content-Range or Content-Length name")]
    TooLong {
        /// Bytes that it said.
        expected: u64,
    },
    /// The connection ended. What came is kept.
    #[error("the upload was cut off after byte {kept}: {problem}")]
    CutOff {
        /// Bytes that are kept.
        kept: u64,
        /// Why.
        problem: String,
    },
    /// All bytes are there, and they are not the blob's.
    #[error("the bytes have digest {found}; the upload is dropped")]
    Mismatch {
        /// What they are.
        found: Digest,
    },
    /// What is kept free of a disk would not be.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// Other blobs are being checked.
    #[error("other blobs are being checked; try again when they are done")]
    Checking,
    /// The staging folder.
    #[error("staging an upload: {0}")]
    Staging(#[from] io::Error),
    /// The object store.
    #[error("the object store: {0}")]
    Backend(#[from] object_store::Error),
}

impl BlobError {
    /// A stored blob that broke off while it was read.
    fn unreadable(error: io::Error) -> BlobError {
        BlobError::Backend(object_store::Error::Generic { store: "reading a blob", source: Box::new(error) })
    }

    /// Whether there is no room, in the staging folder or in the store.
    pub fn is_full(&self) -> bool {
        publish::is_full(self)
    }
}

/// Where an upload's body begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the blob's beginning; bytes of an earlier upload are dropped.
    Anew,
    /// At this byte, which is where the earlier upload ended.
    At(u64),
    /// Nothing is left to send: what is kept is the whole blob.
    Nothing,
}

/// Which part of a blob an upload's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins.
    pub start: Start,
    /// Where it ends (exclusive), where that is known before.
    pub end: Option<u64>,
    /// The blob's size, where that is known before; else the body's end is the blob's.
    pub total: Option<u64>,
}

/// How an upload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// The blob is in the store now.
    Created,
    /// It was there already.
    Existed,
    /// More is to come.
    Partly {
        /// Bytes that are kept.
        kept: u64,
    },
}

/// The blobs of a coordinator. Clones share them.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    /// The store's folder, where it is one: whole files are moved there.
    folder: Option<Arc<Path>>,
    staging: Arc<Staging>,
    checks: Arc<Checks>,
    holds: Arc<Holds>,
    room: Room,
    /// What was promised before is not remembered.
    begun: Instant,
    /// What is larger goes to the store in parts of at least this size.
    part_bytes: u64,
    /// How long an upload may pause. While it has its turn no other upload of the blob goes on.
    patience: Duration,
}

impl Blobs {
    /// Blobs in `store` under `prefix`, with uploads staged in `staging`, which is made if need be.
    ///
    /// # Errors
    /// The staging folder cannot be made.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Key, staging: &Path) -> io::Result<Blobs> {
        let staging = Arc::new(Staging::new(staging)?);
        let part_bytes = publish::PART_BYTES_MIN;
        let (checks, holds) = Default::default();
        let (begun, patience, room) = (Instant::now(), PATIENCE, Room::on(Vec::new(), None));
        Ok(Blobs { store, prefix, folder: None, staging, checks, holds, room, begun, part_bytes, patience })
    }

    /// The same, where `store` is nothing but this folder.
    pub fn in_folder(self, folder: Option<PathBuf>) -> Blobs {
        Blobs { folder: folder.map(Arc::from), ..self }
    }

    /// The same, where uploads leave room on their disks.
    pub fn with_room(self, room: Room) -> Blobs {
        Blobs { room, ..self }
    }

    /// The disks that uploads are written to.
    pub fn room(&self) -> &Room {
        &self.room
    }

    fn key(&self, digest: Digest) -> Key {
        let hex = digest.hex();
        let parts = ["blobs", "sha256", &hex[..2], &hex];
        parts.into_iter().fold(self.prefix.clone(), |key, part| key.join(part))
    }

    /// Any one blob's name in the store, or `None` where there is no blob yet.
    ///
    /// # Errors
    /// [`BlobError::Backend`].
    pub async fn any(&self) -> Result<Option<String>, BlobError> {
        let folder = self.prefix.clone().join("blobs").join("sha256");
        let found = self.store.list(Some(&folder)).try_next().await?;
        Ok(found.map(|meta| meta.location.to_string()))
    }

    /// A blob's size, or `None` where the store lacks it.
    ///
    /// # Errors
    /// [`BlobError::Backend`].
    pub async fn size(&self, digest: Digest) -> Result<Option<u64>, BlobError> {
        match self.store.head(&self.key(digest)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A hold on no blob yet. Whoever makes something of blobs holds them before looking for them.
    pub fn hold(&self) -> Hold {
        Hold::none(&self.holds)
    }

    /// Those of `digests` that the store lacks, in their order. The others are promised.
    ///
    /// # Errors
    /// [`BlobError::Backend`].
    pub async fn missing(&self, digests: Vec<Digest>) -> Result<Vec<Digest>, BlobError> {
        let mut hold = self.hold();
        hold.add(digests.iter().copied()).await;
        let sizes =
            stream::iter(digests).map(|digest| async move { Ok::<_, BlobError>((digest, self.size(digest).await?)) });
        let sizes: Vec<_> = sizes.buffered(LOOKUPS).try_collect().await?;
        let (there, missing): (Vec<_>, Vec<_>) = sizes.into_iter().partition(|(_, size)| size.is_some());
        hold.promise(there.into_iter().map(|(digest, _)| digest));
        Ok(missing.into_iter().map(|(digest, _)| digest).collect())
    }

    /// Bytes of an unfinished upload that are kept.
    ///
    /// # Errors
    /// [`BlobError::Staging`].
    pub async fn kept(&self, digest: Digest) -> Result<u64, BlobError> {
        Ok(self.staging.kept(digest).await?)
    }

    /// A blob's bytes from `start` (inclusive) to `end` (exclusive), which must lie within it.
    ///
    /// # Errors
    /// [`BlobError::Backend`]; the stream's items likewise.
    pub async fn read(
        &self,
        digest: Digest,
        start: u64,
        end: u64,
    ) -> Result<stream::BoxStream<'static, io::Result<Chunk>>, BlobError> {
        // Stores refuse an empty range.
        let range = (start < end).then_some(GetRange::Bounded(start..end));
        let got = self.store.get_opts(&self.key(digest), GetOptions { range, ..GetOptions::default() }).await?;
        match got.payload {
            GetResultPayload::File(file, _) => {
                let mut file = File::from_std(file);
                file.seek(SeekFrom::Start(start)).await?;
                Ok(ReaderStream::with_capacity(file.take(end - start), CHUNK).boxed())
            }
            GetResultPayload::Stream(stream) => Ok(stream.map_err(io::Error::other).boxed()),
        }
    }

    /// Takes a part of a blob. When the last has come, all of its bytes are verified, and the blob
    /// becomes visible as a whole.
    ///
    /// # Errors
    /// Of [`BlobError`], [`BlobError::CutOff`], [`BlobError::Staging`] and [`BlobError::Backend`] keep what came;
    /// [`BlobError::Mismatch`] drops it.
    pub async fn upload<E: std::fmt::Display>(
        &self,
        digest: Digest,
        extent: Extent,
        body: impl Stream<Item = Result<Chunk, E>>,
    ) -> Result<Uploaded, BlobError> {
        let Some(_turn) = self.staging.begin(digest) else {
            return Err(BlobError::Busy { kept: self.kept(digest).await? });
        };
        let mut hold = self.hold();
        hold.add([digest]).await;
        let Extent { start, end, total } = extent;
        // Only in turn is this the last word: an upload that has just ended has made it so.
        let stored = self.size(digest).await?;
        if stored.is_some_and(|stored| total.is_none_or(|total| total == stored)) {
            // Left where the process ended between the two steps below.
            self.staging.drop_upload(digest).await?;
            drop(hold.is_there());
            return Ok(Uploaded::Existed);
        }
        let kept = self.kept(digest).await?;
        let position = match start {
            Start::Nothing => kept,
            Start::Anew => 0,
            Start::At(start) if start == kept => start,
            Start::At(start) => return Err(BlobError::Offset { start, kept }),
        };
        // What is kept is on the disk already.
        let more = total.or(end).map_or(0, |end| end.saturating_sub(kept));
        if more > 0 {
            self.room.check(more)?;
        }
        let Received { kept, digest: found } = match start {
            Start::Nothing => Received { kept, digest: self.staging.digest(digest).await? },
            Start::Anew | Start::At(_) => self.receive(digest, position, end, body).await?,
        };
        if total.is_some_and(|total| kept < total) {
            return Ok(Uploaded::Partly { kept });
        }
        if found != digest {
            self.staging.drop_upload(digest).await?;
            return Err(BlobError::Mismatch { found });
        }
        if let Some(size) = stored {
            // These bytes have the digest, so what is stored in another size has not.
            self.set_aside(digest, size).await?;
        }
        if !self.place(digest).await? {
            let bytes = self.staging.open_to_read(digest).await?;
            publish::put(&self.store, &self.key(digest), kept, self.part_bytes, bytes).await?;
            self.staging.drop_upload(digest).await?;
        }
        drop(hold.is_there());
        Ok(Uploaded::Created)
    }

    /// Moves a staged file to its place, where the store is a folder on the same disk.
    async fn place(&self, digest: Digest) -> Result<bool, BlobError> {
        let Some(folder) = self.folder.clone() else { return Ok(false) };
        let (staged, place) = (self.staging.path(digest), folder.join(self.key(digest).as_ref()));
        let placed = tokio::task::spawn_blocking(move || place::place(&staged, &folder, &place)).await;
        Ok(placed.map_err(io::Error::other)??)
    }

    /// Appends a body to the staged bytes at `start`; gives how many there are then, and their digest.
    async fn receive<E: std::fmt::Display>(
        &self,
        digest: Digest,
        start: u64,
        end: Option<u64>,
        body: impl Stream<Item = Result<Chunk, E>>,
    ) -> Result<Received, BlobError> {
        let receiver = Receiver::open(&self.staging.path(digest), start);
        let ended = self.feed(&receiver, start, end, body).await;
        // What came is written before it is said how much that is.
        let received = receiver.end().await?;
        match ended? {
            Fed::All => {}
            Fed::Cut(problem) => return Err(BlobError::CutOff { kept: received.kept, problem }),
            Fed::TooLong { expected } => {
                self.staging.cut(digest, start).await?;
                return Err(BlobError::TooLong { expected });
            }
        }
        match end.filter(|end| received.kept < *end) {
            Some(end) => Err(BlobError::CutOff {
                kept: received.kept,
                problem: format!("the body ended {} bytes early", end - received.kept),
            }),
            None => Ok(received),
        }
    }

    async fn feed<E: std::fmt::Display>(
        &self,
        receiver: &Receiver,
        start: u64,
        end: Option<u64>,
        body: impl Stream<Item = Result<Chunk, E>>,
    ) -> Result<Fed, BlobError> {
        let (mut position, mut body) = (start, pin!(body));
        loop {
            let chunk = match timeout(self.patience, body.next()).await {
                Ok(None) => return Ok(Fed::All),
                Ok(Some(Ok(chunk))) => chunk,
                ended => {
                    let quiet = || format!("nothing came for {:?}", self.patience);
                    let problem = ended.ok().flatten().and_then(Result::err).map_or_else(quiet, |e| e.to_string());
                    return Ok(Fed::Cut(problem));
                }
            };
            let before = position;
            position += chunk.len() as u64;
            if let Some(end) = end.filter(|end| position > *end) {
                return Ok(Fed::TooLong { expected: end - start });
            }
            if !receiver.take(chunk).await {
                // Its own error says why.
                return Ok(Fed::All);
            }
            // Others write as well.
            if position / ROOM_BYTES != before / ROOM_BYTES {
                self.room.check(0)?;
            }
        }
    }
}

/// How a body ended.
enum Fed {
    All,
    Cut(String),
    TooLong { expected: u64 },
}

#[cfg(test)]
mod tests;
