//! Who may speak as a worker: not who knows its id, and not two processes at once.

use super::harness::{Coordinator, Heart, Worker, hello, holding, log, soon, success};
use serde_json::json;
use std::fs;
use tonic::Code;
use vertigo::api_error::ErrorCode;
use vertigo::id::{ProcessId, WorkerId};
use vertigo::manifest::Kind;
use vertigo::v1::{self, JobState};

/// A worker that runs a job.
async fn running(coordinator: &Coordinator) -> (Worker, v1::Job, v1::Assignment) {
    coordinator.import().await;
    let mut worker = coordinator.worker("studio").await;
    let job = coordinator.submit("tutor").await;
    let given = worker.assignment().await;
    worker.report(&given, 1, log("begins")).await;
    assert_eq!(worker.ack().await, 1);
    (worker, job, given)
}

/// The run goes on to its end, as if nobody had tried anything.
async fn finishes(coordinator: &Coordinator, worker: &mut Worker, job: &v1::Job, given: &v1::Assignment) {
    let output = coordinator.upload(Kind::Adapter, "adapter", json!({})).await;
    worker.report(given, 2, success(&output)).await;
    assert_eq!(worker.ack().await, 2);
    let done = coordinator.job(&job.id).await;
    assert_eq!((done.state(), done.attempts.len()), (JobState::Succeeded, 1));
    assert_eq!(done.outputs[0].digest, output.digest().to_string());
}

#[tokio::test]
async fn what_is_listed_is_not_enough_to_speak_as_a_worker() {
    let coordinator = Coordinator::start().await;
    let (mut worker, job, given) = running(&coordinator).await;

    // All that a client can read.
    let listed = coordinator.workers().await.remove(0);
    let attempt = coordinator.job(&job.id).await.attempts.remove(0);
    let held = vec![v1::Held { attempt_id: attempt.id.clone(), epoch: attempt.epoch }];
    let known =
        v1::Hello { worker_id: listed.id, name: listed.name, machine: listed.machine, held, ..v1::Hello::default() };
    let process = ProcessId::new().to_string();
    let nothing = Worker::with_hello(&coordinator, v1::Hello { process: process.clone(), ..known.clone() }).await;
    assert_eq!(nothing.err().unwrap().code(), Code::InvalidArgument);
    let guess = v1::Hello { process, secret: vec![7; 32], ..known };
    let refused = Worker::with_hello(&coordinator, guess).await.err().unwrap();
    assert_eq!((refused.code(), ErrorCode::of(&refused)), (Code::PermissionDenied, Some(ErrorCode::OtherInstallation)));
    assert!(refused.message().contains("worker-id"), "{}", refused.message());

    // A worker of the thief's own, that reports for the other's attempt.
    let mut own = coordinator.worker("thief").await;
    let stolen = coordinator.upload(Kind::Adapter, "five", json!({})).await;
    let claim = v1::Assignment { attempt_id: attempt.id, epoch: attempt.epoch, ..Default::default() };
    own.report(&claim, 2, success(&stolen)).await;
    assert_eq!(own.stop().await.attempt_id, given.attempt_id);

    finishes(&coordinator, &mut worker, &job, &given).await;
}

#[tokio::test]
async fn a_copied_folder_waits_and_the_run_of_the_healthy_process_is_left_alone() {
    let mut coordinator = Coordinator::start().await;
    let (mut worker, job, given) = running(&coordinator).await;
    let copy = v1::Hello { process: ProcessId::new().to_string(), ..hello(worker.id, "laptop", &[]) };
    for _ in 0..5 {
        let refused = Worker::with_hello(&coordinator, copy.clone()).await.err().unwrap();
        assert_eq!((refused.code(), ErrorCode::of(&refused)), (Code::AlreadyExists, Some(ErrorCode::OtherProcess)));
        assert!(
            refused.message().contains("studio") && refused.message().contains("worker-id"),
            "{}",
            refused.message()
        );
    }

    // Nor does it get in before the other has dialled again, when the coordinator restarts.
    coordinator.restart().await;
    assert!(Worker::with_hello(&coordinator, copy.clone()).await.is_err());
    worker = Worker::connect(&coordinator, worker.id, "studio", &holding(&given)).await.unwrap();
    assert_eq!(worker.welcome.acks.len(), 1);
    finishes(&coordinator, &mut worker, &job, &given).await;

    // A process whose connection was closed is not waited for.
    drop(worker);
    let gets_in = async {
        while Worker::with_hello(&coordinator, copy.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon("the other process's turn", gets_in).await;
}

#[tokio::test]
async fn a_silent_process_that_is_still_connected_is_given_up_after_a_lease() {
    let coordinator = Coordinator::with_lease(std::time::Duration::from_secs(1)).await;
    let first = coordinator.worker("studio").await;
    let heart = Heart::of(&first);
    let again = v1::Hello { process: ProcessId::new().to_string(), ..hello(first.id, "studio", &[]) };
    assert!(Worker::with_hello(&coordinator, again.clone()).await.is_err());
    drop(heart);
    let gets_in = async {
        while Worker::with_hello(&coordinator, again.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon("the end of the silent process", gets_in).await;
}

#[tokio::test]
async fn the_secret_is_kept_as_a_hash_and_stands_nowhere_else() {
    let mut coordinator = Coordinator::start().await;
    let id = WorkerId::new();
    let secret = *b"0123456789 only the folder knows";
    let first = v1::Hello { secret: secret.to_vec(), ..hello(id, "studio", &[]) };
    let worker = Worker::with_hello(&coordinator, first.clone()).await.unwrap();
    assert!(!format!("{:?}", coordinator.workers().await).contains("only the folder knows"));
    drop(worker);
    coordinator.restart().await;
    for entry in fs::read_dir(coordinator.state()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { fs::read(&path).unwrap() } else { continue };
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        for form in [&secret[..], hex.as_bytes()] {
            assert!(!bytes.windows(form.len()).any(|window| window == form), "{}", path.display());
        }
    }
    // It outlives a restart, and so does what it protects.
    assert_eq!(Worker::connect(&coordinator, id, "studio", &[]).await.err().unwrap().code(), Code::PermissionDenied);
    Worker::with_hello(&coordinator, first).await.unwrap();
}
