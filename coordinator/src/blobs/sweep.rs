//! What lies in the store and in the staging folder, and what of it goes.
//!
//! A blob goes where no artifact names it, nobody holds it or was promised it ([`holds`](super::holds)), it has lain there for the grace
//! by the store's clock, and this process has run for as long: what the process before had promised nobody remembers. The store is
//! listed, so that it is the store that says what there is, whatever was interrupted before.

use super::{BlobError, Blobs};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStoreExt};
use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant, SystemTime};
use vertigo::id::Digest;

/// Blobs that are deleted at a time.
const DELETES: usize = 8;

/// Things of one kind, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// How large they are together.
    pub bytes: u64,
}

impl Amount {
    /// Counts one more.
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// What a sweep goes by.
#[derive(Debug)]
pub struct Sweep<'a> {
    /// Blobs that artifacts name. Whoever names another one since `since` holds it, or was promised it.
    pub named: &'a HashSet<Digest>,
    /// When `named` was begun to be read.
    pub since: Instant,
    /// How long a blob stays that nothing names.
    pub grace: Duration,
    /// Whether to count only.
    pub is_dry: bool,
}

/// What the store has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stock {
    /// All blobs.
    pub blobs: Amount,
    /// Those of them that no artifact names.
    pub unnamed: Amount,
    /// Damaged blobs that were set aside for a person to look at.
    pub damaged: Amount,
}

impl Blobs {
    /// Deletes what nothing names, and says how much that is. A blob that cannot be deleted ends the sweep.
    ///
    /// # Errors
    /// [`BlobError::Backend`]. What was deleted before is gone.
    pub async fn sweep(&self, sweep: &Sweep<'_>) -> Result<Amount, BlobError> {
        if self.begun.elapsed() < sweep.grace {
            return Ok(Amount::default());
        }
        let goes = |found: &(Digest, ObjectMeta)| {
            let age = SystemTime::now().duration_since(found.1.last_modified.into()).unwrap_or_default();
            !sweep.named.contains(&found.0) && age >= sweep.grace
        };
        let deleted = self
            .list()
            .try_filter(|found| std::future::ready(goes(found)))
            .map_ok(|(digest, meta)| self.delete(sweep, digest, meta.size))
            .try_buffer_unordered(DELETES);
        let gone = deleted.try_fold(Amount::default(), async |mut gone, bytes| {
            bytes.into_iter().for_each(|bytes| gone.add(bytes));
            Ok(gone)
        });
        let gone = gone.await?;
        // Promises are read by age alone from here on.
        self.holds.let_lapse(sweep.grace);
        Ok(gone)
    }

    /// Deletes a blob, unless somebody counts on it. Its size where it is gone, or would be.
    async fn delete(&self, sweep: &Sweep<'_>, digest: Digest, bytes: u64) -> Result<Option<u64>, BlobError> {
        let Some(_claim) = self.holds.claim(digest, sweep.since, sweep.grace) else { return Ok(None) };
        if sweep.is_dry {
            return Ok(Some(bytes));
        }
        match self.store.delete(&self.key(digest)).await {
            Ok(()) => Ok(Some(bytes)),
            // Set aside since it was listed.
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Blobs as the store lists them. What has another name is none of ours.
    fn list(&self) -> impl futures::Stream<Item = Result<(Digest, ObjectMeta), BlobError>> {
        let folder = self.prefix.clone().join("blobs").join("sha256");
        let blob = |meta: ObjectMeta| {
            let digest = meta.location.filename()?.parse::<Digest>().ok()?;
            Some((digest, meta))
        };
        let listed = self.store.list(Some(&folder)).map_err(BlobError::from);
        listed.try_filter_map(move |meta| std::future::ready(Ok(blob(meta))))
    }

    /// What the store has, and how much of it is not `named`.
    ///
    /// # Errors
    /// [`BlobError::Backend`].
    pub async fn stock(&self, named: &HashSet<Digest>) -> Result<Stock, BlobError> {
        let stock = self.list().try_fold(Stock::default(), async |mut stock, (digest, meta)| {
            stock.blobs.add(meta.size);
            if !named.contains(&digest) {
                stock.unnamed.add(meta.size);
            }
            Ok(stock)
        });
        let mut stock = stock.await?;
        let mut damaged = self.store.list(Some(&self.prefix.clone().join("damaged")));
        while let Some(meta) = damaged.next().await {
            stock.damaged.add(meta?.size);
        }
        Ok(stock)
    }

    /// Drops partial uploads to which nothing came for as long as `keep`, and says how much that is.
    ///
    /// # Errors
    /// [`BlobError::Staging`].
    pub async fn drop_stale_uploads(&self, keep: Duration, is_dry: bool) -> Result<Amount, BlobError> {
        let mut gone = Amount::default();
        for (digest, _) in self.staging.list().await? {
            // One that goes on has its turn, and is not stale.
            let Some(_turn) = self.staging.begin(digest) else { continue };
            let Some(found) = self.staging.found(digest).await? else { continue };
            let age = SystemTime::now().duration_since(found.modified).unwrap_or_default();
            if age < keep {
                continue;
            }
            if !is_dry {
                self.staging.drop_upload(digest).await?;
            }
            gone.add(found.bytes);
        }
        Ok(gone)
    }

    /// Partial uploads.
    ///
    /// # Errors
    /// The staging folder cannot be read.
    pub async fn uploads(&self) -> io::Result<Amount> {
        let mut all = Amount::default();
        self.staging.list().await?.into_iter().for_each(|(_, found)| all.add(found.bytes));
        Ok(all)
    }
}
