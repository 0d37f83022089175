//! `vertigo worker set`: when a worker's machine takes part.

use crate::cli::{SetArgs, WorkerArgs, WorkerCommand};
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::json;
use crate::render::output::Output;
use crate::render::workers::render_set;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &WorkerArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let WorkerCommand::Set(SetArgs { worker, when }) = &args.command;
    let request = v1::SetWorkerRequest { worker: worker.clone(), when: when.clone() };
    let answer = coordinator.fleet().set_worker(traced(request)).await;
    let worker = coordinator.answer(answer, Subject::Worker)?;
    output.show(|| json::worker(&worker), || render_set(&worker, when));
    Ok(())
}
