//! `vertigo jobs`: the queue, page by page.

use crate::cli::JobsArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::jobs::render_jobs;
use crate::render::json;
use crate::render::output::Output;
use crate::render::pages::{self, Shown};
use vertigo::id::Millis;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &JobsArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let asked = request(args, Millis::now().0);
    let fetch = async |page_size, page_token| {
        let request = v1::ListJobsRequest { page_size, page_token, ..asked.clone() };
        let answer = coordinator.answer(coordinator.jobs().list(traced(request)).await, Subject::Job)?;
        Ok((answer.jobs, answer.next_page_token))
    };
    let is_narrowed = asked != v1::ListJobsRequest::default();
    let table = Box::new(move |jobs: &[v1::Job]| render_jobs(jobs, is_narrowed, Millis::now().0));
    pages::show(output, Some(args.limit), fetch, Shown { json: json::job, table }).await
}

/// What a list asks for.
fn request(args: &JobsArgs, now: u64) -> v1::ListJobsRequest {
    let label = |key: &str, value: &Option<String>| Some((key.to_owned(), value.clone()?));
    v1::ListJobsRequest {
        states: args.state.iter().map(|state| v1::JobState::from(*state).into()).collect(),
        kind: args.kind.map(|kind| kind.to_string()).unwrap_or_default(),
        labels: [label("group", &args.group), label("pipeline", &args.pipeline)].into_iter().flatten().collect(),
        since_ms: args.since.map_or(0, |since| now.saturating_sub(since.as_millis() as u64)),
        ..v1::ListJobsRequest::default()
    }
}
