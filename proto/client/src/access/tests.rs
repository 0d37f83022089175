//! A real port with certificates of a test's own, reached over gRPC and over HTTP: what works, and what each failure is called.

use super::*;
use crate::blobs::Blobs;
use crate::meter::Meter;
use crate::tries::Tries;
use crate::{Transfer, TransferError};
use axum::Extension;
use axum::body::Bytes as Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::v1::artifacts_server::{Artifacts, ArtifactsServer};
use vertigo::v1::{
    Artifact, GetArtifactRequest, ListArtifactsRequest, ListArtifactsResponse, MissingBlobsRequest,
    MissingBlobsResponse, RegisterArtifactRequest,
};
use vertigo_port::{Limits, Peer, Peers, Port, Rules, Wire, Work};
use vertigo_testkit::authority::{Authority, Leaf};
use vertigo_testkit::waiting::soon;

const CONTENT: &[u8] = b"weights";

const LIMITS: Limits =
    Limits { connections: 64, requests: 32, first_request: Duration::from_secs(60), idle: Duration::from_secs(60) };

/// A store that has nothing, of which nobody without a certificate learns.
struct Guarded;

#[tonic::async_trait]
impl Artifacts for Guarded {
    async fn missing_blobs(
        &self,
        asked: Request<MissingBlobsRequest>,
    ) -> Result<Response<MissingBlobsResponse>, Status> {
        let peer = asked.extensions().get::<Peer>().expect("a port says who asks");
        if peer.is_tls && peer.certificate.is_none() {
            return Err(Status::permission_denied("without a certificate"));
        }
        Ok(Response::new(MissingBlobsResponse { digests: asked.into_inner().digests }))
    }

    async fn register(&self, _: Request<RegisterArtifactRequest>) -> Result<Response<Artifact>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn get(&self, _: Request<GetArtifactRequest>) -> Result<Response<Artifact>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn list(&self, _: Request<ListArtifactsRequest>) -> Result<Response<ListArtifactsResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

/// What was put, by whom.
type Put = Arc<Mutex<Vec<(Peer, Vec<u8>)>>>;

async fn put(State(all): State<Put>, Extension(peer): Extension<Peer>, body: Body) -> StatusCode {
    all.lock().unwrap().push((peer, body.to_vec()));
    StatusCode::CREATED
}

/// Serves for as long as the test runs; gives the port, and what is put there.
async fn serve(wire: Wire) -> (u16, Put) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (port, all) = (listener.local_addr().unwrap().port(), Put::default());
    let blobs = get(async || (StatusCode::NOT_FOUND, [("upload-offset", "0")])).put(put);
    let elsewhere = get(async || (StatusCode::FOUND, [("location", "/v1/blobs/x")]));
    let http = axum::Router::new().route("/v1/blobs/{digest}", blobs).route("/elsewhere", elsewhere);
    let grpc = tonic::service::Routes::new(ArtifactsServer::new(Guarded)).prepare().into_axum_router();
    let refuse = |_: &axum::http::request::Parts, _| StatusCode::SERVICE_UNAVAILABLE.into_response();
    let rules = Rules { known_as: |_| None, work: |_| Work::Request, refuse };
    let open = Port { limits: LIMITS, rules, wire, peers: Peers::new() };
    tokio::spawn(vertigo_port::serve(listener, grpc.merge(http.with_state(all.clone())), open));
    (port, all)
}

async fn serve_tls(authority: &Authority, leaf: &Leaf) -> (u16, Put) {
    serve(Wire::Tls(Arc::new(authority.server(leaf)))).await
}

fn access(host: &str, port: u16, config: ClientConfig) -> Access {
    Access::new(format!("https://{host}:{port}").parse().unwrap(), Some(Arc::new(config))).unwrap()
}

fn file() -> FileEntry {
    FileEntry { path: "file".to_owned(), digest: Digest::of(CONTENT), bytes: Bytes(CONTENT.len() as u64) }
}

/// Pushes an artifact: a call over gRPC, then a blob over HTTP.
async fn push(access: &Access) -> Result<(), TransferError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), CONTENT).unwrap();
    let manifest = Manifest::new(Kind::Adapter, vec![file()], BTreeMap::new()).unwrap();
    soon("a push", Transfer::new(access).push(folder.path(), &manifest, &|_| {})).await
}

/// Puts a blob over HTTP.
async fn put_blob(access: &Access) -> Result<(), TransferError> {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path().join("file"), file());
    fs::write(&path, CONTENT).unwrap();
    let (blobs, meter) = (Blobs::new(access), Meter::new(&|_| {}, CONTENT.len() as u64));
    soon("a put", blobs.put_once(&path, &file, &meter, &mut Tries::default())).await
}

/// What is said where neither gets through, over gRPC and over HTTP.
async fn failures(access: &Access) -> [String; 2] {
    let (call, blob) = (push(access).await.unwrap_err(), put_blob(access).await.unwrap_err());
    assert!(matches!(call, TransferError::Rpc(_)) && call.is_transient(), "{call:?}");
    assert!(matches!(blob, TransferError::Connection { .. }), "{blob:?}");
    [call.to_string(), blob.to_string()]
}

