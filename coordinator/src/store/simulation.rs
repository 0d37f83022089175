//! State without a disk and a writer without a thread, for simulations that play time, chance and crashes.
//!
//! Promise: the writer is the product's own. A [`Disk`] outlives it, and has what was committed and nothing else.

use super::StoreError;
use super::clock::Clock;
use super::durable::{Durable, Records};
use super::memory::Memory;
use super::rows::Rows;
use super::writer::{self, Beginning, Outside, Told};
use super::{Outbox, Store};
use crate::core::{Core, Effects, Kinds, Settings, Snapshot};
use std::sync::{Arc, Mutex, PoisonError};
use vertigo::id::{AttemptId, Millis};

/// What a simulation plays for one start of a coordinator.
pub struct Played {
    /// What the clock shows at the start. It goes on as tokio's does.
    pub origin: Millis,
    /// Draws uniformly from [0, 1).
    pub jitter: Box<dyn FnMut() -> f64 + Send>,
    /// Names an attempt.
    pub name: Box<dyn FnMut() -> AttemptId + Send>,
}

/// Where a process dies that dies while it commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Nothing is committed.
    BeforeCommit,
    /// All is committed, and nobody hears of it.
    AfterCommit,
}

/// A disk that outlives the coordinator that writes on it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    memory: Memory,
    death: Arc<Mutex<Option<Death>>>,
}

impl Disk {
    /// Has the writer die at its next commit.
    pub fn die_at_commit(&self, death: Death) {
        *self.death.lock().unwrap_or_else(PoisonError::into_inner) = Some(death);
    }

    /// Has the writer live after all, where it was to die at a commit that has not come.
    pub fn spare(&self) {
        *self.death.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens the state, and gives its writer as a future: nothing is written unless it is polled, and to drop it is a crash.
    ///
    /// # Errors
    /// None from memory; the type is the trait's.
    pub fn open(
        &self,
        played: Played,
        settings: Settings,
        kinds: Box<dyn Kinds>,
        outbox: Outbox,
    ) -> Result<(Store, impl Future<Output = Result<(), StoreError>> + Send + use<>), StoreError> {
        self.spare();
        let mut database: Box<dyn Durable> = Box::new(self.clone());
        let snapshot = database.load()?;
        let (store, waiting, announce) = Store::of(&*database, snapshot.last_seq);
        let beginning = Beginning { snapshot, settings, kinds, archive: Arc::clone(&store.records) as _ };
        let outside = Outside { clock: Clock::at(played.origin), jitter: played.jitter, name: played.name };
        Ok((store, writer::run(database, beginning, outside, waiting, Told { announce, outbox })))
    }
}

impl Durable for Disk {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.memory.load()
    }

    fn commit(&mut self, core: &Core, effects: &Effects) -> Result<(), StoreError> {
        let death = self.death.lock().unwrap_or_else(PoisonError::into_inner).take();
        if death != Some(Death::BeforeCommit) {
            self.memory.commit(core, effects)?;
        }
        match death {
            None => Ok(()),
            Some(death) => Err(StoreError::Writer(format!("it died: {death:?}"))),
        }
    }

    fn records(&self) -> Arc<dyn Records> {
        self.memory.records()
    }

    fn rows(&self) -> Arc<dyn Rows> {
        self.memory.rows()
    }
}
