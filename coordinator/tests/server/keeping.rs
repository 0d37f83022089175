//! Collection without pause, under real uploads: nobody notices it, and in the end there is nothing too much.

use super::harness::{Coordinator, Heart, Worker, access, assert_status, soon, success};
use reqwest::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use vertigo::bytes::Bytes;
use vertigo::id::WorkerId;
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1::{self, report};
use vertigo_client::Transfer;
use vertigo_coordinator::keep::Keep;

/// A blob waits so long for its artifact at the least, and short enough to be over many times; and at the most, on a machine that hardly
/// gets on.
const GRACE_MIN: Duration = Duration::from_secs(2);
const GRACE_MAX: Duration = Duration::from_secs(30);

/// The time of so many imports is longer than this machine, as busy as it is, takes from a blob to its artifact.
const IMPORTS_IN_GRACE: u32 = 40;

/// How long a blob waits for its artifact on this machine: what is slower than that is collected, and rightly so.
async fn grace() -> Duration {
    let (coordinator, mut slowest) = (Coordinator::start().await, Duration::ZERO);
    for n in 0..10 {
        let begun = Instant::now();
        let made = coordinator.upload(Kind::Dataset, &format!("before {n}"), json!({})).await;
        coordinator.register(&made, "before").await;
        slowest = slowest.max(begun.elapsed());
    }
    (slowest * IMPORTS_IN_GRACE).clamp(GRACE_MIN, GRACE_MAX)
}

/// As often as a collection may run.
const PACE: Duration = Duration::from_millis(100);

/// Imports and jobs that are enough for a race, however long a busy machine takes over them.
const IMPORTS_MIN: usize = 11;
const JOBS_MIN: usize = 4;

/// All that is named is kept by nothing but its name.
fn tight(grace: Duration) -> Keep {
    let (zero, grace) = (Some(Duration::ZERO), Some(grace));
    Keep { checkpoints: zero, uploads: grace, blobs: grace, steps: zero, journal: zero, workers: zero }
}

/// Digests of the blobs that lie in the store's folder.
fn stored(coordinator: &Coordinator) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(&coordinator.state().join("blobs"), &mut found);
    found
}

fn walk(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path(), found),
            false => drop(found.insert(entry.file_name().into_string().unwrap())),
        }
    }
}

/// Digests of the blobs that artifacts name.
async fn named(coordinator: &Coordinator) -> BTreeSet<String> {
    let list = v1::ListArtifactsRequest { page_size: 1000, ..Default::default() };
    let all = coordinator.artifacts().list(list).await.unwrap().into_inner().artifacts;
    let mut named = BTreeSet::new();
    for artifact in all {
        let whole = v1::GetArtifactRequest { reference: artifact.digest };
        // A checkpoint may have gone since it was listed.
        let Ok(whole) = coordinator.artifacts().get(whole).await else { continue };
        let manifest = Manifest::parse(&whole.into_inner().manifest_json).unwrap();
        named.extend(manifest.files().iter().map(|file| file.digest.hex()));
    }
    named
}

/// Imports folders whose files are the same again and again, some of which were uploaded long before they are named.
async fn import(coordinator: &Coordinator, until: Instant) {
    let transfer = Transfer::new(&access(&coordinator.url));
    let (folder, mut round) = (tempfile::tempdir().unwrap(), 0);
    while Instant::now() < until || round < IMPORTS_MIN {
        // Nobody names these for now: a later round does, after they have gone or just before.
        for ahead in 0..3 {
            coordinator.put(format!("file {}", (round + ahead * 7) % 40).as_bytes()).await;
        }
        for n in 0..2 {
            std::fs::write(folder.path().join(format!("{n}.jsonl")), format!("file {}", (round + n) % 40)).unwrap();
        }
        let facts = [("round".to_owned(), json!(round))].into();
        let made = vertigo_client::describe(Kind::Dataset, folder.path(), facts).await.unwrap();
        transfer.push(folder.path(), &made, &|_| {}).await.unwrap();
        transfer.register(&made, &[format!("set-{}", round % 3)]).await.unwrap();
        round += 1;
    }
}

