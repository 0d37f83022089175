//! Requests that mean no good.

use super::client::{post, question};
use super::stand_in::{Running, settings};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use vertigo_port::Limits;
use vertigo_serving::{Bounds, Intake, Settings};
use vertigo_testkit::waiting::{eventually, soon};

const CHAT: &str = "/v1/chat/completions";

fn refused(reply: &super::client::Reply, status: u16, words: &str) {
    assert_eq!(reply.status, status, "{reply:?}");
    let error = reply.json()["error"].clone();
    assert!(error["message"].as_str().unwrap().contains(words), "{error}");
}

#[tokio::test]
async fn bodies_that_are_no_request_are_refused() {
    let server = Running::new().await;
    let deep = "[".repeat(100_000);
    let mut no_text = question("say a").to_string().into_bytes();
    let at = no_text.len() / 2;
    no_text[at] = 0xff;
    for body in [&b""[..], b"{", b"nonsense", deep.as_bytes(), &no_text, b"\x00\x01\x02"] {
        refused(&server.post(CHAT, body).await, 400, "not JSON");
    }
    refused(&server.post(CHAT, b"[1, 2]").await, 400, "object");
    assert_eq!(server.world.asked.lock().unwrap().len(), 0);
    assert_eq!(server.chat(&question("say a")).await.status, 200);
}

#[tokio::test]
async fn a_body_has_a_bound_whether_it_says_its_length_or_not() {
    let intake = Intake { body_bytes: 100_000, ..Intake::default() };
    let server = Running::with(Settings { intake, ..settings() }, Bounds::default()).await;
    let large = vec![b' '; 1_000_000];
    refused(&server.post(CHAT, &large).await, 413, "100000");
    let head =
        format!("POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    let chunk = [b"10000\r\n", &vec![b' '; 0x10000][..], b"\r\n"].concat();
    let chunked = [head.as_bytes(), &chunk.repeat(10), b"0\r\n\r\n"].concat();
    refused(&server.raw(&chunked).await, 413, "100000");
    assert_eq!(server.chat(&question("say a")).await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_waited_for_so_long() {
    let intake = Intake { patience: Duration::from_millis(100), ..Intake::default() };
    let server = Running::with(Settings { intake, ..settings() }, Bounds::default()).await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 50\r\n\r\n{{");
    refused(&server.raw(head.as_bytes()).await, 408, "did not come");
}

#[tokio::test]
async fn bodies_that_dawdle_share_a_bound_of_memory() {
    let intake = Intake { bodies_bytes: 96 << 10, ..Intake::default() };
    let server = Running::with(Settings { intake, ..settings() }, Bounds::default()).await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n");
    let part = [head.as_bytes(), &vec![b' '; 40 << 10]].concat();
    let dawdling = server.dial(&part).await;
    // Until the part of the first has been read, the second finds room for what it becomes.
    let second = vec![b' '; 40 << 10];
    let reply = loop {
        let reply = server.post(CHAT, &second).await;
        if reply.status != 400 {
            break reply;
        }
    };
    refused(&reply, 503, "large requests");
    assert_eq!(server.chat(&question("say a")).await.status, 200, "a small one has room");
    drop(dawdling);
    let reply = loop {
        let reply = server.post(CHAT, &second).await;
        if reply.status != 503 {
            break reply;
        }
    };
    refused(&reply, 400, "not JSON");
}

#[tokio::test]
async fn ten_thousand_connections_lock_nobody_out() {
    let limits = Limits::of_descriptors(200).unwrap();
    let server = Running::with(Settings { limits, ..settings() }, Bounds::default()).await;
    server.world.pause();
    let mut stream = server.stream(question("forever")).await;
    server.world.allow(2);
    stream.text().await;
    let mut silent: Vec<TcpStream> = Vec::new();
    for n in 0..10_000 {
        let connection = TcpStream::connect(server.address).await.unwrap();
        if silent.len() < 300 {
            silent.push(connection);
        } else {
            silent[n % 300] = connection;
        }
    }
    server.world.go_on();
    assert_eq!(server.chat(&question("say a")).await.json()["choices"][0]["message"]["content"], "a");
    stream.text().await;
    // More are open at this end than may be at the other: it has closed the oldest.
    let mut byte = [0];
    let oldest = &mut silent[(10_000 - 300) % 300];
    let _ = soon("the oldest to be closed", oldest.read(&mut byte)).await;
}

#[tokio::test]
async fn answers_that_take_all_their_places_leave_room_to_look() {
    let limits = Limits::of_descriptors(64).unwrap();
    let server = Running::with(Settings { limits, ..settings() }, Bounds::default()).await;
    // Each has a token and makes no more: who falls behind gives up the place.
    server.world.pause();
    let mut streams = Vec::new();
    for number in 1..=limits.requests / 2 {
        let mut stream = server.stream(question("forever")).await;
        eventually("its place", || (server.running() == number).then_some(())).await;
        server.world.allow(2);
        stream.text().await;
        streams.push(stream);
    }
    let reply = server.raw(&post(CHAT, question("say a").to_string().as_bytes(), "Connection: close\r\n")).await;
    refused(&reply, 503, "room");
    assert_eq!(server.get("/health").await.status, 200);
    drop(streams);
    server.world.go_on();
    soon("room", async { while server.chat(&question("say a")).await.status != 200 {} }).await;
}
