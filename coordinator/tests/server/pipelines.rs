//! Jobs that read what other jobs make, and finding jobs again.

use super::harness::{Coordinator, fuse, soon, success, success_with_best, told, train};
use serde_json::json;
use tonic::Code;
use vertigo::id::JobId;
use vertigo::manifest::Kind;
use vertigo::task::{Cure, Failure};
use vertigo::v1::{self, JobState, report};

/// A training run and the fuse of what it makes, as one call has them.
fn pair(name: &str) -> [v1::NewJob; 2] {
    let labels = || [("pipeline".to_owned(), format!("{name}-1"))].into();
    let first = v1::NewJob { id: JobId::new().to_string(), labels: labels(), ..train(name) };
    let second = v1::NewJob { labels: labels(), ..fuse(&format!("{name}-fused"), &first.id) };
    [first, second]
}

#[tokio::test]
async fn what_one_job_makes_the_next_one_reads_through_a_restart() {
    let mut coordinator = Coordinator::start().await;
    coordinator.import().await;
    let queued = coordinator.queue_all(pair("tutor").to_vec()).await.unwrap();
    let [trains, fuses] = &queued[..] else { panic!("{queued:?}") };
    assert_eq!((trains.state(), fuses.state()), (JobState::Queued, JobState::Blocked));
    assert_eq!(fuses.waits_for, std::slice::from_ref(&trains.id));
    assert_eq!(fuses.reason, "waits for what tutor (queued) makes");
    let waits = &fuses.variants[0];
    assert_eq!((waits.peak_bytes, waits.inputs[0].digest.as_str(), &waits.inputs[0].job), (0, "", &trains.id));

    coordinator.restart().await;
    assert_eq!(coordinator.job(&fuses.id).await.state(), JobState::Blocked);
    let mut worker = coordinator.worker("mac").await;
    let given = worker.assignment().await;
    let digest = |role: &str| given.inputs.iter().find(|input| input.role == role).unwrap().digest.clone();
    let facts = json!({"base": digest("base"), "data": digest("data")});
    let adapter = coordinator.upload(Kind::Adapter, "adapter", facts).await;
    worker.report(&given, 1, success(&adapter)).await;
    assert_eq!(worker.ack().await, 1);

    let next = worker.assignment().await;
    assert_eq!((next.job_id.as_str(), next.slot()), (fuses.id.as_str(), v1::Slot::Cpu));
    let roles: Vec<_> = next.inputs.iter().map(|input| (input.role.as_str(), input.digest.as_str())).collect();
    assert_eq!(roles, [("adapter", &*adapter.digest().to_string()), ("base", &*digest("base"))]);
    let progress = v1::Progress { done: 1, total: 2, unit: "matrices".to_owned(), peak_bytes: 9 };
    worker.report(&next, 1, report::Body::Progress(progress)).await;
    let model = coordinator.upload(Kind::Model, "model", json!({"config": super::harness::config()})).await;
    worker.report(&next, 2, success(&model)).await;
    assert_eq!((worker.ack().await, worker.ack().await), (1, 2));
    let done = coordinator.job("tutor-fused").await;
    assert_eq!((done.state(), done.outputs[0].digest.as_str()), (JobState::Succeeded, &*model.digest().to_string()));
    assert_eq!(done.attempts[0].peak_bytes, 1 << 20);

    // A fused model is a base: by its tag, or by the job that made it.
    for model in ["tutor-fused", &done.id] {
        let again = super::harness::recipe("again", &format!("model: {model}\nmax_seq_length: 64\nbatch_size: 1\n"));
        let job = coordinator.queue(v1::NewJob { variants: vec![again], ..Default::default() }).await.unwrap();
        assert!(job.variants[0].inputs.iter().any(|input| input.digest == done.outputs[0].digest));
    }
}

#[tokio::test]
async fn a_job_may_be_named_for_what_it_is_still_to_make() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let trains = coordinator.queue(train("tutor")).await.unwrap();
    let mut fuses = fuse("model", "");
    fuses.variants[0].inputs = vec![super::harness::reads("adapter", "tutor")];
    let queued = coordinator.queue(fuses).await.unwrap();
    assert_eq!((queued.state(), &queued.waits_for), (JobState::Blocked, &vec![trains.id.clone()]));
}

