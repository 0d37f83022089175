//! Who there is to do the work.

use super::{Api, bounds, pages, view};
use crate::core::{Core, Worker};
use vertigo::api_error::ApiError;
use vertigo::id::WorkerId;
use vertigo::v1;

impl Api {
    /// A page of workers, by name.
    ///
    /// # Errors
    /// A token that makes no sense.
    pub(crate) async fn workers(&self, request: v1::ListWorkersRequest) -> Result<v1::ListWorkersResponse, ApiError> {
        bounds::list_workers(&request)?;
        let (size, after) = (pages::size(request.page_size), after(&request.page_token)?);
        let look = move |core: &Core| {
            let mut workers: Vec<_> = core.workers().collect();
            workers.sort_by_key(|worker| (worker.name.as_str(), worker.id));
            let is_behind = |worker: &&Worker| {
                after.as_ref().is_none_or(|(name, id)| (worker.name.as_str(), worker.id) > (name, *id))
            };
            let behind = workers.into_iter().filter(is_behind);
            Ok(pages::page(behind, size, |worker| view::worker(core, worker), |worker| token(worker)))
        };
        let (workers, next_page_token) = self.look(look).await?;
        Ok(v1::ListWorkersResponse { workers, next_page_token })
    }
}

/// Where the page behind this worker begins.
fn token(worker: &Worker) -> String {
    format!("{}.{}", worker.id, worker.name)
}

fn after(token: &str) -> Result<Option<(String, WorkerId)>, ApiError> {
    let read = |token: &str| {
        let (id, name) = token.split_once('.')?;
        Some((name.to_owned(), id.parse().ok()?))
    };
    match token {
        "" => Ok(None),
        token => read(token).map(Some).ok_or_else(pages::foreign_token),
    }
}
