//! Jobs and the attempts at them: rows of them, one by one and all that have not ended.

use super::super::StoreError;
use super::columns::{Unreadable, all, from_json, id, int, json, maybe_json, maybe_millis, number, parsed};
use super::lists::{self, Lists};
use crate::core::{Attempt, Job, Outcome, State, Variant};
use rusqlite::{Connection, Params, Row, Transaction, params};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Epoch, JobId, Millis, WorkerId};

/// The states of jobs that have not ended, as a part of a query.
pub(super) const UNENDED: &str = "('blocked', 'queued', 'backoff', 'leased')";

/// A job by its id, with the list of its variants, whether that is its own or shared.
pub(super) const ONE: &str = "SELECT jobs.*, coalesce(own, list) AS variants FROM jobs \
                              LEFT JOIN variants ON variants.id = shared WHERE jobs.id = ?1";

/// The newest job of a name.
pub(super) const NEWEST_NAMED: &str = "SELECT id FROM jobs WHERE name = ?1 ORDER BY id DESC LIMIT 1";

/// Jobs between two ids.
pub(super) const BEGINNING: &str = "SELECT id FROM jobs WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3";

/// All jobs that have not ended, and the attempts at them by job and epoch. `lists` knows the lists that they share.
pub(super) fn unended(connection: &Connection, known: &mut Lists) -> Result<(Vec<Job>, Vec<Attempt>), StoreError> {
    let shared = lists::unended(connection)?;
    shared.iter().for_each(|(row, list)| known.know(list, *row));
    let query = format!("SELECT * FROM jobs WHERE state IN {UNENDED} ORDER BY id");
    let of_row = |row: &Row<'_>| match row.get::<_, Option<i64>>("shared")? {
        Some(list) => {
            let list = shared.get(&list).ok_or_else(|| Unreadable(format!("there is no list {list} of variants")))?;
            job(row, Arc::clone(list))
        }
        None => job(row, Arc::new(from_json(row, "own")?)),
    };
    let mut jobs = all(connection, "jobs", &query, [], of_row)?;
    let query = format!(
        "SELECT attempts.* FROM jobs CROSS JOIN attempts ON attempts.job = jobs.id WHERE jobs.state IN {UNENDED} \
         ORDER BY attempts.job, attempts.epoch"
    );
    let attempts = all(connection, "attempts", &query, [], attempt)?;
    let query = format!(
        "SELECT labels.* FROM jobs CROSS JOIN labels ON labels.job = jobs.id WHERE jobs.state IN {UNENDED} ORDER BY labels.job"
    );
    let labels = all(connection, "labels", &query, [], label)?;
    // All three are in the order of the jobs.
    let (mut of_job, mut named) = (attempts.iter().peekable(), labels.into_iter().peekable());
    for job in &mut jobs {
        while let Some(attempt) = of_job.next_if(|attempt| attempt.job == job.id) {
            job.attempts.push(attempt.id);
        }
        while let Some((_, key, value)) = named.next_if(|(id, ..)| *id == job.id) {
            job.labels.insert(key, value);
        }
    }
    Ok((jobs, attempts))
}

/// A job by its id, with the attempts at it, oldest first.
pub(super) fn one(connection: &Connection, id: JobId) -> Result<Option<(Job, Vec<Attempt>)>, StoreError> {
    let key = [id.0.into_bytes()];
    let of_row = |row: &Row<'_>| job(row, Arc::new(from_json(row, "variants")?));
    let Some(mut job) = all(connection, "jobs", ONE, key, of_row)?.pop() else { return Ok(None) };
    let attempts = all(connection, "attempts", "SELECT * FROM attempts WHERE job = ?1 ORDER BY epoch", key, attempt)?;
    job.attempts = attempts.iter().map(|attempt| attempt.id).collect();
    let labels = all(connection, "labels", "SELECT * FROM labels WHERE job = ?1", key, label)?;
    job.labels = labels.into_iter().map(|(_, key, value)| (key, value)).collect();
    Ok(Some((job, attempts)))
}

