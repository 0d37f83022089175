//! Values of the core as SQLite's columns have them, both ways.

use super::super::StoreError;
use rusqlite::{Connection, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::str::FromStr;
use uuid::Uuid;
use vertigo::id::{Digest, Millis};

/// Everything that a query of a table finds.
pub(super) fn all<T>(
    connection: &Connection,
    table: &'static str,
    query: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, Unreadable>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params)?;
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

/// A value from its text.
pub(super) fn parsed<T: FromStr<Err: Display>>(row: &Row<'_>, column: &str) -> Result<T, Unreadable> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| Unreadable(format!("{column}: {error}")))
}

/// The same of a column that may be empty.
pub(super) fn maybe_parsed<T: FromStr<Err: Display>>(row: &Row<'_>, column: &str) -> Result<Option<T>, Unreadable> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error: T::Err| Unreadable(format!("{column}: {error}")))).transpose()
}

/// An id from its bytes.
pub(super) fn id<T>(row: &Row<'_>, column: &str, made: impl Fn(Uuid) -> T) -> Result<T, Unreadable> {
    Ok(made(Uuid::from_bytes(row.get(column)?)))
}

pub(super) fn maybe_id<T>(row: &Row<'_>, column: &str, made: impl Fn(Uuid) -> T) -> Result<Option<T>, Unreadable> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(|bytes| made(Uuid::from_bytes(bytes))))
}

pub(super) fn digest(row: &Row<'_>, column: &str) -> Result<Digest, Unreadable> {
    Ok(Digest::from_bytes(row.get(column)?))
}

pub(super) fn maybe_digest(row: &Row<'_>, column: &str) -> Result<Option<Digest>, Unreadable> {
    Ok(row.get::<_, Option<[u8; 32]>>(column)?.map(Digest::from_bytes))
}

pub(super) fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, Unreadable> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| Unreadable(format!("{column}: {error}")))
}

/// The same of a column that may be empty.
pub(super) fn maybe_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<Option<T>, Unreadable> {
    let text: Option<String> = row.get(column)?;
    let read = |text: String| serde_json::from_str(&text).map_err(|error| Unreadable(format!("{column}: {error}")));
    text.map(read).transpose()
}

pub(super) fn number(row: &Row<'_>, column: &str) -> Result<u64, Unreadable> {
    Ok(row.get::<_, i64>(column)? as u64)
}

pub(super) fn maybe_millis(row: &Row<'_>, column: &str) -> Result<Option<Millis>, Unreadable> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|ms| Millis(ms as u64)))
}

/// SQLite's integers are signed. Nothing real is above its largest; what somebody makes up is cut down to it.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("numbers, strings and lists of them have a JSON form")
}
