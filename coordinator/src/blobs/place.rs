//! A staged file into its place in a store that is a folder: moved, not copied.
//!
//! Promise: when [`place`] returns, file and name outlive the machine's power. The file is made durable before it has the name, as
//! object_store's own `LocalFileSystem` does with `with_fsync`, so that a name never stands for a part of its bytes; then the folder,
//! and those above it that are new.

use crate::private;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Moves `staged` to `place` below `root`. `false` where that is another disk, and nothing has been done.
pub(super) fn place(staged: &Path, root: &Path, place: &Path) -> io::Result<bool> {
    File::open(staged)?.sync_all()?;
    let folder = place.parent().unwrap_or(root);
    let is_new = !folder.is_dir();
    if is_new {
        private::new_folder(folder)?;
    }
    match fs::rename(staged, place) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => return Ok(false),
        renamed => renamed?,
    }
    let above = folder.ancestors().skip(1).take_while(|above| above.starts_with(root));
    for folder in [folder].into_iter().chain(above.filter(|_| is_new)) {
        File::open(folder)?.sync_all()?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_moved_and_its_folders_are_made() {
        let root = tempfile::tempdir().unwrap();
        let staged = root.path().join("staged");
        for (name, content) in [("a/b/c", "one"), ("a/b/d", "two"), ("a/b/c", "again")] {
            fs::write(&staged, content).unwrap();
            assert!(place(&staged, root.path(), &root.path().join(name)).unwrap());
            assert_eq!(fs::read_to_string(root.path().join(name)).unwrap(), content);
            assert!(!staged.exists());
        }
        assert_eq!(place(&staged, root.path(), &root.path().join("x")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
