//! A daemon's log that somebody moves away: newsyslog gives the file another name, and a daemon that holds it open writes on into that.
//!
//! Promise: where the file that is open is no longer the one at its path, the daemon goes on in the one at its path. Nothing that was
//! written is lost: until then it is in the file that was moved.

use nix::unistd::{dup2_stderr, dup2_stdout};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A log is its owner's alone.
const MODE: u32 = 0o600;

/// Which file it is, whatever it is called.
type Identity = (u64, u64);

fn identity(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Whether the file that is open is another one than that at its path.
fn was_moved(open: Identity, at_path: Option<Identity>) -> bool {
    at_path != Some(open)
}

/// Goes on in the file at `path` where stderr was that file, or is another.
pub fn follow(path: &Path) {
    if let Err(error) = turn(path) {
        tracing::debug!(%error, path = %path.display(), "cannot go on in a new log; going on in the old one");
    }
}

fn turn(path: &Path) -> io::Result<()> {
    let open = File::from(io::stderr().as_fd().try_clone_to_owned()?).metadata()?;
    // A terminal or a pipe is no file that anybody moves.
    if !open.is_file() {
        return Ok(());
    }
    let there = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(identity(&found?)),
    };
    if was_moved(identity(&open), there) {
        let file = OpenOptions::new().create(true).append(true).mode(MODE).open(path)?;
        dup2_stderr(&file)?;
        dup2_stdout(&file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_or_replaced_is_another_and_one_that_is_there_is_not() {
        assert!(was_moved((1, 2), None));
        assert!(was_moved((1, 2), Some((1, 3))));
        assert!(!was_moved((1, 2), Some((1, 2))));
    }
}
