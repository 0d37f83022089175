//! `vertigo watch`: a job as it goes on.

use crate::cli::JobArgs;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::follow;
use crate::render::output::Output;

pub(crate) async fn run(args: &JobArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let job = coordinator.job(&args.id).await?;
    follow::watch(&job, coordinator, output).await
}
