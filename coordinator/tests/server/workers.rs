//! Workers come and go, and the coordinator with them.

use super::harness::{Coordinator, Heart, Worker, holding, log, manifest, message, soon, success};
use serde_json::json;
use std::time::Duration;
use tonic::Code;
use vertigo::id::{AttemptId, WorkerId};
use vertigo::manifest::Kind;
use vertigo::v1::{self, JobState, report, worker_message};

#[tokio::test]
async fn a_name_is_one_worker_s_and_an_installation_replaces_itself() {
    let coordinator = Coordinator::start().await;
    let mut first = coordinator.worker("mac").await;
    let refused = Worker::connect(&coordinator, WorkerId::new(), "mac", &[]).await.err().unwrap();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("--name"), "{}", refused.message());
    let _again = Worker::connect(&coordinator, first.id, "mac", &[]).await.unwrap();
    assert_eq!(first.next().await.unwrap_err().code(), Code::Aborted);
    assert_eq!(coordinator.workers().await.len(), 1);
}

#[tokio::test]
async fn a_session_begins_with_a_hello_that_can_be_read() {
    let coordinator = Coordinator::start().await;
    let nameless = Worker::connect(&coordinator, WorkerId::new(), " ", &[]).await.err().unwrap();
    assert_eq!(nameless.code(), Code::InvalidArgument);
    let drain = tokio_stream::iter([message(worker_message::Message::Drain(v1::Drain {}))]);
    let mut session = coordinator.fleet().session(drain).await.unwrap().into_inner();
    let refused = soon("a refusal", session.message()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_expired_lease_goes_to_another_worker_and_the_old_epoch_is_refused() {
    let coordinator = Coordinator::with_lease(Duration::from_secs(2)).await;
    coordinator.import().await;
    let mut old = coordinator.worker("old").await;
    let heart = Heart::of(&old);
    let job = coordinator.submit("").await;
    let lost = old.assignment().await;
    heart.holds(&lost);
    let checkpoint = coordinator.upload(Kind::Checkpoint, "state", json!({"iter": 7})).await;
    let saved = v1::Checkpoint { iter: 7, manifest_json: checkpoint.to_json() };
    old.report(&lost, 1, report::Body::Checkpoint(saved)).await;
    assert_eq!(old.ack().await, 1);
    let id = old.id;
    drop((old, heart));
    coordinator.until(&job.id, JobState::Backoff).await;

    // The job goes on at the checkpoint, under the next epoch.
    let mut new = coordinator.worker("new").await;
    let heart = Heart::of(&new);
    let given = new.assignment().await;
    heart.holds(&given);
    assert_eq!((given.job_id.as_str(), given.epoch), (job.id.as_str(), lost.epoch + 1));
    assert_eq!(given.checkpoint_digest, checkpoint.digest().to_string());

    let mut old = Worker::connect(&coordinator, id, "old", &holding(&lost)).await.unwrap();
    assert!(old.welcome.acks.is_empty());
    assert_eq!(old.stop().await.attempt_id, lost.attempt_id);
    let late = coordinator.upload(Kind::Adapter, "late", json!({})).await;
    old.report(&lost, 2, success(&late)).await;
    assert_eq!(old.stop().await.attempt_id, lost.attempt_id);

    let output = coordinator.upload(Kind::Adapter, "right", json!({})).await;
    new.report(&given, 1, success(&output)).await;
    assert_eq!(new.ack().await, 1);
    let done = coordinator.job(&job.id).await;
    assert_eq!((done.state(), &done.outputs[0].digest), (JobState::Succeeded, &output.digest().to_string()));
    let states: Vec<_> = done.attempts.iter().map(|attempt| attempt.state()).collect();
    assert_eq!(states, [v1::AttemptState::Lost, v1::AttemptState::Succeeded]);
    assert_eq!(done.attempts[0].reason, "no heartbeat for 2 s");
}

#[tokio::test]
async fn a_coordinator_that_restarts_in_mid_lease_goes_on_with_the_same_attempt() {
    let mut coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut worker = coordinator.worker("mac").await;
    let job = coordinator.submit("tutor").await;
    let given = worker.assignment().await;
    worker.report(&given, 1, log("before")).await;
    assert_eq!(worker.ack().await, 1);
    let mut watch = coordinator.watch(&job.id, 0).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|event: &v1::JobEvent| !matches!(event.event, Some(v1::job_event::Event::Report(_)))) {
        seen.push(soon("an event", watch.message()).await.unwrap().unwrap());
    }

    coordinator.restart().await;
    // The watch is told, and so is the worker.
    assert_eq!(soon("the end of the watch", watch.message()).await.unwrap_err().code(), Code::Unavailable);
    let ended = worker.next().await;
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");

    let before = coordinator.job(&job.id).await;
    assert_eq!((before.state(), before.attempts.len()), (JobState::Leased, 1));
    let mut worker = Worker::connect(&coordinator, worker.id, "mac", &holding(&given)).await.unwrap();
    assert_eq!(worker.welcome.acks, [v1::Ack { attempt_id: given.attempt_id.clone(), number: 1 }]);
    // What was taken before is not taken twice.
    worker.report(&given, 1, log("before")).await;
    assert_eq!(worker.ack().await, 1);
    let output = coordinator.upload(Kind::Adapter, "adapter", json!({})).await;
    worker.report(&given, 2, success(&output)).await;
    assert_eq!(worker.ack().await, 2);
    let done = coordinator.job(&job.id).await;
    assert_eq!((done.state(), done.attempts.len()), (JobState::Succeeded, 1));
    let mut rest = coordinator.watch(&job.id, seen.last().unwrap().seq).await;
    let next = soon("the next event", rest.message()).await.unwrap().unwrap();
    assert!(matches!(next.event, Some(v1::job_event::Event::Report(report)) if report.number == 2));
}

#[tokio::test]
async fn a_result_whose_blobs_are_missing_is_no_result_and_is_tried_again() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut worker = coordinator.worker("mac").await;
    let job = coordinator.submit("tutor").await;
    let given = worker.assignment().await;
    let output = manifest(Kind::Adapter, "never uploaded", json!({}));
    worker.report(&given, 1, success(&output)).await;
    assert_eq!(worker.ack().await, 1);
    let again = worker.assignment().await;
    assert_eq!((again.job_id.as_str(), again.epoch), (job.id.as_str(), 2));
    let seen = coordinator.job(&job.id).await;
    assert!(seen.attempts[0].reason.contains("the store lacks blob"), "{}", seen.attempts[0].reason);
    let ask = v1::GetArtifactRequest { reference: output.digest().to_string() };
    assert_eq!(coordinator.artifacts().get(ask).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_worker_that_never_reads_is_cut_off_and_holds_up_nobody() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let deaf = coordinator.worker("deaf").await;
    // Each report of an attempt that nobody knows is answered by a Stop, and none of the answers is read.
    let flood = async {
        for n in 0.. {
            let reports = vec![v1::Report { number: 1, at_ms: 1, body: Some(log("x")) }];
            let attempt_id = AttemptId::new().to_string();
            let batch = v1::ReportBatch { attempt_id, epoch: 1, reports };
            let sent = deaf.sender.send(message(worker_message::Message::Reports(batch))).await;
            if sent.is_err() || n % 100 == 0 && !coordinator.workers().await[0].connected {
                return;
            }
        }
    };
    soon("the end of the session", flood).await;
    let mut worker = coordinator.worker("mac").await;
    let job = coordinator.submit("").await;
    assert_eq!(worker.assignment().await.job_id, job.id);
}

#[tokio::test]
async fn a_draining_worker_gets_nothing_new() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let worker = coordinator.worker("mac").await;
    worker.sender.send(message(worker_message::Message::Drain(v1::Drain {}))).await.unwrap();
    soon("the drain", async {
        while !coordinator.workers().await[0].draining {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let job = coordinator.submit("").await;
    assert_eq!(job.state(), JobState::Queued);
    let mut other = coordinator.worker("other").await;
    assert_eq!(other.assignment().await.job_id, job.id);
}
