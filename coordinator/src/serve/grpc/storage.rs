//! `Storage`: what is kept, and what of it goes.

use super::{caller, traced};
use crate::api::Api;
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};
use vertigo::v1;

pub(super) struct Storage(pub(super) Api);

#[tonic::async_trait]
impl v1::storage_server::Storage for Storage {
    async fn describe(
        &self,
        request: Request<v1::DescribeStorageRequest>,
    ) -> Result<Response<v1::StorageReport>, Status> {
        let span = traced(request.metadata(), info_span!("describe storage"));
        Ok(Response::new(self.0.storage(request.into_inner()).instrument(span).await?))
    }

    async fn collect(&self, request: Request<v1::CollectRequest>) -> Result<Response<v1::Collection>, Status> {
        let caller = caller(&request)?;
        let span = traced(request.metadata(), info_span!("collect"));
        Ok(Response::new(self.0.collect(&caller, request.into_inner()).instrument(span).await?))
    }
}
