//! The names of a service: where each leads, and those that are held while that changes.

use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use vertigo_serving::{Catalog, CatalogError, Listed, Model, Shelf};

/// How long a request waits for a model that takes the place of another one.
pub const HELD_MAX: Duration = Duration::from_secs(5 * 60);

/// Names, and the models that they lead to.
#[derive(Debug, Default)]
pub(crate) struct Names {
    shelf: Shelf,
    /// Names that lead nowhere for a while.
    held: watch::Sender<BTreeSet<String>>,
}

impl Names {
    /// Has a name lead to a model; it is held no more.
    pub(super) fn lead(&self, name: &str, model: Arc<Model>) {
        self.shelf.put(name, model);
        self.held.send_modify(|held| {
            held.remove(name);
        });
    }

    /// Takes a name from its model: requests for it wait until it leads to another one.
    pub(super) fn hold(&self, name: &str) {
        self.held.send_modify(|held| {
            held.insert(name.to_owned());
        });
        self.shelf.remove(name);
    }
}

impl Catalog for Names {
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Model>, CatalogError>> {
        async move {
            let mut held = self.held.subscribe();
            let is_led = held.wait_for(|held| !held.contains(name));
            match tokio::time::timeout(HELD_MAX, is_led).await {
                Ok(_) => {}
                Err(_) => {
                    let problem =
                        "the model is being replaced, and answers that have begun still use the old one; try again";
                    return Err(CatalogError::Unavailable(problem.to_owned()));
                }
            }
            self.shelf.find(name).await
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Vec<Listed>> {
        self.shelf.list()
    }
}
