//! What a child has finished while the coordinator does not take it.

use crate::coordinator::listen;
use crate::supervisor::{assignment, finished, id, reports, worker_of};
use crate::support::{eventually, recipe};
use axum::body::Bytes as Body;
use axum::extract::{Path as Segment, State};
use axum::http::{Method, StatusCode};
use axum::routing::any;
use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use vertigo::endpoint::Endpoint;
use vertigo::id::Digest;
use vertigo::manifest::Manifest;
use vertigo::v1::artifacts_server::{Artifacts, ArtifactsServer};
use vertigo::v1::report::Body as Said;
use vertigo::v1::{
    Artifact, Assignment, Finished, GetArtifactRequest, ListArtifactsRequest, ListArtifactsResponse,
    MissingBlobsRequest, MissingBlobsResponse, RegisterArtifactRequest, Report, finished,
};
use vertigo_worker::held::{Attempts, Stop};
use vertigo_worker::supervisor::Supervisor;

/// A store that has no room until the test makes some.
#[derive(Debug, Clone, Default)]
struct Store(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    has_room: bool,
    refused: usize,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Store {
    async fn serve(&self) -> Endpoint {
        let (listener, endpoint) = listen().await;
        let blobs = axum::Router::new().route("/v1/blobs/{digest}", any(blob)).with_state(self.clone());
        let routes = Routes::new(ArtifactsServer::new(self.clone())).prepare().into_axum_router().merge(blobs);
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        endpoint
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    fn make_room(&self) {
        self.inner().has_room = true;
    }

    fn has(&self, digest: &Digest) -> bool {
        self.inner().blobs.contains_key(&digest.to_string())
    }
}

async fn blob(
    State(store): State<Store>,
    method: Method,
    Segment(digest): Segment<String>,
    body: Body,
) -> (StatusCode, &'static str) {
    let mut inner = store.inner();
    if method == Method::HEAD {
        return (StatusCode::NOT_FOUND, "");
    }
    if !inner.has_room {
        inner.refused += 1;
        return (StatusCode::INSUFFICIENT_STORAGE, "the test has no room");
    }
    inner.blobs.insert(digest, body.to_vec());
    (StatusCode::CREATED, "")
}

#[tonic::async_trait]
impl Artifacts for Store {
    async fn missing_blobs(
        &self,
        request: Request<MissingBlobsRequest>,
    ) -> Result<Response<MissingBlobsResponse>, Status> {
        let inner = self.inner();
        let digests = request.into_inner().digests.into_iter().filter(|digest| !inner.blobs.contains_key(digest));
        Ok(Response::new(MissingBlobsResponse { digests: digests.collect() }))
    }

    async fn register(&self, _: Request<RegisterArtifactRequest>) -> Result<Response<Artifact>, Status> {
        Err(Status::unimplemented("workers do not register"))
    }

    async fn get(&self, _: Request<GetArtifactRequest>) -> Result<Response<Artifact>, Status> {
        Err(Status::not_found("inputs are in the cache"))
    }

    async fn list(&self, _: Request<ListArtifactsRequest>) -> Result<Response<ListArtifactsResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

/// A run without checkpoints.
fn run() -> Assignment {
    assignment(recipe(4).replace("save_every: 2", "save_every: 1000000"))
}

/// The same job, leased again.
fn again(assignment: &Assignment) -> Assignment {
    let attempt_id = vertigo::id::AttemptId::new().to_string();
    Assignment { attempt_id, epoch: assignment.epoch + 1, ..assignment.clone() }
}

/// Waits until the run is finished and its adapter was refused.
async fn refused(worker: &Supervisor, store: &Store, assignment: &Assignment) {
    let waits = |report: &Report| {
        matches!(&report.body, Some(Said::Log(line)) if line.text.contains("waits on this worker")
            && line.text.contains("507") && line.text.contains("the test has no room"))
    };
    eventually("the refusal to be told", || reports(worker, id(assignment)).iter().any(waits).then_some(())).await;
    assert!(store.inner().refused > 0);
}

fn adapter(finished: &Finished) -> Manifest {
    match &finished.outcome {
        Some(finished::Outcome::Outputs(outputs)) => Manifest::parse(&outputs.made[0].manifest_json).unwrap(),
        other => panic!("it ended with {other:?}"),
    }
}

fn trained(worker: &Supervisor, assignment: &Assignment) -> bool {
    reports(worker, id(assignment)).iter().any(|report| matches!(report.body, Some(Said::Started(_))))
}

fn lease_ends(worker: &Supervisor, assignment: &Assignment) {
    worker.attempts.stop(id(assignment), Stop::LeaseOver("its lease expired".to_owned()));
}

async fn let_go(worker: &Supervisor) {
    eventually("the attempt to be let go", || worker.attempts.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_store_without_room_is_waited_for() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let worker = worker_of(&dir, &store.serve().await);
    let assignment = run();
    worker.take(assignment.clone(), None);
    refused(&worker, &store, &assignment).await;
    // Longer than the tries that one upload gets.
    eventually("more refusals", || (store.inner().refused > 8).then_some(())).await;
    store.make_room();
    let adapter = adapter(&finished(&worker, id(&assignment)).await);
    assert!(adapter.files().iter().all(|file| store.has(&file.digest)));
}

#[tokio::test]
async fn an_adapter_whose_lease_ended_is_sent_under_the_next_without_training_again() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let worker = worker_of(&dir, &store.serve().await);
    let first = run();
    worker.take(first.clone(), None);
    refused(&worker, &store, &first).await;
    lease_ends(&worker, &first);
    let_go(&worker).await;
    let kept = dir.path().join("attempts/kept").join(&first.job_id);
    let weights = fs::read(kept.join("adapter/adapters.safetensors")).unwrap();

    // The lease ends once more before there is room.
    let second = again(&first);
    worker.take(second.clone(), None);
    refused(&worker, &store, &second).await;
    assert!(!trained(&worker, &second) && !kept.exists());
    lease_ends(&worker, &second);
    let_go(&worker).await;
    assert!(kept.exists());

    store.make_room();
    let third = again(&second);
    worker.take(third.clone(), None);
    let sent = finished(&worker, id(&third)).await;
    assert!(!trained(&worker, &third), "the same run gives the same bits: it is not run again");
    let adapter = adapter(&sent);
    assert_eq!(adapter.file("adapters.safetensors").unwrap().digest, Digest::of(&weights));
    assert_eq!(adapter.fact("peak_bytes").unwrap(), sent.peak_bytes);
    assert!(adapter.files().iter().all(|file| store.has(&file.digest)));
    // It stays until the coordinator has taken it, and then nothing of it does.
    let output = dir.path().join("attempts").join(&third.attempt_id).join("output");
    assert!(output.exists());
    worker.attempts.acknowledged(id(&third), reports(&worker, id(&third)).last().unwrap().number);
    assert!(worker.attempts.is_empty() && !output.exists() && !kept.exists());
}

#[tokio::test]
async fn an_adapter_is_kept_through_a_restart_and_used_only_while_it_is_whole() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let worker = worker_of(&dir, &store.serve().await);
    let first = run();
    worker.take(first.clone(), None);
    refused(&worker, &store, &first).await;
    // What a daemon finds that starts on the folder of one that was killed now.
    let attempts = dir.path().join("attempts");
    let restarted = Attempts::recover(&attempts).unwrap();
    assert!(restarted.is_empty());
    let kept = attempts.join("kept").join(&first.job_id);
    assert!(kept.join("adapter/adapters.safetensors").exists());
    assert!(!attempts.join(&first.attempt_id).join("output").exists());
    lease_ends(&worker, &first);
    let_go(&worker).await;

    // Damaged on the disk since: nobody is given that.
    let weights = kept.join("adapter/adapters.safetensors");
    let whole = fs::read(&weights).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&weights, damaged).unwrap();
    store.make_room();
    let second = again(&first);
    worker.take(second.clone(), None);
    let adapter = adapter(&finished(&worker, id(&second)).await);
    assert!(trained(&worker, &second), "it is run again");
    assert_eq!(adapter.file("adapters.safetensors").unwrap().digest, Digest::of(&whole), "and gives the same bits");
}

#[tokio::test]
async fn a_worker_that_is_told_to_go_keeps_what_it_could_not_send() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Store::default());
    let worker = worker_of(&dir, &store.serve().await);
    let first = run();
    worker.take(first.clone(), None);
    refused(&worker, &store, &first).await;
    worker.attempts.stop(id(&first), Stop::WorkerLeaves);
    let last = finished(&worker, id(&first)).await;
    assert!(matches!(last.outcome, Some(finished::Outcome::Failure(_))), "{last:?}");
    worker.attempts.acknowledged(id(&first), reports(&worker, id(&first)).last().unwrap().number);
    assert!(worker.attempts.is_empty());
    store.make_room();
    let second = again(&first);
    worker.take(second.clone(), None);
    adapter(&finished(&worker, id(&second)).await);
    assert!(!trained(&worker, &second));
}
