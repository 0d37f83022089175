//! Views of messages, as scripts see them.

use super::*;
use serde_json::{Value, json};
use vertigo::v1::{self, report::Body as Said};

fn json(view: impl serde::Serialize) -> Value {
    serde_json::to_value(view).unwrap()
}

fn event(body: Said) -> Value {
    let report = v1::Report { number: 3, at_ms: 1, body: Some(body) };
    let event = Some(v1::job_event::Event::Report(report));
    json(Event::from(&v1::JobEvent {
        seq: 12,
        at_ms: 99,
        epoch: 1,
        job_id: "x".to_owned(),
        event,
        ..Default::default()
    }))
}

#[test]
fn an_event_is_one_flat_object() {
    let line = event(Said::Step(v1::Step { iter: 10, iters: 60, loss: 7.5, ..Default::default() }));
    assert_eq!((&line["event"], &line["job_id"]), (&json!("step"), &json!("x")));
    assert_eq!((&line["seq"], &line["iter"], &line["loss"]), (&json!(12), &json!(10), &json!(7.5)));
    let placed = v1::Placement { worker: "book".to_owned(), variant: 1, reason: "fits".to_owned() };
    let placed = v1::JobEvent { event: Some(v1::job_event::Event::Placed(placed)), ..Default::default() };
    let line = json(Event::from(&placed));
    assert_eq!((&line["event"], &line["worker"], &line["variant"]), (&json!("placed"), &json!("book"), &json!(1)));
    assert_eq!(json(Event::from(&v1::JobEvent::default()))["event"], "unknown");
}

#[test]
fn a_number_that_is_none_is_null_and_leaves_the_line_json() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let step =
            v1::Step { loss: odd, learning_rate: odd, tokens_per_second: odd, grad_norm: odd, ..Default::default() };
        for body in [Said::Step(step), Said::Validation(v1::Validation { loss: odd, ..Default::default() })] {
            let line = event(body).to_string();
            assert!(serde_json::from_str::<Value>(&line).unwrap()["loss"].is_null(), "{line}");
        }
    }
}

#[test]
fn what_is_not_learned_as_it_was_written_is_there_for_scripts() {
    let caveats = v1::Caveats { cut_examples: 3, unshared_prompts: 2, ..Default::default() };
    let read = json(Variant::from(&v1::Variant { caveats: Some(caveats), skipped_examples: 1, ..Default::default() }));
    assert_eq!((&read["skipped_examples"], &read["caveats"]["cut_examples"]), (&json!(1), &json!(3)));
    let unread = json(Variant::from(&v1::Variant::default()));
    assert!(unread["caveats"].is_null() && unread["skipped_examples"].is_null(), "nobody has read the examples");
    let line = event(Said::Started(v1::Started { caveats: Some(caveats), ..Default::default() }));
    assert_eq!(line["caveats"]["unshared_prompts"], 2);
}

#[test]
fn what_is_empty_in_the_protocol_is_null() {
    let value = json(Job::from(&v1::Job { state: v1::JobState::Leased.into(), ..Default::default() }));
    assert_eq!(value["state"], "running");
    assert!(value["ended_ms"].is_null() && value["reason"].is_null() && value["name"].is_null());
    assert!(json(Placement::from(&v1::Placement::default()))["variant"].is_null());
    assert!(json(Artifact::from(&v1::Artifact::default()))["manifest"].is_null());
}

#[test]
fn a_decision_is_json_and_not_text() {
    let moved =
        |decision: &str| json(TagMove::from(&v1::TagMove { decision_json: decision.to_owned(), ..Default::default() }));
    assert_eq!(moved(r#"{"holds":true}"#)["decision"]["holds"], true);
    assert_eq!((&moved("")["decision"], &moved("{")["decision"]), (&Value::Null, &json!("{")));
}

#[test]
fn a_task_says_its_kind_beside_what_it_is_asked() {
    let fuse = v1::Task { kind: Some(v1::task::Kind::Fuse(v1::Fuse { bits: 8, unmeasured: true })) };
    let variant = json(Variant::from(&v1::Variant { task: Some(fuse), ..Default::default() }));
    assert_eq!(variant["task"], json!({"kind": "fuse", "bits": "8", "measured": false}));
}

/// The names in a view, and whether they are there although nothing is in them.
fn names(path: &str, value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| names(&format!("{path}.{key}"), value, into))
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            list.iter().for_each(|value| names(path, value, into))
        }
        _ => into.push(path.to_owned()),
    }
}

