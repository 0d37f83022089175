//! Lists of variants: rows that jobs share.

use super::super::StoreError;
use super::columns::json;
use crate::core::Variant;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use vertigo::id::Digest;

/// Lists that are known in any case before it is looked whether somebody still has them.
const KNOWN_MIN: usize = 1024;

/// Which rows the lists in the core's memory are.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// By address, which is no other list's for as long as this one is known here.
    known: HashMap<usize, (Weak<Vec<Variant>>, i64)>,
    /// At how many those are forgotten that nobody has any more.
    full: usize,
}

impl Lists {
    /// The row of a job's list, which is written where there is none; `None` where attempts have changed the list, so that it is the
    /// job's own.
    pub(super) fn row(
        &mut self,
        transaction: &Transaction<'_>,
        variants: &Arc<Vec<Variant>>,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some((_, row)) = self.known.get(&address(variants)) {
            return Ok(Some(*row));
        }
        let is_own = |it: &Variant| it.raised.is_some() || it.resume.is_some() || it.began_anew || it.caveats.is_some();
        if variants.iter().any(is_own) {
            return Ok(None);
        }
        let list = json(&**variants);
        let digest = Digest::of(list.as_bytes());
        let find = |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached("SELECT id FROM variants WHERE digest = ?1")?;
            statement.query_row([digest.as_bytes()], |row| row.get(0)).optional()
        };
        let row = match find(transaction)? {
            Some(row) => row,
            None => {
                let put = "INSERT INTO variants (digest, list) VALUES (?1, ?2)";
                transaction.prepare_cached(put)?.insert(params![digest.as_bytes(), list])?
            }
        };
        self.know(variants, row);
        Ok(Some(row))
    }

    /// Notes which row a list is.
    pub(super) fn know(&mut self, variants: &Arc<Vec<Variant>>, row: i64) {
        if self.known.len() >= self.full {
            self.known.retain(|_, (list, _)| list.strong_count() > 0);
            // So that a look at all of them is paid for by as many that came.
            self.full = KNOWN_MIN.max(self.known.len() * 2);
        }
        self.known.insert(address(variants), (Arc::downgrade(variants), row));
    }
}

fn address(variants: &Arc<Vec<Variant>>) -> usize {
    Arc::as_ptr(variants).addr()
}

/// All lists that jobs share which have not ended, by their rows.
pub(super) fn unended(connection: &Connection) -> Result<HashMap<i64, Arc<Vec<Variant>>>, StoreError> {
    let query =
        format!("SELECT * FROM variants WHERE id IN (SELECT shared FROM jobs WHERE state IN {})", super::jobs::UNENDED);
    let lists = super::columns::all(connection, "variants", &query, [], |row| {
        Ok((row.get("id")?, Arc::new(super::columns::from_json(row, "list")?)))
    })?;
    Ok(lists.into_iter().collect())
}
