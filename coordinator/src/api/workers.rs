//! Who there is to do the work, and who of them may.

use super::{Api, Caller, bounds, pages, view};
use crate::core::{Command, Core, Worker};
use vertigo::api_error::ApiError;
use vertigo::id::WorkerId;
use vertigo::spelling;
use vertigo::v1;
use vertigo_host::policy::{Policy, PolicyError};

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

impl Api {
    /// Holds a worker: it takes nothing new until it is resumed.
    ///
    /// # Errors
    /// There is no such worker, or there are several.
    pub(crate) async fn drain_worker(
        &self,
        caller: &Caller,
        request: v1::DrainWorkerRequest,
    ) -> Result<v1::Worker, ApiError> {
        bounds::drain_worker(&request)?;
        let v1::DrainWorkerRequest { worker, reason } = request;
        let (by, reason) = (caller.name.clone(), reason.trim().to_owned());
        let (_, after) = self.act(worker, |worker| Command::Hold { worker, by, reason }).await?;
        after.ok_or_else(gone)
    }

    /// Ends a worker's hold.
    ///
    /// # Errors
    /// There is no such worker, or there are several.
    pub(crate) async fn resume_worker(
        &self,
        caller: &Caller,
        request: v1::ResumeWorkerRequest,
    ) -> Result<v1::Worker, ApiError> {
        bounds::resume_worker(&request)?;
        let by = caller.name.clone();
        let (_, after) = self.act(request.worker, |worker| Command::Resume { worker, by }).await?;
        after.ok_or_else(gone)
    }

    /// Forgets a worker, and gives what it was.
    ///
    /// # Errors
    /// There is no such worker, or there are several; it is connected, and not held or not idle.
    pub(crate) async fn remove_worker(
        &self,
        caller: &Caller,
        request: v1::RemoveWorkerRequest,
    ) -> Result<v1::Worker, ApiError> {
        bounds::remove_worker(&request)?;
        let by = caller.name.clone();
        let (before, _) = self.act(request.worker, |worker| Command::Remove { worker, by }).await?;
        Ok(before)
    }

    /// Tells a worker by which policy its machine takes part.
    ///
    /// # Errors
    /// There is no such worker, or there are several; it is not connected; the policy cannot be read, and where.
    pub(crate) async fn set_worker(
        &self,
        caller: &Caller,
        request: v1::SetWorkerRequest,
    ) -> Result<v1::Worker, ApiError> {
        bounds::set_worker(&request)?;
        let wrong = |error: PolicyError| ApiError::invalid(format!("the policy, {error}"));
        let when = request.when.parse::<Policy>().map_err(wrong)?.to_string();
        let by = caller.name.clone();
        let (_, after) = self.act(request.worker, |worker| Command::SetPolicy { worker, when, by }).await?;
        after.ok_or_else(gone)
    }

    /// Has a worker save and give back what runs, and start anew.
    ///
    /// # Errors
    /// There is no such worker, or there are several; it is not connected.
    pub(crate) async fn upgrade_worker(
        &self,
        caller: &Caller,
        request: v1::UpgradeWorkerRequest,
    ) -> Result<v1::Worker, ApiError> {
        bounds::upgrade_worker(&request)?;
        let by = caller.name.clone();
        let (before, _) = self.act(request.worker, |worker| Command::StartAnew { worker, by }).await?;
        Ok(before)
    }

    /// Does something with the worker that `reference` stands for. Gives it as it was before, and as it is now, where it is there still.
    async fn act(
        &self,
        reference: String,
        command: impl FnOnce(WorkerId) -> Command,
    ) -> Result<(v1::Worker, Option<v1::Worker>), ApiError> {
        let look = move |core: &Core| find(core, &reference).map(|worker| (worker.id, view::worker(core, worker)));
        let (id, before) = self.look(look).await?;
        self.apply(command(id)).await?;
        let after = self.look(move |core| Ok(core.worker(id).map(|worker| view::worker(core, worker)))).await?;
        Ok((before, after))
    }
}

/// A worker by what people call it.
fn find<'a>(core: &'a Core, reference: &str) -> Result<&'a Worker, ApiError> {
    let absent = || {
        let near = spelling::near(reference, core.workers().map(|worker| worker.name.as_str()));
        let hint = match near.first() {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`vertigo workers` lists them".to_owned(),
        };
        ApiError::not_found(format!("there is no worker `{reference}`")).with_hint(hint)
    };
    core.find_worker(reference)?.ok_or_else(absent)
}

/// Somebody removed it at the same time.
fn gone() -> ApiError {
    ApiError::conflict("the worker was removed meanwhile")
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
