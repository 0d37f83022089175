//! What people and programs can ask of the coordinator: the use cases, whoever asks and over what.
//!
//! A request is parsed here, at the edge: an id, a tag or a recipe that is wrong is refused with what to do about it, and the core never
//! sees it. What comes out are the contract's messages, or an [`ApiError`] with a code, a message and a hint. `serve` translates both:
//! to gRPC as they are, to HTTP by way of `vertigo-view`.
//!
//! What changes something takes the [`Caller`], whose name is kept with it.
//!
//! Promise: nothing here knows a connection, a header or a status of gRPC or HTTP.

mod access;
mod artifacts;
pub(crate) mod bounds;
mod caller;
mod contents;
mod error;
mod events;
mod feed;
mod filter;
mod jobs;
mod pages;
pub(crate) mod reports;
mod storage;
mod submit;
mod tags;
mod view;
mod workers;

pub use caller::{Caller, DEFAULT_NAMESPACE};
pub(crate) use feed::{Events, Told};

use crate::access::Access;
use crate::blobs::{Blobs, Hold};
use crate::core::{Command, Core};
use crate::keep::Collector;
use crate::store::Store;
use vertigo::api_error::ApiError;

/// The use cases. Clones share what they stand on.
#[derive(Debug, Clone)]
pub struct Api {
    store: Store,
    blobs: Blobs,
    collector: Collector,
    /// Who may speak to the coordinator from other machines; `None` where none reaches it.
    access: Option<Access>,
}

impl Api {
    /// On a store of state and one of files, and what lets go of both.
    pub fn new(store: Store, blobs: Blobs, collector: Collector) -> Api {
        Api { store, blobs, collector, access: None }
    }

    /// The same, with what says who may speak to it from other machines.
    #[must_use]
    pub fn with_access(self, access: Access) -> Api {
        Api { access: Some(access), ..self }
    }

    /// Has a command carried out.
    pub(crate) async fn apply(&self, command: Command) -> Result<(), ApiError> {
        Ok(self.store.apply(command).await?)
    }

    /// Has a command carried out that makes something of blobs: they stay until it is committed.
    pub(crate) async fn apply_holding(&self, command: Command, held: Vec<Hold>) -> Result<(), ApiError> {
        Ok(self.store.apply_with(command, Some(Box::new(held))).await?)
    }

    /// Looks at the state; what it finds wrong is the answer.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.store.read(look).await?
    }

    /// Files by digest.
    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }
}
