//! A database as it is at one moment, while its writer writes.

use super::super::StoreError;
use super::super::rows::Rows;
use super::reader::Reader;
use super::schema;
use crate::private;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use vertigo::files::AtPath;
use vertigo::id::Digest;

/// Copies the database at `from` to `to`, checks the copy, and gives the blobs that its artifacts name, with their sizes.
///
/// All pages are copied in one step, of one state of the database: in WAL mode no commit waits for that, and none makes it begin again.
///
/// # Errors
/// Either cannot be opened, `from` is of another version, or the copy does not read back.
pub fn copy(from: &Path, to: &Path) -> Result<BTreeMap<Digest, u64>, StoreError> {
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    source.busy_timeout(Duration::from_secs(30))?;
    schema::check(&source, from)?;
    // One that was cut off before.
    private::file(to).and_then(|file| file.set_len(0)).at(to)?;
    let mut copied = Connection::open(to)?;
    copied.pragma_update(None, "synchronous", "FULL")?;
    copied.pragma_update(None, "fullfsync", true)?;
    let backup = Backup::new(&source, &mut copied)?;
    let done = backup.step(-1)?;
    drop(backup);
    if done != StepResult::Done {
        return Err(corrupt(format!("the copy ended early: {done:?}")));
    }
    // One file, without a log beside it.
    copied.pragma_update(None, "journal_mode", "DELETE")?;
    let found: String = copied.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(corrupt(found));
    }
    drop(copied);
    std::fs::File::open(to).and_then(|file| file.sync_all()).at(to)?;
    let mut blobs = BTreeMap::new();
    let mut see = |_, manifest: vertigo::manifest::Manifest, _| {
        blobs.extend(manifest.files().iter().map(|file| (file.digest, file.bytes.0)));
    };
    Reader::new(to.to_owned()).artifacts(&mut see)?;
    Ok(blobs)
}

fn corrupt(problem: String) -> StoreError {
    StoreError::Corrupt { table: "sqlite_schema", problem }
}
