//! Jobs: queued, planned, looked at, followed and ended.

use super::error::{LIST_JOBS, broken};
use super::feed::{self, Events, Feed};
use super::view::{self, Detail};
use super::{Api, Caller, bounds, filter, pages, submit};
use crate::core::{Command, Core, Job, Reasons, Variant};
use crate::kinds::{Appraised, Purpose};
use crate::store::{JobFilter, Listed, Which};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use vertigo::api_error::ApiError;
use vertigo::id::{JobId, Millis};
use vertigo::v1;

/// The label that the jobs of a pipeline share.
const PIPELINE: &str = "pipeline";

/// Jobs that are written out at a time, before it is known whether a page has room for them.
const WRITTEN_AT_A_TIME: usize = 100;

impl Api {
    /// Queues jobs: all of them, or none. They hang on the trace of `traceparent`.
    ///
    /// # Errors
    /// What is wrong with the first of them that cannot be queued.
    pub(crate) async fn submit(
        &self,
        caller: &Caller,
        request: v1::SubmitRequest,
        traceparent: String,
    ) -> Result<v1::SubmitResponse, ApiError> {
        bounds::submit(&request)?;
        let asked = submit::read(request.jobs)?;
        let ids: Vec<JobId> = asked.iter().map(|job| job.id).collect();
        let (known, live) = (ids.clone(), self::live(ids.clone(), Detail::All));
        let find = move |core: &Core| {
            let known = known.iter().map(|id| core.knows_job(*id)).collect::<Result<Vec<bool>, _>>();
            // A call that came again because its answer was lost.
            let is_again = known.map_err(ApiError::internal)?.into_iter().all(|known| known);
            if is_again { Ok(None) } else { submit::find(core, asked).map(Some) }
        };
        let shown = match self.look(find).await? {
            None => self.store.read(live).await?,
            Some(found) => {
                let (checked, by) = (submit::check(found).await?, caller.name.clone());
                let decide = move |core: &Core| {
                    // Meanwhile a name may have been given to something else.
                    checked.iter().try_for_each(|job| job.check_name(core))?;
                    Ok(Command::Submit(checked.into_iter().map(|job| job.submit(core, &by, &traceparent)).collect()))
                };
                self.store.change(decide, live).await?
            }
        };
        let shown = self.with_ended(&ids, shown, Detail::All).await?.into_iter().zip(&ids);
        let jobs = shown.map(|(job, id)| job.ok_or_else(|| no_job(&id.to_string()))).collect::<Result<_, _>>()?;
        Ok(v1::SubmitResponse { jobs })
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
        let id = self.find(request.id).await?;
        let shown = self.shown(&[id], Detail::All).await?.pop().flatten();
        shown.ok_or_else(|| no_job(&id.to_string()))
    }

    /// A page of jobs, newest first.
    ///
    /// # Errors
    /// A filter or a token that makes no sense.
    pub(crate) async fn jobs(&self, request: v1::ListJobsRequest) -> Result<v1::ListJobsResponse, ApiError> {
        bounds::list_jobs(&request)?;
        let (size, filter) = (pages::size(request.page_size), filter::read(&request)?);
        // One more than is shown tells whether there is a next page.
        let listed = self.store.list(filter, after(&request.page_token)?, size + 1).await?;
        let mut page = pages::Page::new(size);
        for some in listed.chunks(WRITTEN_AT_A_TIME) {
            let ids: Vec<JobId> = some.iter().map(|listed| listed.id).collect();
            for (job, listed) in self.shown(&ids, Detail::List).await?.into_iter().zip(some) {
                // It may have gone on since it was listed.
                let is_meant = |job: &v1::Job| request.states.is_empty() || request.states.contains(&job.state);
                let Some(job) = job.filter(is_meant) else { continue };
                if page.push(job, || token(*listed)).is_err() {
                    let (jobs, next_page_token) = page.end(true);
                    return Ok(v1::ListJobsResponse { jobs, next_page_token });
                }
            }
        }
        let (jobs, next_page_token) = page.end(listed.len() > size);
        Ok(v1::ListJobsResponse { jobs, next_page_token })
    }

