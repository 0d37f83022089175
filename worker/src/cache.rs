//! Inputs by digest: fetched once, used by every attempt that names them.
//!
//! Promise: an entry is whole and verified, or not there; two attempts that want the same input fetch it once. Entries are not
//! removed: a base is needed by the next job too.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use vertigo::id::Digest;
use vertigo::manifest::Kind;
use vertigo::transfer::{Transfer, TransferError};

/// Inputs by digest.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    transfer: Transfer,
    /// One fetch at a time for each digest.
    turns: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
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

impl Cache {
    /// A cache in `folder`, filled by `transfer`.
    pub fn new(folder: PathBuf, transfer: Transfer) -> Cache {
        Cache { folder, transfer, turns: Mutex::default() }
    }

    /// The folder with the files of artifact `digest`, fetched where it is not here. What is fetched and cut off goes on where it was.
    ///
    /// # Errors
    /// [`CacheError::Transfer`], and [`CacheError::Other`] where the artifact is not a `kind`.
    pub async fn get(&self, kind: Kind, digest: Digest) -> Result<PathBuf, CacheError> {
        let turn = self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(digest).or_default().clone();
        let _mine = turn.lock().await;
        let folder = self.folder.join(digest.hex());
        if folder.exists() {
            return Ok(folder);
        }
        let failed = |error| CacheError::Transfer { kind, digest, error };
        let (name, manifest) = self.transfer.manifest(&digest.to_string()).await.map_err(failed)?;
        if name != digest || manifest.kind() != kind {
            return Err(CacheError::Other { kind, digest, got: format!("{} {}", manifest.kind(), name.short()) });
        }
        self.transfer.pull(&manifest, &folder, &|_| {}).await.map_err(failed)?;
        tracing::info!(%kind, digest = %digest.short(), size = %manifest.bytes(), "fetched");
        Ok(folder)
    }
}
