//! `Jobs`: what people ask of the coordinator.

use super::follow::{Events, follow};
use super::train::{self, Bases};
use super::{Context, ambiguous, not_applied, stopped, traced, view};
use crate::core::{Command, Core, Submit};
use crate::store::Which;
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};
use vertigo::id::{JobId, ParseIdError};
use vertigo::v1;

/// Jobs that a list shows unless told otherwise.
const LISTED: usize = 100;

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
        let id = match request.id.as_str() {
            "" => JobId::new(),
            id => id.parse().map_err(|error: ParseIdError| Status::invalid_argument(error.to_string()))?,
        };
        if self.look(move |core| Ok(core.job(id).is_some())).await? {
            return self.view(id).await;
        }
        let recipes = train::read(&request.recipes)?;
        let name = Some(request.name).filter(|name| !name.is_empty());
        let (data, plans, name) = self
            .look(move |core| {
                if let Some(name) = &name {
                    train::check_name(core, name)?;
                }
                let checked = train::check(core, recipes, Bases::Imported)?;
                let data = train::data(core, &request.data)?;
                let plans: Vec<_> = checked.into_iter().map(|checked| checked.plan(core.factors())).collect();
                Ok((data, plans, name))
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

fn plan(
    core: &Core,
    recipes: Vec<(vertigo::recipe::Recipe, String)>,
    data: &str,
) -> Result<v1::PlanTrainResponse, Status> {
    let checked = train::check(core, recipes, Bases::OrNamed)?;
    let data = if data.is_empty() { None } else { Some(train::data(core, data)?) };
    let guessed: Vec<_> = checked.iter().filter_map(|checked| checked.unconfirmed().map(str::to_owned)).collect();
    let plans: Vec<_> = checked.into_iter().map(|checked| checked.plan(core.factors())).collect();
    let (workers, placement) = core.placement(&plans, data.map(|data| (data.digest, data.bytes)));
    let names: Vec<_> = workers.iter().filter_map(|id| core.worker(*id)).map(|worker| worker.name.clone()).collect();
    let mut placement = view::placement(placement, &names);
    if !guessed.is_empty() {
        placement.reason += &format!("; the sizes of {} are not confirmed by a config.json", guessed.join(", "));
    }
    Ok(v1::PlanTrainResponse { plans: plans.iter().map(view::plan).collect(), placement: Some(placement) })
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
            let recipes = train::read(&request.recipes)?;
            self.look(move |core| plan(core, recipes, &request.data).map(Response::new)).await
        }
        .instrument(span)
        .await
    }

    async fn get(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::Job>, Status> {
        let span = traced(request.metadata(), info_span!("get job"));
        let reference = request.into_inner().id;
        self.look(move |core| find(core, &reference).map(|job| Response::new(view::job(core, job))))
            .instrument(span)
            .await
    }

    async fn list(&self, request: Request<v1::ListJobsRequest>) -> Result<Response<v1::ListJobsResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list jobs"));
        let limit = match request.into_inner().limit {
            0 => LISTED,
            limit => limit as usize,
        };
        let jobs = self.look(move |core| Ok(core.jobs().take(limit).map(|job| view::job(core, job)).collect()));
        Ok(Response::new(v1::ListJobsResponse { jobs: jobs.instrument(span).await? }))
    }

    async fn watch(&self, request: Request<v1::WatchJobRequest>) -> Result<Response<Events>, Status> {
        let span = traced(request.metadata(), info_span!("watch"));
        let v1::WatchJobRequest { id, after } = request.into_inner();
        let job = self.find(id).instrument(span).await?;
        Ok(Response::new(follow(self.0.store.clone(), job, after, Which::All, true)))
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Result<Response<Events>, Status> {
        let span = traced(request.metadata(), info_span!("logs"));
        let v1::LogsRequest { id, after, follow: on } = request.into_inner();
        let job = self.find(id).instrument(span).await?;
        Ok(Response::new(follow(self.0.store.clone(), job, after, Which::Logs, on)))
    }

    async fn cancel(&self, request: Request<v1::CancelJobRequest>) -> Result<Response<v1::Job>, Status> {
        let span = traced(request.metadata(), info_span!("cancel"));
        async {
            let job = self.find(request.into_inner().id).await?;
            self.0.store.apply(Command::Cancel { job }).await.map_err(not_applied)?;
            self.view(job).await
        }
        .instrument(span)
        .await
    }
}
