//! The API over HTTP: reads as JSON, events as server-sent events, and blobs.
//!
//! | route | answers with |
//! |---|---|
//! | `GET /v1/jobs?state=S&kind=K&label=KEY=VALUE&since_ms=N` | `{"jobs": […], "next_page_token": …}`, newest first |
//! | `GET /v1/jobs/JOB` | a job, by id, by name or by the beginning of its id |
//! | `GET /v1/artifacts?kind=K` | `{"artifacts": […], "next_page_token": …}`, newest first |
//! | `GET /v1/artifacts/ARTIFACT` | an artifact with its manifest, by tag, by digest or by the job that made it |
//! | `GET /v1/tags/TAG/history` | `{"moves": […], "next_page_token": …}`, newest first |
//! | `GET /v1/workers` | `{"workers": […], "next_page_token": …}`, by name |
//! | `GET /v1/storage` | what takes what on the disks |
//! | `GET /v1/events?job=JOB&after=SEQ` | events as they come: [`events`] |
//! | `/v1/blobs/…` | files: [`blobs`] |
//! | `GET /health` | `ok`, to anybody |
//!
//! Lists take `page_size` and `page_token`; `state` and `label` may stand more than once. An error is
//! `{"error": {"code": …, "message": …, "hint": …}}` with the status that comes nearest; blobs say theirs in a line of text.
//!
//! Promise: what is answered is what `vertigo --json` prints, because both are views of the same messages; but for blobs, nothing here
//! changes anything.

pub mod blobs;
mod events;
mod query;

use crate::api::{Api, Caller};
use crate::serve::traced;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use query::Query;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::{Instrument, info_span};
use vertigo::api_error::ApiError;
use vertigo::printable;
use vertigo::v1;
use vertigo_port::guard::shown;
use vertigo_view::{Artifact, Job, Storage, TagMove, Worker};

/// Where events are streamed.
pub(super) const EVENTS: &str = "/v1/events";

/// Below it are tags, each with its history.
const TAGS: &str = "/v1/tags";

/// Where it is said what takes what.
const STORAGE: &str = "/v1/storage";

/// Where anybody sees that somebody is there, and nothing else.
const HEALTH: &str = "/health";

/// Where the routes that read begin. The guard lets their `GET` through.
pub(super) const READS: [&str; 7] = ["/v1/jobs", "/v1/artifacts", TAGS, "/v1/workers", STORAGE, EVENTS, HEALTH];

/// Below it are blobs.
pub(super) const BLOBS: &str = "/v1/blobs/";

/// The routes.
pub fn router(api: Api) -> Router {
    let blobs = blobs::router(api.blobs().clone());
    Router::new()
        .route("/v1/jobs", get(jobs))
        // A name may have slashes in it.
        .route("/v1/jobs/{*reference}", get(job))
        .route("/v1/artifacts", get(artifacts))
        .route("/v1/artifacts/{*reference}", get(artifact))
        .route("/v1/tags/{*rest}", get(history))
        .route("/v1/workers", get(workers))
        .route(STORAGE, get(storage))
        .route(EVENTS, get(events::stream))
        .route(HEALTH, get(async || "ok\n"))
        .with_state(api)
        .merge(blobs)
}

/// An error of the API, as HTTP says it.
pub(crate) fn refused(error: ApiError) -> Response {
    (status(&error), Shown(error.to_json())).into_response()
}

