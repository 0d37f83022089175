//! The core's state as rows: all of it at the start, what changed at each commit.

use super::super::StoreError;
use super::journal;
use crate::core::{Attempt, Core, Effects, FactorKey, Installation, Job, Outcome, Snapshot, State, Worker};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Digest, Epoch, JobId, Millis, WorkerId};
use vertigo::manifest::Manifest;

/// Reads everything back.
pub(super) fn load(connection: &Connection) -> Result<Snapshot, StoreError> {
    let mut snapshot = Snapshot {
        attempts: all(connection, "attempts", "SELECT * FROM attempts ORDER BY job, epoch", attempt)?,
        workers: all(connection, "workers", "SELECT * FROM workers", worker)?,
        ..Snapshot::default()
    };
    snapshot.installations =
        all(connection, "installations", "SELECT * FROM installations", installation)?.into_iter().collect();
    let mut of_job: BTreeMap<JobId, Vec<AttemptId>> = BTreeMap::new();
    for attempt in &snapshot.attempts {
        of_job.entry(attempt.job).or_default().push(attempt.id);
    }
    snapshot.jobs = all(connection, "jobs", "SELECT * FROM jobs", |row| job(row, &mut of_job))?;
    for (_, manifest, created, job) in all(connection, "artifacts", "SELECT * FROM artifacts", artifact)? {
        snapshot.index.insert(manifest, created, job);
    }
    for (tag, digest) in all(connection, "tags", "SELECT * FROM tags", |row| Ok((row.get(0)?, parsed(row, "digest")?)))?
    {
        let tag: String = tag;
        snapshot.index.tag(&tag, digest);
    }
    for (key, ratios) in all(connection, "factors", "SELECT * FROM factors", factor)? {
        ratios.into_iter().for_each(|ratio| snapshot.factors.push(key.clone(), ratio));
    }
    let last: Option<Option<i64>> =
        connection.query_row("SELECT max(seq) FROM journal", [], |row| row.get(0)).optional()?;
    snapshot.last_seq = last.flatten().map_or(0, |seq| seq as u64);
    Ok(snapshot)
}

fn all<T>(
    connection: &Connection,
    table: &'static str,
    query: &str,
    mut read: impl FnMut(&Row<'_>) -> Result<T, Unreadable>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(read(row).map_err(|Unreadable(problem)| StoreError::Corrupt { table, problem })?);
    }
    Ok(list)
}

/// What is wrong with a row.
pub(super) struct Unreadable(pub(super) String);

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Unreadable {
        Unreadable(error.to_string())
    }
}

pub(super) fn parsed<T: FromStr<Err: Display>>(row: &Row<'_>, column: &str) -> Result<T, Unreadable> {
    maybe(row, column)?.ok_or_else(|| Unreadable(format!("{column} is missing")))
}

fn maybe<T: FromStr<Err: Display>>(row: &Row<'_>, column: &str) -> Result<Option<T>, Unreadable> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error: T::Err| Unreadable(format!("{column}: {error}")))).transpose()
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, Unreadable> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| Unreadable(format!("{column}: {error}")))
}

pub(super) fn number(row: &Row<'_>, column: &str) -> Result<u64, Unreadable> {
    Ok(row.get::<_, i64>(column)? as u64)
}

pub(super) fn maybe_millis(row: &Row<'_>, column: &str) -> Result<Option<Millis>, Unreadable> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|ms| Millis(ms as u64)))
}

fn job(row: &Row<'_>, attempts: &mut BTreeMap<JobId, Vec<AttemptId>>) -> Result<Job, Unreadable> {
    let id = parsed(row, "id")?;
    let state: String = row.get("state")?;
    let state = match state.as_str() {
        "blocked" => State::Blocked,
        "queued" => State::Queued,
        "backoff" => State::Backoff { until: Millis(number(row, "until_ms")?) },
        "leased" => State::Leased { attempt: parsed(row, "attempt")? },
        "succeeded" => State::Succeeded,
        "failed" => State::Failed,
        "cancelled" => State::Cancelled,
        other => return Err(Unreadable(format!("state `{other}`"))),
    };
    Ok(Job {
        id,
        name: row.get("name")?,
        state,
        reason: row.get("reason")?,
        priority: row.get("priority")?,
        created: Millis(number(row, "created_ms")?),
        ended: maybe_millis(row, "ended_ms")?,
        labels: from_json(row, "labels")?,
        variants: from_json(row, "variants")?,
        outputs: from_json(row, "outputs")?,
        attempts: attempts.remove(&id).unwrap_or_default(),
        epoch: Epoch(number(row, "epoch")?),
        crashes: row.get("crashes")?,
        retries: row.get("retries")?,
        avoid: from_json(row, "avoid")?,
        traceparent: row.get("traceparent")?,
    })
}

