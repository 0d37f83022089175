//! `vertigo cancel`: ends a job or a pipeline.

use crate::cli::CancelArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::jobs::title;
use crate::render::json;
use crate::render::output::{Output, bold};
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &CancelArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let (id, pipeline) = (args.id.clone().unwrap_or_default(), args.pipeline.clone().unwrap_or_default());
    let answer = coordinator.jobs().cancel(traced(v1::CancelRequest { id, pipeline })).await;
    let jobs = coordinator.answer(answer, Subject::Job)?.jobs;
    let line = |job: &v1::Job| format!("{} is {}\n", bold(&title(job)), json::state(job.state()));
    let text = || match jobs[..] {
        [] => "nothing to cancel: all jobs of the pipeline have ended\n".to_owned(),
        ref jobs => jobs.iter().map(line).collect(),
    };
    // One job is a document; a pipeline's are a list, however many they are.
    let document = || match (&args.pipeline, &jobs[..]) {
        (None, [job]) => json::job(job),
        _ => jobs.iter().map(json::job).collect(),
    };
    output.show(document, text);
    Ok(())
}
