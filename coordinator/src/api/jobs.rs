//! Jobs: queued, planned, looked at, followed and ended.

use super::error::{LIST_JOBS, broken};
use super::feed::{self, Events, Feed};
use super::filter::Filter;
use super::view::{self, Detail};
use super::{Api, bounds, pages, submit};
use crate::core::{Command, Core, Job, Reasons, Variant};
use crate::kinds::{Appraised, Purpose};
use crate::store::Which;
use std::collections::BTreeSet;
use vertigo::api_error::ApiError;
use vertigo::id::JobId;
use vertigo::v1;

/// The label that the jobs of a pipeline share.
const PIPELINE: &str = "pipeline";

impl Api {
    /// Queues jobs: all of them, or none. They hang on the trace of `traceparent`.
    ///
    /// # Errors
    /// What is wrong with the first of them that cannot be queued.
    pub(crate) async fn submit(
        &self,
        request: v1::SubmitRequest,
        traceparent: String,
    ) -> Result<v1::SubmitResponse, ApiError> {
        bounds::submit(&request)?;
        let asked = submit::read(request.jobs)?;
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
            self.apply(Command::Submit(submits)).await?;
        }
        let view = move |core: &Core| {
            let reasons = Reasons::new(core);
            let view = |id: &JobId| Ok(view::job(&reasons, find(core, &id.to_string())?, Detail::All));
            ids.iter().map(view).collect()
        };
        Ok(v1::SubmitResponse { jobs: self.look(view).await? })
    }

    /// The same checks of one job, and where it would go now.
    ///
    /// # Errors
    /// Why it could not be queued.
    pub(crate) async fn plan(&self, request: v1::PlanRequest) -> Result<v1::PlanResponse, ApiError> {
        bounds::plan(&request)?;
        let asked = submit::read_variants(request.variants)?;
        let found = self
            .look(move |core| {
                let find = |variant| submit::find_variant(core, variant, &[], Purpose::Plan);
                asked.iter().map(find).collect::<Result<Vec<_>, ApiError>>()
            })
            .await?;
        let appraise = move || found.into_iter().map(submit::appraised).collect::<Result<Vec<_>, ApiError>>();
        let appraised = tokio::task::spawn_blocking(appraise).await.map_err(broken)??;
        self.look(move |core| Ok(plan(core, appraised))).await
    }

    /// A job by id, by name or by the beginning of its id.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub(crate) async fn job(&self, request: v1::GetJobRequest) -> Result<v1::Job, ApiError> {
        bounds::get_job(&request)?;
        self.look(move |core| Ok(view::job(&Reasons::new(core), find(core, &request.id)?, Detail::All))).await
    }

    /// A page of jobs, newest first.
    ///
    /// # Errors
    /// A filter or a token that makes no sense.
    pub(crate) async fn jobs(&self, request: v1::ListJobsRequest) -> Result<v1::ListJobsResponse, ApiError> {
        bounds::list_jobs(&request)?;
        let size = pages::size(request.page_size);
        let filter = Filter::read(&request)?;
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(token.parse::<JobId>().map_err(|_| pages::foreign_token())?),
        };
        // Ids sort by the time of their making: what comes meanwhile is on none of the pages that follow.
        let page = move |core: &Core| {
            let jobs = core.jobs(after).take_while(|job| filter.is_reached(job)).filter(|job| filter.fits(job));
            let reasons = Reasons::new(core);
            Ok(pages::page(jobs, size, |job| view::job(&reasons, job, Detail::List), |job| job.id.to_string()))
        };
        let (jobs, next_page_token) = self.look(page).await?;
        Ok(v1::ListJobsResponse { jobs, next_page_token })
    }

    /// What happened and happens to a job, until it has ended; without a job: to all, without an end.
    ///
    /// # Errors
    /// There is no such job, or the journal does not reach the position to go on from.
    pub(crate) async fn watch(&self, request: v1::WatchRequest) -> Result<Events, ApiError> {
        bounds::watch(&request)?;
        let v1::WatchRequest { id, after, only_new } = request;
        let job = if id.is_empty() { None } else { Some(self.find(id).await?) };
        let newest = *self.store.committed().borrow();
        let after = if only_new { newest } else { after };
        if after > newest {
            let message = format!("position {after} is beyond the end of this coordinator's journal, {newest}");
            return Err(ApiError::conflict(message).with_hint("its database is another one than before; begin anew"));
        }
        Ok(feed::open(self.store.clone(), Feed { job, after, which: Which::All, follows: true }))
    }

    /// Whether a job has ended.
    ///
    /// # Errors
    /// There is no such job.
    pub(crate) async fn has_ended(&self, id: String) -> Result<bool, ApiError> {
        self.look(move |core| find(core, &id).map(|job| job.state.is_terminal())).await
    }

    /// What the attempts of a job wrote.
    ///
    /// # Errors
    /// There is no such job.
    pub(crate) async fn logs(&self, request: v1::LogsRequest) -> Result<Events, ApiError> {
        bounds::logs(&request)?;
        let v1::LogsRequest { id, after, follow: follows } = request;
        let job = Some(self.find(id).await?);
        Ok(feed::open(self.store.clone(), Feed { job, after, which: Which::Logs, follows }))
    }

    /// Ends a job, or the jobs of a pipeline that have not ended.
    ///
    /// # Errors
    /// There is no such job or pipeline, or the job has ended.
    pub(crate) async fn cancel(&self, request: v1::CancelRequest) -> Result<v1::CancelResponse, ApiError> {
        bounds::cancel(&request)?;
        let (command, meant) = match (request.id, request.pipeline) {
            (id, pipeline) if pipeline.is_empty() => {
                let job = self.find(id).await?;
                (Command::Cancel { job }, vec![job])
            }
            (id, pipeline) if id.is_empty() => {
                let meant = self.unended(pipeline.clone()).await?;
                (Command::CancelAll { label: PIPELINE, value: pipeline }, meant)
            }
            _ => return Err(ApiError::invalid("both `id` and `pipeline` are given; give one")),
        };
        self.apply(command).await?;
        let view = move |core: &Core| {
            let reasons = Reasons::new(core);
            let view = |id: &JobId| core.job(*id).map(|job| view::job(&reasons, job, Detail::List));
            Ok(meant.iter().filter_map(view).collect())
        };
        Ok(v1::CancelResponse { jobs: self.look(view).await? })
    }

    async fn find(&self, reference: String) -> Result<JobId, ApiError> {
        self.look(move |core| find(core, &reference).map(|job| job.id)).await
    }

    /// The jobs of a pipeline that have not ended, the newest first.
    async fn unended(&self, pipeline: String) -> Result<Vec<JobId>, ApiError> {
        self.look(move |core| {
            let of_it = || core.jobs(None).filter(|job| job.labels.get(PIPELINE) == Some(&pipeline));
            if of_it().next().is_none() {
                let message = format!("there is no pipeline `{pipeline}`");
                return Err(ApiError::not_found(message)
                    .with_hint("`vertigo jobs` lists jobs, and `vertigo job JOB` its labels"));
            }
            Ok(of_it().filter(|job| !job.state.is_terminal()).map(|job| job.id).collect())
        })
        .await
    }
}

/// A job by what people call it.
pub(super) fn find<'a>(core: &'a Core, reference: &str) -> Result<&'a Job, ApiError> {
    let job = core.find_job(reference)?;
    job.ok_or_else(|| ApiError::not_found(format!("there is no job `{reference}`")).with_hint(LIST_JOBS))
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
