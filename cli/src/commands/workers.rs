//! `vertigo workers`.

use crate::cli::WorkersArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::json;
use crate::render::output::Output;
use crate::render::pages::{self, Shown};
use crate::render::workers::render_workers;
use vertigo::id::Millis;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &WorkersArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let fetch = async |page_size, page_token| {
        let request = v1::ListWorkersRequest { page_size, page_token };
        let answer = coordinator.answer(coordinator.fleet().list_workers(traced(request)).await, Subject::Nothing)?;
        Ok((answer.workers, answer.next_page_token))
    };
    let table = Box::new(|workers: &[v1::Worker]| render_workers(workers, Millis::now().0));
    pages::show(output, args.limit, fetch, Shown { json: json::worker, table }).await
}
