//! Somebody who is revoked: what it has open ends at once, and nothing of it is answered again.

use super::{ask, closed, reached, revoke, somebody};
use crate::harness::{Heart, Worker, hello, soon};
use reqwest::Body;
use std::time::{Duration, Instant};
use tokio_stream::wrappers::ReceiverStream;
use vertigo::api_error::ErrorCode;
use vertigo::id::Digest;
use vertigo::principal::Role;
use vertigo::v1::{self, fleet_client::FleetClient, jobs_client::JobsClient};

/// What the issue promises is a second. A machine that is busy with other tests may take longer for it, and what it took is said.
const SECOND: Duration = Duration::from_secs(1);

fn took(what: &str, since: Instant) {
    let took = since.elapsed();
    println!("{what} ended {took:?} after the revocation was asked for");
    assert!(took < 20 * SECOND, "{what}: {took:?}");
}

#[tokio::test]
async fn a_session_ends_and_its_worker_is_refused_and_its_job_goes_elsewhere() {
    let coordinator = closed().await;
    coordinator.import().await;
    let mac = somebody(&coordinator, Role::Worker, "mac").await;
    let greeting = hello(mac.worker.unwrap(), "mac", &[]);
    let mut worker = Worker::over(FleetClient::new(mac.access.channel()), greeting.clone()).await.unwrap();
    let heart = Heart::of(&worker);
    let job = coordinator.submit("tutor").await;
    let given = worker.assignment().await;
    heart.holds(&given);
    let since = Instant::now();
    revoke(&coordinator, &mac.identity.principal).await;
    let ended = soon("the session's end", worker.incoming()).await;
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    took("a session", since);
    // Neither on the channel that it has, which connects again, nor on another.
    for access in [mac.access.clone(), reached(&mac.identity)] {
        let again = Worker::over(FleetClient::new(access.channel()), greeting.clone()).await.err().unwrap();
        assert_eq!(ErrorCode::of(&again), Some(ErrorCode::Stranger), "{again}");
        let renew = ask(&access, "/vertigo.v1.Access/Renew").await.unwrap_err();
        assert_eq!(ErrorCode::of(&renew), Some(ErrorCode::Stranger), "{renew}");
    }
    assert!(coordinator.workers().await.iter().all(|worker| !worker.connected));
    assert_eq!(coordinator.job(&job.id).await.name, "tutor");
}

#[tokio::test]
async fn a_watch_and_events_and_an_upload_end_in_the_middle() {
    let coordinator = closed().await;
    coordinator.import().await;
    let job = coordinator.submit("tutor").await;
    let gone = somebody(&coordinator, Role::Submit, "gone").await;
    let stays = somebody(&coordinator, Role::Submit, "stays").await;
    let watch = |access: &vertigo_client::Access| {
        let mut jobs = JobsClient::new(access.channel());
        let request = v1::WatchRequest { id: job.id.clone(), ..Default::default() };
        async move { jobs.watch(request).await.unwrap().into_inner() }
    };
    let (mut watched, mut kept) = (watch(&gone.access).await, watch(&stays.access).await);
    soon("an event", watched.message()).await.unwrap().unwrap();
    soon("an event", kept.message()).await.unwrap().unwrap();
    let http = gone.access.http().build().unwrap();
    let mut events = http.get(format!("{}/v1/events", coordinator.url)).send().await.unwrap();
    soon("where the events begin", events.chunk()).await.unwrap().unwrap();
    let (chunks, body) = tokio::sync::mpsc::channel::<Result<&'static [u8], std::io::Error>>(1);
    let body = Body::wrap_stream(ReceiverStream::new(body));
    let upload = tokio::spawn(
        http.put(coordinator.blob(Digest::of(b"slow"))).header("content-length", 1 << 20).body(body).send(),
    );
    chunks.send(Ok(b"sl")).await.unwrap();
    let uploads = coordinator.state().join("uploads");
    soon("the upload's first bytes", async {
        while std::fs::read_dir(&uploads).unwrap().count() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let since = Instant::now();
    revoke(&coordinator, &gone.identity.principal).await;
    soon("the watch's end", async { while let Ok(Some(_)) = watched.message().await {} }).await;
    took("a watch", since);
    soon("the events' end", async { while let Ok(Some(_)) = events.chunk().await {} }).await;
    took("events", since);
    assert!(soon("the upload's end", upload).await.unwrap().is_err());
    took("an upload", since);
    let refused = http.get(format!("{}/v1/jobs", coordinator.url)).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let absent = coordinator.http().head(coordinator.blob(Digest::of(b"slow"))).send().await.unwrap();
    assert_eq!(absent.status(), 404, "what was not sent to its end is no blob");

    // Who was not meant has noticed nothing.
    coordinator.cancel(&job.id).await.unwrap();
    soon("the other watch's end", async { while kept.message().await.unwrap().is_some() {} }).await;
}

#[tokio::test]
async fn a_worker_that_joins_again_ends_the_connections_of_the_one_that_it_replaces() {
    let coordinator = closed().await;
    let mac = somebody(&coordinator, Role::Worker, "mac").await;
    let greeting = hello(mac.worker.unwrap(), "mac", &[]);
    let mut before = Worker::over(FleetClient::new(mac.access.channel()), greeting.clone()).await.unwrap();
    let token = super::token(&coordinator, Role::Worker, 1, "").await;
    let newcomer = vertigo_client::joining::Newcomer {
        name: Some(super::name("mac")),
        otherwise: None,
        worker: mac.worker.map(super::installed),
    };
    let identity = vertigo_client::joining::join(&token, &newcomer).await.unwrap();
    let ended = soon("the session's end", before.incoming()).await;
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    let mut fleet = None;
    soon("a session of the new certificate", async {
        // Until the end of the one before has been noted.
        while fleet.is_none() {
            fleet = Worker::over(FleetClient::new(reached(&identity).channel()), greeting.clone()).await.ok();
        }
    })
    .await;
}
