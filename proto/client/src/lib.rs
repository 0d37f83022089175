//! Artifacts from folders to the coordinator and back, and how it is reached ([`Access`]).
//!
//! Promise: what arrives is what the digests say, or an error; a transfer that was cut off goes on where it was; a pulled folder
//! is there whole or not at all. Transfers of a coordinator that is away for a moment are tried again.

mod access;
mod blobs;
pub mod chosen;
pub mod joining;
mod meter;
#[cfg(test)]
mod refusals;
mod tls;
mod tries;
mod waiting;

pub use access::{Access, AccessError, http_in_the_clear};
pub use tls::{trouble, words};
pub use waiting::Patience;

use blobs::Blobs;
use meter::Meter;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Request};
use vertigo::api_error::ApiError;
use vertigo::bounds::{MANIFEST_BYTES_MAX, MESSAGE_BYTES_MAX};
use vertigo::bytes::Bytes;
use vertigo::files::{AtPath, FileError};
use vertigo::folder::{Folder, Unfit};
use vertigo::id::Digest;
use vertigo::manifest::{FileEntry, Kind, Manifest, ManifestError};
use vertigo::v1::artifacts_client::ArtifactsClient;
use vertigo::v1::{Artifact, GetArtifactRequest, MissingBlobsRequest, RegisterArtifactRequest};
use waiting::Waiting;

/// Told of bytes as they go: of files that need not go, too, so that the sum comes to the artifact's size.
pub type Progress<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A file or folder on this machine.
    #[error(transparent)]
    File(#[from] FileError),
    /// A manifest that is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A manifest that no message has room for.
    #[error(
        "a manifest of {files} files is {} long, and the coordinator takes {}: put the files together into fewer, larger ones",
        Bytes(*bytes as u64), Bytes(MANIFEST_BYTES_MAX as u64)
    )]
    TooLarge {
        /// How many files it lists.
        files: usize,
        /// How long its JSON is.
        bytes: usize,
    },
    /// The coordinator's answer over gRPC.
    #[error("{}", trouble(.0.as_ref()).unwrap_or_else(|| ApiError::words(.0)))]
    Rpc(Box<tonic::Status>),
    /// The coordinator could not be reached, or broke off.
    #[error("{url}: {problem}")]
    Connection {
        /// What was asked for.
        url: String,
        /// What happened.
        problem: String,
    },
    /// The coordinator did not give a blob.
    #[error("the coordinator answered {status} for blob {digest}: {message}")]
    Refused {
        /// The blob.
        digest: Digest,
        /// HTTP's status.
        status: u16,
        /// Its reason.
        message: String,
    },
    /// The coordinator did not take a blob. Whatever the status, it says nothing about the bytes: those that are not the blob's are
    /// [`Damaged`](TransferError::Damaged).
    #[error("the coordinator did not take blob {digest}: it answered {status}: {message}")]
    NotTaken {
        /// The blob.
        digest: Digest,
        /// HTTP's status.
        status: u16,
        /// Its reason.
        message: String,
    },
    /// A blob of another size than the manifest says: waiting brings no bytes that there are not.
    #[error(
        "the manifest says that `{path}` has {said} bytes, and its blob {digest} has {found}: import the artifact again"
    )]
    Size {
        /// The file, in the manifest.
        path: String,
        /// Its blob.
        digest: Digest,
        /// The manifest's size, in bytes.
        said: u64,
        /// The blob's, in bytes.
        found: u64,
    },
    /// The store has no whole copy of a file: its blob was damaged and set aside, or removed.
    #[error("the store lacks {path} (blob {digest}): import the artifact again, and what waits for it goes on")]
    Missing {
        /// The file's path in its artifact.
        path: String,
        /// The blob.
        digest: Digest,
    },
    /// The file is another one than its digest says.
    #[error("{} is not {expected}: it was changed, or damaged on its way", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: Digest,
    },
}

impl TransferError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            TransferError::Rpc(status) => {
                // A connection that broke in the middle of a call is `Unknown` or `Internal`, with its cause on this side.
                let broken = std::error::Error::source(status.as_ref()).is_some();
                broken
                    || matches!(
                        status.code(),
                        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled
                    )
            }
            TransferError::Connection { .. } => true,
            TransferError::Refused { status, .. } | TransferError::NotTaken { status, .. } => passes(*status),
            TransferError::File { .. }
            | TransferError::Manifest(_)
            | TransferError::TooLarge { .. }
            | TransferError::Size { .. }
            | TransferError::Missing { .. }
            | TransferError::Damaged { .. } => false,
        }
    }
}

impl TransferError {
    /// Whether the cause is on this machine, so that asking the coordinator again changes nothing.
    pub fn is_local(&self) -> bool {
        matches!(self, TransferError::File { .. } | TransferError::Manifest(_) | TransferError::Damaged { .. })
    }
}

/// Whether a refusal with this HTTP status is about the moment and not about the request: the body was cut off (400, 408), another
/// upload has its turn (409), too early or too many (425, 429), or the coordinator's own trouble, such as no room (5xx).
fn passes(status: u16) -> bool {
    matches!(status, 400 | 408 | 409 | 425 | 429 | 500..)
}

