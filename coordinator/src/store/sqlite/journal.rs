//! The journal's table.

use super::super::StoreError;
use super::super::durable::Which;
use super::super::journal::{self, FormatError};
use super::columns::int;
use crate::core::{Event, EventBody, ReportBody};
use rusqlite::{Connection, Row, Transaction, params};
use uuid::Uuid;
use vertigo::id::{Epoch, JobId, Millis};

/// What the column `kind` says of an event. The index of lines hangs on it.
fn kind(body: &EventBody) -> &'static str {
    match body {
        EventBody::State { .. } => "state",
        EventBody::Placed { .. } => "placed",
        EventBody::Report(report) if matches!(report.body, ReportBody::Log(_)) => "log",
        EventBody::Report(_) => "report",
        EventBody::Held { .. }
        | EventBody::Resumed { .. }
        | EventBody::Removed { .. }
        | EventBody::Set { .. }
        | EventBody::StartedAnew { .. } => "worker",
    }
}

/// Appends an event.
pub(super) fn put(transaction: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    let put = "INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    transaction.prepare_cached(put)?.execute(params![
        int(event.seq),
        event.job.map(|job| job.0.into_bytes()),
        int(event.at.0),
        int(event.epoch.0),
        kind(&event.body),
        journal::encode(&event.body),
    ])?;
    Ok(())
}

/// The query of a page. Each names the index that it walks: SQLite would rather walk all events than those of one kind.
pub(super) fn query(of_job: bool, which: Which) -> &'static str {
    match (of_job, which) {
        (true, Which::All) => {
            "SELECT * FROM journal INDEXED BY journal_of_job WHERE job = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"
        }
        (true, Which::Logs) => {
            "SELECT * FROM journal INDEXED BY lines_of_job WHERE job = ?1 AND kind = 'log' AND seq > ?2 \
             ORDER BY seq LIMIT ?3"
        }
        (false, Which::All) => "SELECT * FROM journal WHERE ?1 IS NULL AND seq > ?2 ORDER BY seq LIMIT ?3",
        (false, Which::Logs) => {
            "SELECT * FROM journal INDEXED BY lines WHERE ?1 IS NULL AND kind = 'log' AND seq > ?2 ORDER BY seq LIMIT ?3"
        }
    }
}

/// A page of the journal.
pub(super) fn read(
    connection: &Connection,
    job: Option<JobId>,
    after: u64,
    which: Which,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let mut statement = connection.prepare_cached(query(job.is_some(), which))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![job.map(|job| job.0.into_bytes()), int(after), limit])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event(row)?);
    }
    Ok(events)
}

fn event(row: &Row<'_>) -> Result<Event, StoreError> {
    let corrupt = |problem| StoreError::Corrupt { table: "journal", problem };
    let number = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)? as u64);
    let seq = number("seq")?;
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let job = row.get::<_, Option<[u8; 16]>>("job")?.map(|bytes| JobId(Uuid::from_bytes(bytes)));
    let body = journal::decode(text("event")?).map_err(|error| match error {
        FormatError::Newer { found } => StoreError::NewerEvent { seq, found, known: journal::FORMAT },
        FormatError::Unreadable(problem) => corrupt(format!("event {seq}: {problem}")),
    })?;
    Ok(Event { seq, at: Millis(number("at_ms")?), job, epoch: Epoch(number("epoch")?), body })
}
