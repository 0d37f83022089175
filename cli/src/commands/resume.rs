//! `vertigo resume`: a worker takes work again.

use crate::cli::ResumeArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::json;
use crate::render::output::Output;
use crate::render::workers::render_resumed;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &ResumeArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let request = v1::ResumeWorkerRequest { worker: args.worker.clone() };
    let answer = coordinator.fleet().resume_worker(traced(request)).await;
    let worker = coordinator.answer(answer, Subject::Worker)?;
    output.show(|| json::worker(&worker), || render_resumed(&worker));
    Ok(())
}
