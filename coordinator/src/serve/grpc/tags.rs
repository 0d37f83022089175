//! `Tags`: where they are moved, and where they have been.

use super::{caller, traced};
use crate::api::Api;
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};
use vertigo::v1;

pub(super) struct Tags(pub(super) Api);

#[tonic::async_trait]
impl v1::tags_server::Tags for Tags {
    async fn move_tag(&self, request: Request<v1::MoveTagRequest>) -> Result<Response<v1::TagMove>, Status> {
        let caller = caller(&request)?;
        let span = traced(request.metadata(), info_span!("move tag"));
        Ok(Response::new(self.0.move_tag(&caller, request.into_inner()).instrument(span).await?))
    }

    async fn tag_history(
        &self,
        request: Request<v1::TagHistoryRequest>,
    ) -> Result<Response<v1::TagHistoryResponse>, Status> {
        let span = traced(request.metadata(), info_span!("tag history"));
        Ok(Response::new(self.0.tag_history(request.into_inner()).instrument(span).await?))
    }
}
