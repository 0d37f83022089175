//! How much a principal may send within a day.

use super::{HOUR, certificates, somebody};
use crate::harness::{Coordinator, Heart, Worker, hello};
use reqwest::StatusCode;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::principal::Role;
use vertigo::v1::fleet_client::FleetClient;
use vertigo_coordinator::serve::connections::Limits;
use vertigo_coordinator::server::Certificates;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_sent_as_much_as_it_may_waits_and_nobody_else_does() {
    let how = Certificates { upload_quota: Bytes(100), ..certificates(HOUR, None) };
    let coordinator = Coordinator::with_certificates(how, Limits::of_descriptors(1024).unwrap()).await;
    let (ada, bob) =
        (somebody(&coordinator, Role::Submit, "ada").await, somebody(&coordinator, Role::Submit, "bob").await);
    let put = async |who: &super::Somebody, bytes: Vec<u8>| {
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

/// A full run's checkpoints of a few hours pass any quota that holds a person up: it would lose the later ones, and wait with its result, and
/// with its GPU, until the next day.
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
