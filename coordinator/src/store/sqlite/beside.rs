//! Rows as they are read beside the writer, by whoever decides what goes.

use super::super::StoreError;
use super::super::rows::{CheckpointRow, DatabaseSize, EndedRow, Rows, SeeArtifact};
use super::columns::{Unreadable, all, id, int, maybe_millis, number};
use super::reader::Reader;
use super::rows::artifact;
use rusqlite::{Connection, Row, params};
use std::fs;
use vertigo::id::{JobId, Millis};

/// The ends of jobs that made checkpoints, with each of these. Jobs are chosen first, so that none is cut in two.
const CHECKPOINTS: &str = "
SELECT artifacts.*, jobs.ended_ms FROM artifacts INDEXED BY checkpoints JOIN jobs ON jobs.id = artifacts.job
WHERE artifacts.kind = 'checkpoint' AND artifacts.job IN (
    SELECT DISTINCT job FROM artifacts INDEXED BY checkpoints WHERE kind = 'checkpoint' AND job > ?1 ORDER BY job LIMIT ?2)
ORDER BY artifacts.job";

/// Jobs by their end.
const ENDED: &str = "
SELECT id, ended_ms, (SELECT count(*) FROM journal INDEXED BY journal_of_job WHERE job = jobs.id) AS events
FROM jobs INDEXED BY jobs_by_end WHERE ended_ms IS NOT NULL AND (ended_ms, id) > (?1, ?2) ORDER BY ended_ms, id LIMIT ?3";

/// The pages of a few tables and indexes.
const JOURNAL_BYTES: &str = "
SELECT coalesce(sum(pgsize), 0) FROM dbstat
WHERE aggregate = TRUE AND name IN ('journal', 'journal_of_job', 'lines', 'lines_of_job')";

impl Rows for Reader {
    fn checkpoints(&self, after: Option<JobId>, jobs: usize) -> Result<Vec<CheckpointRow>, StoreError> {
        // No bytes go before all that there are.
        let after = after.map(|job| job.0.into_bytes().to_vec()).unwrap_or_default();
        let params = params![after, int(jobs as u64)];
        self.read(|connection| all(connection, "artifacts", CHECKPOINTS, params, checkpoint))
    }

    fn ended(&self, (since, behind): (Millis, JobId), limit: usize) -> Result<Vec<EndedRow>, StoreError> {
        let after = params![int(since.0), behind.0.into_bytes(), int(limit as u64)];
        let ended = |row: &Row<'_>| {
            let (job, ended) = (id(row, "id", JobId)?, Millis(number(row, "ended_ms")?));
            Ok(EndedRow { job, ended, events: number(row, "events")? })
        };
        self.read(|connection| all(connection, "jobs", ENDED, after, ended))
    }

    fn artifacts(&self, see: SeeArtifact<'_>) -> Result<(), StoreError> {
        // A list of nothing: each is seen and let go.
        let read =
            |row: &Row<'_>| artifact(row).map(|(digest, manifest, _, origin)| see(digest, manifest, origin.job()));
        self.read(|connection| all(connection, "artifacts", "SELECT * FROM artifacts", [], read).map(drop))
    }

    fn size(&self) -> Result<DatabaseSize, StoreError> {
        // What the writer has written and not yet moved into the database.
        let ahead = fs::metadata(self.path().with_extension("db-wal")).map_or(0, |meta| meta.len());
        self.read(|connection| size(connection, ahead))
    }
}

fn size(connection: &Connection, ahead: u64) -> Result<DatabaseSize, StoreError> {
    let one = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0)).map(|n| n as u64);
    let page = one("PRAGMA page_size")?;
    Ok(DatabaseSize {
        bytes: one("PRAGMA page_count")? * page + ahead,
        free_bytes: one("PRAGMA freelist_count")? * page,
        jobs: one("SELECT count(*) FROM jobs")?,
        events: one("SELECT count(*) FROM journal")?,
        journal_bytes: one(JOURNAL_BYTES)?,
    })
}

fn checkpoint(row: &Row<'_>) -> Result<CheckpointRow, Unreadable> {
    let (digest, manifest, created, _) = artifact(row)?;
    let (job, ended) = (id(row, "job", JobId)?, maybe_millis(row, "ended_ms")?);
    Ok(CheckpointRow { digest, manifest, created, job, ended })
}
