//! The routes, over HTTP.
//!
//! | route | answers with |
//! |---|---|
//! | `POST /v1/chat/completions` | an answer to a conversation, whole or as server-sent events |
//! | `POST /v1/completions` | how a text goes on |
//! | `GET /v1/models`, `GET /v1/models/NAME` | the names that there are |
//! | `GET /health` | `{"status": "ok"}` |
//! | `GET /metrics` | OpenMetrics text |

mod answering;
mod body;
mod stream;

use crate::api::{self, ApiError, Asked};
use crate::catalog::{Catalog, CatalogError, Listed};
use crate::metrics::Metrics;
use crate::model::Model;
use crate::reply::Form;
use answering::Begun;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use body::Room;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use vertigo_port::guard::{Hosts, check, shown};
use vertigo_port::{NotBegun, Rules, Work};

/// What the routes need.
#[derive(Clone)]
pub(crate) struct App {
    catalog: Arc<dyn Catalog>,
    metrics: Arc<Metrics>,
    room: Room,
    /// Requests that are parsed, rendered or encoded at a time: each takes a processor, and memory beside its body.
    preparing: Arc<Semaphore>,
    /// The server has no more patience.
    ended: CancellationToken,
}

/// How much of requests is taken in at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intake {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Bytes of all bodies that are being read.
    pub bodies_bytes: usize,
    /// How long a body may take to come.
    pub patience: Duration,
}

impl Default for Intake {
    fn default() -> Intake {
        Intake { body_bytes: 8 << 20, bodies_bytes: 128 << 20, patience: Duration::from_secs(60) }
    }
}

/// The rules of the port: answers last, and leave half of the places to requests that do not.
pub(crate) const RULES: Rules = Rules { known_as: |_| None, work, refuse };

fn work(head: &Parts) -> Work {
    if head.uri.path().ends_with("/completions") { Work::Feed } else { Work::Request }
}

fn refuse(_: &Parts, error: NotBegun) -> Response {
    ApiError::unavailable(error.to_string()).into_response()
}

/// The routes, behind the guard.
pub(crate) fn router(catalog: Arc<dyn Catalog>, intake: Intake, ended: CancellationToken) -> Router {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let preparing = Arc::new(Semaphore::new((cores / 2).max(2)));
    let app = App { catalog, metrics: Arc::new(Metrics::new()), room: Room::new(intake), preparing, ended };
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completion))
        .route("/v1/models", get(models))
        // A name may have slashes in it.
        .route("/v1/models/{*name}", get(model))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(Arc::new(Hosts::loopback()), guard))
        .with_state(app)
}

/// Answers for the routes where a request is not one of a program on this machine.
async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match check(&hosts, &head) {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(foreign) => ApiError::denied(foreign.to_string()).into_response(),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, document(self.to_json().to_string())).into_response();
        if matches!(self.status, 429 | 503) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// JSON that is as it is now.
fn document(text: String) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], text)
}

async fn nothing(request: Request) -> ApiError {
    let path = shown(request.uri().path().as_bytes());
    ApiError::no_route(format!(
        "there is nothing at {path}; there are /v1/chat/completions, /v1/completions and /v1/models"
    ))
}

async fn wrong_method(request: Request) -> ApiError {
    let path = shown(request.uri().path().as_bytes());
    ApiError::method(format!("{path} is not asked by {}", shown(request.method().as_str().as_bytes())))
}

async fn health() -> impl IntoResponse {
    document(json!({"status": "ok"}).to_string())
}

async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], app.metrics.text())
}

fn listed(Listed { name, created }: Listed) -> Value {
    json!({"id": name, "object": "model", "created": created, "owned_by": "vertigo"})
}

async fn models(State(app): State<App>) -> impl IntoResponse {
    let data: Vec<Value> = app.catalog.list().await.into_iter().map(listed).collect();
    document(json!({"object": "list", "data": data}).to_string())
}

async fn model(State(app): State<App>, Path(name): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let all = app.catalog.list().await;
    match all.iter().find(|model| model.name == name) {
        Some(found) => Ok(document(listed(found.clone()).to_string())),
        None => Err(ApiError::no_model(&name, &names(&all))),
    }
}

fn names(all: &[Listed]) -> Vec<String> {
    all.iter().map(|model| model.name.clone()).collect()
}

async fn chat(State(app): State<App>, request: Request) -> Response {
    answer(app, Form::Chat, request).await
}

async fn completion(State(app): State<App>, request: Request) -> Response {
    answer(app, Form::Completion, request).await
}

async fn answer(app: App, form: Form, request: Request) -> Response {
    let began = Instant::now();
    match app.begin(form, request, began).await {
        Ok(begun) if begun.is_streamed() => stream::of(begun).into_response(),
        Ok(begun) => match begun.whole().await {
            Ok(answer) => document(answer).into_response(),
            Err(error) => error.into_response(),
        },
        Err(error) => {
            app.metrics.ended("", "refused");
            let (status, seconds) = (error.status, began.elapsed().as_secs_f32());
            tracing::info!(status, seconds, problem = %error, "refused");
            error.into_response()
        }
    }
}

impl App {
    /// From a request to an answer that has begun: everything that can be refused with a status of HTTP's own is refused here.
    async fn begin(&self, form: Form, request: Request, began: Instant) -> Result<Begun, ApiError> {
        let mut body = self.room.read(request.into_body()).await?;
        let (asked, share) = self
            .prepared(move || {
                let share = body.weigh()?;
                Ok((parse(form, body)?, share))
            })
            .await?;
        let model = self.find(&asked.model).await?;
        let chance = rand::random();
        let (asked, model, work) = self
            .prepared(move || {
                let work = model.prepare(&asked, chance)?;
                // What is left of the request is bounded by how many may wait.
                drop(share);
                Ok((asked, model, work))
            })
            .await?;
        Begun::new(self, form, asked, model, work, began).await
    }

    /// Does what takes a processor, a few at a time, where it holds up nobody's stream.
    async fn prepared<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.preparing).acquire_owned().await;
        let permit = permit.map_err(|_| ApiError::unavailable("the server is stopping"))?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            act()
        });
        done.await.map_err(|error| ApiError::failed(format!("the request could not be prepared: {error}")))?
    }

    async fn find(&self, name: &str) -> Result<Arc<Model>, ApiError> {
        match self.catalog.find(name).await {
            Ok(model) => Ok(model),
            Err(CatalogError::Unknown) => Err(ApiError::no_model(name, &names(&self.catalog.list().await))),
            Err(CatalogError::Unavailable(problem)) => Err(ApiError::unavailable(problem)),
        }
    }
}

/// Reads a request's JSON, whose depth serde_json bounds.
fn parse(form: Form, body: body::Read) -> Result<Asked, ApiError> {
    let parsed = serde_json::from_slice(&body);
    drop(body);
    let body: Value = parsed.map_err(|error| ApiError::invalid(format!("the body is not JSON: {error}")))?;
    match form {
        Form::Chat => api::read_chat(&body),
        Form::Completion => api::read_completion(&body),
    }
}
