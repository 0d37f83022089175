//! `Jobs`: what people ask of the coordinator.

use super::bounds::{self, invalid};
use super::follow::{Events, follow};
use super::train::{self, Bases};
use super::{Context, ambiguous, not_applied, pages, stopped, traced, view};
use crate::core::{Command, Core, Submit};
use crate::store::Which;
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};
use vertigo::id::{JobId, ParseIdError};
use vertigo::v1;

pub(super) struct Jobs(pub(super) Context);

impl Jobs {
    /// Looks at the state; what it finds wrong is the answer.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        self.0.store.read(look).await.map_err(stopped)?
    }

    async fn find(&self, reference: String) -> Result<JobId, Status> {
        self.look(move |core| find(core, &reference).map(|job| job.id)).await
    }

    async fn view(&self, id: JobId) -> Result<Response<v1::Job>, Status> {
        self.look(move |core| find(core, &id.to_string()).map(|job| Response::new(view::job(core, job)))).await
    }

    async fn submit(&self, request: v1::SubmitTrainRequest, traceparent: String) -> Result<Response<v1::Job>, Status> {
        bounds::submit_train(&request)?;
        let id = match request.id.as_str() {
            "" => JobId::new(),
            id => id.parse().map_err(|error: ParseIdError| invalid(error))?,
        };
        if self.look(move |core| Ok(core.job(id).is_some())).await? {
            return self.view(id).await;
        }
        let recipes = train::read(&request.recipes)?;
        let name = Some(request.name).filter(|name| !name.is_empty());
        let asked = name.clone();
        let (found, data) = self
            .look(move |core| {
                check_name(core, asked.as_deref())?;
                Ok((train::find(core, recipes)?, train::data(core, &request.data)?))
            })
            .await?;
        let checked = train::check(found, Bases::Imported).await?;
        let asked = name.clone();
        let plans = self
            .look(move |core| {
                // Meanwhile the name may have been given to something else.
                check_name(core, asked.as_deref())?;
                Ok(checked.into_iter().map(|checked| checked.plan(core.factors())).collect())
            })
            .await?;
        tracing::Span::current().record("job", id.to_string());
        let submit = Submit {
            id,
            name,
            priority: request.priority,
            data: data.digest,
            data_bytes: data.bytes,
            plans,
            traceparent,
        };
        self.0.store.apply(Command::Submit(submit)).await.map_err(not_applied)?;
        self.view(id).await
    }
}

fn find<'a>(core: &'a Core, reference: &str) -> Result<&'a crate::core::Job, Status> {
    let job = core.find_job(reference).map_err(ambiguous)?;
    job.ok_or_else(|| Status::not_found(format!("there is no job `{reference}`; `vertigo jobs` lists them")))
}

fn check_name(core: &Core, name: Option<&str>) -> Result<(), Status> {
    name.map_or(Ok(()), |name| train::check_name(core, name))
}

/// What would become of a job with these plans and this data.
fn plan(core: &Core, checked: Vec<train::Checked>, data: Option<train::Input>) -> v1::PlanTrainResponse {
    let guessed: Vec<_> = checked.iter().filter_map(|checked| checked.unconfirmed().map(str::to_owned)).collect();
    let plans: Vec<_> = checked.into_iter().map(|checked| checked.plan(core.factors())).collect();
    let (workers, placement) = core.placement(&plans, data.map(|data| (data.digest, data.bytes)));
    let names: Vec<_> = workers.iter().filter_map(|id| core.worker(*id)).map(|worker| worker.name.clone()).collect();
    let mut placement = view::placement(placement, &names);
    if !guessed.is_empty() {
        placement.reason += &format!("; the sizes of {} are not confirmed by a config.json", guessed.join(", "));
    }
    v1::PlanTrainResponse { plans: plans.iter().map(view::plan).collect(), placement: Some(placement) }
}

