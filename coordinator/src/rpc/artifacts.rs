//! `Artifacts`: the index of what there is.

use super::bounds::{self, invalid};
use super::contents::{Difference, difference};
use super::{Context, blobs_failed, not_applied, pages, stopped, traced, view};
use crate::core::{Artifact, Command, Core, Index};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};
use vertigo::id::{Digest, Millis};
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1;

pub(super) struct Artifacts(pub(super) Context);

impl Artifacts {
    async fn register(&self, request: v1::RegisterArtifactRequest) -> Result<v1::Artifact, Status> {
        bounds::register(&request)?;
        let manifest = Manifest::parse(&request.manifest_json).map_err(invalid)?;
        for tag in &request.tags {
            Index::check_tag(tag).map_err(invalid)?;
        }
        match difference(&self.0.blobs, &manifest).await.map_err(blobs_failed)? {
            None => {}
            Some(missing @ Difference::Missing { .. }) => return Err(Status::failed_precondition(missing.to_string())),
            Some(size @ Difference::Size { .. }) => return Err(invalid(size)),
        }
        let digest = manifest.digest();
        self.0.store.apply(Command::Register { manifest, tags: request.tags }).await.map_err(not_applied)?;
        let look = move |core: &Core| core.index().get(&digest).map(|artifact| Found::new(core, digest, artifact));
        // It was committed a moment ago, and artifacts do not go.
        let found = self.0.store.read(look).await.map_err(stopped)?;
        found.map(Found::whole).ok_or_else(|| Status::internal("the artifact is gone"))
    }
}

/// An artifact that was looked up. Its manifest, which may be long, is written out only when the core's thread has been left.
struct Found {
    shown: v1::Artifact,
    manifest: Arc<Manifest>,
}

impl Found {
    fn new(core: &Core, digest: Digest, artifact: &Artifact) -> Found {
        Found { shown: view::artifact(core, digest, artifact), manifest: Arc::clone(&artifact.manifest) }
    }

    fn whole(self) -> v1::Artifact {
        v1::Artifact { manifest_json: self.manifest.to_json(), ..self.shown }
    }
}

fn find(core: &Core, reference: &str) -> Result<Found, Status> {
    let found = core.find_artifact(reference).map_err(invalid)?;
    if let Some((digest, artifact)) = found {
        return Ok(Found::new(core, digest, artifact));
    }
    if let Ok(Some((job, output))) = core.find_output(reference) {
        return Err(Status::failed_precondition(format!(
            "job {} is {} and has no output `{}`",
            job.title(),
            job.state.name(),
            output.role
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
        let request = request.into_inner();
        bounds::missing_blobs(&request)?;
        let parse = |text: &String| text.parse::<Digest>().map_err(invalid);
        let digests = request.digests.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let missing = self.0.blobs.missing(digests).instrument(span).await.map_err(blobs_failed)?;
        Ok(Response::new(v1::MissingBlobsResponse { digests: missing.iter().map(Digest::to_string).collect() }))
    }

    async fn register(&self, request: Request<v1::RegisterArtifactRequest>) -> Result<Response<v1::Artifact>, Status> {
        let span = traced(request.metadata(), info_span!("register"));
        Artifacts::register(self, request.into_inner()).instrument(span).await.map(Response::new)
    }

    async fn get(&self, request: Request<v1::GetArtifactRequest>) -> Result<Response<v1::Artifact>, Status> {
        let span = traced(request.metadata(), info_span!("get artifact"));
        let request = request.into_inner();
        bounds::get_artifact(&request)?;
        let reference = request.reference;
        let found = self.0.store.read(move |core| find(core, &reference)).instrument(span).await.map_err(stopped)?;
        found.map(|found| Response::new(found.whole()))
    }

    async fn list(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Result<Response<v1::ListArtifactsResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list artifacts"));
        let request = request.into_inner();
        bounds::list_artifacts(&request)?;
        let kind = match request.kind.as_str() {
            "" => None,
            kind => Some(kind.parse::<Kind>().map_err(invalid)?),
        };
        let (size, after) = (pages::size(request.page_size), after(&request.page_token)?);
        let look = move |core: &Core| {
            let view = |(digest, artifact): &(Digest, &Artifact)| view::artifact(core, *digest, artifact);
            pages::page(core.index().list(kind, after), size, view, |(digest, artifact)| token(*digest, artifact))
        };
        let (artifacts, next_page_token) = self.0.store.read(look).instrument(span).await.map_err(stopped)?;
        Ok(Response::new(v1::ListArtifactsResponse { artifacts, next_page_token }))
    }
}

/// Where the page behind this artifact begins. What comes meanwhile is newer, and so on none of the pages that follow.
fn token(digest: Digest, artifact: &Artifact) -> String {
    format!("{}.{}", artifact.created.0, digest.hex())
}

fn after(token: &str) -> Result<Option<(Millis, Digest)>, Status> {
    let read = |token: &str| {
        let (created, digest) = token.split_once('.')?;
        Some((Millis(created.parse().ok()?), digest.parse().ok()?))
    };
    match token {
        "" => Ok(None),
        token => read(token).map(Some).ok_or_else(|| invalid("page_token is not one that this list gave")),
    }
}
