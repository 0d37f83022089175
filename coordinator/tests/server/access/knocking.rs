//! Whoever has no certificate: it may knock, and however it knocks, it keeps nobody else out.

use super::frames::{PREFACE, frame, head};
use super::{HOUR, certificates, closed, stranger, token};
use crate::harness::{Coordinator, soon};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use vertigo::principal::Role;
use vertigo::v1::{self, access_client::AccessClient};
use vertigo_access::anchor::Fingerprint;
use vertigo_access::tls::Joining;
use vertigo_coordinator::serve::connections::Limits;

/// As with 64 descriptors, and no connection is closed for its age but by what a test says.
fn few(first_request: Duration) -> Limits {
    Limits { first_request, idle: HOUR, ..Limits::of_descriptors(64).unwrap() }
}

/// A connection whose handshake is done, without a certificate.
async fn shaken(coordinator: &Coordinator, anchor: Fingerprint, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut config = Joining::new(anchor).config().unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(coordinator.url.strip_prefix("https://").unwrap()).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap()
}

/// Asks many times on one connection, in a way that never comes to an end, and gives the connection.
async fn never_ending(
    coordinator: &Coordinator,
    anchor: Fingerprint,
    method: &str,
    path: &str,
    is_grpc: bool,
) -> TlsStream<TcpStream> {
    let mut stream = shaken(coordinator, anchor, b"h2").await;
    let mut sends = PREFACE.to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0: no byte of an answer's body can be sent.
    sends.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    for n in 0..40u32 {
        // END_HEADERS; of what is read, END_STREAM too. A body that was announced never comes.
        let flags = if is_grpc { 4 } else { 5 };
        sends.extend(frame(1, flags, 2 * n + 1, &head(method, path, is_grpc)));
    }
    stream.write_all(&sends).await.unwrap();
    stream
}

#[tokio::test]
async fn strangers_whose_requests_never_end_keep_nobody_out() {
    let coordinator = Coordinator::with_certificates(certificates(HOUR, None), few(HOUR)).await;
    coordinator.import().await;
    let anchor = token(&coordinator, Role::Read, 1, "").await.anchor;
    let mut open = Vec::new();
    for (method, path, is_grpc) in [
        ("POST", "/vertigo.v1.Access/Join", true),
        ("GET", "/health", false),
        ("GET", "/v1/jobs", false),
        ("GET", "/v1/events", false),
        ("GET", "/vertigo.v1.Fleet/Session", false),
        ("GET", "/vertigo.v1.Jobs/Watch", false),
    ] {
        for _ in 0..4 {
            let mut stream = never_ending(&coordinator, anchor, method, path, is_grpc).await;
            // Something has been answered: all of it has come.
            let mut answer = [0; 64];
            soon("an answer's beginning", stream.read(&mut answer)).await.unwrap();
            open.push(stream);
        }
        // An administrator, on a connection of its own, and one that is new.
        coordinator.jobs().list(v1::ListJobsRequest::default()).await.unwrap_or_else(|refused| {
            panic!("while strangers ask {method} {path}: {refused}");
        });
        let status = coordinator.put(path.as_bytes()).await.status();
        assert!(status.is_success(), "while strangers ask {method} {path}: {status}");
    }
}

#[tokio::test]
async fn a_strangers_connection_ends_by_itself_whatever_it_asks() {
    let coordinator = Coordinator::with_certificates(certificates(HOUR, None), few(Duration::from_secs(2))).await;
    let anchor = token(&coordinator, Role::Read, 1, "").await.anchor;
    let begun = Instant::now();
    let mut join = never_ending(&coordinator, anchor, "POST", "/vertigo.v1.Access/Join", true).await;
    let mut health = never_ending(&coordinator, anchor, "GET", "/health", false).await;
    for stream in [&mut join, &mut health] {
        let mut read = Vec::new();
        // An error is a connection that was closed without a goodbye of TLS's.
        let _ = soon("the connection's end", stream.read_to_end(&mut read)).await;
    }
    // Not for the pings that it leaves unanswered, which is known after 40 s: there may be programs that answer them.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    coordinator.jobs().list(v1::ListJobsRequest::default()).await.unwrap();
}

#[tokio::test]
async fn what_a_stranger_sends_is_small() {
    let coordinator = closed().await;
    let stranger = stranger(&coordinator).await;
    for bytes in [64 << 10, 3 << 20] {
        let request = v1::JoinRequest { request: vec![7; bytes], ..Default::default() };
        let refused = AccessClient::new(stranger.channel()).join(request).await.unwrap_err();
        // Refused by its announced length, before it is read.
        assert_eq!(refused.code(), Code::OutOfRange, "{bytes} bytes: {refused}");
    }
}

#[tokio::test]
async fn nothing_below_tls_1_3_and_nothing_in_the_clear_is_answered() {
    let coordinator = closed().await;
    let address = coordinator.url.strip_prefix("https://").unwrap().to_owned();
    let sent: [&[u8]; 4] = [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        // A hello of SSLv2's, and one of TLS 1.2 whose lengths lead nowhere.
        b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10\x01\0\x80",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
    ];
    for bytes in sent {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut answer)).await;
        // An alert is 7 bytes, and says nothing of who is there.
        assert!(answer.len() <= 7 && (answer.is_empty() || answer[0] == 21), "{bytes:?}: {answer:?}");
    }
}
