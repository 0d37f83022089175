//! Blobs in a bucket: the same job over the S3 protocol, spoken by a server in the test's process.

use crate::{recipe, turn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::path::Path;
use tokio::net::TcpListener;
use vertigo::v1::JobState;
use vertigo_tests::Fleet;

/// Serves the buckets in `folder` to whoever signs with the key pair.
async fn bucket_server(folder: &Path, key: &str, secret: &str) -> String {
    let mut service = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
    service.set_auth(SimpleAuth::from_single(key, secret));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_with_its_artifacts_in_a_bucket() {
    let _turn = turn().await;
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("weights")).unwrap();
    let endpoint = bucket_server(root.path(), "vertigo", "a-secret").await;
    let environment = [
        ("AWS_ACCESS_KEY_ID", "vertigo"),
        ("AWS_SECRET_ACCESS_KEY", "a-secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    let mut fleet = Fleet::start_with("30s", Some("s3://weights/team"), &environment);
    fleet.start_worker("mac", "4GiB");
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    let file = fleet.write("short.yaml", &recipe(6, ""));
    let id = fleet.train(&file, &["--name", "kept"]).await;
    let job = fleet.ended(&id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);

    // The coordinator may be another process by the time that it is asked for: the bytes are in the bucket, not with it.
    fleet.coordinator().kill();
    fleet.start_coordinator();
    let folder = fleet.folder("fetched");
    fleet.cli(&["get", "kept", &folder.to_string_lossy()]).await.ok();
    let weights = std::fs::read(folder.join("adapters.safetensors")).unwrap();
    let hex = vertigo::id::Digest::of(&weights).hex();
    let kept = root.path().join("weights/team/blobs/sha256").join(&hex[..2]).join(&hex);
    assert_eq!(std::fs::read(&kept).unwrap_or_else(|e| panic!("{}: {e}", kept.display())), weights);
    let local = fleet.folder("coordinator").join("blobs");
    assert!(!local.exists(), "{} is not used beside the bucket", local.display());
}
