//! Blobs in a bucket: the same job over the S3 protocol, spoken by a server in the test's process.

use crate::{recipe, turn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use vertigo::v1::job_event::Event;
use vertigo::v1::report::Body;
use vertigo::v1::{JobEvent, JobState};
use vertigo_testkit::coordinator::listen;
use vertigo_tests::waiting::until;
use vertigo_tests::{Fleet, Process, luau, said};

/// Whether the bucket takes writes.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<Refusals>);

#[derive(Debug, Default)]
struct Refusals {
    /// The HTTP status that writes are answered with; 0 lets them in.
    status: AtomicU16,
    count: AtomicUsize,
}

impl Gate {
    fn refuses(&self, status: u16) {
        self.0.count.store(0, Ordering::Relaxed);
        self.0.status.store(status, Ordering::Relaxed);
    }

    fn opens(&self) {
        self.0.status.store(0, Ordering::Relaxed);
    }

    /// Waits until `count` writes were refused.
    async fn has_refused(&self, count: usize) {
        until("writes to be refused", || async { (self.0.count.load(Ordering::Relaxed) >= count).then_some(()) }).await;
    }
}

#[tonic::async_trait]
impl S3Access for Gate {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        if request.credentials().is_none() {
            return Err(s3_error!(AccessDenied));
        }
        let writes = ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "CopyObject"];
        let status = self.0.status.load(Ordering::Relaxed);
        if status == 0 || !writes.contains(&request.s3_op().name()) {
            return Ok(());
        }
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Err(if status == 403 { s3_error!(AccessDenied) } else { s3_error!(ServiceUnavailable) })
    }
}

/// Serves the buckets in `folder` to whoever signs with the key pair, and writes as `gate` says.
async fn bucket_server(folder: &Path, key: &str, secret: &str, gate: Gate) -> String {
    let mut service = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
    service.set_auth(SimpleAuth::from_single(key, secret));
    service.set_access(gate);
    let service = service.build();
    let (listener, endpoint) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    endpoint.url().to_owned()
}

/// A fleet whose blobs lie in a bucket below `root`.
async fn fleet(root: &Path, lease: &str, gate: Gate) -> Fleet {
    std::fs::create_dir(root.join("weights")).unwrap();
    let endpoint = bucket_server(root, "vertigo", "a-secret", gate).await;
    let environment = [
        ("AWS_ACCESS_KEY_ID", "vertigo"),
        ("AWS_SECRET_ACCESS_KEY", "a-secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    Fleet::start_with(lease, Some("s3://weights/team"), &environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_with_its_artifacts_in_a_bucket() {
    let _turn = turn().await;
    let root = tempfile::tempdir().unwrap();
    let mut fleet = fleet(root.path(), "30s", Gate::default()).await;
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

/// Waits until a command has said `words`.
async fn says(command: &Process, words: &str) {
    until(words, || async { command.log().contains(words).then_some(()) }).await;
}

/// Whether the finished adapter waits on its worker.
fn waits(event: &JobEvent) -> bool {
    matches!(said(event), Some(Body::Log(line)) if line.text.contains("waits on this worker"))
}

fn starts(event: &JobEvent) -> bool {
    matches!(said(event), Some(Body::Started(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_writes_for_a_while_costs_no_import_and_no_training() {
    let _turn = turn().await;
    let (root, gate) = (tempfile::tempdir().unwrap(), Gate::default());
    let mut fleet = fleet(root.path(), "10s", gate.clone()).await;
    gate.refuses(403);
    let data = luau();
    let import = fleet.cli_beside("import", &["data", "import", "luau", &data.to_string_lossy()]);
    says(&import, "trying again").await;
    let log = import.log();
    assert!(log.contains("503") && log.contains("the object store"), "{log}");
    gate.opens();
    assert!(import.output().0.success(), "{log}");

    gate.refuses(503);
    let base = fleet.cli_beside("base", &["base", "new", "mini", "--data", "luau", "--preset", "mini-4b"]);
    gate.has_refused(3).await;
    gate.opens();
    assert!(base.output().0.success());

    fleet.start_worker("mac", "4GiB");
    gate.refuses(403);
    let id = fleet.train(&fleet.write("short.yaml", &recipe(6, "")), &[]).await;
    fleet.events(&id, waits).await;
    // Its lease ends while nothing can be sent.
    fleet.worker("mac").kill();
    fleet
        .events(&id, |event| matches!(event.event, Some(Event::State(state)) if state == i32::from(JobState::Backoff)))
        .await;
    gate.opens();
    fleet.start_worker("mac", "4GiB");
    let job = fleet.ended(&id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    assert!(job.attempts.len() >= 2, "{:?}", job.attempts);
    let events = fleet.events(&id, |_| false).await;
    assert_eq!(events.iter().filter(|event| starts(event)).count(), 1, "it trained once");
}