/// An attempt by its id.
pub(super) fn one_attempt(connection: &Connection, id: AttemptId) -> Result<Option<Attempt>, StoreError> {
    let query = "SELECT * FROM attempts WHERE id = ?1";
    Ok(all(connection, "attempts", query, [id.0.into_bytes()], attempt)?.pop())
}

/// Whether there is a job of this id.
pub(super) fn exists(connection: &Connection, id: JobId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM jobs WHERE id = ?1")?.exists([id.0.into_bytes()])
}

/// The newest job of a name.
pub(super) fn named(connection: &Connection, name: &str) -> rusqlite::Result<Option<JobId>> {
    Ok(ids(connection, NEWEST_NAMED, [name])?.pop())
}

/// Jobs whose id begins as `prefix` is written, the oldest first.
pub(super) fn beginning_with(connection: &Connection, prefix: &str, limit: usize) -> rusqlite::Result<Vec<JobId>> {
    let Some((first, last)) = bounds(prefix) else { return Ok(Vec::new()) };
    ids(connection, BEGINNING, params![first.into_bytes(), last.into_bytes(), int(limit as u64)])
}

fn ids(connection: &Connection, query: &str, params: impl Params) -> rusqlite::Result<Vec<JobId>> {
    let mut statement = connection.prepare_cached(query)?;
    let ids = statement.query_map(params, |row| Ok(JobId(Uuid::from_bytes(row.get(0)?))))?;
    ids.collect()
}

/// The smallest and the largest id that is written so at its beginning; `None` where none is.
fn bounds(prefix: &str) -> Option<(Uuid, Uuid)> {
    if prefix.is_empty() {
        return None;
    }
    let filled = |with: &str| {
        let pattern = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx".get(prefix.len()..)?;
        Uuid::try_parse(&format!("{prefix}{}", pattern.replace('x', with))).ok()
    };
    Some((filled("0")?, filled("f")?))
}

fn label(row: &Row<'_>) -> Result<(JobId, String, String), Unreadable> {
    Ok((id(row, "job", JobId)?, row.get("key")?, row.get("value")?))
}

/// A job; what hangs on it, its attempts and labels, stands elsewhere.
fn job(row: &Row<'_>, variants: Arc<Vec<Variant>>) -> Result<Job, Unreadable> {
    let state: String = row.get("state")?;
    let state = match state.as_str() {
        "blocked" => State::Blocked,
        "queued" => State::Queued,
        "backoff" => State::Backoff { until: Millis(number(row, "until_ms")?) },
        "leased" => State::Leased { attempt: id(row, "attempt", AttemptId)? },
        "succeeded" => State::Succeeded,
        "failed" => State::Failed,
        "cancelled" => State::Cancelled,
        other => return Err(Unreadable(format!("state `{other}`"))),
    };
    Ok(Job {
        id: id(row, "id", JobId)?,
        name: row.get("name")?,
        state,
        reason: row.get("reason")?,
        priority: row.get("priority")?,
        created: Millis(number(row, "created_ms")?),
        ended: maybe_millis(row, "ended_ms")?,
        labels: BTreeMap::new(),
        variants,
        outputs: from_json(row, "outputs")?,
        attempts: Vec::new(),
        epoch: Epoch(number(row, "epoch")?),
        crashes: row.get("crashes")?,
        retries: row.get("retries")?,
        panics: row.get("panics")?,
        avoid: from_json(row, "avoid")?,
        traceparent: row.get("traceparent")?,
        by: parsed(row, "principal")?,
    })
}

fn attempt(row: &Row<'_>) -> Result<Attempt, Unreadable> {
    Ok(Attempt {
        id: id(row, "id", AttemptId)?,
        job: id(row, "job", JobId)?,
        epoch: Epoch(number(row, "epoch")?),
        worker: id(row, "worker", WorkerId)?,
        worker_name: row.get("worker_name")?,
        variant: number(row, "variant")? as usize,
        reserved: Bytes(number(row, "reserved")?),
        started: Millis(number(row, "started_ms")?),
        ended: maybe_millis(row, "ended_ms")?,
        outcome: from_json::<Outcome>(row, "outcome")?,
        peak: Bytes(number(row, "peak")?),
        last_report: number(row, "last_report")?,
        service: maybe_json(row, "service")?,
    })
}