#[tokio::test]
async fn calls_and_blobs_go_over_tls_with_our_certificate() {
    let authority = Authority::new();
    let (server, ann) = (authority.issue("server"), authority.issue("ann"));
    let (port, all) = serve_tls(&authority, &server).await;
    for host in ["127.0.0.1", "localhost"] {
        let access = access(host, port, authority.client(Some(&ann)));
        push(&access).await.unwrap();
        let (peer, content) = all.lock().unwrap().pop().unwrap();
        assert_eq!((peer.certificate, content.as_slice()), (Some(ann.certificate.clone()), CONTENT));
    }
    let nobody = access("localhost", port, authority.client(None));
    let refused = push(&nobody).await.unwrap_err();
    assert!(refused.to_string().contains("without a certificate") && !refused.is_transient(), "{refused}");
}

#[tokio::test]
async fn without_tls_all_of_it_is_as_before() {
    let (port, all) = serve(Wire::Plain).await;
    push(&Access::plain(format!("http://127.0.0.1:{port}").parse().unwrap()).unwrap()).await.unwrap();
    let peer = Peer { address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), ..Peer::default() };
    assert_eq!(all.lock().unwrap().as_slice(), [(peer, CONTENT.to_vec())]);
}

#[tokio::test]
async fn whom_we_do_not_trust_is_told_from_one_whose_certificate_expired() {
    let (ours, other) = (Authority::new(), Authority::new());
    let client = || ours.client(Some(&ours.issue("ann")));
    let expired = ours.issue_for_years("server", 2001, 2002);
    for (authority, leaf, words) in [
        (&other, other.issue("server"), "not of the expected authority"),
        (&ours, expired, "expired at 2002-01-01T00:00:00Z (the clock here says 2"),
        (&ours, ours.issue_for_years("server", 3000, 3001), "not valid before 3000-01-01T00:00:00Z"),
        (&ours, ours.issue_on("server", "studio.local"), "is of studio.local and not of localhost"),
    ] {
        let (port, all) = serve_tls(authority, &leaf).await;
        for said in failures(&access("localhost", port, client())).await {
            assert!(said.contains(words), "{said}");
        }
        assert!(all.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_refused_certificate_of_ours_is_told_as_such_each_time() {
    let (ours, other) = (Authority::new(), Authority::new());
    let (port, _) = serve_tls(&ours, &ours.issue("server")).await;
    let expired = ours.issue_for_years("ann", 2001, 2002);
    for (leaf, words) in [(other.issue("ann"), "not of its authority"), (expired, "expired or not valid yet")] {
        let access = access("localhost", port, ours.client(Some(&leaf)));
        for _ in 0..10 {
            for said in failures(&access).await {
                assert!(said.contains("the coordinator refused our certificate") && said.contains(words), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_told_as_such() {
    let (port, _) = serve(Wire::Plain).await;
    let authority = Authority::new();
    for said in failures(&access("localhost", port, authority.client(None))).await {
        assert!(said.contains("speaks no TLS"), "{said}");
    }
    // One that hangs up.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let [call, _] = failures(&access("localhost", port, authority.client(None))).await;
    assert!(call.contains("in the middle of the handshake"), "{call}");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_an_end_is_given_up() {
    // Whoever connects is taken by the system, and nobody answers.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (port, begun) = (listener.local_addr().unwrap().port(), Instant::now());
    let access = access("localhost", port, Authority::new().client(None));
    let (call, blob) = tokio::join!(push(&access), put_blob(&access));
    assert!(call.unwrap_err().is_transient() && blob.unwrap_err().is_transient());
    assert!(begun.elapsed() < CONNECT * 4, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn no_client_of_ours_trusts_what_it_was_not_told_to_nor_goes_elsewhere() {
    let authority = Authority::new();
    let (port, _) = serve_tls(&authority, &authority.issue("server")).await;
    let url = format!("https://localhost:{port}/elsewhere");
    let plain = Access::plain(Endpoint::default()).unwrap();
    for client in [plain.http(), http_in_the_clear()] {
        let refused = client.build().unwrap().get(&url).send().await.unwrap_err();
        assert!(crate::trouble(&refused).unwrap().contains("authority"), "{refused:?}");
    }
    let client = access("localhost", port, authority.client(None)).http().build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().status(), StatusCode::FOUND);
    let clear = client.get(format!("http://localhost:{port}/elsewhere")).send().await.unwrap_err();
    assert!(clear.is_builder(), "{clear:?}");
}

#[test]
fn an_address_and_certificates_have_to_go_together() {
    let config = Arc::new(Authority::new().client(None));
    let (tls, clear): (Endpoint, _) = ("https://mini:7420".parse().unwrap(), Endpoint::default());
    let none = Access::plain(tls.clone()).unwrap_err();
    assert_eq!(none, AccessError::NoCertificate(tls.clone()));
    assert!(none.to_string().contains("vertigo login") && none.to_string().contains("vertigo-worker join"), "{none}");
    let in_the_clear = Access::new(clear.clone(), Some(config.clone())).unwrap_err();
    assert!(in_the_clear.to_string().contains("https://127.0.0.1:7420"), "{in_the_clear}");
    assert_eq!(Access::new(tls.clone(), Some(config)).unwrap().endpoint(), &tls);
    assert_eq!(Access::plain(clear.clone()).unwrap().endpoint(), &clear);
}