impl From<tonic::Status> for TransferError {
    fn from(status: tonic::Status) -> TransferError {
        TransferError::Rpc(Box::new(status))
    }
}

/// The coordinator's artifacts.
#[derive(Debug, Clone)]
pub struct Transfer {
    blobs: Blobs,
    artifacts: ArtifactsClient<Channel>,
}

impl Transfer {
    /// Connects when it is first used.
    pub fn new(access: &Access) -> Transfer {
        let artifacts = ArtifactsClient::new(access.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Transfer { blobs: Blobs::new(access), artifacts }
    }

    /// Sends the files of `manifest` that the store lacks, from `folder`. A blob that is not taken for now is tried a few times.
    ///
    /// # Errors
    /// [`TransferError::TooLarge`] before anything is sent, [`TransferError::Damaged`] where a file is not the one that the manifest
    /// describes, [`TransferError::NotTaken`] with what the coordinator said.
    pub async fn push(&self, folder: &Path, manifest: &Manifest, progress: Progress<'_>) -> Result<(), TransferError> {
        self.push_metered(folder, manifest, &meters(manifest, progress)).await
    }

    /// The same, with more patience: what may pass, such as a store without room, is waited out.
    ///
    /// # Errors
    /// As [`push`](Transfer::push): at once what waiting cannot cure, the rest when `patience` is at its end.
    pub async fn push_patiently(
        &self,
        folder: &Path,
        manifest: &Manifest,
        progress: Progress<'_>,
        patience: Patience<'_>,
    ) -> Result<(), TransferError> {
        let (meters, begun, mut waiting) = (meters(manifest, progress), Instant::now(), Waiting::default());
        loop {
            let error = match self.push_metered(folder, manifest, &meters).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !waiting.may_cure(&error) {
                return Err(error);
            }
            let moved = meters.iter().map(Meter::told).sum();
            let Some(pause) = waiting.pause(begun.elapsed(), moved, patience.without_headway) else {
                return Err(error);
            };
            (patience.told)(&error);
            tokio::time::sleep(pause).await;
        }
    }

    /// `meters` are those of the manifest's files, in their order.
    async fn push_metered(
        &self,
        folder: &Path,
        manifest: &Manifest,
        meters: &[Meter<'_>],
    ) -> Result<(), TransferError> {
        json(manifest)?;
        let digests: BTreeSet<String> = manifest.files().iter().map(|file| file.digest.to_string()).collect();
        let request = traced(MissingBlobsRequest { digests: digests.into_iter().collect() });
        let mut missing: BTreeSet<String> =
            self.artifacts.clone().missing_blobs(request).await?.into_inner().digests.into_iter().collect();
        for (file, meter) in manifest.files().iter().zip(meters) {
            // The same bytes under two paths go once.
            if missing.remove(&file.digest.to_string()) {
                self.blobs.put(&folder.join(&file.path), file, meter).await?;
            } else {
                meter.done();
            }
        }
        Ok(())
    }

    /// Makes an artifact of blobs that the store has, and moves `tags` to it.
    ///
    /// # Errors
    /// The coordinator's, such as a tag that is none; [`TransferError::TooLarge`].
    pub async fn register(&self, manifest: &Manifest, tags: &[String]) -> Result<Artifact, TransferError> {
        let request = traced(RegisterArtifactRequest { manifest_json: json(manifest)?, tags: tags.to_vec() });
        Ok(self.artifacts.clone().register(request).await?.into_inner())
    }

    /// The artifact that a tag, a digest, a digest's beginning or a job's id names.
    ///
    /// # Errors
    /// [`TransferError::Rpc`] with `NOT_FOUND`.
    pub async fn manifest(&self, reference: &str) -> Result<(Digest, Manifest), TransferError> {
        let request = traced(GetArtifactRequest { reference: reference.to_owned() });
        let artifact = self.artifacts.clone().get(request).await?.into_inner();
        let manifest = Manifest::parse(&artifact.manifest_json)?;
        Ok((manifest.digest(), manifest))
    }

    /// Fetches the files of `manifest` into `folder`, which must not exist.
    ///
    /// What was fetched before a cut lies in `.NAME.DIGEST.partial` beside it, and is not fetched again. The digest is in the name so
    /// that nothing of one artifact ends in the folder of another.
    ///
    /// Bytes that are not what their digest says are reported to the coordinator, which looks for itself; those that were damaged
    /// on their way are fetched once more.
    ///
    /// # Errors
    /// [`TransferError::Missing`] where the store lacks a blob, or has set a damaged one aside; [`TransferError::Size`] where the
    /// blob is whole and the manifest's size of it is not so; [`TransferError::Damaged`] where the coordinator cannot say which.
    pub async fn pull(&self, manifest: &Manifest, folder: &Path, progress: Progress<'_>) -> Result<(), TransferError> {
        if folder.exists() {
            let error = io::Error::new(io::ErrorKind::AlreadyExists, "exists already");
            return Err(FileError { path: folder.to_owned(), error }.into());
        }
        let partial = partial(folder, &manifest.digest());
        let fetched = self.fetch(manifest, &partial, progress).await;
        match fetched {
            // A file where a folder must be, or the other way round: what an earlier fetch left is of no use, and waiting changes nothing.
            Err(TransferError::File(file)) if is_in_the_way(&file.error) => {
                clear(&partial).at(&partial)?;
                self.fetch(manifest, &partial, progress).await?;
            }
            fetched => fetched?,
        }
        fs::rename(&partial, folder).at(folder)?;
        sync_parent(folder)
    }

    /// Fetches the files into `partial`, which may have some of them already.
    async fn fetch(&self, manifest: &Manifest, partial: &Path, progress: Progress<'_>) -> Result<(), TransferError> {
        fs::create_dir_all(partial).at(partial)?;
        for file in manifest.files() {
            let path = partial.join(&file.path);
            let parent = path.parent().unwrap_or(partial);
            fs::create_dir_all(parent).at(parent)?;
            let meter = Meter::new(progress, file.bytes.0);
            self.blobs.get(file, &path, &meter).await?;
        }
        Ok(())
    }
}

/// Whether something of another kind lies where a file or folder must be.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

/// Removes a folder, or the file or link in its place.
fn clear(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// A manifest's JSON, which the coordinator has to have room for: now and, once it is registered, whenever it is asked for.
fn json(manifest: &Manifest) -> Result<String, TransferError> {
    let json = manifest.to_json();
    match json.len() {
        0..=MANIFEST_BYTES_MAX => Ok(json),
        bytes => Err(TransferError::TooLarge { files: manifest.files().len(), bytes }),
    }
}

/// The manifest of every file below `folder`.
///
/// # Errors
/// A file that cannot be read, or that is not to be read: a link that leads out of the folder, a FIFO; a name that is no path of an
/// artifact.
pub async fn describe(kind: Kind, folder: &Path, facts: BTreeMap<String, Value>) -> Result<Manifest, TransferError> {
    let mut paths = Vec::new();
    list(folder, "", &mut paths)?;
    describe_files(kind, folder, paths, facts, &|_| {}).await
}

/// The manifest of the files at `paths` below `folder`, `/` between parts. `progress` is told of bytes as they are hashed.
///
/// # Errors
/// As [`describe`].
pub async fn describe_files(
    kind: Kind,
    folder: &Path,
    paths: Vec<String>,
    facts: BTreeMap<String, Value>,
    progress: Progress<'_>,
) -> Result<Manifest, TransferError> {
    let mut files = Vec::with_capacity(paths.len());
    let inside = Folder::at(folder).at(folder)?;
    for path in paths {
        let (inside, name) = (inside.clone(), path.clone());
        let (digest, bytes) = blocking(&folder.join(&path), move |_| Digest::of_reader(inside.open(name)?)).await?;
        progress(bytes);
        files.push(FileEntry { path, digest, bytes: Bytes(bytes) });
    }
    Ok(Manifest::new(kind, files, facts)?)
}

fn meters<'a>(manifest: &Manifest, progress: Progress<'a>) -> Vec<Meter<'a>> {
    manifest.files().iter().map(|file| Meter::new(progress, file.bytes.0)).collect()
}

/// The digest and the size of a file of our own.
fn hash_file(path: &Path) -> io::Result<(Digest, u64)> {
    Digest::of_reader(File::open(path)?)
}

fn list(folder: &Path, prefix: &str, into: &mut Vec<String>) -> Result<(), TransferError> {
    for entry in fs::read_dir(folder).at(folder)? {
        let entry = entry.at(folder)?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().at(&path)?;
        if kind.is_dir() {
            list(&path, &format!("{name}/"), into)?;
        } else if kind.is_symlink() && path.is_dir() {
            // It may lead round in a circle.
            let error = Unfit::Special("link to a folder").into();
            return Err(FileError { path, error }.into());
        } else {
            into.push(name);
        }
    }
    Ok(())
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, TransferError> {
    let owned = path.to_owned();
    let result = tokio::task::spawn_blocking(move || work(&owned)).await;
    Ok(result.unwrap_or_else(|panic| Err(io::Error::other(panic))).at(path)?)
}

/// One for each artifact: what another left must not come to lie among this one's files.
fn partial(folder: &Path, digest: &Digest) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{}.partial", digest.short()))
}

/// A rename is durable once its folder is.
fn sync_parent(folder: &Path) -> Result<(), TransferError> {
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok(File::open(parent).and_then(|folder| folder.sync_all()).at(parent)?)
}

/// A request that carries the current trace, where the process has telemetry.
pub fn traced<T>(message: T) -> Request<T> {
    #[allow(unused_mut)] // without telemetry there is nothing to put in
    let mut request = Request::new(message);
    vertigo_telemetry::inject(request.metadata_mut());
    request
}

#[cfg(test)]
mod tests;