/// Runs jobs one after another, each with many checkpoints, some of which earlier jobs have saved as well.
async fn run_jobs(coordinator: &Coordinator, until: Instant) {
    let mut worker = Worker::connect(coordinator, WorkerId::new(), "mac", &[]).await.unwrap();
    let (heart, mut done) = (Heart::of(&worker), 0);
    while Instant::now() < until || done < JOBS_MIN {
        let job = coordinator.submit(&format!("job-{done}")).await;
        let given = worker.assignment().await;
        heart.holds(&given);
        for number in 1..=8 {
            let begun = Instant::now();
            let made = coordinator
                .upload(Kind::Checkpoint, &format!("state {}", (done + number) % 10), json!({"iter": number}))
                .await;
            let body = report::Body::Checkpoint(v1::Checkpoint { iter: number as u64, manifest_json: made.to_json() });
            worker.report(&given, number as u64, body).await;
            assert_eq!(worker.ack().await, number as u64);
            let newest = v1::GetArtifactRequest { reference: made.digest().to_string() };
            let found = coordinator.artifacts().get(newest).await;
            let (took, state) = (begun.elapsed(), coordinator.job(&job.id).await);
            assert!(found.is_ok(), "the newest checkpoint is what the job goes on from; after {took:?}: {state:?}");
        }
        let adapter = coordinator.upload(Kind::Adapter, &format!("weights {}", done % 5), json!({})).await;
        worker.report(&given, 9, success(&adapter)).await;
        assert_eq!(worker.ack().await, 9);
        let ended = coordinator.job(&job.id).await;
        assert_eq!(ended.state, v1::JobState::Succeeded as i32, "{}", ended.reason);
        done += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_and_imports_never_notice_a_collection_without_pause_and_in_the_end_all_is_named() {
    let grace = grace().await;
    let coordinator = Coordinator::collecting(tight(grace), PACE).await;
    coordinator.import().await;
    // Nothing goes before the grace has passed since the start; then collections race for twice as long.
    let until = Instant::now() + grace * 3;
    tokio::join!(import(&coordinator, until), run_jobs(&coordinator, until));
    let is_settled = async {
        loop {
            let (stored, named) = (stored(&coordinator), named(&coordinator).await);
            assert!(named.is_subset(&stored), "named and gone: {:?}", named.difference(&stored));
            let list = v1::ListArtifactsRequest { kind: "checkpoint".to_owned(), ..Default::default() };
            let checkpoints = coordinator.artifacts().list(list).await.unwrap().into_inner().artifacts;
            if stored == named && checkpoints.is_empty() {
                return;
            }
        }
    };
    soon("a store that has what the index names and nothing else", is_settled).await;
    assert_eq!(std::fs::read_dir(coordinator.state().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_upload_that_would_take_of_the_reserve_is_refused_and_goes_in_when_there_is_room() {
    let mut coordinator = Coordinator::start().await;
    coordinator.reserve = Some(Bytes(u64::MAX));
    coordinator.restart().await;
    let refused = coordinator.put(b"large").await;
    assert_status(&refused, StatusCode::INSUFFICIENT_STORAGE);
    let told = refused.text().await.unwrap();
    assert!(told.contains("--reserve") && told.contains("vertigo gc"), "{told}");
    assert_eq!(std::fs::read_dir(coordinator.state().join("uploads")).unwrap().count(), 0);
    // The database goes on, and so does what takes no more of the disk.
    assert!(coordinator.workers().await.is_empty());
    coordinator.reserve = None;
    coordinator.restart().await;
    assert_status(&coordinator.put(b"large").await, StatusCode::CREATED);
}

#[tokio::test]
async fn a_person_sees_what_takes_what_and_what_would_go_and_has_it_go() {
    let none = Keep { blobs: Some(Duration::ZERO), ..tight(GRACE_MIN) };
    let coordinator = Coordinator::collecting(none, Duration::from_secs(3600)).await;
    coordinator.import().await;
    assert_status(&coordinator.put(b"nobody's").await, StatusCode::CREATED);
    let mut worker = Worker::connect(&coordinator, WorkerId::new(), "mac", &[]).await.unwrap();
    let job = coordinator.submit("first").await;
    let given = worker.assignment().await;
    let made = coordinator.upload(Kind::Checkpoint, "state", json!({"iter": 1})).await;
    let body = report::Body::Checkpoint(v1::Checkpoint { iter: 1, manifest_json: made.to_json() });
    worker.report(&given, 1, body).await;
    worker.ack().await;

    let http = reqwest::get(format!("{}/v1/storage", coordinator.url)).await.unwrap();
    let seen: serde_json::Value = serde_json::from_str(&http.text().await.unwrap()).unwrap();
    let report = coordinator.storage().describe(v1::DescribeStorageRequest {}).await.unwrap().into_inner();
    let kinds: Vec<_> = report.kinds.iter().map(|it| (it.kind.as_str(), it.blobs.unwrap().bytes)).collect();
    assert_eq!(kinds, [("base", 7), ("dataset", 2), ("checkpoint", 5)]);
    assert_eq!((report.unnamed.unwrap().bytes, report.blobs.unwrap().count), (8, 4));
    assert_eq!(report.jobs_by_checkpoints[0].name, "first");
    assert!(report.database_bytes > 0 && report.journal_bytes > 0 && report.events > 0 && report.jobs == 1);
    assert!(report.disks[0].free_bytes > 0 && report.disks[0].reserve_bytes > 0 && report.keep.contains("blobs=0s"));
    assert_eq!(seen["kinds"][2]["blobs"]["bytes"], 5);
    assert_eq!(seen["disks"][0]["reserve_bytes"], report.disks[0].reserve_bytes);

    let collect = |dry_run| {
        let mut storage = coordinator.storage();
        async move { storage.collect(v1::CollectRequest { dry_run }).await.unwrap().into_inner() }
    };
    let running = collect(true).await;
    assert_eq!((running.checkpoints.unwrap().count, running.blobs.unwrap().bytes), (0, 8), "the job runs");
    coordinator.cancel(&job.id).await.unwrap();
    // What ended in this very millisecond is not old yet.
    let would = soon("an end that is past", async {
        loop {
            let would = collect(true).await;
            if would.events > 0 {
                return would;
            }
        }
    });
    let would = would.await;
    assert_eq!((would.checkpoints.unwrap().count, would.blobs.unwrap().count), (1, 2));
    assert_eq!(collect(false).await, v1::Collection { dry_run: false, ..would });
    assert_eq!(collect(false).await, v1::Collection { dry_run: false, ..zero() });
    assert_eq!(stored(&coordinator), named(&coordinator).await);
}

fn zero() -> v1::Collection {
    let none = Some(v1::Amount::default());
    v1::Collection { checkpoints: none, uploads: none, blobs: none, ..Default::default() }
}
