//! The core's state as rows: all of it at the start, what changed at each commit.

use super::super::StoreError;
use super::columns::{
    Unreadable, all, digest, from_json, id, int, json, maybe_id, maybe_json, maybe_parsed, number, parsed,
};
use super::lists::Lists;
use super::{jobs, journal, moves};
use crate::core::{Core, Effects, FactorKey, Installation, Origin, Outcome, Snapshot, Worker};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};
use vertigo::id::{Digest, JobId, Millis, ProcessId, WorkerId};
use vertigo::manifest::Manifest;
use vertigo::principal::PrincipalName;

/// Reads back what has not ended, and all but jobs.
pub(super) fn load(connection: &Connection, lists: &mut Lists) -> Result<Snapshot, StoreError> {
    let (jobs, attempts) = jobs::unended(connection, lists)?;
    let workers = all(connection, "workers", "SELECT * FROM workers", [], worker)?;
    let mut snapshot = Snapshot { jobs, attempts, workers, ..Snapshot::default() };
    snapshot.installations =
        all(connection, "installations", "SELECT * FROM installations", [], installation)?.into_iter().collect();
    for (_, manifest, created, origin) in all(connection, "artifacts", "SELECT * FROM artifacts", [], artifact)? {
        snapshot.index.insert(manifest, created, origin);
    }
    moves::load(connection, &mut snapshot.index)?;
    for (key, ratios) in all(connection, "factors", "SELECT * FROM factors", [], factor)? {
        ratios.into_iter().for_each(|ratio| snapshot.factors.push(key.clone(), ratio));
    }
    let last: Option<Option<i64>> =
        connection.query_row("SELECT max(seq) FROM journal", [], |row| row.get(0)).optional()?;
    snapshot.last_seq = last.flatten().map_or(0, |seq| seq as u64);
    Ok(snapshot)
}

fn worker(row: &Row<'_>) -> Result<Worker, Unreadable> {
    Ok(Worker {
        id: id(row, "id", WorkerId)?,
        name: row.get("name")?,
        machine: from_json(row, "machine")?,
        last_seen: Millis(number(row, "last_seen_ms")?),
        cached: from_json(row, "cached")?,
        hold: maybe_json(row, "hold")?,
        marks: from_json(row, "marks")?,
        session: None,
        cools_until: None,
        draining: false,
        away: None,
        conditions: Default::default(),
        leases: BTreeMap::new(),
        stopping: BTreeSet::new(),
    })
}

fn installation(row: &Row<'_>) -> Result<(WorkerId, Installation), Unreadable> {
    // The core knows since when it has listened.
    let (heard, since) = (Millis::default(), Millis::default());
    let process = maybe_id(row, "process", ProcessId)?;
    Ok((id(row, "worker", WorkerId)?, Installation { secret: parsed(row, "secret")?, process, heard, since }))
}

pub(super) fn artifact(row: &Row<'_>) -> Result<(Digest, Manifest, Millis, Origin), Unreadable> {
    let text: String = row.get("manifest")?;
    let manifest = Manifest::parse_kept(&text).map_err(|error| Unreadable(error.to_string()))?;
    let (digest, found) = (digest(row, "digest")?, manifest.digest());
    if digest != found {
        return Err(Unreadable(format!("the manifest of {digest} has the digest {found}")));
    }
    let origin = match (maybe_id(row, "job", JobId)?, maybe_parsed(row, "principal")?) {
        (Some(job), None) => Origin::Job(job),
        (None, Some(person)) => Origin::Person(person),
        (job, person) => return Err(Unreadable(format!("{digest} comes from job {job:?} and person {person:?}"))),
    };
    Ok((digest, manifest, Millis(number(row, "created_ms")?), origin))
}

fn factor(row: &Row<'_>) -> Result<(FactorKey, Vec<f64>), Unreadable> {
    let key = FactorKey { method: row.get("method")?, engine: row.get("engine")? };
    Ok((key, from_json(row, "ratios")?))
}

/// Writes what changed, in one transaction.
pub(super) fn commit(
    connection: &mut Connection,
    lists: &mut Lists,
    core: &Core,
    effects: &Effects,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    // In the order of their references.
    effects.jobs.iter().filter_map(|id| core.job(*id)).try_for_each(|job| jobs::put(&transaction, job, lists))?;
    // A job's lease may end and the next begin in one batch. The old one has to go first, and ids do not tell which that is: a
    // machine without a battery for its clock may come back in the past.
    let (live, ended): (Vec<_>, Vec<_>) =
        effects.attempts.iter().filter_map(|id| core.attempt(*id)).partition(|a| a.outcome == Outcome::Running);
    ended.into_iter().chain(live).try_for_each(|attempt| jobs::put_attempt(&transaction, attempt))?;
    for id in &effects.workers {
        match core.worker(*id) {
            Some(worker) => put_worker(&transaction, worker)?,
            None => drop(transaction.execute("DELETE FROM workers WHERE id = ?1", [id.0.into_bytes()])?),
        }
    }
    for id in &effects.installations {
        let Some(known) = core.installation(*id) else {
            transaction.execute("DELETE FROM installations WHERE worker = ?1", [id.0.into_bytes()])?;
            continue;
        };
        let put = "INSERT INTO installations VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET process = excluded.process";
        let process = known.process.map(|process| process.0.into_bytes());
        transaction.prepare_cached(put)?.execute(params![id.0.into_bytes(), known.secret.to_string(), process])?;
    }
    for digest in &effects.forgotten.artifacts {
        transaction.prepare_cached("DELETE FROM artifacts WHERE digest = ?1")?.execute([digest.as_bytes()])?;
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

fn put_worker(transaction: &Transaction<'_>, worker: &Worker) -> rusqlite::Result<()> {
    let put = "INSERT INTO workers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET name = excluded.name, \
               machine = excluded.machine, last_seen_ms = excluded.last_seen_ms, cached = excluded.cached, hold = excluded.hold, \
               marks = excluded.marks";
    transaction.prepare_cached(put)?.execute(params![
        worker.id.0.into_bytes(),
        worker.name,
        json(&worker.machine),
        int(worker.last_seen.0),
        json(&worker.cached),
        worker.hold.as_ref().map(json),
        json(&worker.marks),
    ])?;
    Ok(())
}

fn put_index(transaction: &Transaction<'_>, core: &Core, effects: &Effects) -> rusqlite::Result<()> {
    let index = core.index();
    for (digest, artifact) in effects.artifacts.iter().filter_map(|digest| index.get(digest).map(|a| (digest, a))) {
        // An artifact never changes: the one that is there already is this one.
        let put = "INSERT INTO artifacts VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
        transaction.prepare_cached(put)?.execute(params![
            digest.as_bytes(),
            artifact.manifest.kind().as_str(),
            artifact.manifest.to_json(),
            int(artifact.created.0),
            artifact.job().map(|job| job.0.into_bytes()),
            artifact.origin.person().map(PrincipalName::as_str),
        ])?;
    }
    effects.moves.iter().try_for_each(|moved| moves::put(transaction, moved))
}
