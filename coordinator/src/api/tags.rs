//! Tags: moved by people, back again, and where they have been.

use super::artifacts::find;
use super::{Api, Caller, bounds, pages, view};
use crate::core::{Command, Core, Expected, Grounds, Index, MoveTag, Target};
use serde::de::IgnoredAny;
use vertigo::api_error::ApiError;
use vertigo::id::{Digest, MoveId, ParseIdError};
use vertigo::principal::PrincipalName;
use vertigo::v1;

/// Moves that are read at a time: each may carry a decision of many kilobytes, and a page has room for a few of those.
const READ_AT_A_TIME: usize = 32;

/// How a caller says that a tag has to be on nothing.
const NOTHING: &str = "nothing";

impl Api {
    /// Moves a tag, and gives the move as it is kept.
    ///
    /// # Errors
    /// What is wrong with the request; the tag is on something else than was expected, or has nowhere to go back to.
    pub(crate) async fn move_tag(&self, caller: &Caller, request: v1::MoveTagRequest) -> Result<v1::TagMove, ApiError> {
        bounds::move_tag(&request)?;
        let asked = Asked::read(request)?;
        let id = asked.id;
        // A call that came again because its answer was lost. What it names may have another meaning by now.
        if let Some(kept) = self.store.one_move(id).await? {
            return Ok(view::tag_move(&kept));
        }
        let by = caller.name.clone();
        self.store.change(move |core| asked.decide(core, by), |_| ()).await?;
        let kept = self.store.one_move(id).await?;
        kept.as_ref().map(view::tag_move).ok_or_else(|| ApiError::internal("the move is gone"))
    }

    /// A page of a tag's moves, newest first.
    ///
    /// # Errors
    /// There is no such tag; a token that makes no sense.
    pub(crate) async fn tag_history(&self, request: v1::TagHistoryRequest) -> Result<v1::TagHistoryResponse, ApiError> {
        bounds::tag_history(&request)?;
        let v1::TagHistoryRequest { tag, page_size, page_token } = request;
        let mut before = match page_token.as_str() {
            "" => None,
            token => Some(token.parse::<u64>().map_err(|_| pages::foreign_token())?),
        };
        self.check_tag(tag.clone()).await?;
        let size = pages::size(page_size);
        // One more than is shown tells whether there is a next page.
        let (mut page, at_a_time) = (pages::Page::new(size), READ_AT_A_TIME.min(size + 1));
        loop {
            let some = self.store.moves(tag.clone(), before, at_a_time).await?;
            for moved in &some {
                before = Some(moved.number);
                if page.push(view::tag_move(moved), || moved.number.to_string()).is_err() {
                    let (moves, next_page_token) = page.end(true);
                    return Ok(v1::TagHistoryResponse { moves, next_page_token });
                }
            }
            if some.len() < at_a_time {
                let (moves, next_page_token) = page.end(false);
                return Ok(v1::TagHistoryResponse { moves, next_page_token });
            }
        }
    }

    /// That there is such a tag.
    async fn check_tag(&self, tag: String) -> Result<(), ApiError> {
        let look = move |core: &Core| match core.index().tagged(&tag) {
            Some(_) => Ok(()),
            None => Err(core.index().tags().no_tag(&tag).into()),
        };
        self.look(look).await
    }
}

/// A request whose parts are read, but for the name of the artifact.
struct Asked {
    id: MoveId,
    tag: String,
    reference: String,
    is_back: bool,
    expected: Expected,
    grounds: Grounds,
}

impl Asked {
    fn read(request: v1::MoveTagRequest) -> Result<Asked, ApiError> {
        let v1::MoveTagRequest { id, tag, reference, expected, back, reason, forced, evidence, decision_json } =
            request;
        let digest = |text: &str| text.parse::<Digest>().map_err(|error: ParseIdError| ApiError::invalid(error));
        Index::check_tag(&tag).map_err(ApiError::invalid)?;
        let id = match id.as_str() {
            "" => MoveId::new(),
            id => id.parse().map_err(|error: ParseIdError| ApiError::invalid(error))?,
        };
        let expected = match expected.as_str() {
            "" => Expected::Whatever,
            NOTHING => Expected::Nothing,
            other => Expected::On(digest(other)?),
        };
        if reference.is_empty() && !back {
            return Err(ApiError::invalid("no artifact: name what to move the tag to"));
        }
        let decision = Some(decision_json).filter(|json| !json.is_empty());
        if let Some(Err(error)) = decision.as_deref().map(serde_json::from_str::<IgnoredAny>) {
            return Err(ApiError::invalid(format!("the decision is no JSON: {error}")));
        }
        let evidence = evidence.iter().map(|text| digest(text)).collect::<Result<_, _>>()?;
        let grounds = Grounds { reason: reason.trim().to_owned(), is_forced: forced, evidence, decision };
        Ok(Asked { id, tag, reference, is_back: back, expected, grounds })
    }

    /// What to carry out, by what the name stands for now.
    fn decide(self, core: &Core, by: PrincipalName) -> Result<Command, ApiError> {
        let Asked { id, tag, reference, is_back, expected, grounds } = self;
        let target = match (is_back, reference.as_str()) {
            (true, "") => Target::Back,
            (true, reference) => Target::BackTo(find(core, reference)?.0),
            (false, reference) => Target::To(find(core, reference)?.0),
        };
        Ok(Command::MoveTag(MoveTag { id, tag, target, expected, grounds, by }))
    }
}
