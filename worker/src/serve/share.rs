//! How much of the memory caches may have beside the weights.

use std::io;
use std::path::{Path, PathBuf};
use vertigo::bytes::Bytes;

/// Why there is no memory for a model.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The folder.
    #[error("{}: {error}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The weights take all of it.
    #[error(
        "the models' weights take {weights}, and {usable} may be used: serve fewer models, or give more with --memory"
    )]
    TooLarge {
        /// Of all models.
        weights: Bytes,
        /// What may be used.
        usable: Bytes,
    },
}

/// What the weights in a folder take.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn weights(folder: &Path) -> Result<Bytes, ShareError> {
    let failed = |error| ShareError::Folder { folder: folder.to_owned(), error };
    let mut all = Bytes::ZERO;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            // Through links, as a Hugging Face snapshot has them.
            all += Bytes(std::fs::metadata(&path).map_err(failed)?.len());
        }
    }
    Ok(all)
}

/// What the caches of each of `bases` may take: half of what the weights leave goes to all caches, the other half is for what is computed.
///
/// # Errors
/// The weights leave nothing.
pub(super) fn share(usable: Bytes, weights: Bytes, bases: usize) -> Result<Bytes, ShareError> {
    let left = usable.saturating_sub(weights);
    let caches = Bytes(left.0 / 2 / bases.max(1) as u64);
    if caches == Bytes::ZERO { Err(ShareError::TooLarge { weights, usable }) } else { Ok(caches) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_have_half_of_what_the_weights_leave() {
        let gib = Bytes::gib;
        assert_eq!(share(gib(36), gib(4), 2).unwrap(), gib(8));
        let error = share(gib(3), gib(4), 1).unwrap_err().to_string();
        assert!(error.contains("4.0 GiB") && error.contains("3.0 GiB") && error.contains("--memory"), "{error}");
    }

    #[test]
    fn weights_are_the_tensor_files_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        for (file, bytes) in [("model-1.safetensors", 5), ("model-2.safetensors", 6), ("tokenizer.json", 100)] {
            std::fs::write(dir.path().join(file), vec![0; bytes]).unwrap();
        }
        assert_eq!(weights(dir.path()).unwrap(), Bytes(11));
        assert!(weights(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
