//! `vertigo rollback`: a tag goes back along the way by which it came.
//!
//! Which way that is, the coordinator knows. What is decided here is from where: a tag that somebody else moves meanwhile stays
//! there.

use crate::cli::RollbackArgs;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::render::output::Output;
use crate::render::{json, moves};
use crate::tags;
use vertigo::v1;

pub(crate) async fn run(args: &RollbackArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    // Of a tag that there is not, the coordinator says which one may be meant.
    let expected = tags::expected(tags::newest(coordinator, &args.tag).await?.as_ref());
    let request = v1::MoveTagRequest {
        tag: args.tag.clone(),
        reference: args.to.clone().unwrap_or_default(),
        expected,
        back: true,
        reason: args.reason.clone(),
        ..v1::MoveTagRequest::default()
    };
    let moved = tags::move_tag(coordinator, request).await?;
    output.show(|| json::tag_move(&moved), || moves::render_moved(&moved));
    Ok(())
}
