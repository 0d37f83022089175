//! Blobs in a bucket: the same job over the S3 protocol, spoken by a server in the test's process.

use crate::{recipe, turn};
use std::path::Path;
use vertigo::v1::job_event::Event;
use vertigo::v1::report::Body;
use vertigo::v1::{JobEvent, JobState};
use vertigo_tests::bucket::{self, Gate};
use vertigo_tests::waiting::until;
use vertigo_tests::{Fleet, Process, luau, said};

/// A fleet whose blobs lie in a bucket below `root`.
async fn fleet(root: &Path, lease: &str, gate: Gate) -> Fleet {
    let endpoint = bucket::serve(root, gate).await;
    let environment = bucket::environment(&endpoint);
    let environment = environment.each_ref().map(|(key, value)| (*key, value.as_str()));
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
