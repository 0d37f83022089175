//! Tags that a person moves: where one is, and one way to move it, for every command that does.

use crate::coordinator::{Coordinator, again_if_lost};
use crate::error::{Exit, Result, Subject};
use vertigo::id::MoveId;
use vertigo::v1;
use vertigo_client::traced;

/// What stands for a tag that there is not, where a move says what it expects.
pub(crate) const NOTHING: &str = "nothing";

/// Moves a tag, and gives the move as it is kept. The request needs no id: a call that broke off is made again under the one that
/// it gets here, so that no tag moves twice.
pub(crate) async fn move_tag(coordinator: &Coordinator, request: v1::MoveTagRequest) -> Result<v1::TagMove> {
    let request = v1::MoveTagRequest { id: MoveId::new().to_string(), ..request };
    let answer = again_if_lost(|| async { coordinator.tags().move_tag(traced(request.clone())).await }).await;
    coordinator.answer(answer, Subject::Artifact)
}

/// The newest move of a tag, which says what it is on; `None` where there is no such tag.
pub(crate) async fn newest(coordinator: &Coordinator, tag: &str) -> Result<Option<v1::TagMove>> {
    let request = v1::TagHistoryRequest { tag: tag.to_owned(), page_size: 1, page_token: String::new() };
    match coordinator.answer(coordinator.tags().tag_history(traced(request)).await, Subject::Artifact) {
        Ok(page) => Ok(page.moves.into_iter().next()),
        Err(error) if error.exit == Exit::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a move expects that is decided by where the tag is now: whoever moves it meanwhile comes first, and this one is refused.
pub(crate) fn expected(newest: Option<&v1::TagMove>) -> String {
    newest.map_or_else(|| NOTHING.to_owned(), |moved| moved.to.clone())
}
