//! How connections are ended: by whoever revokes, and for want of room.

use crate::harness::{LIMITS, Open, answer, ask, open, said};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use vertigo_port::Limits;
use vertigo_testkit::authority::Leaf;
use vertigo_testkit::waiting::{eventually, soon};

/// A stream, an upload and an idle connection of one.
async fn busy(port: &Open, leaf: &Leaf) -> [TlsStream<TcpStream>; 3] {
    let mut all = [
        port.connect(Some(leaf)).await.unwrap(),
        port.connect(Some(leaf)).await.unwrap(),
        port.connect(Some(leaf)).await.unwrap(),
    ];
    ask(&mut all[0], "GET", "/stream").await.unwrap();
    all[0].read_exact(&mut vec![0; 10_000]).await.unwrap();
    ask(&mut all[1], "POST", "/upload").await.unwrap();
    all[1].write_all(b"5\r\nhello\r\n").await.unwrap();
    all[1].flush().await.unwrap();
    ask(&mut all[2], "GET", "/who").await.unwrap();
    assert_eq!(answer(&mut all[2]).await.unwrap(), said(Some(leaf)));
    all
}

/// Reads until the connection's end, which has to come.
async fn ends(stream: &mut TlsStream<TcpStream>) {
    let mut into = vec![0; 64 << 10];
    soon("the connection's end", async { while !matches!(stream.read(&mut into).await, Ok(0) | Err(_)) {} }).await;
}

#[tokio::test]
async fn whoever_is_revoked_is_cut_off_within_a_second_and_nobody_else() {
    let port = open(LIMITS).await;
    let (ann, bob) = (port.authority.issue("ann"), port.authority.issue("bob"));
    let (mut hers, mut his) = (busy(&port, &ann).await, busy(&port, &bob).await);
    eventually("all requests", || (port.endless.load(Ordering::SeqCst) == 4).then_some(())).await;
    assert_eq!(port.peers.count(), 6);
    let cut = Instant::now();
    assert_eq!(port.peers.close_where(|peer| peer.certificate.as_ref() == Some(&ann.certificate)), 3);
    for stream in &mut hers {
        ends(stream).await;
    }
    eventually("the end of her requests", || (port.endless.load(Ordering::SeqCst) == 2).then_some(())).await;
    assert!(cut.elapsed() < Duration::from_secs(1), "{:?}", cut.elapsed());
    assert_eq!(port.peers.count(), 3);
    his[0].read_exact(&mut vec![0; 1_000_000]).await.unwrap();
    his[1].write_all(b"0\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    soon("his answer", his[1].read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    ask(&mut his[2], "GET", "/who").await.unwrap();
    assert_eq!(soon("his answer", answer(&mut his[2])).await.unwrap(), said(Some(&bob)));
}

#[tokio::test]
async fn handshakes_that_are_not_finished_keep_nobody_out() {
    let port = open(Limits { connections: 6, requests: 3, ..LIMITS }).await;
    let ann = port.authority.issue("ann");
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(port.socket().await);
        assert_eq!(soon("an answer", port.who(Some(&ann))).await.unwrap(), said(Some(&ann)));
    }
    // The first of them made room long ago.
    assert_eq!(soon("its end", silent[0].read(&mut [0; 8])).await.unwrap_or(0), 0);
}