#[tokio::test]
async fn an_output_is_named_by_its_job_and_its_role_before_and_after_it_is_made() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let trains = coordinator.queue(train("tutor")).await.unwrap();
    let reading = |name: &str, reference: &str| {
        let mut fuses = fuse(name, "");
        fuses.variants[0].inputs = vec![super::harness::reads("adapter", reference)];
        fuses
    };
    let get = async |reference: &str| {
        let ask = v1::GetArtifactRequest { reference: reference.to_owned() };
        coordinator.artifacts().get(ask).await.map(tonic::Response::into_inner)
    };
    let queued = coordinator.queue(reading("model", "tutor@best")).await.unwrap();
    let waits = &queued.variants[0].inputs[0];
    assert_eq!((queued.state(), &waits.job, waits.output.as_str()), (JobState::Blocked, &trains.id, "best"));
    let error = get("tutor@best").await.unwrap_err();
    assert!(error.code() == Code::FailedPrecondition && error.message().contains("no output `best`"), "{error}");
    // A role that there is not: the ones that there are.
    for error in
        [get("tutor@wurst").await.unwrap_err(), coordinator.queue(reading("m", "tutor@wurst")).await.unwrap_err()]
    {
        assert_eq!(error.code(), Code::InvalidArgument);
        for words in ["a train job makes no `wurst`", "`tutor@adapter` or `tutor@best`"] {
            assert!(told(&error).contains(words), "{error}");
        }
    }

    let mut worker = coordinator.worker("mac").await;
    let given = worker.assignment().await;
    let digest = |role: &str| given.inputs.iter().find(|input| input.role == role).unwrap().digest.clone();
    let facts = |iter: u64| json!({"base": digest("base"), "data": digest("data"), "iter": iter});
    let last = coordinator.upload(Kind::Adapter, "last", facts(9)).await;
    let best = coordinator.upload(Kind::Adapter, "best", facts(4)).await;
    worker.report(&given, 1, success_with_best(&last, &best)).await;
    assert_eq!(worker.ack().await, 1);
    let [last, best] = [&last, &best].map(|manifest| manifest.digest().to_string());
    let next = worker.assignment().await;
    assert_eq!((&next.job_id, &next.inputs[0].digest), (&queued.id, &best));
    let prefix = &trains.id[..trains.id.len() - 1];
    for (reference, expected) in [
        ("tutor", &last),
        ("tutor@adapter", &last),
        ("tutor@best", &best),
        (&format!("{}@best", trains.id), &best),
        (&format!("{prefix}@best"), &best),
    ] {
        assert_eq!(&get(reference).await.unwrap().digest, expected, "{reference}");
    }
    let again = coordinator.queue(reading("again", "tutor@best")).await.unwrap();
    assert_eq!(again.variants[0].inputs[0].digest, best);
    assert_eq!(get("nobody@best").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_failure_ends_what_needs_it_and_a_watch_of_that_ends_too() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let queued = coordinator.queue_all(pair("tutor").to_vec()).await.unwrap();
    let mut watch = coordinator.watch(&queued[1].id, 0).await;
    let worker = &mut coordinator.worker("mac").await;
    let given = worker.assignment().await;
    let failure: v1::Failure = Failure::new(Cure::Never, "diverged", "NaN").into();
    let outcome = Some(v1::finished::Outcome::Failure(failure));
    worker.report(&given, 1, report::Body::Finished(v1::Finished { peak_bytes: 0, outcome })).await;
    while soon("the end of the watch", watch.message()).await.unwrap().is_some() {}
    let [first, second] = [coordinator.job(&queued[0].id).await, coordinator.job(&queued[1].id).await];
    assert_eq!((first.state(), second.state()), (JobState::Failed, JobState::Failed));
    assert_eq!(second.reason, "it needs what tutor makes, which failed");
    let attempt = &first.attempts[0];
    assert_eq!((attempt.cure(), attempt.code.as_str(), attempt.reason.as_str()), (v1::Cure::Never, "diverged", "NaN"));
}

#[tokio::test]
async fn jobs_are_found_by_state_kind_label_and_age_and_a_pipeline_is_cancelled_whole() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        ids.extend(coordinator.queue_all(pair(name).to_vec()).await.unwrap().into_iter().map(|job| job.id));
    }
    let list = async |ask: v1::ListJobsRequest| {
        let jobs = coordinator.jobs().list(ask).await.unwrap().into_inner().jobs;
        jobs.into_iter().map(|job| job.name).collect::<Vec<_>>()
    };
    let label = |value: &str| [("pipeline".to_owned(), value.to_owned())].into();
    let blocked = v1::ListJobsRequest { states: vec![JobState::Blocked.into()], ..Default::default() };
    assert_eq!(list(blocked).await, ["two-fused", "one-fused"]);
    assert_eq!(list(v1::ListJobsRequest { kind: "train".to_owned(), ..Default::default() }).await, ["two", "one"]);
    assert_eq!(list(v1::ListJobsRequest { labels: label("one-1"), ..Default::default() }).await, ["one-fused", "one"]);
    assert_eq!(list(v1::ListJobsRequest { labels: label(""), ..Default::default() }).await.len(), 4);
    assert!(list(v1::ListJobsRequest { since_ms: u64::MAX, ..Default::default() }).await.is_empty());
    let wrong = v1::ListJobsRequest { kind: "trane".to_owned(), ..Default::default() };
    assert_eq!(coordinator.jobs().list(wrong).await.unwrap_err().code(), Code::InvalidArgument);

    let cancel = |pipeline: &str| v1::CancelRequest { pipeline: pipeline.to_owned(), ..Default::default() };
    let ended = coordinator.jobs().cancel(cancel("two-1")).await.unwrap().into_inner().jobs;
    assert_eq!(ended.iter().map(|job| job.state()).collect::<Vec<_>>(), [JobState::Cancelled; 2]);
    assert!(coordinator.jobs().cancel(cancel("two-1")).await.unwrap().into_inner().jobs.is_empty());
    assert_eq!(coordinator.jobs().cancel(cancel("three")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(coordinator.job(&ids[0]).await.state(), JobState::Queued, "the other pipeline goes on");
    let late = coordinator.queue(fuse("late", &ids[2])).await.unwrap_err();
    assert!(told(&late).contains("cancelled") && told(&late).contains("vertigo rerun"), "{}", told(&late));
}
