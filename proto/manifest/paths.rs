//! Paths that every machine of a fleet can write, each beside all others.
//!
//! macOS's file systems take `README` and `readme` for one file, and one spelling of `é` for the other; Linux's do not. A manifest is
//! refused where the folder that it describes would not be the same on both.

use super::{FileEntry, ManifestError};
use crate::printable::is_harmful;
use icu_normalizer::ComposingNormalizerBorrowed;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of one part of a path: what APFS and ext4 take.
pub const PART_BYTES_MAX: usize = 255;

/// Bytes of a whole path. macOS takes 1,024 with the folder before it, which is a worker's cache or where a person fetches to.
pub const PATH_BYTES_MAX: usize = 512;

/// Whether a path stays within its artifact's folder.
pub(super) fn stays_inside(path: &str) -> bool {
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    !path.contains(['\\', '\0', ':']) && !path.split('/').any(bad)
}

/// Checks what [`stays_inside`] does not: length, characters, and that no two paths are in each other's way.
pub(super) fn check_portable(files: &[FileEntry]) -> Result<(), ManifestError> {
    for file in files {
        if file.path.contains(is_harmful) {
            return Err(ManifestError::Characters(file.path.escape_default().to_string()));
        }
        if file.path.len() > PATH_BYTES_MAX || file.path.split('/').any(|part| part.len() > PART_BYTES_MAX) {
            return Err(ManifestError::Long(file.path.clone()));
        }
    }
    let normalizer = ComposingNormalizerBorrowed::new_nfc();
    let fold = |text: &str| -> String {
        let lower = |c: char| c.to_uppercase().flat_map(char::to_lowercase);
        normalizer.normalize(&normalizer.normalize(text).chars().flat_map(lower).collect::<String>()).into_owned()
    };
    // Files by what a file system that folds would call them, and folders likewise with the spelling that came first.
    let mut names = BTreeMap::new();
    for file in files {
        if let Some(other) = names.insert(fold(&file.path), &file.path) {
            return Err(ManifestError::Collision(other.clone(), file.path.clone()));
        }
    }
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    let mut spelt = BTreeSet::new();
    for file in files {
        for folder in folders_above(&file.path).filter(|folder| spelt.insert(*folder)) {
            let folded = fold(folder);
            if let Some(other) = names.get(&folded) {
                return Err(ManifestError::Collision((*other).clone(), file.path.clone()));
            }
            if let Some(other) = folders.insert(folded, folder) {
                return Err(ManifestError::Collision(other.to_owned(), folder.to_owned()));
            }
        }
    }
    Ok(())
}

/// `a` and `a/b` of `a/b/c`.
fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}
