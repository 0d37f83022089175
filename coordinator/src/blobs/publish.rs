//! Verified bytes into the store, and what the store's refusals mean.

use super::BlobError;
use futures::TryStreamExt;
use futures::stream::FuturesUnordered;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use std::error::Error;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is larger goes in parts of at least this size.
pub(super) const PART_BYTES_MIN: u64 = 10 << 20;

/// Parts that S3 takes of one object.
const PARTS_MAX: u64 = 10_000;

/// Parts on their way at a time: with [`PART_BYTES_MIN`] it bounds the memory of an upload.
const PARTS_AT_ONCE: usize = 4;

/// Puts `size` bytes under `key`, where they are seen as a whole or not at all.
///
/// # Errors
/// The store's or the reader's; the parts that went are taken back.
pub(super) async fn put(
    store: &Arc<dyn ObjectStore>,
    key: &Key,
    size: u64,
    part_bytes_min: u64,
    mut bytes: impl AsyncRead + Unpin,
) -> Result<(), BlobError> {
    let part_bytes = part_bytes(size, part_bytes_min);
    if size <= part_bytes {
        let whole = read_part(&mut bytes, part_bytes).await?;
        store.put(key, whole.into()).await?;
        return Ok(());
    }
    let mut upload = store.put_multipart(key).await?;
    let done = put_parts(upload.as_mut(), part_bytes, bytes).await;
    if done.is_err() {
        // Where even this fails, the store's own clean-up has to see to the parts; the first error is the one to tell.
        if let Err(error) = upload.abort().await {
            tracing::warn!(%error, %key, "parts of a failed upload may be left in the store");
        }
    }
    done
}

/// What an S3 client's error says where the server answered 507. The client keeps the error's type to itself, so its words are all
/// there is.
const S3_FULL: &str = "507 Insufficient Storage";

/// Bytes of a part, so that `size` bytes are no more parts than a store takes.
fn part_bytes(size: u64, min: u64) -> u64 {
    size.div_ceil(PARTS_MAX).max(min)
}

async fn put_parts(
    upload: &mut dyn MultipartUpload,
    part_bytes: u64,
    mut bytes: impl AsyncRead + Unpin,
) -> Result<(), BlobError> {
    let mut running = FuturesUnordered::new();
    loop {
        let part = read_part(&mut bytes, part_bytes).await?;
        if part.is_empty() {
            break;
        }
        if running.len() >= PARTS_AT_ONCE {
            running.try_next().await?;
        }
        running.push(upload.put_part(part.into()));
    }
    running.try_collect::<()>().await?;
    upload.complete().await?;
    Ok(())
}

/// The next `bytes` bytes, fewer where they end.
async fn read_part(from: &mut (impl AsyncRead + Unpin), bytes: u64) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    from.take(bytes).read_to_end(&mut part).await?;
    Ok(part)
}

/// Whether an error, of the staging folder or of the store, says that there is no room: the disk's and a quota's end, or a store that
/// answers 507. It lies somewhere below what the store's client makes of it.
pub(super) fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref::<BlobError>(), Some(BlobError::NoRoom(_))) {
            return true;
        }
        let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(io, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
            || error.to_string().contains(S3_FULL)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_blob_is_more_parts_than_a_store_takes(size in any::<u64>(), min in 1u64..1 << 40) {
            let part = part_bytes(size, min);
            prop_assert!(part >= min && size.div_ceil(part) <= PARTS_MAX);
        }
    }

    #[test]
    fn a_full_disk_is_found_below_what_the_client_makes_of_it() {
        let of = |kind: io::ErrorKind| object_store::Error::Generic {
            store: "test",
            source: Box::new(object_store::Error::Generic { store: "inner", source: Box::new(io::Error::from(kind)) }),
        };
        assert!(is_full(&of(io::ErrorKind::StorageFull)) && is_full(&of(io::ErrorKind::QuotaExceeded)));
        assert!(!is_full(&of(io::ErrorKind::PermissionDenied)));
        assert!(is_full(&BlobError::from(of(io::ErrorKind::StorageFull))));
        assert!(is_full(&BlobError::from(io::Error::from(io::ErrorKind::StorageFull))));
    }
}
