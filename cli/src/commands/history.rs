//! `vertigo history`: where a tag has been, page by page.

use crate::cli::HistoryArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::output::Output;
use crate::render::pages::{self, Shown};
use crate::render::{json, moves};
use vertigo::id::Millis;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &HistoryArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let fetch = async |page_size, page_token| {
        let request = v1::TagHistoryRequest { tag: args.tag.clone(), page_size, page_token };
        let answer = coordinator.answer(coordinator.tags().tag_history(traced(request)).await, Subject::Artifact)?;
        Ok((answer.moves, answer.next_page_token))
    };
    let table = Box::new(|moves: &[v1::TagMove]| moves::render_history(moves, Millis::now().0));
    pages::show(output, Some(args.limit), fetch, Shown { json: json::tag_move, table }).await
}
