//! What names of models stand for.
//!
//! A catalog is asked at every request, so that a name may come to stand for another model: new requests then go to that one, and running
//! ones end on theirs, which is let go of when the last of them has ended.

use crate::model::Model;
use futures::future::{BoxFuture, FutureExt};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where models are found by name.
pub trait Catalog: Send + Sync {
    /// The model that a name stands for now. It may have to be loaded first.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Model>, CatalogError>>;

    /// The names that there are.
    fn list(&self) -> BoxFuture<'_, Vec<Listed>>;
}

/// Why a name stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// There is no such model.
    #[error("there is no such model")]
    Unknown,
    /// There is one, and it cannot be had now.
    #[error("{0}")]
    Unavailable(String),
}

/// A name that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// As requests name it.
    pub name: String,
    /// Since when it stands for what it does, in seconds since 1970.
    pub created: u64,
}

/// A catalog of models that are in memory.
#[derive(Debug, Default)]
pub struct Shelf(RwLock<BTreeMap<String, (u64, Arc<Model>)>>);

impl Shelf {
    /// Has `name` stand for `model` from now on.
    pub fn put(&self, name: &str, model: Arc<Model>) {
        let mut models = self.0.write().unwrap_or_else(PoisonError::into_inner);
        models.insert(name.to_owned(), (now(), model));
    }

    /// Takes a name away.
    pub fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Catalog for Shelf {
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Model>, CatalogError>> {
        let models = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = models.get(name).map(|(_, model)| Arc::clone(model)).ok_or(CatalogError::Unknown);
        std::future::ready(found).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Vec<Listed>> {
        let models = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let listed =
            models.iter().map(|(name, (created, _))| Listed { name: name.clone(), created: *created }).collect();
        std::future::ready(listed).boxed()
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
