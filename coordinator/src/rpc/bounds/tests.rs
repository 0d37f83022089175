//! A request whose every string and list is enormous comes out small, or not at all.

use super::*;
use prost::Message;
use vertigo::v1::{FailureKind, Held, Machine, RecipeFile};

/// What nobody has a use for.
fn huge() -> String {
    "ü".repeat(1 << 20)
}

/// That the field alone is refused, in words that name it and its bound.
fn refused(answer: Result<(), Status>, words: &[&str]) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().len() <= REASON_BYTES_MAX);
    assert!(words.iter().all(|word| status.message().contains(word)), "{}", status.message());
}

#[test]
fn what_a_person_submits_is_refused_with_its_field_its_size_and_its_bound() {
    let train = v1::SubmitTrainRequest::default();
    assert!(submit_train(&train).is_ok());
    let recipe = |name: &str, yaml: String| RecipeFile { name: name.to_owned(), yaml };
    let with = |recipes| v1::SubmitTrainRequest { recipes, ..v1::SubmitTrainRequest::default() };
    refused(submit_train(&with(vec![recipe("a", huge())])), &["recipe `a`", "2097152", "262144"]);
    refused(submit_train(&with(vec![recipe(&huge(), String::new())])), &["recipe's name", "200"]);
    refused(submit_train(&with(vec![recipe("a", String::new()); 17])), &["recipes", "17", "16"]);
    assert!(submit_train(&with(vec![recipe("a", "x".repeat(RECIPE_BYTES_MAX)); 16])).is_ok());
    refused(submit_train(&v1::SubmitTrainRequest { data: huge(), ..train.clone() }), &["dataset", "200"]);
    refused(submit_train(&v1::SubmitTrainRequest { name: huge(), ..train.clone() }), &["name", "200"]);
    refused(submit_train(&v1::SubmitTrainRequest { id: huge(), ..train }), &["id", "64"]);

    refused(get_job(&v1::GetJobRequest { id: huge() }), &["id", "200"]);
    refused(cancel(&v1::CancelJobRequest { id: huge() }), &["id", "200"]);
    refused(watch(&v1::WatchJobRequest { id: huge(), after: 0 }), &["id", "200"]);
    refused(logs(&v1::LogsRequest { id: huge(), after: 0, follow: true }), &["id", "200"]);
    refused(get_artifact(&v1::GetArtifactRequest { reference: huge() }), &["name", "200"]);
    let page_token = huge();
    refused(list_jobs(&v1::ListJobsRequest { page_token, ..Default::default() }), &["page_token"]);
    refused(list_workers(&v1::ListWorkersRequest { page_token: huge(), ..Default::default() }), &["page_token"]);
    refused(list_artifacts(&v1::ListArtifactsRequest { page_token: huge(), ..Default::default() }), &["page_token"]);
    refused(list_artifacts(&v1::ListArtifactsRequest { kind: huge(), ..Default::default() }), &["kind"]);
    refused(missing_blobs(&v1::MissingBlobsRequest { digests: vec![huge()] }), &["digest", "71"]);
    refused(missing_blobs(&v1::MissingBlobsRequest { digests: vec![String::new(); 300_001] }), &["digests", "300001"]);
    let tags = |tags| v1::RegisterArtifactRequest { manifest_json: String::new(), tags };
    refused(register(&tags(vec![huge()])), &["tag", "200"]);
    refused(register(&tags(vec![String::new(); 65])), &["tags", "65", "64"]);
    let manifest_json = "x".repeat(MANIFEST_BYTES_MAX + 1);
    refused(register(&v1::RegisterArtifactRequest { manifest_json, tags: vec![] }), &["manifest"]);
}

#[test]
fn what_a_worker_says_of_its_machine_is_cut_and_does_not_lock_it_out() {
    let machine = Machine {
        chip: huge(),
        os: huge(),
        version: huge(),
        memory_bytes: u64::MAX,
        gpu_limit_bytes: u64::MAX,
        usable_bytes: u64::MAX,
        free_bytes: 7,
        disk_free_bytes: u64::MAX,
    };
    let mut said = v1::Hello { name: " mac ".to_owned(), machine: Some(machine), ..Default::default() };
    hello(&mut said).unwrap();
    assert!(said.encoded_len() < 1 << 10, "{}", said.encoded_len());
    let machine = said.machine.unwrap();
    assert!(machine.chip.contains('…'));
    assert_eq!((said.name.as_str(), machine.memory_bytes, machine.free_bytes), ("mac", AMOUNT_MAX, 7));

    for name in ["", "  ", &huge(), "a\u{1b}[2J"] {
        refused(hello(&mut v1::Hello { name: name.to_owned(), ..Default::default() }), &["--name"]);
    }
    let held = vec![Held { attempt_id: huge(), epoch: 1 }];
    let mut beat = v1::Heartbeat { free_bytes: u64::MAX, held: held.clone(), disk_free_bytes: u64::MAX };
    refused(heartbeat(&mut beat), &["attempt_id"]);
    refused(hello(&mut v1::Hello { name: "mac".to_owned(), held, ..Default::default() }), &["attempt_id"]);
    beat.held = vec![Held::default(); HELD_MAX + 1];
    refused(heartbeat(&mut beat), &["held"]);
}

#[test]
fn a_long_line_or_reason_is_cut_and_the_report_is_taken() {
    let failure = v1::Failure { kind: FailureKind::Crashed.into(), message: format!("{}the end", huge()) };
    let bodies = [
        report::Body::Log(v1::LogLine { text: huge() }),
        report::Body::Finished(v1::Finished {
            peak_bytes: u64::MAX,
            outcome: Some(finished::Outcome::Failure(failure)),
        }),
    ];
    let list = bodies.into_iter().map(|body| v1::Report { number: 1, at_ms: 1, body: Some(body) }).collect();
    let mut batch = v1::ReportBatch { attempt_id: String::new(), epoch: 1, reports: list };
    reports(&mut batch).unwrap();
    assert!(batch.encoded_len() < 32 << 10);
    let Some(report::Body::Finished(finished)) = &batch.reports[1].body else { panic!("{batch:?}") };
    let Some(finished::Outcome::Failure(failure)) = &finished.outcome else { panic!("{finished:?}") };
    assert!(failure.message.ends_with("the end"), "the last words say the most");
    let mut many = v1::ReportBatch { reports: vec![v1::Report::default(); REPORTS_MAX + 1], ..Default::default() };
    refused(reports(&mut many), &["reports", "16384"]);
}
