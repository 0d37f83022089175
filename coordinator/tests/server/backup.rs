//! A backup of a coordinator that runs and collects; the original is destroyed, and all of it is there again.

use super::harness::{Coordinator, Heart, Worker, assert_status, success};
use reqwest::StatusCode;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use vertigo::id::{Digest, WorkerId};
use vertigo::manifest::Kind;
use vertigo::v1;
use vertigo_coordinator::access::{FILES, folder_in};
use vertigo_coordinator::backup::{BackupError, Done, backup, restore};
use vertigo_coordinator::keep::{Gate, Keep};

async fn all(coordinator: &Coordinator) -> (Vec<v1::Artifact>, Vec<v1::Job>) {
    let list = v1::ListArtifactsRequest::default();
    let artifacts = coordinator.artifacts().list(list).await.unwrap().into_inner().artifacts;
    let jobs = coordinator.jobs().list(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    (artifacts, jobs)
}

async fn back_up(coordinator: &Coordinator, to: &Path) -> Done {
    backup(&coordinator.state(), None, to).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_joined_comes_back_and_no_token_does() {
    let mut coordinator = Coordinator::start().await;
    let (folder, to) = (folder_in(&coordinator.state()), tempfile::tempdir().unwrap());
    fs::create_dir(&folder).unwrap();
    for name in FILES.into_iter().chain(["admin-token"]) {
        fs::write(folder.join(name), name).unwrap();
    }
    back_up(&coordinator, to.path()).await;
    coordinator.stop().await;
    fs::remove_dir_all(coordinator.state()).unwrap();
    restore(to.path(), &coordinator.state(), None).await.unwrap();
    for name in FILES {
        let file = folder.join(name);
        assert_eq!(fs::read_to_string(&file).unwrap(), name);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!folder.join("admin-token").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_was_destroyed_is_there_again_and_its_queue_goes_on() {
    let zero = Some(Duration::ZERO);
    let keep = Keep { checkpoints: zero, uploads: zero, blobs: zero, ..Keep::default() };
    let mut coordinator = Coordinator::collecting(keep, Duration::from_secs(3600)).await;
    coordinator.import().await;
    let queued = coordinator.submit("waits").await;
    let to = tempfile::tempdir().unwrap();
    let to = to.path().join("backup");
    let first = back_up(&coordinator, &to).await;
    assert_eq!((first.copied.count, first.there.count), (2, 0));

    // Only what is new is copied, and what nothing names any more is dropped.
    let more = coordinator.upload(Kind::Dataset, "more", json!({"examples": 1})).await;
    coordinator.register(&more, "more").await;
    let second = back_up(&coordinator, &to).await;
    assert_eq!((second.copied.count, second.copied.bytes, second.there.count), (1, 4, 2));
    let former = Digest::of(b"former").hex();
    let former = to.join("blobs/sha256").join(&former[..2]).join(&former);
    fs::create_dir_all(former.parent().unwrap()).unwrap();
    fs::write(&former, "former").unwrap();
    let third = back_up(&coordinator, &to).await;
    assert_eq!((third.copied.count, third.there.count, former.exists()), (0, 3, false));

    let before = all(&coordinator).await;
    // The state and its blobs are destroyed; what is restored stands in their place.
    coordinator.stop().await;
    fs::remove_dir_all(coordinator.state()).unwrap();
    let done = restore(&to, &coordinator.state(), None).await.unwrap();
    assert_eq!((done.copied.count, done.there.count), (3, 0));
    let over = restore(&to, &coordinator.state(), None).await;
    assert!(matches!(over, Err(BackupError::NotEmpty(_))), "{over:?}");
    coordinator.open().await;
    assert_eq!(all(&coordinator).await, before);
    let blob = reqwest::get(coordinator.blob(more.files()[0].digest)).await.unwrap();
    assert_status(&blob, StatusCode::OK);
    assert_eq!(blob.text().await.unwrap(), "more");
    let mut worker = Worker::connect(&coordinator, WorkerId::new(), "mac", &[]).await.unwrap();
    let (heart, given) = (Heart::of(&worker), worker.assignment().await);
    heart.holds(&given);
    assert_eq!(given.job_id, queued.id);
    let adapter = coordinator.upload(Kind::Adapter, "weights", json!({})).await;
    worker.report(&given, 1, success(&adapter)).await;
    coordinator.until(&queued.id, v1::JobState::Succeeded).await;
}

#[tokio::test]
async fn a_backup_that_is_cut_off_leaves_the_one_before_as_it_was_and_goes_on_the_next_time() {
    let mut coordinator = Coordinator::start().await;
    coordinator.import().await;
    let before = all(&coordinator).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    back_up(&coordinator, &to).await;
    for n in 0..3 {
        let more = coordinator.upload(Kind::Dataset, &format!("more {n}"), json!({})).await;
        coordinator.register(&more, &format!("more-{n}")).await;
    }
    // A file where the folder of one of the new blobs has to be.
    let hex = Digest::of(b"more 1").hex();
    let in_the_way = to.join("blobs/sha256").join(&hex[..2]);
    fs::write(&in_the_way, "").unwrap();
    let cut = backup(&coordinator.state(), None, &to).await;
    assert!(matches!(cut, Err(BackupError::Blob { .. })), "{cut:?}");

    let restored = folder.path().join("restored");
    restore(&to, &restored, None).await.unwrap();
    fs::remove_file(in_the_way).unwrap();
    let done = back_up(&coordinator, &to).await;
    assert_eq!(done.copied.count + done.there.count, 5);
    coordinator.stop().await;
    fs::remove_dir_all(coordinator.state()).unwrap();
    fs::rename(restored, coordinator.state()).unwrap();
    coordinator.open().await;
    assert_eq!(all(&coordinator).await, before);
}

#[tokio::test]
async fn blobs_stay_for_as_long_as_a_backup_copies_and_what_the_store_lacks_is_told() {
    let keep = Keep { blobs: Some(Duration::ZERO), ..Keep::default() };
    let coordinator = Coordinator::collecting(keep, Duration::from_secs(3600)).await;
    coordinator.import().await;
    assert_status(&coordinator.put(b"alone").await, StatusCode::CREATED);
    let collect = async || {
        let answer = coordinator.storage().collect(v1::CollectRequest { dry_run: false }).await;
        answer.unwrap().into_inner().blobs.unwrap().count
    };
    let gate = Gate::of(&coordinator.state()).take().unwrap().expect("nobody sweeps");
    assert_eq!(collect().await, 0);
    drop(gate);
    assert_eq!(collect().await, 1);

    let lost = Digest::of(b"weights").hex();
    fs::remove_file(coordinator.state().join("blobs/blobs/sha256").join(&lost[..2]).join(&lost)).unwrap();
    let to = tempfile::tempdir().unwrap();
    let told = backup(&coordinator.state(), None, to.path()).await.unwrap_err().to_string();
    assert!(told.contains(&lost) && told.contains("1 blobs copied"), "{told}");
    let nothing = backup(to.path().join("nowhere").as_path(), None, to.path()).await.unwrap_err().to_string();
    assert!(nothing.contains("--state"), "{nothing}");
}