/// HTTP's status of an error.
pub(super) fn status(error: &ApiError) -> StatusCode {
    StatusCode::from_u16(error.code.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An error on its way out of a route.
struct Refused(ApiError);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Refused {
        Refused(error)
    }
}

impl From<PathRejection> for Refused {
    fn from(rejection: PathRejection) -> Refused {
        Refused(ApiError::invalid(format!("the address: {}", rejection.body_text())))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        refused(self.0)
    }
}

/// JSON that is as it is now, and is nothing but JSON; what a terminal would obey is written as JSON's own escapes.
struct Shown<T>(T);

impl<T: Serialize> IntoResponse for Shown<T> {
    fn into_response(self) -> Response {
        let headers =
            [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        match text(&self.0) {
            Ok(text) => (headers, text).into_response(),
            Err(error) => refused(error),
        }
    }
}

/// A view as text.
fn text(view: &impl Serialize) -> Result<String, ApiError> {
    Ok(printable::json(&serde_json::to_string(view).map_err(ApiError::internal)?))
}

/// A page of a list, under the list's own name.
fn page<'a, M, V: From<&'a M> + Serialize>(name: &str, messages: &'a [M], next_page_token: &str) -> Shown<Value> {
    let items: Vec<V> = messages.iter().map(V::from).collect();
    let next = Some(next_page_token).filter(|token| !token.is_empty());
    Shown(json!({name: items, "next_page_token": next}))
}

async fn jobs(
    State(api): State<Api>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Refused> {
    let mut query = Query::read(query.as_deref());
    let request = v1::ListJobsRequest {
        states: query.states()?,
        kind: query.text("kind")?,
        labels: query.labels()?,
        since_ms: query.number("since_ms")?,
        page_size: query.number("page_size")?,
        page_token: query.text("page_token")?,
    };
    query.end()?;
    let answer = api.jobs(request).instrument(traced(&headers, info_span!("list jobs"))).await?;
    Ok(page::<_, Job>("jobs", &answer.jobs, &answer.next_page_token))
}

async fn job(
    State(api): State<Api>,
    headers: HeaderMap,
    reference: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Refused> {
    let (Path(id), query) = (reference?, Query::read(query.as_deref()));
    query.end()?;
    let job = api.job(v1::GetJobRequest { id }).instrument(traced(&headers, info_span!("get job"))).await?;
    Ok(Shown(Job::from(&job)))
}

async fn artifacts(
    State(api): State<Api>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Refused> {
    let mut query = Query::read(query.as_deref());
    let request = v1::ListArtifactsRequest {
        kind: query.text("kind")?,
        page_size: query.number("page_size")?,
        page_token: query.text("page_token")?,
    };
    query.end()?;
    let answer = api.artifacts(request).instrument(traced(&headers, info_span!("list artifacts"))).await?;
    Ok(page::<_, Artifact>("artifacts", &answer.artifacts, &answer.next_page_token))
}

async fn artifact(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    reference: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let (Path(reference), query) = (reference?, Query::read(query.as_deref()));
    query.end()?;
    let span = traced(&headers, info_span!("get artifact"));
    let artifact = api.artifact(&caller, v1::GetArtifactRequest { reference }).instrument(span).await?;
    // A manifest may be long, and the threads that read it here are those that hear heartbeats.
    let written = tokio::task::spawn_blocking(move || Shown(Artifact::from(&artifact)).into_response()).await;
    Ok(written.map_err(ApiError::internal)?)
}

/// A tag may have slashes in it, and `history` stands behind the last.
async fn history(
    State(api): State<Api>,
    headers: HeaderMap,
    rest: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Refused> {
    let (Path(rest), mut query) = (rest?, Query::read(query.as_deref()));
    let Some(tag) = rest.strip_suffix("/history") else {
        let nothing = ApiError::not_found(format!("there is nothing at {TAGS}/{}", shown(rest.as_bytes())));
        return Err(nothing.with_hint(format!("of a tag there is {TAGS}/TAG/history")).into());
    };
    let request = v1::TagHistoryRequest {
        tag: tag.to_owned(),
        page_size: query.number("page_size")?,
        page_token: query.text("page_token")?,
    };
    query.end()?;
    let answer = api.tag_history(request).instrument(traced(&headers, info_span!("tag history"))).await?;
    Ok(page::<_, TagMove>("moves", &answer.moves, &answer.next_page_token))
}

async fn workers(
    State(api): State<Api>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Refused> {
    let mut query = Query::read(query.as_deref());
    let request =
        v1::ListWorkersRequest { page_size: query.number("page_size")?, page_token: query.text("page_token")? };
    query.end()?;
    let answer = api.workers(request).instrument(traced(&headers, info_span!("list workers"))).await?;
    Ok(page::<_, Worker>("workers", &answer.workers, &answer.next_page_token))
}

async fn storage(
    State(api): State<Api>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Refused> {
    Query::read(query.as_deref()).end()?;
    let span = traced(&headers, info_span!("describe storage"));
    let report = api.storage(v1::DescribeStorageRequest {}).instrument(span).await?;
    Ok(Shown(Storage::from(&report)))
}