    /// Jobs as people see them, in the order of `ids`: those that have not ended as they are now, with why they wait, and the others as
    /// they ended.
    async fn shown(&self, ids: &[JobId], detail: Detail) -> Result<Vec<Option<v1::Job>>, ApiError> {
        let shown = self.store.read(live(ids.to_vec(), detail)).await?;
        self.with_ended(ids, shown, detail).await
    }

    /// The jobs of `ids` in their order: those of `shown`, and what that lacks as it ended. For what the core lacked when it was asked has
    /// ended before, and so is as it will stay.
    async fn with_ended(
        &self,
        ids: &[JobId],
        mut shown: Shown,
        detail: Detail,
    ) -> Result<Vec<Option<v1::Job>>, ApiError> {
        let ended: Vec<JobId> = ids.iter().filter(|id| !shown.contains_key(*id)).copied().collect();
        if !ended.is_empty() {
            let found = self.store.jobs(ended).await?;
            shown.extend(found.iter().map(|found| (found.0.id, view::ended_job(found, detail))));
        }
        Ok(ids.iter().map(|id| shown.remove(id)).collect())
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
    pub(crate) async fn cancel(
        &self,
        caller: &Caller,
        request: v1::CancelRequest,
    ) -> Result<v1::CancelResponse, ApiError> {
        bounds::cancel(&request)?;
        let by = caller.name.clone();
        let (command, meant) = match (request.id, request.pipeline) {
            (id, pipeline) if pipeline.is_empty() => {
                let job = self.find(id).await?;
                (Command::Cancel { job, by }, vec![job])
            }
            (id, pipeline) if id.is_empty() => {
                let meant = self.unended(pipeline.clone()).await?;
                (Command::CancelAll { label: PIPELINE, value: pipeline, by }, meant)
            }
            _ => return Err(ApiError::invalid("both `id` and `pipeline` are given; give one")),
        };
        self.apply(command).await?;
        let jobs = self.shown(&meant, Detail::List).await?.into_iter().flatten().collect();
        Ok(v1::CancelResponse { jobs })
    }

    async fn find(&self, reference: String) -> Result<JobId, ApiError> {
        self.look(move |core| find(core, &reference).map(|job| job.id)).await
    }

    /// The jobs of a pipeline that have not ended, the newest first.
    async fn unended(&self, pipeline: String) -> Result<Vec<JobId>, ApiError> {
        let labels = BTreeMap::from([(PIPELINE.to_owned(), pipeline.clone())]);
        if self.store.list(JobFilter { labels, ..JobFilter::default() }, None, 1).await?.is_empty() {
            let message = format!("there is no pipeline `{pipeline}`");
            return Err(
                ApiError::not_found(message).with_hint("`vertigo jobs` lists jobs, and `vertigo job JOB` its labels")
            );
        }
        self.look(move |core| {
            let is_meant = |job: &&Job| !job.state.is_terminal() && job.labels.get(PIPELINE) == Some(&pipeline);
            Ok(core.jobs().filter(is_meant).map(|job| job.id).collect())
        })
        .await
    }
}

/// Jobs as people see them, by their ids.
type Shown = BTreeMap<JobId, v1::Job>;

/// Looks at those of `ids` that have not ended.
fn live(ids: Vec<JobId>, detail: Detail) -> impl FnOnce(&Core) -> Shown + Send + 'static {
    move |core| {
        let reasons = Reasons::new(core);
        ids.into_iter().filter_map(|id| Some((id, view::live_job(&reasons, core.job(id)?, detail)))).collect()
    }
}

/// A job by what people call it.
pub(super) fn find<'a>(core: &'a Core, reference: &str) -> Result<Cow<'a, Job>, ApiError> {
    core.find_job(reference)?.ok_or_else(|| no_job(reference))
}

fn no_job(reference: &str) -> ApiError {
    ApiError::not_found(format!("there is no job `{reference}`")).with_hint(LIST_JOBS)
}

/// Where the page behind this job begins.
fn token(listed: Listed) -> String {
    format!("{}.{}", listed.created.0, listed.id)
}

fn after(token: &str) -> Result<Option<Listed>, ApiError> {
    let read = |token: &str| {
        let (created, id) = token.split_once('.')?;
        Some(Listed { created: Millis(created.parse().ok()?), id: id.parse().ok()? })
    };
    match token {
        "" => Ok(None),
        token => read(token).map(Some).ok_or_else(pages::foreign_token),
    }
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
