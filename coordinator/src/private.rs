//! Files and folders that are their owner's alone, whatever the umask: modes 0600 and 0700.
//!
//! What was made with wider modes, by another version or by a copy, is narrowed when the coordinator starts.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// A file's mode.
pub(crate) const FILE_MODE: u32 = 0o600;

/// A folder's mode.
pub(crate) const FOLDER_MODE: u32 = 0o700;

/// Makes a folder, and those above it, where they are missing. What is there keeps its mode.
pub(crate) fn new_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Makes a folder where it is missing, and narrows its mode where it is not.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    new_folder(path)?;
    narrow(path)
}

/// Opens a file to write, makes it where it is missing, and narrows its mode where it is not. What it holds stays.
pub(crate) fn file(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).mode(FILE_MODE).open(path)?;
    narrow(path)?;
    Ok(file)
}

/// Narrows the mode of what is there; nothing need be.
pub(crate) fn narrow(path: &Path) -> io::Result<()> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let mode = if found.is_dir() { FOLDER_MODE } else { FILE_MODE };
    if found.permissions().mode() & 0o777 == mode {
        return Ok(());
    }
    tracing::debug!(path = %path.display(), "mode narrowed to {mode:o}");
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Narrows the mode of a folder and of what lies in it.
pub(crate) fn folder_and_files(path: &Path) -> io::Result<()> {
    folder(path)?;
    fs::read_dir(path)?.try_for_each(|entry| narrow(&entry?.path()))
}
