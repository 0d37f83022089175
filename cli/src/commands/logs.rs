//! `vertigo logs`: the lines that a job's attempts wrote.

use crate::cli::LogsArgs;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::events::{self, Feed};
use crate::render::json;
use crate::render::output::Output;
use vertigo::v1::{self, job_event::Event, report::Body};

pub(crate) async fn run(args: &LogsArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let feed = Feed::Logs { follow: args.follow };
    let job = coordinator.job(&args.id).await?;
    let print = |event: &v1::JobEvent| match &event.event {
        Some(Event::Report(v1::Report { body: Some(Body::Log(line)), .. })) if !output.is_json() => {
            output.line(&line.text)
        }
        Some(Event::Report(v1::Report { body: Some(Body::Log(_)), .. })) => output.json_line(&json::event(event)),
        _ => {}
    };
    events::follow(&job.id, feed, coordinator, |line| output.note(line), print).await
}
