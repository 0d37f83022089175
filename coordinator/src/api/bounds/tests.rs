//! A request whose every string and list is enormous comes out small, or not at all.

use super::*;
use prost::Message;
use vertigo::api_error::{ErrorCode, MESSAGE_BYTES_MAX};
use vertigo::v1::{Held, Machine, NewJob, NewVariant};

/// What nobody has a use for.
fn huge() -> String {
    "ü".repeat(1 << 20)
}

/// That the field alone is refused, in words that name it and its bound.
fn refused(answer: Result<(), ApiError>, words: &[&str]) {
    let error = answer.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(error.message.len() <= MESSAGE_BYTES_MAX);
    assert!(words.iter().all(|word| error.message.contains(word)), "{error}");
}

#[test]
fn what_a_person_submits_is_refused_with_its_field_its_size_and_its_bound() {
    let job = NewJob::default();
    let one = |job: NewJob| submit(&v1::SubmitRequest { jobs: vec![job] });
    assert!(one(job.clone()).is_ok());
    let train = |recipe: &str, yaml: String| NewVariant {
        task: Some(v1::Task { kind: Some(task::Kind::Train(v1::Train { recipe: recipe.to_owned(), yaml })) }),
        ..NewVariant::default()
    };
    let with = |variants: Vec<NewVariant>| one(NewJob { variants, ..NewJob::default() });
    refused(with(vec![train("a", huge())]), &["recipe `a`", "2097152", "262144"]);
    refused(with(vec![train(&huge(), String::new())]), &["recipe's name", "200"]);
    let named = |n: usize| NewVariant { name: n.to_string(), ..train("a", "x".repeat(RECIPE_BYTES_MAX)) };
    refused(with((0..17).map(named).collect()), &["variants", "17", "16"]);
    assert!(with((0..16).map(named).collect()).is_ok());
    refused(with(vec![named(1), named(1)]), &["two variants", "`1`"]);
    refused(with(vec![NewVariant { name: huge(), ..named(1) }]), &["variant's name", "200"]);
    let reads = |source| {
        let input = v1::Input { role: "data".to_owned(), source: Some(source) };
        with(vec![NewVariant { inputs: vec![input], ..named(1) }])
    };
    let output = |job: String, role: String| input::Source::Output(v1::OutputOf { job, role });
    refused(reads(input::Source::Artifact(huge())), &["artifact's name", "200"]);
    refused(reads(output(huge(), String::new())), &["job's id", "200"]);
    refused(reads(output(String::new(), huge())), &["output's role", "64"]);
    let inputs = |n| with(vec![NewVariant { inputs: vec![v1::Input::default(); n], ..named(1) }]);
    refused(inputs(INPUTS_MAX + 1), &["inputs", "17", "16"]);
    let role = v1::Input { role: huge(), source: None };
    refused(with(vec![NewVariant { inputs: vec![role], ..named(1) }]), &["input's role", "64"]);
    refused(one(NewJob { name: huge(), ..job.clone() }), &["name", "200"]);
    refused(one(NewJob { id: huge(), ..job.clone() }), &["id", "64"]);
    refused(one(NewJob { labels: [(huge(), String::new())].into(), ..job.clone() }), &["label", "200"]);
    refused(one(NewJob { labels: [("a".to_owned(), huge())].into(), ..job.clone() }), &["`a`", "200"]);
    let labels = (0..33).map(|n: u32| (n.to_string(), String::new())).collect();
    refused(one(NewJob { labels, ..job.clone() }), &["labels", "33", "32"]);
    refused(submit(&v1::SubmitRequest { jobs: vec![job; 1001] }), &["jobs", "1001", "1000"]);
    refused(plan(&v1::PlanRequest { variants: vec![train("a", huge())] }), &["recipe `a`"]);

    refused(get_job(&v1::GetJobRequest { id: huge() }), &["id", "200"]);
    refused(cancel(&v1::CancelRequest { id: huge(), ..Default::default() }), &["id", "200"]);
    refused(cancel(&v1::CancelRequest { pipeline: huge(), ..Default::default() }), &["pipeline", "200"]);
    refused(watch(&v1::WatchRequest { id: huge(), ..Default::default() }), &["id", "200"]);
    refused(logs(&v1::LogsRequest { id: huge(), after: 0, follow: true }), &["id", "200"]);
    refused(get_artifact(&v1::GetArtifactRequest { reference: huge() }), &["name", "200"]);
    let page_token = huge();
    refused(list_jobs(&v1::ListJobsRequest { page_token, ..Default::default() }), &["page_token"]);
    refused(list_jobs(&v1::ListJobsRequest { kind: huge(), ..Default::default() }), &["kind"]);
    refused(list_jobs(&v1::ListJobsRequest { states: vec![1; 17], ..Default::default() }), &["states"]);
    refused(
        list_jobs(&v1::ListJobsRequest { labels: [(huge(), String::new())].into(), ..Default::default() }),
        &["label"],
    );
    refused(list_workers(&v1::ListWorkersRequest { page_token: huge(), ..Default::default() }), &["page_token"]);
    refused(list_artifacts(&v1::ListArtifactsRequest { page_token: huge(), ..Default::default() }), &["page_token"]);
    refused(list_artifacts(&v1::ListArtifactsRequest { kind: huge(), ..Default::default() }), &["kind"]);
    refused(missing_blobs(&v1::MissingBlobsRequest { digests: vec![huge()] }), &["digest", "71"]);
    refused(missing_blobs(&v1::MissingBlobsRequest { digests: vec![String::new(); 300_001] }), &["digests", "300001"]);
    let tags = |tags| v1::RegisterArtifactRequest { manifest_json: String::new(), tags };
    refused(register(&tags(vec![huge()])), &["tag", "200"]);
    refused(register(&tags(vec![String::new(); 65])), &["tags", "65", "64"]);
    let step = |reason: String, forced| v1::MoveTagRequest { reason, forced, ..Default::default() };
    refused(move_tag(&step(huge(), false)), &["reason", "1048576 characters", "2000"]);
    assert!(move_tag(&step("ü".repeat(REASON_CHARACTERS_MAX), true)).is_ok());
    refused(move_tag(&step(" ".to_owned(), true)), &["forced", "no reason"]);
    refused(move_tag(&v1::MoveTagRequest { id: huge(), ..Default::default() }), &["id", "64"]);
    refused(move_tag(&v1::MoveTagRequest { tag: huge(), ..Default::default() }), &["tag", "200"]);
    refused(move_tag(&v1::MoveTagRequest { reference: huge(), ..Default::default() }), &["name", "200"]);
    refused(move_tag(&v1::MoveTagRequest { expected: huge(), ..Default::default() }), &["expected", "71"]);
    refused(move_tag(&v1::MoveTagRequest { decision_json: huge(), ..Default::default() }), &["decision", "65536"]);
    let by = |evidence| move_tag(&v1::MoveTagRequest { evidence, ..Default::default() });
    refused(by(vec![huge()]), &["evidence", "71"]);
    refused(by(vec![String::new(); EVIDENCE_MAX + 1]), &["evidence", "65", "64"]);
    refused(tag_history(&v1::TagHistoryRequest { tag: huge(), ..Default::default() }), &["tag", "200"]);
    refused(tag_history(&v1::TagHistoryRequest { page_token: huge(), ..Default::default() }), &["page_token"]);
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
        gpu_slots: u32::MAX,
        cpu_slots: 4,
        service_slots: u32::MAX,
        edition: u32::MAX,
    };
    let mut said = v1::Hello { name: " mac ".to_owned(), machine: Some(machine), ..Default::default() };
    hello(&mut said).unwrap();
    assert!(said.encoded_len() < 1 << 10, "{}", said.encoded_len());
    let machine = said.machine.unwrap();
    assert!(machine.chip.contains('…'));
    assert_eq!((said.name.as_str(), machine.memory_bytes, machine.free_bytes), ("mac", AMOUNT_MAX, 7));
    assert_eq!((machine.gpu_slots, machine.cpu_slots), (SLOTS_MAX, 4));

    for name in ["", "  ", &huge(), "a\u{1b}[2J"] {
        refused(hello(&mut v1::Hello { name: name.to_owned(), ..Default::default() }), &["--name"]);
    }
    let held = vec![Held { attempt_id: huge(), epoch: 1 }];
    let mut beat = v1::Heartbeat {
        free_bytes: u64::MAX,
        held: held.clone(),
        disk_free_bytes: u64::MAX,
        away: huge(),
        conditions: Some(v1::Conditions { withheld_bytes: u64::MAX, screen: 9 }),
    };
    refused(heartbeat(&mut beat), &["attempt_id"]);
    refused(hello(&mut v1::Hello { name: "mac".to_owned(), held, ..Default::default() }), &["attempt_id"]);
    beat.held = vec![Held::default(); HELD_MAX + 1];
    refused(heartbeat(&mut beat), &["held"]);
    assert!(beat.away.len() <= AWAY_BYTES_MAX && beat.away.contains('…'));
}

