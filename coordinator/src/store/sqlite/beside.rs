//! Rows as they are read beside the writer.

use super::super::StoreError;
use super::super::rows::{CheckpointRow, DatabaseSize, EndedRow, Rows, SeeArtifact};
use super::journal::Reader;
use super::rows::{Unreadable, artifact, int, maybe_millis, number, parsed};
use rusqlite::{Row, params};
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

impl Rows for Reader {
    fn checkpoints(&self, after: Option<JobId>, jobs: usize) -> Result<Vec<CheckpointRow>, StoreError> {
        let after = after.map(|job| job.to_string()).unwrap_or_default();
        self.all("artifacts", CHECKPOINTS, params![after, int(jobs as u64)], checkpoint)
    }

    fn ended(&self, (since, behind): (Millis, JobId), limit: usize) -> Result<Vec<EndedRow>, StoreError> {
        let after = params![int(since.0), behind.to_string(), int(limit as u64)];
        let ended = |row: &Row<'_>| {
            let (job, ended) = (parsed(row, "id")?, Millis(number(row, "ended_ms")?));
            Ok(EndedRow { job, ended, events: number(row, "events")? })
        };
        self.all("jobs", ENDED, after, ended)
    }

    fn artifacts(&self, see: SeeArtifact<'_>) -> Result<(), StoreError> {
        let read = |row: &Row<'_>| artifact(row).map(|(digest, manifest, _, job)| see(digest, manifest, job));
        self.each("artifacts", "SELECT * FROM artifacts", [], read)
    }

    fn size(&self) -> Result<DatabaseSize, StoreError> {
        let connection = self.take()?;
        let one = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0)).map(|n| n as u64);
        let page = one("PRAGMA page_size")?;
        let pages = one("PRAGMA page_count")?;
        // What the writer has written and not yet moved into the database.
        let ahead = fs::metadata(self.path().with_extension("db-wal")).map_or(0, |meta| meta.len());
        let size = DatabaseSize {
            bytes: pages * page + ahead,
            free_bytes: one("PRAGMA freelist_count")? * page,
            jobs: one("SELECT count(*) FROM jobs")?,
            events: one("SELECT count(*) FROM journal")?,
            journal_bytes: one("SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE aggregate = TRUE AND name IN \
                 ('journal', 'journal_of_job', 'lines', 'lines_of_job')")?,
        };
        self.give(connection);
        Ok(size)
    }
}

fn checkpoint(row: &Row<'_>) -> Result<CheckpointRow, Unreadable> {
    let (digest, manifest, created, _) = artifact(row)?;
    Ok(CheckpointRow { digest, manifest, created, job: parsed(row, "job")?, ended: maybe_millis(row, "ended_ms")? })
}