fn attempt(row: &Row<'_>) -> Result<Attempt, Unreadable> {
    Ok(Attempt {
        id: parsed(row, "id")?,
        job: parsed(row, "job")?,
        epoch: Epoch(number(row, "epoch")?),
        worker: parsed(row, "worker")?,
        worker_name: row.get("worker_name")?,
        variant: number(row, "variant")? as usize,
        reserved: Bytes(number(row, "reserved")?),
        started: Millis(number(row, "started_ms")?),
        ended: maybe_millis(row, "ended_ms")?,
        outcome: from_json::<Outcome>(row, "outcome")?,
        peak: Bytes(number(row, "peak")?),
        last_report: number(row, "last_report")?,
    })
}

fn worker(row: &Row<'_>) -> Result<Worker, Unreadable> {
    Ok(Worker {
        id: parsed(row, "id")?,
        name: row.get("name")?,
        machine: from_json(row, "machine")?,
        last_seen: Millis(number(row, "last_seen_ms")?),
        cached: from_json(row, "cached")?,
        session: None,
        draining: false,
        leases: BTreeMap::new(),
        stopping: BTreeSet::new(),
    })
}

fn installation(row: &Row<'_>) -> Result<(WorkerId, Installation), Unreadable> {
    // The core knows since when it has listened.
    let (heard, since) = (Millis::default(), Millis::default());
    let known = Installation { secret: parsed(row, "secret")?, process: maybe(row, "process")?, heard, since };
    Ok((parsed(row, "worker")?, known))
}

pub(super) fn artifact(row: &Row<'_>) -> Result<(Digest, Manifest, Millis, Option<JobId>), Unreadable> {
    let text: String = row.get("manifest")?;
    let manifest = Manifest::parse_kept(&text).map_err(|error| Unreadable(error.to_string()))?;
    let (digest, found): (Digest, Digest) = (parsed(row, "digest")?, manifest.digest());
    if digest != found {
        return Err(Unreadable(format!("the manifest of {digest} has the digest {found}")));
    }
    Ok((digest, manifest, Millis(number(row, "created_ms")?), maybe(row, "job")?))
}

fn factor(row: &Row<'_>) -> Result<(FactorKey, Vec<f64>), Unreadable> {
    let key = FactorKey { method: row.get("method")?, engine: row.get("engine")? };
    Ok((key, from_json(row, "ratios")?))
}

/// Writes what changed, in one transaction.
pub(super) fn commit(connection: &mut Connection, core: &Core, effects: &Effects) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    // In the order of their references.
    effects.jobs.iter().filter_map(|id| core.job(*id)).try_for_each(|job| put_job(&transaction, job))?;
    // A job's lease may end and the next begin in one batch. The old one has to go first, and ids do not tell which that is: a
    // machine without a battery for its clock may come back in the past.
    let (live, ended): (Vec<_>, Vec<_>) =
        effects.attempts.iter().filter_map(|id| core.attempt(*id)).partition(|a| a.outcome == Outcome::Running);
    ended.into_iter().chain(live).try_for_each(|attempt| put_attempt(&transaction, attempt))?;
    for id in &effects.workers {
        match core.worker(*id) {
            Some(worker) => put_worker(&transaction, worker)?,
            None => drop(transaction.execute("DELETE FROM workers WHERE id = ?1", [id.to_string()])?),
        }
    }
    for (id, known) in effects.installations.iter().filter_map(|id| core.installation(*id).map(|known| (id, known))) {
        let put = "INSERT INTO installations VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET process = excluded.process";
        let process = known.process.map(|process| process.to_string());
        transaction.prepare_cached(put)?.execute(params![id.to_string(), known.secret.to_string(), process])?;
    }
    for digest in &effects.forgotten.artifacts {
        transaction.prepare_cached("DELETE FROM artifacts WHERE digest = ?1")?.execute([digest.to_string()])?;
    }
    for seq in &effects.forgotten.events {
        transaction.prepare_cached("DELETE FROM journal WHERE seq = ?1")?.execute([int(*seq)])?;
    }
    put_index(&transaction, core, effects)?;
    for key in &effects.factors {
        let ratios: Vec<f64> = core.factors().ratios(key).collect();
        let put = "INSERT INTO factors VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET ratios = excluded.ratios";
        transaction.prepare_cached(put)?.execute(params![key.method, key.engine, json(&ratios)])?;
    }
    effects.journal.iter().try_for_each(|event| journal::put(&transaction, event))?;
    transaction.commit()
}

