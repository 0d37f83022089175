//! Connections that say nothing, or half of something, and those that must get through all the same.

use super::harness::{Coordinator, Heart, soon};
use futures::StreamExt;
use reqwest::StatusCode;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vertigo::api_error::ErrorCode;
use vertigo::id::Digest;
use vertigo::v1;
use vertigo_coordinator::serve::connections::Limits;

/// As with 64 descriptors, and no connection is closed for its age.
fn few() -> Limits {
    let hour = Duration::from_secs(3600);
    Limits { first_request: hour, idle: hour, ..Limits::of_descriptors(64).unwrap() }
}

async fn dial(coordinator: &Coordinator, sends: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(coordinator.url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(sends).await.unwrap();
    stream
}

/// Waits until the coordinator closes the connection.
async fn closed(what: &str, mut stream: TcpStream) {
    let mut read = Vec::new();
    // An error is a connection that was closed before it had read all that was sent.
    let _ = soon(what, stream.read_to_end(&mut read)).await;
}

#[tokio::test]
async fn idle_connections_lock_nobody_out_and_what_is_in_flight_stays() {
    let coordinator = Coordinator::with_limits(few()).await;
    coordinator.import().await;
    let mut early = coordinator.worker("early").await;
    let heart = Heart::of(&early);
    let job = coordinator.submit("tutor").await;
    let given = early.assignment().await;
    heart.holds(&given);
    let mut watch = coordinator.watch(&job.id, 0).await;
    soon("the first event", watch.message()).await.unwrap().unwrap();
    // An upload that has begun and pauses.
    let digest = Digest::of(b"slow");
    let (chunks, body) = tokio::sync::mpsc::channel::<Result<&'static [u8], std::io::Error>>(1);
    let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    let upload = tokio::spawn(reqwest::Client::new().put(coordinator.blob(digest)).body(body).send());
    chunks.send(Ok(b"sl")).await.unwrap();
    soon("the upload's first bytes", async {
        while std::fs::read_dir(coordinator.state().join("uploads")).unwrap().count() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let silent: Vec<_> = futures::stream::iter(0..90).then(|_| dial(&coordinator, b"")).collect().await;
    let late = coordinator.worker("late").await;
    assert_eq!(coordinator.job(&job.id).await.state(), v1::JobState::Leased);

    // None of those that were there has noticed anything.
    chunks.send(Ok(b"ow")).await.unwrap();
    drop(chunks);
    assert_eq!(soon("the upload's end", upload).await.unwrap().unwrap().status(), StatusCode::CREATED);
    assert!(coordinator.workers().await.iter().all(|worker| worker.connected), "{:?}", late.id);
    coordinator.cancel(&job.id).await.unwrap();
    assert_eq!(early.stop().await.attempt_id, given.attempt_id);
    soon("the watch's end", async { while watch.message().await.unwrap().is_some() {} }).await;
    drop(silent);
}

#[tokio::test]
async fn requests_that_take_all_their_places_leave_room_for_a_session() {
    let limits = few();
    let coordinator = Coordinator::with_limits(limits).await;
    coordinator.import().await;
    let job = coordinator.submit("").await;
    let mut watches = Vec::new();
    for _ in 0..limits.requests / 2 {
        watches.push(coordinator.watch(&job.id, 0).await);
    }
    // Feeds, which may have no end, leave half of the places to others.
    let ask = v1::WatchRequest { id: job.id.clone(), ..Default::default() };
    let refused = coordinator.jobs().watch(ask).await.unwrap_err();
    assert_eq!(ErrorCode::of(&refused), Some(ErrorCode::Busy));
    let events = reqwest::get(format!("{}/v1/events", coordinator.url)).await.unwrap();
    assert_eq!(events.status(), StatusCode::SERVICE_UNAVAILABLE);
    coordinator.jobs().list(v1::ListJobsRequest::default()).await.unwrap();

    // Uploads that have begun and pause have the others.
    let mut uploads = Vec::new();
    for n in limits.requests / 2..limits.requests {
        let digest = Digest::of(&n.to_le_bytes());
        let head = format!("PUT /v1/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n");
        uploads.push(dial(&coordinator, head.as_bytes()).await);
    }
    let full = async {
        loop {
            match coordinator.jobs().list(v1::ListJobsRequest::default()).await {
                Err(refused) => return refused,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let refused = soon("no place", full).await;
    assert_eq!((refused.code(), ErrorCode::of(&refused)), (tonic::Code::ResourceExhausted, Some(ErrorCode::Busy)));
    let head = reqwest::Client::new().head(coordinator.blob(Digest::of(b"x"))).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::SERVICE_UNAVAILABLE);
    let mut worker = coordinator.worker("mac").await;
    assert_eq!(worker.assignment().await.job_id, job.id);

    drop((watches, uploads));
    soon("room", async { while coordinator.jobs().list(v1::ListJobsRequest::default()).await.is_err() {} }).await;
}

#[tokio::test]
async fn half_sent_heads_and_silence_are_closed_and_slow_answers_are_not() {
    let first_request = Duration::from_millis(200);
    let limits = Limits { first_request, idle: first_request, ..few() };
    let coordinator = Coordinator::with_limits(limits).await;
    coordinator.import().await;
    let job = coordinator.submit("").await;
    let mut watch = coordinator.watch(&job.id, 0).await;
    let halves: [(&str, &[u8]); 5] = [
        ("silence", b""),
        ("half a head", b"GET /v1/blobs/sha256:00 HTTP/1.1\r\nHost: 127.0"),
        ("half a preface", b"PRI * HTTP/2.0\r\n\r\nS"),
        ("a preface and no more", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
        // A HEADERS frame of one byte that does not end the headers.
        (
            "half an HTTP/2 head",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82",
        ),
    ];
    for (what, sends) in halves {
        closed(what, dial(&coordinator, sends).await).await;
    }
    // A connection that has been used, and is idle.
    let used = dial(&coordinator, b"HEAD /v1/blobs/x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    closed("an idle connection", used).await;
    // The watch was open all the time.
    coordinator.cancel(&job.id).await.unwrap();
    soon("the watch's end", async { while watch.message().await.unwrap().is_some() {} }).await;
}