#[test]
fn a_long_line_or_reason_is_cut_and_the_report_is_taken() {
    let failure = v1::Failure { cure: 0, message: format!("{}the end", huge()), code: huge(), pause_ms: u64::MAX };
    let bodies = [
        report::Body::Log(v1::LogLine { text: huge() }),
        report::Body::Progress(v1::Progress { unit: huge(), ..Default::default() }),
        report::Body::Measured(v1::Measured { name: huge(), value: f64::NAN }),
        report::Body::Finished(v1::Finished {
            peak_bytes: 1,
            outcome: Some(finished::Outcome::Outputs(v1::Outputs {
                made: vec![v1::Made { role: huge(), manifest_json: String::new() }],
                remark: huge(),
            })),
        }),
        report::Body::Finished(v1::Finished {
            peak_bytes: u64::MAX,
            outcome: Some(finished::Outcome::Failure(failure)),
        }),
    ];
    let list = bodies.into_iter().map(|body| v1::Report { number: 1, at_ms: 1, body: Some(body) }).collect();
    let mut batch = v1::ReportBatch { attempt_id: String::new(), epoch: 1, reports: list };
    reports(&mut batch).unwrap();
    assert!(batch.encoded_len() < 48 << 10);
    let Some(report::Body::Finished(finished)) = &batch.reports[4].body else { panic!("{batch:?}") };
    let Some(finished::Outcome::Failure(failure)) = &finished.outcome else { panic!("{finished:?}") };
    assert!(failure.message.ends_with("the end"), "the last words say the most");
    let mut many = v1::ReportBatch { reports: vec![v1::Report::default(); REPORTS_MAX + 1], ..Default::default() };
    refused(reports(&mut many), &["reports", "16384"]);
}
