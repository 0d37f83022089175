//! Files of a person's, read no further than they may be long: a name may stand for a pipe, which has no length and may have no end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of a file of at most `bytes_max` bytes.
///
/// # Errors
/// The file's; one that is longer; one that is not UTF-8.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it is longer than the {bytes_max} bytes that are read")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), "12345");
        assert!(read(&path, 4).unwrap_err().to_string().contains("longer than the 4 bytes"));
        // A device that never ends, and has no length.
        assert!(read(Path::new("/dev/zero"), 9).is_err());
    }
}
