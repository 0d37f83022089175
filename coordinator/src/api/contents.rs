//! Whether the store has what a manifest says, before anything is made of it.

use crate::blobs::{BlobError, Blobs};
use futures::{StreamExt, TryStreamExt, stream};
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::{FileEntry, Manifest};

/// Look-ups in the store at a time.
const LOOKUPS: usize = 16;

/// How the store differs from a manifest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Difference {
    /// A blob is not there.
    #[error("the store lacks blob {digest} of `{path}`: upload it before registering")]
    Missing {
        /// The file.
        path: String,
        /// Its blob.
        digest: Digest,
    },
    /// A file is said to have another size than its blob. Whoever fetched it would wait for bytes that there are not.
    #[error(
        "the manifest says that `{path}` has {said} bytes, and its blob {digest} has {found}: describe the file again"
    )]
    Size {
        /// The file.
        path: String,
        /// Its blob.
        digest: Digest,
        /// The manifest's size, in bytes.
        said: u64,
        /// The blob's, in bytes.
        found: u64,
    },
}

/// The first file of `manifest`, by path, that the store does not have as it is described.
///
/// # Errors
/// The store cannot be asked.
pub(super) async fn difference(blobs: &Blobs, manifest: &Manifest) -> Result<Option<Difference>, BlobError> {
    let compare = |file: FileEntry| async move {
        let found = blobs.size(file.digest).await?;
        let FileEntry { path, digest, bytes: Bytes(said) } = file;
        Ok::<_, BlobError>(match found {
            None => Some(Difference::Missing { path, digest }),
            Some(found) if found != said => Some(Difference::Size { path, digest, said, found }),
            Some(_) => None,
        })
    };
    let mut compared = Box::pin(stream::iter(manifest.files().to_vec()).map(compare).buffered(LOOKUPS));
    while let Some(difference) = compared.try_next().await? {
        if difference.is_some() {
            return Ok(difference);
        }
    }
    Ok(None)
}
