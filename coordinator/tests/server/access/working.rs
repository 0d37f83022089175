//! A worker: what its own attempts need, and nothing else.

use super::{Coordinator, Somebody, closed, somebody};
use crate::harness::{Heart, Worker, hello, manifest};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tonic::Code;
use vertigo::api_error::ErrorCode;
use vertigo::id::{Digest, WorkerId};
use vertigo::manifest::Kind;
use vertigo::principal::Role;
use vertigo::v1::{self, artifacts_client::ArtifactsClient, fleet_client::FleetClient};

async fn session(who: &Somebody, id: WorkerId) -> Result<Worker, tonic::Status> {
    Worker::over(FleetClient::new(who.access.channel()), hello(id, who.identity.principal.as_str(), &[])).await
}

async fn status(who: &Somebody, method: Method, url: String, body: &[u8]) -> StatusCode {
    who.access.http().build().unwrap().request(method, url).body(body.to_vec()).send().await.unwrap().status()
}

/// Ways to write the same address of a blob.
fn spellings(coordinator: &Coordinator, bytes: &[u8]) -> Vec<String> {
    let url = coordinator.blob(Digest::of(bytes));
    let hex = Digest::of(bytes).hex();
    let escaped = format!("%{:02x}{}", hex.as_bytes()[0], &hex[1..]);
    let capitals = url.replace(&hex, &hex.to_uppercase());
    vec![
        url.replace("sha256:", "sha256%3A"),
        url.replace("sha256:", "sha256%3a"),
        url.replace("sha256", "%73ha256"),
        url.replace(&hex, &escaped),
        capitals,
        url,
    ]
}

#[tokio::test]
async fn it_reads_what_its_attempt_was_given_however_that_is_written_and_writes_while_it_has_one() {
    let coordinator = closed().await;
    coordinator.import().await;
    let other = coordinator.upload(Kind::Dataset, "of somebody else", json!({"examples": 1})).await;
    coordinator.register(&other, "private").await;
    let mac = somebody(&coordinator, Role::Worker, "mac").await;
    let mut artifacts = ArtifactsClient::new(mac.access.channel());
    let missing = v1::MissingBlobsRequest { digests: vec![Digest::of(b"{}").to_string()] };
    let get = |reference: &str| v1::GetArtifactRequest { reference: reference.to_owned() };

    let everything = [&b"{}"[..], b"weights", b"of somebody else", b"new"];
    let idle = async || {
        for bytes in everything {
            for url in spellings(&coordinator, bytes) {
                for method in [Method::GET, Method::HEAD, Method::PUT] {
                    assert_eq!(status(&mac, method.clone(), url.clone(), bytes).await, 403, "{method} {url}");
                }
                assert_eq!(status(&mac, Method::POST, format!("{url}/check"), b"").await, 403, "{url}");
            }
        }
    };
    // It is connected, and has nothing to do.
    let mut worker = session(&mac, mac.worker.unwrap()).await.unwrap();
    let heart = Heart::of(&worker);
    idle().await;
    assert_eq!(artifacts.missing_blobs(missing.clone()).await.unwrap_err().code(), Code::PermissionDenied);

    let job = coordinator.submit("tutor").await;
    let given = worker.assignment().await;
    heart.holds(&given);
    for bytes in [&b"{}"[..], b"weights"] {
        let url = coordinator.blob(Digest::of(bytes));
        assert_eq!(status(&mac, Method::GET, url.clone(), b"").await, StatusCode::OK);
        assert_eq!(status(&mac, Method::POST, format!("{url}/check"), b"").await, StatusCode::OK);
        for url in spellings(&coordinator, bytes) {
            let found = status(&mac, Method::GET, url.clone(), b"").await;
            assert!(found == StatusCode::OK || found == StatusCode::FORBIDDEN, "{found} {url}");
        }
    }
    for url in spellings(&coordinator, b"of somebody else") {
        assert_eq!(status(&mac, Method::GET, url.clone(), b"").await, StatusCode::FORBIDDEN, "{url}");
        assert_eq!(status(&mac, Method::POST, format!("{url}/check"), b"").await, StatusCode::FORBIDDEN, "{url}");
    }
    let made = coordinator.blob(Digest::of(b"made"));
    assert_eq!(status(&mac, Method::HEAD, made.clone(), b"").await, StatusCode::NOT_FOUND);
    assert_eq!(status(&mac, Method::PUT, made.clone(), b"made").await, StatusCode::CREATED);
    // It may send it, and not read it back: no input of its attempt is made of it.
    assert_eq!(status(&mac, Method::GET, made, b"").await, StatusCode::FORBIDDEN);
    artifacts.missing_blobs(missing.clone()).await.unwrap();
    artifacts.get(get("luau")).await.unwrap();
    let (denied, absent) = (artifacts.get(get("private")).await, artifacts.get(get("nothing")).await);
    let (denied, absent) = (denied.unwrap_err(), absent.unwrap_err());
    assert_eq!(ErrorCode::of(&denied), Some(ErrorCode::Denied));
    assert_eq!((denied.message(), denied.code()), (absent.message(), absent.code()), "what there is, is not told");
    // It registers nothing by itself: what it makes comes with its report.
    let register = v1::RegisterArtifactRequest {
        manifest_json: manifest(Kind::Adapter, "made", json!({})).to_json(),
        tags: vec!["luau".to_owned()],
    };
    assert_eq!(artifacts.register(register).await.unwrap_err().code(), Code::PermissionDenied);

    // With the attempt its rights end.
    coordinator.cancel(&job.id).await.unwrap();
    worker.stop().await;
    idle().await;
    assert_eq!(artifacts.missing_blobs(missing).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(artifacts.get(get("luau")).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn it_speaks_as_itself_and_as_nobody_else() {
    let coordinator = closed().await;
    let mac = somebody(&coordinator, Role::Worker, "mac").await;
    let studio = somebody(&coordinator, Role::Worker, "studio").await;
    let _studio = session(&studio, studio.worker.unwrap()).await.unwrap();
    for other in [studio.worker.unwrap(), WorkerId::new()] {
        let refused = session(&mac, other).await.err().unwrap();
        assert_eq!(ErrorCode::of(&refused), Some(ErrorCode::Denied), "{refused}");
    }
    session(&mac, mac.worker.unwrap()).await.unwrap();
    assert_eq!(coordinator.workers().await.len(), 2);
    // An administrator is no worker.
    let refused = Worker::over(coordinator.fleet(), hello(WorkerId::new(), "x", &[])).await.err().unwrap();
    assert_eq!(ErrorCode::of(&refused), Some(ErrorCode::Denied));
}
