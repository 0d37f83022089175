//! Room that is kept free on the disks, so that the database can go on when uploads cannot.
//!
//! A commit that fails ends the coordinator, and every upload takes of the same disk as the database. So uploads end first: one that would
//! leave less than the reserve free is refused as if the disk were full, which its sender waits out. 1 GiB is a journal of millions of
//! events, and a copy of most databases; of a disk of less than 20 GiB it would be too much to ask for, so there it is a twentieth.
//!
//! Promise: what is refused has written nothing that passes the reserve; what was kept before stays, and goes on when there is room again.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vertigo::bytes::Bytes;

/// The most that is kept free where nobody says how much.
const RESERVE_MAX: Bytes = Bytes(1 << 30);

/// The part of a disk that is kept free where nobody says how much.
const RESERVE_PART: u64 = 20;

/// A disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// How large it is.
    pub total: Bytes,
    /// What an ordinary process may still write.
    pub free: Bytes,
}

/// Measures the disk that a folder lies on.
pub type Measure = Arc<dyn Fn(&Path) -> io::Result<Disk> + Send + Sync>;

/// The disks that uploads are written to, and what stays free on each.
#[derive(Clone)]
pub struct Room {
    folders: Vec<PathBuf>,
    reserve: Option<Bytes>,
    measure: Measure,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("folders", &self.folders).field("reserve", &self.reserve).finish_non_exhaustive()
    }
}

/// A disk without room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no room: the disk of {} has {free} free, and {reserve} of it are kept for the database (--reserve). `vertigo storage` says what takes \
     the rest, `vertigo gc` collects what nobody needs", folder.display()
)]
pub struct NoRoom {
    /// A folder on it.
    pub folder: PathBuf,
    /// What it has free.
    pub free: Bytes,
    /// What is kept of that.
    pub reserve: Bytes,
}

impl Room {
    /// On the disks of `folders`, as the system measures them; `reserve` stays free, or as much as is usual.
    pub fn on(folders: Vec<PathBuf>, reserve: Option<Bytes>) -> Room {
        let mut seen = HashSet::new();
        // Each disk once. What cannot be looked at is left to the one who writes to it.
        let is_new = |folder: &PathBuf| fs::metadata(folder).map_or(true, |found| seen.insert(found.dev()));
        Room { folders: folders.into_iter().filter(is_new).collect(), reserve, measure: Arc::new(measure) }
    }

    /// The same, measured in another way.
    pub fn measured(self, measure: Measure) -> Room {
        Room { measure, ..self }
    }

    /// Whether `more` bytes can be written to each disk.
    ///
    /// # Errors
    /// Which cannot take them. A disk that cannot be measured takes what it takes.
    pub fn check(&self, more: u64) -> Result<(), NoRoom> {
        for (folder, disk) in self.disks() {
            let reserve = self.reserve_of(disk);
            if disk.free.saturating_sub(reserve).0 < more {
                return Err(NoRoom { folder, free: disk.free, reserve });
            }
        }
        Ok(())
    }

    /// The disks, by a folder on each.
    pub fn disks(&self) -> Vec<(PathBuf, Disk)> {
        let measured = self.folders.iter().filter_map(|folder| Some((folder.clone(), (self.measure)(folder).ok()?)));
        measured.collect()
    }

    /// What stays free on a disk.
    pub fn reserve_of(&self, disk: Disk) -> Bytes {
        self.reserve.unwrap_or_else(|| RESERVE_MAX.min(Bytes(disk.total.0 / RESERVE_PART)))
    }
}

fn measure(folder: &Path) -> io::Result<Disk> {
    let found = nix::sys::statvfs::statvfs(folder)?;
    // The types of both differ between systems.
    #[allow(clippy::unnecessary_cast)]
    let bytes = |blocks: u64| Bytes(blocks.saturating_mul(found.fragment_size() as u64));
    #[allow(clippy::unnecessary_cast)]
    Ok(Disk { total: bytes(found.blocks() as u64), free: bytes(found.blocks_available() as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_a_gibibyte_or_a_twentieth_of_a_small_disk_or_what_was_said() {
        let disk = |gib: u64| Disk { total: Bytes(gib << 30), free: Bytes(0) };
        let room = |reserve| Room::on(Vec::new(), reserve);
        assert_eq!(room(None).reserve_of(disk(1000)), Bytes(1 << 30));
        assert_eq!(room(None).reserve_of(disk(10)), Bytes(1 << 29));
        assert_eq!(room(Some(Bytes(7))).reserve_of(disk(10)), Bytes(7));
    }

    #[test]
    fn what_fits_above_the_reserve_fits_and_a_byte_more_does_not() {
        let disk = Disk { total: Bytes(1000), free: Bytes(300) };
        let room = Room::on(vec!["/a".into()], Some(Bytes(100))).measured(Arc::new(move |_| Ok(disk)));
        assert_eq!(room.check(200), Ok(()));
        let error = room.check(201).unwrap_err().to_string();
        assert!(error.contains("/a") && error.contains("300 B") && error.contains("100 B"), "{error}");
        assert!(Room::on(vec!["/nowhere/at/all".into()], Some(Bytes(u64::MAX))).check(1).is_ok());
        let here = Room::on(vec![".".into()], None);
        assert_eq!(Room::on(vec![".".into(), "..".into()], None).disks().len(), 1, "each disk once");
        assert!(here.disks()[0].1.total >= here.disks()[0].1.free && here.check(u64::MAX).is_err());
    }
}
