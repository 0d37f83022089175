//! `Artifacts`: the index of what there is.

use super::{caller, traced};
use crate::api::Api;
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};
use vertigo::v1;

pub(super) struct Artifacts(pub(super) Api);

#[tonic::async_trait]
impl v1::artifacts_server::Artifacts for Artifacts {
    async fn missing_blobs(
        &self,
        request: Request<v1::MissingBlobsRequest>,
    ) -> Result<Response<v1::MissingBlobsResponse>, Status> {
        let (span, caller) = (traced(request.metadata(), info_span!("missing blobs")), caller(&request)?);
        Ok(Response::new(self.0.missing_blobs(&caller, request.into_inner()).instrument(span).await?))
    }

    async fn register(&self, request: Request<v1::RegisterArtifactRequest>) -> Result<Response<v1::Artifact>, Status> {
        let caller = caller(&request)?;
        let span = traced(request.metadata(), info_span!("register"));
        Ok(Response::new(self.0.register(&caller, request.into_inner()).instrument(span).await?))
    }

    async fn get(&self, request: Request<v1::GetArtifactRequest>) -> Result<Response<v1::Artifact>, Status> {
        let (span, caller) = (traced(request.metadata(), info_span!("get artifact")), caller(&request)?);
        Ok(Response::new(self.0.artifact(&caller, request.into_inner()).instrument(span).await?))
    }

    async fn list(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Result<Response<v1::ListArtifactsResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list artifacts"));
        Ok(Response::new(self.0.artifacts(request.into_inner()).instrument(span).await?))
    }
}
