//! Lists and strings: however much there is and whatever somebody sends, answers stay small and whole.

use super::harness::{
    Coordinator, Worker, access, assert_status, hello, holding, log, manifest, recipe, success, success_with_best,
    train,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::Code;
use vertigo::bounds::MANIFEST_BYTES_MAX;
use vertigo::bytes::Bytes;
use vertigo::id::{Digest, WorkerId};
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::v1::{self, report};
use vertigo_client::{Transfer, TransferError};

/// A dataset of so many files that its manifest alone is larger than gRPC's messages are by default.
fn many_files(files: usize, facts: Value) -> Manifest {
    let file = |n| FileEntry { path: format!("{n:050}"), digest: Digest::of(b"{}"), bytes: Bytes(2) };
    let facts = facts.as_object().unwrap().clone().into_iter().collect();
    Manifest::new(Kind::Dataset, (0..files).map(file).collect(), facts).unwrap()
}

#[tokio::test]
async fn artifacts_of_many_thousand_files_are_listed_without_their_manifests() {
    let coordinator = Coordinator::start().await;
    assert_status(&coordinator.put(b"{}").await, StatusCode::CREATED);
    let transfer = Transfer::new(&access(&coordinator.url));
    for n in 0..2 {
        let facts = json!({"examples": n, "note": "short", "config": {"hidden_size": 1}, "long": "x".repeat(1000)});
        let many = many_files(40_000, facts);
        assert!(many.to_json().len() > 4 << 20);
        transfer.register(&many, &[format!("many-{n}")]).await.unwrap();
    }
    let answer = coordinator.artifacts().list(v1::ListArtifactsRequest::default()).await.unwrap().into_inner();
    assert_eq!((answer.artifacts.len(), answer.next_page_token.as_str()), (2, ""));
    for artifact in answer.artifacts {
        let facts: Value = serde_json::from_str(&artifact.facts_json).unwrap();
        let n = artifact.tags[0].strip_prefix("many-").unwrap().parse::<u64>().unwrap();
        assert_eq!(facts, json!({"examples": n, "note": "short"}));
        assert_eq!((artifact.files, artifact.bytes, artifact.manifest_json.as_str()), (40_000, 80_000, ""));
        // What a list leaves out comes with the artifact.
        let (digest, whole) = transfer.manifest(&artifact.digest).await.unwrap();
        assert_eq!((digest.to_string(), whole.files().len()), (artifact.digest, 40_000));
    }
}

#[tokio::test]
async fn a_manifest_that_no_message_holds_is_refused_before_it_is_sent() {
    let coordinator = Coordinator::start().await;
    let transfer = Transfer::new(&access(&coordinator.url));
    let large = many_files(1, json!({"note": "x".repeat(MANIFEST_BYTES_MAX)}));
    let refused = transfer.register(&large, &[]).await.unwrap_err();
    assert!(matches!(refused, TransferError::TooLarge { files: 1, .. }) && !refused.is_transient(), "{refused}");
    assert!(refused.to_string().contains("31.0 MiB"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(transfer.push(folder.path(), &large, &|_| {}).await, Err(TransferError::TooLarge { .. })));
}

#[tokio::test]
async fn pages_show_every_artifact_once_although_others_come_meanwhile() {
    let coordinator = Coordinator::start().await;
    let add = async |name: &str| {
        let manifest = coordinator.upload(Kind::Dataset, name, json!({})).await;
        coordinator.register(&manifest, name).await;
    };
    for n in 0..5 {
        add(&format!("old-{n}")).await;
    }
    let ask = |page_size, page_token: &str| {
        let request = v1::ListArtifactsRequest { page_size, page_token: page_token.to_owned(), ..Default::default() };
        let mut client = coordinator.artifacts();
        async move { client.list(request).await.map(tonic::Response::into_inner) }
    };
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = ask(2, &token).await.unwrap();
        assert!(page.artifacts.len() <= 2);
        seen.extend(page.artifacts.into_iter().flat_map(|artifact| artifact.tags));
        add(&format!("new-{}", seen.len())).await;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, ["old-0", "old-1", "old-2", "old-3", "old-4"]);
    assert_eq!(ask(0, "").await.unwrap().artifacts.len(), 8);
    for wrong in ["7", "x.y", "1.sha256:0"] {
        assert_eq!(ask(2, wrong).await.unwrap_err().code(), Code::InvalidArgument, "{wrong}");
    }
}

#[tokio::test]
async fn pages_show_every_job_and_worker_once_and_in_order() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(coordinator.submit("").await.id);
    }
    ids.reverse();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListJobsRequest { page_size: 2, page_token: token, ..Default::default() };
        let page = coordinator.jobs().list(request).await.unwrap().into_inner();
        assert!(page.jobs.len() <= 2);
        seen.extend(page.jobs.into_iter().map(|job| job.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ids);

    let mut workers = Vec::new();
    for name in ["c.1", "a", "b"] {
        workers.push(coordinator.worker(name).await);
    }
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListWorkersRequest { page_size: 1, page_token: token };
        let page = coordinator.fleet().list_workers(request).await.unwrap().into_inner();
        names.extend(page.workers.into_iter().map(|worker| worker.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c.1"]);
    let wrong = v1::ListWorkersRequest { page_size: 1, page_token: "a".to_owned() };
    assert_eq!(coordinator.fleet().list_workers(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    let wrong = v1::ListJobsRequest { page_token: "a".to_owned(), ..Default::default() };
    assert_eq!(coordinator.jobs().list(wrong).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_worker_with_a_chip_of_megabytes_is_let_in_and_listed_short() {
    let coordinator = Coordinator::start().await;
    let id = WorkerId::new();
    let mut said = hello(id, "mac", &[]);
    let machine = said.machine.get_or_insert_default();
    (machine.chip, machine.os, machine.version) = ("x".repeat(5_000_000), "y".repeat(5_000_000), "z".repeat(5_000_000));
    (machine.memory_bytes, machine.free_bytes) = (u64::MAX, u64::MAX);
    let _worker = Worker::with_hello(&coordinator, said).await.unwrap();
    let listed = coordinator.workers().await.remove(0).machine.unwrap();
    assert!([&listed.chip, &listed.os, &listed.version].iter().all(|text| text.len() <= 200 && text.contains('…')));
    assert_eq!(listed.memory_bytes, 1 << 53);
}

#[tokio::test]
async fn what_is_too_long_is_refused_in_few_words() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let huge = "x".repeat(1 << 20);
    let mut jobs = coordinator.jobs();
    let refusals = [
        jobs.get(v1::GetJobRequest { id: huge.clone() }).await.unwrap_err(),
        coordinator.queue(v1::NewJob { name: huge.clone(), ..train("") }).await.unwrap_err(),
        coordinator.plan(vec![train("").variants[0].clone(); 17]).await.unwrap_err(),
        coordinator.artifacts().get(v1::GetArtifactRequest { reference: huge.clone() }).await.unwrap_err(),
    ];
    for status in refusals {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("at most"), "{status}");
    }
    // Within their bounds, and repeated by the error: it has to fit into a header all the same.
    let key = "k".repeat(200_000);
    let variants = vec![recipe("a", &format!("model: mini\n{key}: 1\n"))];
    let unknown = coordinator.queue(v1::NewJob { variants, ..train("") }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidArgument, "{unknown}");
    assert!(unknown.message().contains("kkkk") && unknown.message().len() < 3000, "{unknown}");
    assert!(jobs.list(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs.is_empty());
}

#[tokio::test]
async fn long_lines_odd_numbers_and_manifests_stay_out_of_what_is_watched() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut worker = coordinator.worker("mac").await;
    let job = coordinator.submit("tutor").await;
    let given = worker.assignment().await;
    worker.report(&given, 1, log(&"l".repeat(1 << 20))).await;
    let step =
        v1::Step { iter: 1, loss: f64::NAN, grad_norm: f64::INFINITY, peak_bytes: u64::MAX, ..Default::default() };
    worker.report(&given, 2, report::Body::Step(step)).await;
    let saved = coordinator.upload(Kind::Checkpoint, "state", json!({"iter": 7})).await;
    let checkpoint = v1::Checkpoint { iter: 7, manifest_json: saved.to_json() };
    worker.report(&given, 3, report::Body::Checkpoint(checkpoint)).await;
    for number in 1..=3 {
        assert_eq!(worker.ack().await, number);
    }
    // The checkpoint itself was taken.
    assert_eq!(
        coordinator
            .artifacts()
            .get(v1::GetArtifactRequest { reference: saved.digest().to_string() })
            .await
            .unwrap()
            .into_inner()
            .manifest_json,
        saved.to_json()
    );
    let output = coordinator.upload(Kind::Adapter, "adapter", json!({})).await;
    worker.report(&given, 4, success(&output)).await;
    assert_eq!(worker.ack().await, 4);

    let mut events = coordinator.watch(&job.id, 0).await;
    let mut bodies = Vec::new();
    while let Some(event) = events.message().await.unwrap() {
        if let Some(v1::job_event::Event::Report(report)) = event.event {
            bodies.extend(report.body);
        }
    }
    let [
        report::Body::Log(line),
        report::Body::Step(step),
        report::Body::Checkpoint(kept),
        report::Body::Finished(end),
    ] = &bodies[..]
    else {
        panic!("{bodies:?}")
    };
    assert!(line.text.len() <= 16 << 10 && line.text.contains('…'));
    assert!(step.loss.is_nan() && step.peak_bytes == 1 << 53);
    assert_eq!((kept.iter, kept.manifest_json.as_str()), (7, ""));
    let Some(v1::finished::Outcome::Outputs(outputs)) = &end.outcome else { panic!("{end:?}") };
    assert_eq!((outputs.made.len(), outputs.made[0].manifest_json.as_str()), (2, ""));
}

#[tokio::test]
async fn a_report_whose_manifest_is_too_long_is_refused_once() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut worker = coordinator.worker("mac").await;
    let job = coordinator.submit("").await;
    let given = worker.assignment().await;
    let long = manifest(Kind::Adapter, "x", json!({"note": "x".repeat(MANIFEST_BYTES_MAX)}));
    worker.report(&given, 1, success_with_best(&long, &manifest(Kind::Adapter, "y", json!({})))).await;
    assert_eq!(worker.ack().await, 1);
    let ended = coordinator.job(&job.id).await;
    assert_eq!(ended.state(), v1::JobState::Failed);
    assert!(ended.reason.contains("31.0 MiB"), "{}", ended.reason);
    // The session goes on, and names what it holds as before.
    worker.heartbeat(&holding(&given)).await;
    assert!(coordinator.workers().await[0].connected);
}