/// SQLite's integers are signed. Nothing real is above its largest; what somebody makes up is cut down to it.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("numbers, strings and lists of them have a JSON form")
}

fn put_job(transaction: &Transaction<'_>, job: &Job) -> rusqlite::Result<()> {
    let (until, attempt) = match job.state {
        State::Backoff { until } => (Some(int(until.0)), None),
        State::Leased { attempt } => (None, Some(attempt.to_string())),
        State::Blocked | State::Queued | State::Succeeded | State::Failed | State::Cancelled => (None, None),
    };
    let put = "INSERT INTO jobs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
               ON CONFLICT DO UPDATE SET state = excluded.state, until_ms = excluded.until_ms, attempt = excluded.attempt, \
               outputs = excluded.outputs, reason = excluded.reason, ended_ms = excluded.ended_ms, \
               variants = excluded.variants, epoch = excluded.epoch, crashes = excluded.crashes, \
               retries = excluded.retries, avoid = excluded.avoid";
    transaction.prepare_cached(put)?.execute(params![
        job.id.to_string(),
        job.name,
        job.state.name(),
        until,
        attempt,
        json(&job.outputs),
        job.reason,
        job.priority,
        int(job.created.0),
        job.ended.map(|ended| int(ended.0)),
        json(&job.labels),
        json(&job.variants),
        int(job.epoch.0),
        job.crashes,
        job.retries,
        json(&job.avoid),
        job.traceparent,
    ])?;
    Ok(())
}

fn put_attempt(transaction: &Transaction<'_>, attempt: &Attempt) -> rusqlite::Result<()> {
    let put = "INSERT INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
               ON CONFLICT (id) DO UPDATE SET ended_ms = excluded.ended_ms, outcome = excluded.outcome, \
               peak = excluded.peak, last_report = excluded.last_report";
    transaction.prepare_cached(put)?.execute(params![
        attempt.id.to_string(),
        attempt.job.to_string(),
        int(attempt.epoch.0),
        attempt.worker.to_string(),
        attempt.worker_name,
        int(attempt.variant as u64),
        int(attempt.reserved.0),
        int(attempt.started.0),
        attempt.ended.map(|ended| int(ended.0)),
        json(&attempt.outcome),
        int(attempt.peak.0),
        int(attempt.last_report),
    ])?;
    Ok(())
}

fn put_worker(transaction: &Transaction<'_>, worker: &Worker) -> rusqlite::Result<()> {
    let put = "INSERT INTO workers VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET name = excluded.name, \
               machine = excluded.machine, last_seen_ms = excluded.last_seen_ms, cached = excluded.cached";
    transaction.prepare_cached(put)?.execute(params![
        worker.id.to_string(),
        worker.name,
        json(&worker.machine),
        int(worker.last_seen.0),
        json(&worker.cached),
    ])?;
    Ok(())
}

fn put_index(transaction: &Transaction<'_>, core: &Core, effects: &Effects) -> rusqlite::Result<()> {
    let index = core.index();
    for (digest, artifact) in effects.artifacts.iter().filter_map(|digest| index.get(digest).map(|a| (digest, a))) {
        // An artifact never changes: the one that is there already is this one.
        let put = "INSERT INTO artifacts VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
        transaction.prepare_cached(put)?.execute(params![
            digest.to_string(),
            artifact.manifest.kind().as_str(),
            artifact.manifest.to_json(),
            int(artifact.created.0),
            artifact.job.map(|job| job.to_string()),
        ])?;
    }
    for (tag, digest) in effects.tags.iter().filter_map(|tag| index.tagged(tag).map(|digest| (tag, digest))) {
        let put = "INSERT INTO tags VALUES (?1, ?2) ON CONFLICT DO UPDATE SET digest = excluded.digest";
        transaction.prepare_cached(put)?.execute(params![tag, digest.to_string()])?;
    }
    Ok(())
}