#[tonic::async_trait]
impl v1::jobs_server::Jobs for Jobs {
    type WatchStream = Events;
    type LogsStream = Events;

    async fn submit_train(&self, request: Request<v1::SubmitTrainRequest>) -> Result<Response<v1::Job>, Status> {
        let span = traced(request.metadata(), info_span!("submit", job = tracing::field::Empty));
        let caller = vertigo::telemetry::parent_of(request.metadata());
        async {
            // Where the coordinator does not export spans, what follows hangs on the caller's.
            let traceparent = vertigo::telemetry::traceparent().or(caller).unwrap_or_default();
            self.submit(request.into_inner(), traceparent).await
        }
        .instrument(span)
        .await
    }

    async fn plan_train(
        &self,
        request: Request<v1::SubmitTrainRequest>,
    ) -> Result<Response<v1::PlanTrainResponse>, Status> {
        let span = traced(request.metadata(), info_span!("plan"));
        async {
            let request = request.into_inner();
            bounds::submit_train(&request)?;
            let recipes = train::read(&request.recipes)?;
            let (found, data) = self
                .look(move |core| {
                    let data = Some(request.data).filter(|data| !data.is_empty());
                    let data = data.map(|data| train::data(core, &data)).transpose()?;
                    Ok((train::find(core, recipes)?, data))
                })
                .await?;
            let checked = train::check(found, Bases::OrNamed).await?;
            self.look(move |core| Ok(Response::new(plan(core, checked, data)))).await
        }
        .instrument(span)
        .await
    }

    async fn get(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::Job>, Status> {
        let span = traced(request.metadata(), info_span!("get job"));
        let request = request.into_inner();
        bounds::get_job(&request)?;
        let reference = request.id;
        self.look(move |core| find(core, &reference).map(|job| Response::new(view::job(core, job))))
            .instrument(span)
            .await
    }

    async fn list(&self, request: Request<v1::ListJobsRequest>) -> Result<Response<v1::ListJobsResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list jobs"));
        let request = request.into_inner();
        bounds::list_jobs(&request)?;
        let size = pages::size(if request.page_size == 0 { request.limit } else { request.page_size });
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(token.parse::<JobId>().map_err(|_| invalid("page_token is not one that this list gave"))?),
        };
        // Ids sort by the time of their making: what comes meanwhile is on none of the pages that follow.
        let page = move |core: &Core| {
            pages::page(core.jobs(after), size, |job| view::job(core, job), |job| job.id.to_string())
        };
        let (jobs, next_page_token) = self.look(move |core| Ok(page(core))).instrument(span).await?;
        Ok(Response::new(v1::ListJobsResponse { jobs, next_page_token }))
    }

    async fn watch(&self, request: Request<v1::WatchJobRequest>) -> Result<Response<Events>, Status> {
        let span = traced(request.metadata(), info_span!("watch"));
        let request = request.into_inner();
        bounds::watch(&request)?;
        let v1::WatchJobRequest { id, after } = request;
        let job = self.find(id).instrument(span).await?;
        Ok(Response::new(follow(self.0.store.clone(), job, after, Which::All, true)))
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Result<Response<Events>, Status> {
        let span = traced(request.metadata(), info_span!("logs"));
        let request = request.into_inner();
        bounds::logs(&request)?;
        let v1::LogsRequest { id, after, follow: on } = request;
        let job = self.find(id).instrument(span).await?;
        Ok(Response::new(follow(self.0.store.clone(), job, after, Which::Logs, on)))
    }

    async fn cancel(&self, request: Request<v1::CancelJobRequest>) -> Result<Response<v1::Job>, Status> {
        let span = traced(request.metadata(), info_span!("cancel"));
        async {
            let request = request.into_inner();
            bounds::cancel(&request)?;
            let job = self.find(request.id).await?;
            self.0.store.apply(Command::Cancel { job }).await.map_err(not_applied)?;
            self.view(job).await
        }
        .instrument(span)
        .await
    }
}
