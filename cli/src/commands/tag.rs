//! `vertigo tag`: moves a tag, and keeps that it did.

use crate::cli::TagArgs;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::render::output::Output;
use crate::render::{json, moves};
use crate::tags;
use vertigo::v1;

pub(crate) async fn run(args: &TagArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let request = v1::MoveTagRequest {
        tag: args.tag.clone(),
        reference: args.model.clone(),
        reason: args.reason.clone(),
        ..v1::MoveTagRequest::default()
    };
    let moved = tags::move_tag(coordinator, request).await?;
    output.show(|| json::tag_move(&moved), || moves::render_moved(&moved));
    Ok(())
}
