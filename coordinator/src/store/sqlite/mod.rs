//! The database that a coordinator runs on: SQLite in one file of the state folder.
//!
//! It keeps [`Durable`]'s laws by WAL and `synchronous=FULL`: a commit is one transaction, on the disk when it returns, and readers have
//! connections of their own that see whole transactions.

mod beside;
mod columns;
pub(super) mod copies;
mod jobs;
mod journal;
mod lists;
mod moves;
mod pages;
mod reader;
mod rows;
pub(super) mod schema;

use super::StoreError;
use super::durable::{Durable, Records};
use super::rows::Rows;
use crate::core::{Core, Effects, Snapshot};
use lists::Lists;
use reader::Reader;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use vertigo::files::FolderLock;

/// The writer's connection, and the readers' beside it.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
    lists: Lists,
    reader: Arc<Reader>,
    /// Of the folder, for as long as the database is open. Fields are dropped in this order: it goes last.
    _lock: Option<FolderLock>,
}

impl Sqlite {
    /// Opens the database at `path`, and makes its tables where it is new.
    pub(super) fn open(path: &Path, lock: Option<FolderLock>) -> Result<Sqlite, StoreError> {
        let connection = schema::open(path)?;
        connection.set_prepared_statement_cache_capacity(reader::STATEMENTS_MAX);
        Ok(Sqlite { connection, lists: Lists::default(), reader: Arc::new(Reader::new(path.to_owned())), _lock: lock })
    }
}

impl Durable for Sqlite {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        rows::load(&self.connection, &mut self.lists)
    }

    fn commit(&mut self, core: &Core, effects: &Effects) -> Result<(), StoreError> {
        Ok(rows::commit(&mut self.connection, &mut self.lists, core, effects)?)
    }

    fn records(&self) -> Arc<dyn Records> {
        Arc::clone(&self.reader) as Arc<dyn Records>
    }

    fn rows(&self) -> Arc<dyn Rows> {
        Arc::clone(&self.reader) as Arc<dyn Rows>
    }
}

#[cfg(test)]
mod tests;
