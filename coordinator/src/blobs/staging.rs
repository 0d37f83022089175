//! Bytes of uploads that are not whole yet: a file each, named by the digest that it is to have.

use super::receive;
use crate::private;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use tokio::fs::File;
use vertigo::id::Digest;

/// The folder of staged uploads.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    running: Mutex<HashSet<Digest>>,
}

/// What there is of an upload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) bytes: u64,
    /// When the last of them came.
    pub(super) modified: SystemTime,
}

/// The right to write an upload; goes when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    staging: &'a Staging,
    digest: Digest,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.staging.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}

impl Staging {
    pub(super) fn new(folder: &Path) -> io::Result<Staging> {
        private::folder_and_files(folder)?;
        Ok(Staging { folder: folder.to_owned(), running: Mutex::default() })
    }

    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// The right to write this upload, or `None` while somebody else has it.
    pub(super) fn begin(&self, digest: Digest) -> Option<Turn<'_>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Not `then_some`: it would make the turn first, and dropping it would take another's away.
        running.insert(digest).then(|| Turn { staging: self, digest })
    }

    /// Bytes that are kept.
    pub(super) async fn kept(&self, digest: Digest) -> io::Result<u64> {
        Ok(self.found(digest).await?.map_or(0, |found| found.bytes))
    }

    /// What there is of an upload.
    pub(super) async fn found(&self, digest: Digest) -> io::Result<Option<Found>> {
        match tokio::fs::metadata(self.path(digest)).await {
            Ok(meta) => Ok(Some(Found { bytes: meta.len(), modified: meta.modified()? })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All uploads. What has no digest for its name is none.
    pub(super) async fn list(&self) -> io::Result<Vec<(Digest, Found)>> {
        let (mut entries, mut list) = (tokio::fs::read_dir(&self.folder).await?, Vec::new());
        while let Some(entry) = entries.next_entry().await? {
            let Some(digest) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // Gone since it was listed.
            let Some(found) = self.found(digest).await? else { continue };
            list.push((digest, found));
        }
        Ok(list)
    }

    /// Drops what is behind `position`.
    pub(super) async fn cut(&self, digest: Digest, position: u64) -> io::Result<()> {
        tokio::fs::OpenOptions::new().write(true).open(self.path(digest)).await?.set_len(position).await
    }

    pub(super) async fn open_to_read(&self, digest: Digest) -> io::Result<File> {
        File::open(self.path(digest)).await
    }

    /// The digest of all that is kept.
    pub(super) async fn digest(&self, digest: Digest) -> io::Result<Digest> {
        let path = self.path(digest);
        tokio::task::spawn_blocking(move || receive::digest(&path)).await.map_err(io::Error::other)?
    }

    pub(super) async fn drop_upload(&self, digest: Digest) -> io::Result<()> {
        match tokio::fs::remove_file(self.path(digest)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
