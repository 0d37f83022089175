//! Moves of tags: rows that are written once and never change.

use super::super::StoreError;
use super::columns::{
    Unreadable, all, digest, from_json, int, json, maybe_digest, maybe_id, maybe_millis, maybe_parsed, number,
};
use crate::core::{Grounds, Index, Move, Mover, REMEMBERED, Remembered};
use rusqlite::{Connection, Row, Transaction, params};
use vertigo::id::{JobId, MoveId};
use vertigo::principal::PrincipalName;

/// The newest moves of each tag, oldest first, without what may be long of them. A tag's moves are numbered without a gap.
const NEWEST: &str = "
SELECT moves.tag, number, from_digest, to_digest, mover, evidence
FROM (SELECT tag, max(number) AS newest FROM moves GROUP BY tag) AS tags
CROSS JOIN moves ON moves.tag = tags.tag AND number > newest - ?1 ORDER BY moves.tag, number";

/// A page of a tag's moves.
pub(super) const PAGE: &str = "SELECT * FROM moves WHERE tag = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3";

/// A move by its id.
pub(super) const ONE: &str = "SELECT * FROM moves WHERE id = ?1";

/// Moves each tag to where it is.
pub(super) fn load(connection: &Connection, index: &mut Index) -> Result<(), StoreError> {
    let corrupt = |problem| StoreError::Corrupt { table: "moves", problem };
    let newest = params![int(REMEMBERED as u64)];
    for (tag, moved) in all(connection, "moves", NEWEST, newest, remembered)? {
        let follows = index.tags().newest(&tag).map(|before| (before.number + 1, Some(before.to)));
        if follows.is_some_and(|follows| follows != (moved.number, moved.from)) {
            return Err(corrupt(format!("move {} of `{tag}` does not begin where the one before ended", moved.number)));
        }
        index.remember(&tag, moved);
    }
    match index.tags().all().find(|(_, digest)| index.get(digest).is_none()) {
        None => Ok(()),
        Some((tag, digest)) => Err(corrupt(format!("`{tag}` is on {digest}, which is not there"))),
    }
}

fn remembered(row: &Row<'_>) -> Result<(String, Remembered), Unreadable> {
    let mover: String = row.get("mover")?;
    let moved = Remembered {
        number: number(row, "number")?,
        from: maybe_digest(row, "from_digest")?,
        to: digest(row, "to_digest")?,
        is_rollback: mover == word(Mover::Rollback),
        evidence: from_json(row, "evidence")?,
    };
    Ok((row.get("tag")?, moved))
}

/// Moves of a tag before the one of a number, newest first.
pub(super) fn page(
    connection: &Connection,
    tag: &str,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Move>, StoreError> {
    let page = params![tag, int(before.unwrap_or(u64::MAX)), int(limit as u64)];
    all(connection, "moves", PAGE, page, read)
}

/// A move by its id.
pub(super) fn one(connection: &Connection, id: MoveId) -> Result<Option<Move>, StoreError> {
    Ok(all(connection, "moves", ONE, [id.0.into_bytes()], read)?.pop())
}

/// Whether there is a move of this id.
pub(super) fn exists(connection: &Connection, id: MoveId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM moves WHERE id = ?1")?.exists([id.0.into_bytes()])
}

/// The word that stands for who moved a tag.
fn word(mover: Mover) -> &'static str {
    match mover {
        Mover::Earlier => "earlier",
        Mover::Person => "person",
        Mover::Rollback => "rollback",
        Mover::Job(_) => "job",
        Mover::Import => "import",
    }
}

fn read(row: &Row<'_>) -> Result<Move, Unreadable> {
    let (mover, job): (String, _) = (row.get("mover")?, maybe_id(row, "job", JobId)?);
    let by = match (mover.as_str(), job) {
        ("earlier", None) => Mover::Earlier,
        ("person", None) => Mover::Person,
        ("rollback", None) => Mover::Rollback,
        ("job", Some(job)) => Mover::Job(job),
        ("import", None) => Mover::Import,
        (other, job) => return Err(Unreadable(format!("mover `{other}` with job {job:?}"))),
    };
    Ok(Move {
        tag: row.get("tag")?,
        number: number(row, "number")?,
        id: maybe_id(row, "id", MoveId)?,
        at: maybe_millis(row, "at_ms")?,
        from: maybe_digest(row, "from_digest")?,
        to: digest(row, "to_digest")?,
        by,
        person: maybe_parsed(row, "principal")?,
        grounds: Grounds {
            reason: row.get("reason")?,
            is_forced: row.get("is_forced")?,
            evidence: from_json(row, "evidence")?,
            decision: row.get("decision")?,
        },
    })
}

/// Writes a move.
pub(super) fn put(transaction: &Transaction<'_>, moved: &Move) -> rusqlite::Result<()> {
    let Move { tag, number, id, at, from, to, by, person, grounds } = moved;
    let Grounds { reason, is_forced, evidence, decision } = grounds;
    let job = if let Mover::Job(job) = by { Some(job.0.into_bytes()) } else { None };
    let put = "INSERT INTO moves VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    transaction.prepare_cached(put)?.execute(params![
        tag,
        int(*number),
        id.map(|id| id.0.into_bytes()),
        at.map(|at| int(at.0)),
        from.as_ref().map(|digest| digest.as_bytes()),
        to.as_bytes(),
        word(*by),
        job,
        reason,
        is_forced,
        json(evidence),
        decision,
        person.as_ref().map(PrincipalName::as_str),
    ])?;
    Ok(())
}
