//! What happened to jobs, as people read it: written with the change itself, read by connections of its own.

use super::StoreError;
use crate::core::{Entry, EntryBody, State};
use prost::Message;
use rusqlite::{Connection, OpenFlags, params};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use vertigo::id::JobId;
use vertigo::v1::{self, finished, job_event, report};

/// Which events of a job to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Lines that attempts wrote.
    Logs,
}

/// A state as the protocol names it.
pub(crate) fn state(state: State) -> v1::JobState {
    match state {
        State::Blocked => v1::JobState::Blocked,
        State::Queued => v1::JobState::Queued,
        State::Backoff { .. } => v1::JobState::Backoff,
        State::Leased { .. } => v1::JobState::Leased,
        State::Succeeded => v1::JobState::Succeeded,
        State::Failed => v1::JobState::Failed,
        State::Cancelled => v1::JobState::Cancelled,
    }
}

/// An entry's kind and its message, as the table has them.
pub(super) fn encode(entry: &Entry) -> (&'static str, Vec<u8>) {
    let mut why = String::new();
    let (kind, event) = match &entry.body {
        EntryBody::State { state: to, reason } => {
            why.clone_from(reason);
            ("state", job_event::Event::State(state(*to).into()))
        }
        EntryBody::Placed { worker, variant, reason } => {
            let placed = v1::Placement { worker: worker.clone(), variant: *variant as u32, reason: reason.clone() };
            ("placed", job_event::Event::Placed(placed))
        }
        EntryBody::Report(report) => {
            let is_log = matches!(report.message.body, Some(report::Body::Log(_)));
            (if is_log { "log" } else { "report" }, job_event::Event::Report(without_manifest(&report.message)))
        }
    };
    let event = v1::JobEvent {
        seq: entry.seq,
        at_ms: entry.at.0,
        epoch: entry.epoch.0,
        event: Some(event),
        reason: why,
        job_id: entry.job.to_string(),
    };
    (kind, event.encode_to_vec())
}

/// Connections that read at a time. Each keeps two descriptors for as long as the process lives.
const READERS_MAX: usize = 8;

/// The report as people see it: a manifest comes with the artifact, and may be longer than everything else in the journal.
fn without_manifest(report: &v1::Report) -> v1::Report {
    let body = match &report.body {
        Some(report::Body::Checkpoint(v1::Checkpoint { iter, .. })) => {
            Some(report::Body::Checkpoint(v1::Checkpoint { iter: *iter, manifest_json: String::new() }))
        }
        Some(report::Body::Finished(v1::Finished {
            peak_bytes,
            outcome: Some(finished::Outcome::Outputs(outputs)),
        })) => {
            let bare = |made: &v1::Made| v1::Made { role: made.role.clone(), manifest_json: String::new() };
            let made = outputs.made.iter().map(bare).collect();
            let outcome = Some(finished::Outcome::Outputs(v1::Outputs { made, remark: outputs.remark.clone() }));
            Some(report::Body::Finished(v1::Finished { peak_bytes: *peak_bytes, outcome }))
        }
        other => other.clone(),
    };
    v1::Report { number: report.number, at_ms: report.at_ms, body }
}

/// Connections that read while the writer writes.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Turns at reading, of which there are [`READERS_MAX`].
    pub(super) turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Readers {
        Readers { path, idle: Mutex::default(), turns: Arc::new(Semaphore::new(READERS_MAX)) }
    }

    /// At most `limit` events of a job after `after`, oldest first.
    pub(super) fn events(
        &self,
        job: JobId,
        after: u64,
        which: Which,
        limit: usize,
    ) -> Result<Vec<v1::JobEvent>, StoreError> {
        let connection = self.take()?;
        let events = read(&connection, job, after, which, limit)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(events)
    }

    fn take(&self) -> Result<Connection, StoreError> {
        if let Some(connection) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(connection);
        }
        let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(connection)
    }
}

fn read(
    connection: &Connection,
    job: JobId,
    after: u64,
    which: Which,
    limit: usize,
) -> Result<Vec<v1::JobEvent>, StoreError> {
    let query = match which {
        Which::All => "SELECT event FROM journal WHERE job = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        Which::Logs => "SELECT event FROM journal WHERE job = ?1 AND seq > ?2 AND kind = 'log' ORDER BY seq LIMIT ?3",
    };
    let mut statement = connection.prepare_cached(query)?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![job.to_string(), after, limit as i64])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        let event = v1::JobEvent::decode(bytes)
            .map_err(|error| StoreError::Corrupt { table: "journal", problem: error.to_string() })?;
        events.push(event);
    }
    Ok(events)
}
