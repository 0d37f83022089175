//! `Jobs`: what people ask of the coordinator.

use super::bounds::{self, invalid};
use super::filter::Filter;
use super::follow::{Events, follow};
use super::view::Detail;
use super::{Context, ambiguous, not_applied, pages, stopped, submit, traced, view};
use crate::core::{Command, Core, Variant};
use crate::kinds::{Appraised, Purpose};
use crate::store::Which;
use std::collections::BTreeSet;
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};
use vertigo::id::JobId;
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

    /// The jobs of a pipeline that have not ended, the newest first.
    async fn unended(&self, pipeline: String) -> Result<Vec<JobId>, Status> {
        self.look(move |core| {
            let of_it = || core.jobs(None).filter(|job| job.labels.get(PIPELINE) == Some(&pipeline));
            if of_it().next().is_none() {
                return Err(Status::not_found(format!("there is no pipeline `{pipeline}`; `vertigo jobs` lists jobs")));
            }
            Ok(of_it().filter(|job| !job.state.is_terminal()).map(|job| job.id).collect())
        })
        .await
    }

    async fn submit(&self, jobs: Vec<v1::NewJob>, traceparent: String) -> Result<Vec<v1::Job>, Status> {
        let asked = submit::read(jobs)?;
        let ids: Vec<JobId> = asked.iter().map(|job| job.id).collect();
        let known = ids.clone();
        if !self.look(move |core| Ok(known.iter().all(|id| core.job(*id).is_some()))).await? {
            let found = self.look(move |core| submit::find(core, asked)).await?;
            let checked = submit::check(found).await?;
            let submits = self
                .look(move |core| {
                    // Meanwhile a name may have been given to something else.
                    checked.iter().try_for_each(|job| job.check_name(core))?;
                    Ok(checked.into_iter().map(|job| job.submit(core, &traceparent)).collect())
                })
                .await?;
            self.0.store.apply(Command::Submit(submits)).await.map_err(not_applied)?;
        }
        self.look(move |core| {
            let view = |id: &JobId| Ok(view::job(core, find(core, &id.to_string())?, Detail::All));
            ids.iter().map(view).collect()
        })
        .await
    }
}

pub(super) fn find<'a>(core: &'a Core, reference: &str) -> Result<&'a crate::core::Job, Status> {
    let job = core.find_job(reference).map_err(ambiguous)?;
    job.ok_or_else(|| Status::not_found(format!("there is no job `{reference}`; `vertigo jobs` lists them")))
}

/// What would become of a job with these variants.
fn plan(core: &Core, variants: Vec<(Variant, Option<Appraised>)>) -> v1::PlanResponse {
    let guessed: Vec<String> = variants.iter().filter_map(|(_, it)| it.as_ref()?.guessed.clone()).collect();
    let variants: Vec<_> = variants.into_iter().map(|(variant, it)| submit::needing(core, variant, it)).collect();
    let (workers, placement) = core.placement(&variants, &BTreeSet::new());
    let names: Vec<_> = workers.iter().filter_map(|id| core.worker(*id)).map(|worker| worker.name.clone()).collect();
    let mut placement = view::placement(placement, &names);
    if !guessed.is_empty() {
        placement.reason += &format!("; the sizes of {} are not confirmed by a config.json", guessed.join(", "));
    }
    let variants = variants.iter().map(|variant| view::variant(variant, Detail::All)).collect();
    v1::PlanResponse { variants, placement: Some(placement) }
}

#[tonic::async_trait]
impl v1::jobs_server::Jobs for Jobs {
    type WatchStream = Events;
    type LogsStream = Events;

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Result<Response<v1::SubmitResponse>, Status> {
        let span = traced(request.metadata(), info_span!("submit", job = tracing::field::Empty));
        let caller = vertigo_telemetry::parent_of(request.metadata());
        async {
            // Where the coordinator does not export spans, what follows hangs on the caller's.
            let traceparent = vertigo_telemetry::traceparent().or(caller).unwrap_or_default();
            let request = request.into_inner();
            bounds::submit(&request)?;
            let jobs = self.submit(request.jobs, traceparent).await?;
            if let [job] = &jobs[..] {
                tracing::Span::current().record("job", &job.id);
            }
            Ok(Response::new(v1::SubmitResponse { jobs }))
        }
        .instrument(span)
        .await
    }

