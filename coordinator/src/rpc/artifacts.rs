//! `Artifacts`: the index of what there is.

use super::contents::{Difference, difference};
use super::{Context, ambiguous, blobs_failed, not_applied, stopped, traced, view};
use crate::core::{Command, Core, Index};
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1;

pub(super) struct Artifacts(pub(super) Context);

impl Artifacts {
    async fn register(&self, request: v1::RegisterArtifactRequest) -> Result<v1::Artifact, Status> {
        let invalid = |error: &dyn std::error::Error| Status::invalid_argument(error.to_string());
        let manifest = Manifest::parse(&request.manifest_json).map_err(|error| invalid(&error))?;
        for tag in &request.tags {
            Index::check_tag(tag).map_err(|error| invalid(&error))?;
        }
        match difference(&self.0.blobs, &manifest).await.map_err(blobs_failed)? {
            None => {}
            Some(missing @ Difference::Missing { .. }) => return Err(Status::failed_precondition(missing.to_string())),
            Some(size @ Difference::Size { .. }) => return Err(invalid(&size)),
        }
        let digest = manifest.digest();
        self.0.store.apply(Command::Register { manifest, tags: request.tags }).await.map_err(not_applied)?;
        let look = move |core: &Core| core.index().get(&digest).map(|artifact| view::artifact(core, digest, artifact));
        // It was committed a moment ago, and artifacts do not go.
        self.0.store.read(look).await.map_err(stopped)?.ok_or_else(|| Status::internal("the artifact is gone"))
    }
}

fn find(core: &Core, reference: &str) -> Result<v1::Artifact, Status> {
    let found = core.find_artifact(reference).map_err(ambiguous)?;
    if let Some((digest, artifact)) = found {
        return Ok(view::artifact(core, digest, artifact));
    }
    if let Ok(Some(job)) = core.find_job(reference) {
        return Err(Status::failed_precondition(format!(
            "job {} is {} and has no output",
            job.title(),
            job.state.name()
        )));
    }
    let kinds = [Kind::Adapter, Kind::Base, Kind::Dataset, Kind::Checkpoint];
    let near: Vec<_> = kinds.into_iter().flat_map(|kind| core.index().near_tags(kind, reference)).take(3).collect();
    let hint = if near.is_empty() {
        "`vertigo artifacts` lists them".to_owned()
    } else {
        format!("did you mean `{}`?", near.join("` or `"))
    };
    Err(Status::not_found(format!("there is no artifact `{reference}`; {hint}")))
}

#[tonic::async_trait]
impl v1::artifacts_server::Artifacts for Artifacts {
    async fn missing_blobs(
        &self,
        request: Request<v1::MissingBlobsRequest>,
    ) -> Result<Response<v1::MissingBlobsResponse>, Status> {
        let span = traced(request.metadata(), info_span!("missing blobs"));
        let parse = |text: &String| text.parse::<Digest>().map_err(|error| Status::invalid_argument(error.to_string()));
        let digests = request.into_inner().digests.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let missing = self.0.blobs.missing(digests).instrument(span).await.map_err(blobs_failed)?;
        Ok(Response::new(v1::MissingBlobsResponse { digests: missing.iter().map(Digest::to_string).collect() }))
    }

    async fn register(&self, request: Request<v1::RegisterArtifactRequest>) -> Result<Response<v1::Artifact>, Status> {
        let span = traced(request.metadata(), info_span!("register"));
        Artifacts::register(self, request.into_inner()).instrument(span).await.map(Response::new)
    }

    async fn get(&self, request: Request<v1::GetArtifactRequest>) -> Result<Response<v1::Artifact>, Status> {
        let span = traced(request.metadata(), info_span!("get artifact"));
        let reference = request.into_inner().reference;
        let found = self.0.store.read(move |core| find(core, &reference)).instrument(span).await.map_err(stopped)?;
        found.map(Response::new)
    }

    async fn list(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Result<Response<v1::ListArtifactsResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list artifacts"));
        let kind = match request.into_inner().kind.as_str() {
            "" => None,
            kind => Some(kind.parse::<Kind>().map_err(|error| Status::invalid_argument(error.to_string()))?),
        };
        let look = move |core: &Core| {
            core.index()
                .list(kind)
                .into_iter()
                .map(|(digest, artifact)| view::artifact(core, digest, artifact))
                .collect()
        };
        let artifacts = self.0.store.read(look).instrument(span).await.map_err(stopped)?;
        Ok(Response::new(v1::ListArtifactsResponse { artifacts }))
    }
}
