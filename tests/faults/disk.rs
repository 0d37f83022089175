//! Small disks of the campaign's own, that can be filled and freed: a tmpfs each, in the campaign's mount namespace.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What fills a disk.
const BALLAST: &str = "ballast";

/// A folder that is a disk, where mounting is granted, and else a folder like any other.
#[derive(Debug)]
pub(crate) struct Disk {
    mount: PathBuf,
    is_full: bool,
}

impl Disk {
    /// Makes the folder, and mounts `mib` MiB there where this process may.
    pub(crate) fn make(mount: &Path, mib: u64, is_mounted: bool) -> io::Result<Disk> {
        fs::create_dir_all(mount)?;
        if is_mounted {
            let size = format!("size={mib}m");
            let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(mount).status()?;
            if !status.success() {
                return Err(io::Error::other(format!("mount of {}: {status}", mount.display())));
            }
        }
        Ok(Disk { mount: mount.to_owned(), is_full: false })
    }

    /// The daemon's folder on it.
    pub(crate) fn state(&self) -> PathBuf {
        self.mount.join("state")
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Leaves not a byte.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        self.is_full = true;
        let mut ballast = File::options().create(true).append(true).open(self.mount.join(BALLAST))?;
        let block = vec![0; 1 << 20];
        let mut size = block.len();
        while size > 0 {
            match ballast.write(&block[..size]) {
                Ok(0) => size = 0,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => size /= 16,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn free(&mut self) -> io::Result<()> {
        self.is_full = false;
        match fs::remove_file(self.mount.join(BALLAST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
