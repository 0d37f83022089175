//! A port with an authority of its own, and clients that speak HTTP/1.1 by hand.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vertigo_port::{Limits, NotBegun, Peer, Peers, Port, Rules, Wire, serve};
use vertigo_testkit::authority::{Authority, Leaf};

pub(crate) const LIMITS: Limits =
    Limits { connections: 64, requests: 32, first_request: Duration::from_secs(60), idle: Duration::from_secs(60) };

const RULES: Rules = Rules { known_as, work: |_| vertigo_port::Work::Request, refuse };

fn refuse(_: &Parts, error: NotBegun) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
}

/// A port that is open.
pub(crate) struct Open {
    pub(crate) authority: Authority,
    pub(crate) address: SocketAddr,
    pub(crate) peers: Peers,
    /// Requests without an end that are under way.
    pub(crate) endless: Arc<AtomicUsize>,
    serving: JoinHandle<Infallible>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Counts a request for as long as it lives.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(count: &Arc<AtomicUsize>) -> UnderWay {
        count.fetch_add(1, Ordering::SeqCst);
        UnderWay(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// By how many bytes its certificate has.
fn known_as(certificate: &CertificateDer<'_>) -> Option<u128> {
    Some(certificate.len() as u128)
}

/// Says who asks; streams without an end; takes an upload without an end.
fn routes(endless: &Arc<AtomicUsize>) -> Router {
    let (streams, uploads) = (endless.clone(), endless.clone());
    let stream = move || {
        let under_way = UnderWay::new(&streams);
        let chunks = futures::stream::unfold(under_way, |under_way| async move {
            tokio::task::yield_now().await;
            Some((Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1024])), under_way))
        });
        std::future::ready(Body::from_stream(chunks).into_response())
    };
    let upload = move |body: Body| {
        let under_way = UnderWay::new(&uploads);
        async move {
            let read = axum::body::to_bytes(body, usize::MAX).await;
            drop(under_way);
            read.map_or(StatusCode::BAD_REQUEST, |_| StatusCode::OK)
        }
    };
    let who = |Extension(peer): Extension<Peer>| async move {
        assert_eq!(peer.known_as, peer.certificate.as_ref().and_then(known_as));
        let certificate = peer.certificate.map_or("none".to_owned(), |der| format!("{:02x?}", &der[..]));
        format!("tls {} certificate {certificate}", peer.is_tls)
    };
    Router::new().route("/who", get(who)).route("/stream", get(stream)).route("/upload", post(upload))
}

pub(crate) async fn open(limits: Limits) -> Open {
    open_with(limits, |authority| authority.server(&authority.issue("server"))).await
}

pub(crate) async fn open_with(limits: Limits, config: impl FnOnce(&Authority) -> ServerConfig) -> Open {
    let authority = Authority::new();
    let wire = Wire::Tls(Arc::new(config(&authority)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, peers, endless) = (listener.local_addr().unwrap(), Peers::new(), Arc::default());
    let port = Port { limits, rules: RULES, wire, peers: peers.clone() };
    let serving = tokio::spawn(serve(listener, routes(&endless), port));
    Open { authority, address, peers, endless, serving }
}

impl Open {
    pub(crate) async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Shakes hands as whoever `leaf` names.
    pub(crate) async fn connect(&self, leaf: Option<&Leaf>) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_by(self.authority.client(leaf)).await
    }

    pub(crate) async fn connect_by(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(ServerName::from(self.address.ip()), self.socket().await).await
    }

    /// Who the port says that one is who shows `leaf`.
    pub(crate) async fn who(&self, leaf: Option<&Leaf>) -> std::io::Result<String> {
        let mut stream = self.connect(leaf).await?;
        ask(&mut stream, "GET", "/who").await?;
        answer(&mut stream).await
    }
}

/// What the port says of one that shows `leaf`.
pub(crate) fn said(leaf: Option<&Leaf>) -> String {
    let certificate = leaf.map_or("none".to_owned(), |leaf| format!("{:02x?}", &leaf.certificate[..]));
    format!("tls true certificate {certificate}")
}

/// Sends a request's head.
pub(crate) async fn ask(stream: &mut (impl AsyncWrite + Unpin), method: &str, path: &str) -> std::io::Result<()> {
    let upload = if method == "POST" { "transfer-encoding: chunked\r\n" } else { "" };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{upload}\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

/// Reads a short answer, whose body is all that comes after the head.
pub(crate) async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let (mut read, mut into) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse::<usize>().unwrap() {
                return Ok(body.to_owned());
            }
        }
        match stream.read(&mut into).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => read.extend_from_slice(&into[..n]),
        }
    }
}
