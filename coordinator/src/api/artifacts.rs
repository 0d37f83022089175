//! Artifacts: what there is, and what is told to be there.

use super::contents::{Difference, difference};
use super::{Api, Caller, bounds, pages, view};
use crate::core::{Artifact, Command, Core, Index, ReferenceError};
use std::sync::Arc;
use vertigo::api_error::ApiError;
use vertigo::id::{Digest, Millis};
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1;

impl Api {
    /// Which of these blobs the store lacks.
    ///
    /// # Errors
    /// What is no digest; a store that does not answer.
    pub(crate) async fn missing_blobs(
        &self,
        caller: &Caller,
        request: v1::MissingBlobsRequest,
    ) -> Result<v1::MissingBlobsResponse, ApiError> {
        bounds::missing_blobs(&request)?;
        if let Some(worker) = caller.worker
            && !self.look(move |core| Ok(core.may_write_blob(worker))).await?
        {
            return Err(caller.may_not("send files: none of its attempts holds a lease"));
        }
        let parse = |text: &String| text.parse::<Digest>().map_err(ApiError::invalid);
        let digests = request.digests.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let missing = self.blobs.missing(digests).await?;
        Ok(v1::MissingBlobsResponse { digests: missing.iter().map(Digest::to_string).collect() })
    }

    /// Makes an artifact of blobs that the store has, and moves tags to it.
    ///
    /// # Errors
    /// The manifest is none, or its blobs are not there as it says.
    pub(crate) async fn register(
        &self,
        caller: &Caller,
        request: v1::RegisterArtifactRequest,
    ) -> Result<v1::Artifact, ApiError> {
        bounds::register(&request)?;
        let manifest = Manifest::parse(&request.manifest_json).map_err(ApiError::invalid)?;
        for tag in &request.tags {
            Index::check_tag(tag).map_err(ApiError::invalid)?;
        }
        let mut hold = self.blobs.hold();
        hold.add(manifest.files().iter().map(|file| file.digest)).await;
        match difference(&self.blobs, &manifest).await? {
            None => {}
            Some(missing @ Difference::Missing { .. }) => return Err(ApiError::conflict(missing)),
            Some(size @ Difference::Size { .. }) => return Err(ApiError::invalid(size)),
        }
        let digest = manifest.digest();
        let command = Command::Register { manifest, tags: request.tags, by: caller.name.clone() };
        self.apply_holding(command, vec![hold.is_there()]).await?;
        let look = move |core: &Core| core.index().get(&digest).map(|artifact| Found::new(core, digest, artifact));
        // It was committed a moment ago, and only the checkpoints of jobs go.
        let found = self.store.read(look).await?;
        found.map(Found::whole).ok_or_else(|| ApiError::internal("the artifact is gone"))
    }

    /// An artifact, with its manifest, by what people call it.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub(crate) async fn artifact(
        &self,
        caller: &Caller,
        request: v1::GetArtifactRequest,
    ) -> Result<v1::Artifact, ApiError> {
        bounds::get_artifact(&request)?;
        let caller = caller.clone();
        let look = move |core: &Core| {
            // What there is, is told to nobody who may not look: not by how the two refusals differ either.
            let found = find(core, &request.reference);
            if let Some(worker) = caller.worker {
                let is_granted = match &found {
                    Ok((digest, _)) => core.may_get_artifact(worker, *digest).map_err(ReferenceError::from)?,
                    Err(_) => false,
                };
                if !is_granted {
                    return Err(caller.may_not("look at an artifact that none of its attempts reads"));
                }
            }
            let (digest, artifact) = found?;
            Ok(Found::new(core, digest, artifact))
        };
        Ok(self.look(look).await?.whole())
    }

    /// A page of artifacts, newest first.
    ///
    /// # Errors
    /// A kind or a token that makes no sense.
    pub(crate) async fn artifacts(
        &self,
        request: v1::ListArtifactsRequest,
    ) -> Result<v1::ListArtifactsResponse, ApiError> {
        bounds::list_artifacts(&request)?;
        let kind = match request.kind.as_str() {
            "" => None,
            kind => Some(kind.parse::<Kind>().map_err(ApiError::invalid)?),
        };
        let (size, after) = (pages::size(request.page_size), after(&request.page_token)?);
        let look = move |core: &Core| {
            let view = |(digest, artifact): &(Digest, &Artifact)| view::artifact(core, *digest, artifact);
            let behind = core.index().list(kind, after);
            Ok(pages::page(behind, size, view, |(digest, artifact)| token(*digest, artifact)))
        };
        let (artifacts, next_page_token) = self.look(look).await?;
        Ok(v1::ListArtifactsResponse { artifacts, next_page_token })
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

/// An artifact by what people call it.
///
/// # Errors
/// There is none, with what it may have been meant for; or there are several.
pub(super) fn find<'a>(core: &'a Core, reference: &str) -> Result<(Digest, &'a Artifact), ApiError> {
    if let Some(found) = core.find_artifact(reference)? {
        return Ok(found);
    }
    if let Ok(Some((job, output))) = core.find_output(reference) {
        let message = format!("job {} is {} and has no output `{}`", job.title(), job.state.name(), output.role);
        return Err(ApiError::conflict(message).with_hint(format!("`vertigo job {}` says more", job.id)));
    }
    let near: Vec<_> = Kind::ALL.into_iter().flat_map(|kind| core.index().near_tags(kind, reference)).take(3).collect();
    let hint = if near.is_empty() {
        "`vertigo artifacts` lists what there is".to_owned()
    } else {
        format!("did you mean `{}`?", near.join("` or `"))
    };
    Err(ApiError::not_found(format!("there is no artifact `{reference}`")).with_hint(hint))
}

/// Where the page behind this artifact begins. What comes meanwhile is newer, and so on none of the pages that follow.
fn token(digest: Digest, artifact: &Artifact) -> String {
    format!("{}.{}", artifact.created.0, digest.hex())
}

fn after(token: &str) -> Result<Option<(Millis, Digest)>, ApiError> {
    let read = |token: &str| {
        let (created, digest) = token.split_once('.')?;
        Some((Millis(created.parse().ok()?), digest.parse().ok()?))
    };
    match token {
        "" => Ok(None),
        token => read(token).map(Some).ok_or_else(pages::foreign_token),
    }
}