/// Writes a job as it is now. Its labels never change, so they are written with its first state.
pub(super) fn put(transaction: &Transaction<'_>, job: &Job, lists: &mut Lists) -> rusqlite::Result<()> {
    let shared = lists.row(transaction, &job.variants)?;
    let own = shared.is_none().then(|| json(&*job.variants));
    let (until, attempt) = match job.state {
        State::Backoff { until } => (Some(int(until.0)), None),
        State::Leased { attempt } => (None, Some(attempt.0.into_bytes())),
        State::Blocked | State::Queued | State::Succeeded | State::Failed | State::Cancelled => (None, None),
    };
    let put = "INSERT INTO jobs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20) \
               ON CONFLICT DO UPDATE SET state = excluded.state, until_ms = excluded.until_ms, attempt = excluded.attempt, \
               outputs = excluded.outputs, reason = excluded.reason, ended_ms = excluded.ended_ms, \
               shared = excluded.shared, own = excluded.own, epoch = excluded.epoch, crashes = excluded.crashes, \
               retries = excluded.retries, avoid = excluded.avoid, panics = excluded.panics";
    transaction.prepare_cached(put)?.execute(params![
        job.id.0.into_bytes(),
        job.name,
        job.kind().map(|kind| kind.as_str()),
        job.state.name(),
        until,
        attempt,
        json(&job.outputs),
        job.reason,
        job.priority,
        int(job.created.0),
        job.ended.map(|ended| int(ended.0)),
        shared,
        own,
        int(job.epoch.0),
        job.crashes,
        job.retries,
        json(&job.avoid),
        job.traceparent,
        job.by.as_str(),
        job.panics,
    ])?;
    for (key, value) in &job.labels {
        let put = "INSERT INTO labels VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
        transaction.prepare_cached(put)?.execute(params![key, value, int(job.created.0), job.id.0.into_bytes()])?;
    }
    Ok(())
}

/// Writes an attempt as it is now.
pub(super) fn put_attempt(transaction: &Transaction<'_>, attempt: &Attempt) -> rusqlite::Result<()> {
    let put = "INSERT INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
               ON CONFLICT (id) DO UPDATE SET ended_ms = excluded.ended_ms, outcome = excluded.outcome, \
               peak = excluded.peak, last_report = excluded.last_report, service = excluded.service";
    transaction.prepare_cached(put)?.execute(params![
        attempt.id.0.into_bytes(),
        attempt.job.0.into_bytes(),
        int(attempt.epoch.0),
        attempt.worker.0.into_bytes(),
        attempt.worker_name,
        int(attempt.variant as u64),
        int(attempt.reserved.0),
        int(attempt.started.0),
        attempt.ended.map(|ended| int(ended.0)),
        json(&attempt.outcome),
        int(attempt.peak.0),
        int(attempt.last_report),
        attempt.service.as_ref().map(json),
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The bounds of a prefix hold exactly the ids that are written so at their beginning.
        #[test]
        fn a_prefix_bounds_the_ids_that_begin_with_it(bytes in any::<[u8; 16]>(), other in any::<[u8; 16]>(), length in 1usize..37) {
            let (id, other) = (Uuid::from_bytes(bytes), Uuid::from_bytes(other));
            let prefix = &id.hyphenated().to_string()[..length];
            let (first, last) = bounds(prefix).unwrap();
            prop_assert!(first <= id && id <= last);
            prop_assert_eq!((first..=last).contains(&other), other.hyphenated().to_string().starts_with(prefix));
        }
    }

    #[test]
    fn what_no_id_begins_with_has_no_bounds() {
        for prefix in ["", "x", "0190-", "019000000", "ä", "00000000-0000-0000-0000-0000000000000", "{0190"] {
            assert_eq!(bounds(prefix), None, "{prefix}");
        }
    }
}
