//! `vertigo job`: all of one job.

use crate::cli::JobArgs;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::render::jobs::render_job;
use crate::render::json;
use crate::render::output::Output;
use vertigo::id::Millis;

pub(crate) async fn run(args: &JobArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let job = coordinator.job(&args.id).await?;
    output.show(|| json::job(&job), || render_job(&job, Millis::now().0));
    Ok(())
}
