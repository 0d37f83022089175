//! Blobs that a reader says are damaged.
//!
//! A reader's word is a hint and no more: the blob is read and hashed here. One that is damaged is set aside under
//! `damaged/`, for a person to look at, and is absent from then on, so that importing it again heals it. A hint costs the reading of
//! a blob, so hints are bounded: one check of a digest at a time, [`CHECKS_AT_ONCE`] of all, and none of a blob that was
//! found whole less than [`REST_SECONDS`] ago.

use super::{BlobError, Blobs, publish};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path as Key;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::io::StreamReader;
use vertigo::id::{Digest, Millis};

/// Checks at a time: each reads a blob as fast as the store gives it.
const CHECKS_AT_ONCE: usize = 2;

/// How long a blob that was found whole is not read again for a hint.
const REST_SECONDS: u64 = 600;

/// Blobs found whole that are remembered.
const REMEMBERED_MAX: usize = 1024;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The blob is what its digest says.
    Whole,
    /// It was not, and has been set aside: the store lacks it now.
    SetAside,
    /// The store lacks it.
    Absent,
}

/// The checks of a coordinator.
#[derive(Debug)]
pub(super) struct Checks {
    turns: Semaphore,
    whole: Mutex<HashMap<Digest, Instant>>,
}

impl Default for Checks {
    fn default() -> Checks {
        Checks { turns: Semaphore::new(CHECKS_AT_ONCE), whole: Mutex::default() }
    }
}

impl Checks {
    fn is_known_whole(&self, digest: Digest, now: Instant) -> bool {
        let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.get(&digest).is_some_and(|at| is_fresh(*at, now))
    }

    fn found_whole(&self, digest: Digest, now: Instant) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.retain(|_, at| is_fresh(*at, now));
        if whole.len() >= REMEMBERED_MAX
            && let Some(oldest) = whole.iter().min_by_key(|(_, at)| **at).map(|(digest, _)| *digest)
        {
            whole.remove(&oldest);
        }
        whole.insert(digest, now);
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < Duration::from_secs(REST_SECONDS)
}

impl Blobs {
    /// Reads a blob and sets it aside where it is damaged. Uploads of it wait meanwhile.
    ///
    /// # Errors
    /// [`BlobError::Busy`] while an upload or another check of it runs, [`BlobError::Checking`] while too many others run, and
    /// [`BlobError::Backend`]; then nothing has changed.
    pub async fn check(&self, digest: Digest) -> Result<Checked, BlobError> {
        let Some(_turn) = self.staging.begin(digest) else {
            return Err(BlobError::Busy { kept: self.kept(digest).await? });
        };
        let Some(size) = self.size(digest).await? else { return Ok(Checked::Absent) };
        if self.checks.is_known_whole(digest, Instant::now()) {
            return Ok(Checked::Whole);
        }
        let Ok(_one) = self.checks.turns.try_acquire() else { return Err(BlobError::Checking) };
        let found = self.hash(digest, size).await?;
        if found == digest {
            self.checks.found_whole(digest, Instant::now());
            return Ok(Checked::Whole);
        }
        self.set_aside(digest, size).await?;
        Ok(Checked::SetAside)
    }

    async fn hash(&self, digest: Digest, size: u64) -> Result<Digest, BlobError> {
        let (mut bytes, mut hasher) = (self.read(digest, 0, size).await?, Sha256::new());
        while let Some(chunk) = bytes.try_next().await.map_err(BlobError::unreadable)? {
            hasher.update(&chunk);
        }
        Ok(Digest::from_hasher(hasher))
    }

    /// Moves a damaged blob of `size` bytes away from its name. The caller has the turn at it.
    pub(super) async fn set_aside(&self, digest: Digest, size: u64) -> Result<(), BlobError> {
        let (from, to) = (self.key(digest), self.aside(digest));
        if let Err(error) = self.store.rename(&from, &to).await {
            // Such as S3, which copies no object of more than 5 GB in one piece.
            tracing::warn!(%error, %from, %to, "cannot rename a damaged blob; copying it");
            let bytes = StreamReader::new(self.read(digest, 0, size).await?);
            publish::put(&self.store, &to, size, self.part_bytes, bytes).await?;
            self.store.delete(&from).await?;
        }
        tracing::error!(blob = %digest, kept = %to, "a blob is damaged and was set aside: import it again");
        Ok(())
    }

    /// Where a damaged blob is kept: a name of its own each time.
    fn aside(&self, digest: Digest) -> Key {
        let name = format!("{}-{}", digest.hex(), Millis::now().0);
        ["damaged", "sha256", &name].into_iter().fold(self.prefix.clone(), |key, part| key.join(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_whole_is_known_for_a_while_and_not_without_bound() {
        let (checks, begun) = (Checks::default(), Instant::now());
        let digest = |n: usize| Digest::of(&n.to_le_bytes());
        for n in 0..REMEMBERED_MAX + 10 {
            checks.found_whole(digest(n), begun + Duration::from_millis(n as u64));
        }
        let later = begun + Duration::from_secs(REST_SECONDS / 2);
        assert_eq!(checks.whole.lock().unwrap().len(), REMEMBERED_MAX);
        assert!(!checks.is_known_whole(digest(0), later), "the oldest goes first");
        assert!(checks.is_known_whole(digest(REMEMBERED_MAX), later));
        assert!(!checks.is_known_whole(digest(REMEMBERED_MAX), later + Duration::from_secs(REST_SECONDS)));
    }
}
