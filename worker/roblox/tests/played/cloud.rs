//! Open Cloud's evaluation service as a test wants it: over real HTTP, with limits of its own and answers that were laid out before.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// The one key that it takes.
pub(crate) const KEY: &str = "played+key/of==its=own";

type Record = Arc<dyn Fn(&str, usize) -> Value + Send + Sync>;

/// How the service is played.
#[derive(Default)]
pub(crate) struct OpenCloud {
    limit: Option<(usize, Duration)>,
    answers: VecDeque<(u16, String)>,
    record: Option<Record>,
}

#[derive(Default)]
struct Seen {
    answers: VecDeque<(u16, String)>,
    sent: Vec<Value>,
    taken: Vec<Instant>,
    refused: usize,
    jobs: BTreeMap<String, (String, usize, bool)>,
    under_way_most: usize,
}

/// The service as it runs.
#[derive(Clone)]
pub(crate) struct Played {
    pub(crate) url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone)]
struct Service {
    limit: Option<(usize, Duration)>,
    record: Option<Record>,
    seen: Arc<Mutex<Seen>>,
}

/// A record that has ended: with so many failed checks where it did not succeed.
pub(crate) fn completed(succeeded: bool, fails: u32) -> Value {
    let fails = if succeeded { 0 } else { fails };
    let result =
        json!({"passes": 1, "fails": fails, "checks": 1 + fails, "warning": "", "error": "", "interruptions": []});
    json!({"record": {"jobStatus": "COMPLETED", "evalSucceeded": succeeded,
        "results": [{"mode": "[EDIT]", "result": result}]}})
}

impl OpenCloud {
    /// Takes so many scripts in any span of this length, and says 429 to more.
    pub(crate) fn limit(mut self, most: usize, span: Duration) -> OpenCloud {
        self.limit = Some((most, span));
        self
    }

    /// Says these to the first scripts instead of taking them.
    pub(crate) fn answers(mut self, answers: impl IntoIterator<Item = (u16, String)>) -> OpenCloud {
        self.answers = answers.into_iter().collect();
        self
    }

    /// What the record of a script is at each look; an object with `status` alone is an error of HTTP.
    pub(crate) fn record(mut self, record: impl Fn(&str, usize) -> Value + Send + Sync + 'static) -> OpenCloud {
        self.record = Some(Arc::new(record));
        self
    }

    pub(crate) async fn serve(self) -> Played {
        let seen = Arc::new(Mutex::new(Seen { answers: self.answers, ..Seen::default() }));
        let service = Service { limit: self.limit, record: self.record, seen: seen.clone() };
        let router = Router::new()
            .route("/v1/eval", post(send))
            .route("/v1/eval-records/{job}", get(look))
            .layer(axum::extract::DefaultBodyLimit::max(1 << 20))
            .with_state(service);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Played { url, seen }
    }
}

impl Played {
    pub(crate) fn sent(&self) -> Vec<Value> {
        self.seen.lock().unwrap().sent.clone()
    }

    pub(crate) fn refused(&self) -> usize {
        self.seen.lock().unwrap().refused
    }

    pub(crate) fn under_way_most(&self) -> usize {
        self.seen.lock().unwrap().under_way_most
    }
}

fn is_known(headers: &HeaderMap) -> bool {
    headers.get("x-api-key").is_some_and(|key| key == KEY)
}

fn answer(status: u16, body: String) -> Response {
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

async fn send(State(service): State<Service>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_known(&headers) {
        return answer(401, "who are you?".to_owned());
    }
    let mut seen = service.seen.lock().unwrap();
    if let Some((status, body)) = seen.answers.pop_front() {
        return answer(status, body);
    }
    let now = Instant::now();
    if let Some((most, span)) = service.limit {
        if seen.taken.iter().filter(|at| now - **at < span).count() >= most {
            seen.refused += 1;
            return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "too much").into_response();
        }
        seen.taken.push(now);
    }
    let value: Value = serde_json::from_slice(&body).unwrap();
    let job = format!("00000000-0000-4000-8000-{:012}", seen.sent.len());
    let script = value["input_script"].as_str().unwrap().to_owned();
    seen.sent.push(value);
    seen.jobs.insert(job.clone(), (script, 0, false));
    let under_way = seen.jobs.values().filter(|(.., ended)| !ended).count();
    seen.under_way_most = seen.under_way_most.max(under_way);
    answer(200, json!({"job_id": job, "status_code": 200}).to_string())
}

async fn look(State(service): State<Service>, headers: HeaderMap, Path(job): Path<String>) -> Response {
    if !is_known(&headers) {
        return answer(401, "who are you?".to_owned());
    }
    let mut seen = service.seen.lock().unwrap();
    let Some((script, looks, ended)) = seen.jobs.get_mut(&job) else { return answer(404, "no such job".to_owned()) };
    let record = service.record.as_ref().map_or(Value::Null, |record| record(script, *looks));
    *looks += 1;
    match record["status"].as_u64() {
        Some(status) => answer(u16::try_from(status).unwrap(), "not now".to_owned()),
        None => {
            *ended = !matches!(record["record"]["jobStatus"].as_str(), Some("QUEUED" | "PENDING") | None);
            answer(200, record.to_string())
        }
    }
}
