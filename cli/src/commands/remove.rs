//! `vertigo remove`: a worker is forgotten, and its secret.

use crate::cli::RemoveArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::json;
use crate::render::output::Output;
use crate::render::workers::render_removed;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &RemoveArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let request = v1::RemoveWorkerRequest { worker: args.worker.clone() };
    let answer = coordinator.fleet().remove_worker(traced(request)).await;
    let worker = coordinator.answer(answer, Subject::Worker)?;
    output.show(|| json::worker(&worker), || render_removed(&worker));
    Ok(())
}
