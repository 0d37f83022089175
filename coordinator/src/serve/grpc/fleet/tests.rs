//! A session over a store of blobs that does not answer.

use super::*;
use crate::blobs::Blobs;
use crate::core::Settings;
use crate::keep::{Collector, Keep};
use crate::serve::grpc::{Sessions, router};
use crate::store::Store;
use crate::store::tests::submit;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use std::sync::Arc;
use vertigo::id::{Digest, JobId};
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::v1::coordinator_message::Message as FromCoordinator;
use vertigo::v1::fleet_client::FleetClient;
use vertigo_client::Access;
use vertigo_testkit::coordinator::listen;
use vertigo_testkit::waiting::soon;

/// Longer than any test.
const LEASE: Duration = Duration::from_secs(600);

fn checkpoint() -> v1::Report {
    let file = FileEntry { path: "f".to_owned(), digest: Digest::of(b"f"), bytes: Bytes(1) };
    let manifest_json = Manifest::new(Kind::Checkpoint, vec![file], Default::default()).unwrap().to_json();
    let body = report::Body::Checkpoint(v1::Checkpoint { iter: 1, manifest_json });
    v1::Report { number: 1, at_ms: 1, body: Some(body) }
}

#[tokio::test]
async fn a_store_of_blobs_that_is_away_does_not_keep_heartbeats_from_renewing_the_lease() {
    let folder = tempfile::tempdir().unwrap();
    let away = ThrottleConfig { wait_get_per_call: LEASE, ..ThrottleConfig::default() };
    let store = Arc::new(ThrottledStore::new(InMemory::new(), away));
    let blobs = Blobs::new(store, Default::default(), &folder.path().join("uploads")).unwrap();
    let lease_ms = LEASE.as_millis() as u64;
    let sessions = Sessions::new(lease_ms);
    let outbox = sessions.clone();
    let deliver = Box::new(move |session, message| outbox.deliver(session, message));
    let (store, _writer) =
        Store::open(folder.path(), Settings { lease_ms }, Box::new(crate::kinds::Catalog), deliver).unwrap();
    let api = crate::api::Api::new(store.clone(), blobs.clone(), Collector::new(store.clone(), blobs, Keep::default()));
    let context = Context { api, sessions, lease: LEASE };
    let (listener, endpoint) = listen().await;
    let access = Access::plain(endpoint).unwrap();
    let routes = router(context).layer(axum::Extension(crate::api::Caller::local()));
    let server = tokio::spawn(axum::serve(listener, routes).into_future());

    let say = |message| v1::WorkerMessage { message: Some(message) };
    let (sender, receiver) = mpsc::channel(8);
    let machine = Some(v1::Machine { usable_bytes: 100, gpu_slots: 1, ..Default::default() });
    let (worker_id, process) = (WorkerId::new().to_string(), ProcessId::new().to_string());
    let hello = v1::Hello {
        worker_id,
        name: "mac".to_owned(),
        machine,
        held: vec![],
        secret: vec![1; 32],
        process,
        ..Default::default()
    };
    sender.send(say(Message::Hello(hello))).await.unwrap();
    let mut session =
        FleetClient::new(access.channel()).session(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    store.apply(submit(JobId::new(), None)).await.unwrap();
    let given = loop {
        if let Some(FromCoordinator::Assignment(given)) = session.message().await.unwrap().unwrap().message {
            break given;
        }
    };
    let (attempt_id, epoch) = (given.attempt_id, given.epoch);
    let attempt: AttemptId = attempt_id.parse().unwrap();
    let deadline = || async { store.read(move |core| core.lease_deadline(attempt)).await.unwrap().unwrap() };
    let before = deadline().await;

    let batch = v1::ReportBatch { attempt_id: attempt_id.clone(), epoch, reports: vec![checkpoint()] };
    sender.send(say(Message::Reports(batch))).await.unwrap();
    let renewed = async {
        while deadline().await <= before {
            let held = vec![v1::Held { attempt_id: attempt_id.clone(), epoch }];
            sender
                .send(say(Message::Heartbeat(v1::Heartbeat { free_bytes: 1, held, ..Default::default() })))
                .await
                .unwrap();
        }
    };
    soon("heartbeats that are heard", renewed).await;
    server.abort();
}
