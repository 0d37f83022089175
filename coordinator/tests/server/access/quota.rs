//! How much a principal may send within a day.

use super::{HOUR, Somebody, certificates, somebody};
use crate::harness::{Coordinator, Heart, Worker, hello};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE};
use reqwest::{Body, StatusCode};
use std::io;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::principal::Role;
use vertigo::v1::fleet_client::FleetClient;
use vertigo_coordinator::serve::connections::Limits;
use vertigo_coordinator::server::Certificates;
use vertigo_testkit::waiting::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_sent_as_much_as_it_may_waits_and_nobody_else_does() {
    let how = Certificates { upload_quota: Bytes(100), ..certificates(HOUR, None) };
    let coordinator = Coordinator::with_certificates(how, Limits::of_descriptors(1024).unwrap()).await;
    let (ada, bob) =
        (somebody(&coordinator, Role::Submit, "ada").await, somebody(&coordinator, Role::Submit, "bob").await);
    let put = async |who: &Somebody, bytes: Vec<u8>| {
        let http = who.access.http().build().unwrap();
        http.put(coordinator.blob(Digest::of(&bytes))).body(bytes).send().await.unwrap()
    };
    assert_eq!(put(&ada, vec![1; 60]).await.status(), StatusCode::CREATED);
    let refused = put(&ada, vec![2; 60]).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.text().await.unwrap().contains("--upload-quota"));
    assert_eq!(put(&ada, vec![3; 40]).await.status(), StatusCode::CREATED);
    assert_eq!(put(&bob, vec![2; 60]).await.status(), StatusCode::CREATED);
}

const TOTAL: usize = 90;

/// Sends from `from` on and says that all that is left comes, and breaks off once `to` bytes are there. Whoever sent before may still be
/// taken for there; then it asks again.
async fn interrupted(coordinator: &Coordinator, who: &Somebody, content: &[u8], from: usize, to: usize) {
    let (url, http) = (coordinator.blob(Digest::of(content)), who.access.http().build().unwrap());
    until("the sender's turn", async || {
        let (chunks, body) = mpsc::channel(1);
        let put = http
            .put(&url)
            .header(CONTENT_LENGTH, TOTAL - from)
            .header(CONTENT_RANGE, range(from))
            .body(Body::wrap_stream(ReceiverStream::new(body)));
        let put = tokio::spawn(put.send());
        chunks.send(Ok::<_, io::Error>(content[from..to].to_vec())).await.unwrap();
        let is_there = until("the bytes, or an answer", async || {
            let there = http.head(&url).send().await.unwrap();
            let kept: usize = there.headers().get("upload-offset")?.to_str().unwrap().parse().unwrap();
            (kept == to || put.is_finished()).then_some(kept == to)
        })
        .await;
        put.abort();
        is_there.then_some(())
    })
    .await;
}

fn range(from: usize) -> String {
    format!("bytes {from}-{}/{TOTAL}", TOTAL - 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_interrupted_counts_for_what_came_and_breaking_off_gains_nothing() {
    let how = Certificates { upload_quota: Bytes(100), ..certificates(HOUR, None) };
    let coordinator = Coordinator::with_certificates(how, Limits::of_descriptors(1024).unwrap()).await;
    let ada = somebody(&coordinator, Role::Submit, "ada").await;
    let (content, http) = (vec![1; TOTAL], ada.access.http().build().unwrap());
    for (from, to) in [(0, 30), (30, 50), (50, 80)] {
        interrupted(&coordinator, &ada, &content, from, to).await;
    }
    until("the last of it", async || {
        let rest = http.put(coordinator.blob(Digest::of(&content))).header(CONTENT_RANGE, range(80));
        let answer = rest.body(content[80..].to_vec()).send().await.unwrap().status();
        (answer == StatusCode::CREATED).then_some(())
    })
    .await;
    // All of it counts once: ten bytes are left, and not one more.
    for (bytes, status) in [(vec![2; 10], StatusCode::CREATED), (vec![3], StatusCode::TOO_MANY_REQUESTS)] {
        let sent = http.put(coordinator.blob(Digest::of(&bytes))).body(bytes).send().await.unwrap();
        assert_eq!(sent.status(), status);
    }
}

/// A full run's checkpoints of a few hours pass any quota that holds a person up: it would lose the later ones, and wait with its result,
/// and with its GPU, until the next day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_sends_whatever_its_attempt_makes() {
    let how = Certificates { upload_quota: Bytes(100), ..certificates(HOUR, None) };
    let coordinator = Coordinator::with_certificates(how, Limits::of_descriptors(1024).unwrap()).await;
    coordinator.import().await;
    let mac = somebody(&coordinator, Role::Worker, "mac").await;
    let hello = hello(mac.worker.unwrap(), mac.identity.principal.as_str(), &[]);
    let mut worker = Worker::over(FleetClient::new(mac.access.channel()), hello).await.unwrap();
    let heart = Heart::of(&worker);
    coordinator.submit("tutor").await;
    heart.holds(&worker.assignment().await);
    let http = mac.access.http().build().unwrap();
    for checkpoint in 0..5 {
        let bytes = vec![checkpoint; 60];
        let put = http.put(coordinator.blob(Digest::of(&bytes))).body(bytes).send().await.unwrap();
        assert_eq!(put.status(), StatusCode::CREATED, "checkpoint {checkpoint}");
    }
}