    async fn plan(&self, request: Request<v1::PlanRequest>) -> Result<Response<v1::PlanResponse>, Status> {
        let span = traced(request.metadata(), info_span!("plan"));
        async {
            let request = request.into_inner();
            bounds::plan(&request)?;
            let asked = submit::read_variants(request.variants)?;
            let found = self
                .look(move |core| {
                    let find = |variant| submit::find_variant(core, variant, &[], Purpose::Plan);
                    asked.iter().map(find).collect::<Result<Vec<_>, Status>>()
                })
                .await?;
            let appraise = move || found.into_iter().map(submit::appraised).collect::<Result<Vec<_>, Status>>();
            let appraised = tokio::task::spawn_blocking(appraise).await;
            let appraised = appraised.map_err(|error| Status::internal(error.to_string()))??;
            self.look(move |core| Ok(Response::new(plan(core, appraised)))).await
        }
        .instrument(span)
        .await
    }

    async fn get(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::Job>, Status> {
        let span = traced(request.metadata(), info_span!("get job"));
        let request = request.into_inner();
        bounds::get_job(&request)?;
        let reference = request.id;
        self.look(move |core| find(core, &reference).map(|job| Response::new(view::job(core, job, Detail::All))))
            .instrument(span)
            .await
    }

    async fn list(&self, request: Request<v1::ListJobsRequest>) -> Result<Response<v1::ListJobsResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list jobs"));
        let request = request.into_inner();
        bounds::list_jobs(&request)?;
        let size = pages::size(request.page_size);
        let filter = Filter::read(&request)?;
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(token.parse::<JobId>().map_err(|_| invalid("page_token is not one that this list gave"))?),
        };
        // Ids sort by the time of their making: what comes meanwhile is on none of the pages that follow.
        let page = move |core: &Core| {
            let jobs = core.jobs(after).take_while(|job| filter.is_reached(job)).filter(|job| filter.fits(job));
            pages::page(jobs, size, |job| view::job(core, job, Detail::List), |job| job.id.to_string())
        };
        let (jobs, next_page_token) = self.look(move |core| Ok(page(core))).instrument(span).await?;
        Ok(Response::new(v1::ListJobsResponse { jobs, next_page_token }))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Events>, Status> {
        let span = traced(request.metadata(), info_span!("watch"));
        let request = request.into_inner();
        bounds::watch(&request)?;
        let v1::WatchRequest { id, after, only_new: _ } = request;
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

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        let span = traced(request.metadata(), info_span!("cancel"));
        async {
            let request = request.into_inner();
            bounds::cancel(&request)?;
            let (command, meant) = match (request.id.as_str(), request.pipeline.as_str()) {
                (id, "") => {
                    let job = self.find(id.to_owned()).await?;
                    (Command::Cancel { job }, vec![job])
                }
                ("", pipeline) => (cancel_pipeline(pipeline), self.unended(pipeline.to_owned()).await?),
                _ => return Err(invalid("both `id` and `pipeline` are given; give one")),
            };
            self.0.store.apply(command).await.map_err(not_applied)?;
            let jobs = self
                .look(move |core| {
                    let view = |id: &JobId| core.job(*id).map(|job| view::job(core, job, Detail::List));
                    Ok(meant.iter().filter_map(view).collect())
                })
                .await?;
            Ok(Response::new(v1::CancelResponse { jobs }))
        }
        .instrument(span)
        .await
    }
}

/// The label that the jobs of a pipeline share.
const PIPELINE: &str = "pipeline";

fn cancel_pipeline(pipeline: &str) -> Command {
    Command::CancelAll { label: PIPELINE, value: pipeline.to_owned() }
}
