//! `vertigo watch`: a job as it goes on, or all of them.

use crate::cli::WatchArgs;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::follow;
use crate::render::output::Output;

pub(crate) async fn run(args: &WatchArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    match &args.id {
        Some(id) => follow::watch(&coordinator.job(id).await?, coordinator, output).await,
        None => follow::watch_fleet(coordinator, output).await,
    }
}