fn whole_job() -> v1::Job {
    let task = |kind| Some(v1::Task { kind: Some(kind) });
    let variant = |kind| v1::Variant {
        parts: vec![v1::MemoryPart::default()],
        inputs: vec![v1::JobInput::default()],
        caveats: Some(v1::Caveats::default()),
        task: task(kind),
        ..v1::Variant::default()
    };
    let models = vec![v1::ServedModel::default()];
    let kinds = [
        v1::task::Kind::Train(v1::Train::default()),
        v1::task::Kind::Fuse(v1::Fuse::default()),
        v1::task::Kind::Serve(v1::Serve { models, ..Default::default() }),
    ];
    v1::Job {
        outputs: vec![v1::JobOutput::default()],
        variants: kinds.map(variant).into(),
        attempts: vec![v1::Attempt { serving: Some(v1::Serving::default()), ..Default::default() }],
        ..v1::Job::default()
    }
}

/// An event of each kind.
fn bodies() -> Vec<Said> {
    let failure = v1::finished::Outcome::Failure(v1::Failure::default());
    vec![
        Said::Started(v1::Started { caveats: Some(v1::Caveats::default()), ..Default::default() }),
        Said::Step(v1::Step::default()),
        Said::Validation(v1::Validation::default()),
        Said::Checkpoint(v1::Checkpoint::default()),
        Said::Log(v1::LogLine::default()),
        Said::Warning(v1::Warning::default()),
        Said::Progress(v1::Progress::default()),
        Said::Measured(v1::Measured::default()),
        Said::Serving(v1::Serving::default()),
        Said::Finished(v1::Finished { outcome: Some(failure), ..Default::default() }),
    ]
}

/// A script that was written for one version reads the next.
#[test]
fn names_are_a_contract() {
    let mut found = Vec::new();
    names("job", &json(Job::from(&whole_job())), &mut found);
    let held = v1::Worker { hold: Some(v1::Hold::default()), ..Default::default() };
    names("worker", &json(Worker::from(&held)), &mut found);
    names("artifact", &json(Artifact::from(&v1::Artifact::default())), &mut found);
    names("tag_move", &json(TagMove::from(&v1::TagMove::default())), &mut found);
    let storage = v1::StorageReport {
        kinds: vec![v1::KindStorage::default()],
        jobs_by_checkpoints: vec![v1::JobStorage::default()],
        disks: vec![v1::DiskStorage::default()],
        ..v1::StorageReport::default()
    };
    names("storage", &json(Storage::from(&storage)), &mut found);
    names("collection", &json(Collection::from(&v1::Collection::default())), &mut found);
    names("placement", &json(Placement::from(&v1::Placement::default())), &mut found);
    for body in bodies() {
        let line = event(body);
        names(&format!("event {}", line["event"].as_str().unwrap()), &line, &mut found);
    }
    let state = v1::JobEvent { event: Some(v1::job_event::Event::State(0)), ..Default::default() };
    let placed = v1::job_event::Event::Placed(v1::Placement::default());
    let placed = v1::JobEvent { event: Some(placed), ..Default::default() };
    let held = v1::job_event::Event::Worker(v1::WorkerEvent::default());
    let held = v1::JobEvent { event: Some(held), ..Default::default() };
    for event in [state, placed, held] {
        let line = json(Event::from(&event));
        names(&format!("event {}", line["event"].as_str().unwrap()), &line, &mut found);
    }
    found.dedup();
    insta::assert_snapshot!(found.join("\n"));
}

/// And so are the words.
#[test]
fn words_are_a_contract() {
    let cures = (0..=5).map(|n| cure(v1::Cure::try_from(n).unwrap()).unwrap_or("null"));
    let slots = (0..=3).map(|n| slot(v1::Slot::try_from(n).unwrap()).unwrap_or("null"));
    let attempts = (0..=5).map(|n| attempt_state(v1::AttemptState::try_from(n).unwrap()));
    let states = (0..=7).map(|n| state(v1::JobState::try_from(n).unwrap()));
    assert_eq!(
        states.collect::<Vec<_>>().join(" "),
        "unknown queued backoff running succeeded failed cancelled blocked"
    );
    assert_eq!(attempts.collect::<Vec<_>>().join(" "), "unknown running succeeded failed lost cancelled");
    assert_eq!(cures.collect::<Vec<_>>().join(" "), "null never more_memory another_machine later fresh_process");
    assert_eq!(slots.collect::<Vec<_>>().join(" "), "null gpu cpu service");
    let movers = (0..=5).map(|n| tag_mover(v1::TagMover::try_from(n).unwrap()));
    assert_eq!(movers.collect::<Vec<_>>().join(" "), "unknown earlier person rollback job import");
    let acts = (0..=5).map(|n| worker_act(v1::WorkerAct::try_from(n).unwrap()));
    assert_eq!(acts.collect::<Vec<_>>().join(" "), "unknown held resumed removed set started_anew");
    for known in STATES {
        assert_eq!(state_of(state(known)), Some(known));
    }
    assert_eq!(state_of("unknown"), None);
}
