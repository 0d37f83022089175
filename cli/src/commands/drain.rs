//! `vertigo drain`: a worker takes nothing new until it is resumed.

use crate::cli::DrainArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::json;
use crate::render::output::Output;
use crate::render::workers::render_held;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &DrainArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let request = v1::DrainWorkerRequest { worker: args.worker.clone(), reason: args.reason.clone() };
    let answer = coordinator.fleet().drain_worker(traced(request)).await;
    let worker = coordinator.answer(answer, Subject::Worker)?;
    output.show(|| json::worker(&worker), || render_held(&worker));
    Ok(())
}
