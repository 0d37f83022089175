//! The coordinator of the release before, played from the recording to a worker of today.
//!
//! Its welcome, its assignment and what it says of artifacts are the recorded bytes. What depends on the worker, such as how many reports it
//! acknowledges at once and which blobs it lacks, it says in the same words. Of calls that it does not know it says that.

use crate::grpc::{self, Messages, Says, saying};
use crate::recording::{Fetch, Recording, Step};
use crate::replay::{ARTIFACT, SESSION};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use prost::Message as _;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use vertigo::endpoint::Endpoint;
use vertigo::id::Digest;
use vertigo::v1::coordinator_message::Message as ToWorker;
use vertigo::v1::worker_message::Message as FromWorker;
use vertigo::v1::{Ack, CoordinatorMessage, MissingBlobsRequest, MissingBlobsResponse, WorkerMessage};
use vertigo_testkit::coordinator::listen;

/// The path by which a worker asks which blobs it has to send.
const MISSING: &str = "/vertigo.v1.Artifacts/MissingBlobs";

/// More than any body of so small a job.
const BODY_BYTES_MAX: usize = 1 << 20;

/// gRPC's numbers for what is not there, and for calls that are not known.
const NOT_FOUND: &str = "5";
const UNIMPLEMENTED: &str = "12";

/// A coordinator of the release before.
pub(crate) struct OldCoordinator {
    pub(crate) endpoint: Endpoint,
    /// What workers say in their sessions.
    pub(crate) hears: mpsc::UnboundedReceiver<Bytes>,
    played: Played,
}

#[derive(Clone)]
struct Played {
    recording: Arc<Recording>,
    /// What was sent up, by its digest.
    stored: Arc<Mutex<Recording>>,
    hears: mpsc::UnboundedSender<Bytes>,
}

impl OldCoordinator {
    pub(crate) async fn new(recording: Recording) -> OldCoordinator {
        let (sender, hears) = mpsc::unbounded_channel();
        let played = Played { recording: Arc::new(recording), stored: Arc::default(), hears: sender };
        let (listener, endpoint) = listen().await;
        let service = Router::new().fallback(answer).with_state(played.clone());
        tokio::spawn(async { axum::serve(listener, service).await });
        OldCoordinator { endpoint, hears, played }
    }

    /// Whether a blob was sent up.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.played.has(digest)
    }
}

async fn answer(State(played): State<Played>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        SESSION => played.session(request.into_body()),
        ARTIFACT | MISSING => {
            let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await.expect("a question");
            let question = Messages::default().after(&body).pop().expect("a question is one message");
            let answer =
                if path == MISSING { Some(played.missing(&question)) } else { played.recorded(&path, &question) };
            let Some(answer) = answer else { return grpc::refuse(NOT_FOUND) };
            let (says, body) = saying();
            says.unbounded_send(answer).expect("it is heard");
            grpc::answer(body)
        }
        path if path.starts_with("/v1/blobs/") => played.blob(request).await,
        _ => grpc::refuse(UNIMPLEMENTED),
    }
}

impl Played {
    fn has(&self, digest: &Digest) -> bool {
        self.stored.lock().expect("nobody panics with it").blobs.contains_key(digest)
    }

    fn session(self, body: Body) -> Response {
        let (says, answer) = saying();
        tokio::spawn(async move {
            let (mut pieces, mut messages) = (body.into_data_stream(), Messages::default());
            while let Some(Ok(piece)) = pieces.next().await {
                for message in messages.after(&piece) {
                    self.replies(&message, &says);
                    // Fails where the test is over.
                    let _ = self.hears.send(message);
                }
            }
        });
        grpc::answer(answer)
    }

    /// Says what it said then.
    fn replies(&self, message: &Bytes, says: &Says) {
        let say = |message: Bytes| says.unbounded_send(message).expect("the worker is there");
        match WorkerMessage::decode(&message[..]).expect("a worker's message").message {
            Some(FromWorker::Hello(_)) => {
                // The welcome, and the work.
                self.in_session().take(2).for_each(say);
            }
            Some(FromWorker::Reports(batch)) => {
                let number = batch.reports.last().expect("a batch has reports").number;
                let ack = ToWorker::Ack(Ack { attempt_id: batch.attempt_id, number });
                say(CoordinatorMessage { message: Some(ack) }.encode_to_vec().into());
            }
            _ => {}
        }
    }

    /// What was said in the session.
    fn in_session(&self) -> impl Iterator<Item = Bytes> {
        self.recording.steps.iter().filter_map(|step| match step {
            Step::Hears { call: 1, message } => Some(message.0.clone()),
            _ => None,
        })
    }

    /// What was answered to this question.
    fn recorded(&self, path: &str, question: &Bytes) -> Option<Bytes> {
        let steps = &self.recording.steps;
        let is_of = |number: u64| {
            steps.iter().any(|it| matches!(it, Step::Calls { call, path: its } if *call == number && its == path))
        };
        let asked = |step: &Step| match step {
            Step::Says { call, message } if message.0 == *question && is_of(*call) => Some(*call),
            _ => None,
        };
        let number = steps.iter().find_map(asked)?;
        steps.iter().find_map(|step| match step {
            Step::Hears { call, message } if *call == number => Some(message.0.clone()),
            _ => None,
        })
    }

    fn missing(&self, question: &Bytes) -> Bytes {
        let mut digests = MissingBlobsRequest::decode(&question[..]).expect("a question").digests;
        digests.retain(|digest| !self.has(&digest.parse().expect("a digest")));
        MissingBlobsResponse { digests }.encode_to_vec().into()
    }

    async fn blob(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let digest: Digest = head.uri.path().trim_start_matches("/v1/blobs/").parse().expect("a digest");
        match head.method.as_str() {
            "GET" => {
                let is_it = |fetch: &&Fetch| fetch.method == "GET" && fetch.path == head.uri.path();
                let mut fetches = self.recording.steps.iter().filter_map(fetch);
                let Some(recorded) = fetches.find(is_it) else { return StatusCode::NOT_FOUND.into_response() };
                let mut response = Response::builder().status(recorded.status);
                for (name, value) in &recorded.answered {
                    response = response.header(name, value);
                }
                let body = self.recording.blobs[&recorded.received.expect("a blob has bytes")].clone();
                response.body(Body::from(body)).expect("headers are those that came")
            }
            "PUT" => {
                let body = to_bytes(body, BODY_BYTES_MAX).await.expect("a small body");
                assert_eq!(Digest::of(&body), digest);
                self.stored.lock().expect("nobody panics with it").keep(body);
                let was = self.recording.steps.iter().filter_map(fetch).find(|fetch| fetch.method == "PUT");
                StatusCode::from_u16(was.expect("something was sent up").status).expect("a status").into_response()
            }
            _ if self.has(&digest) => StatusCode::OK.into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

fn fetch(step: &Step) -> Option<&Fetch> {
    if let Step::Fetches(fetch) = step { Some(fetch) } else { None }
}

#[cfg(test)]
mod tests;
