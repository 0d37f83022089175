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
fn a_task_says_its_kind_beside_what_it_is_asked() {
    let fuse = v1::Task { kind: Some(v1::task::Kind::Fuse(v1::Fuse { bits: 8, unmeasured: true })) };
    let variant = json(Variant::from(&v1::Variant { task: Some(fuse), ..Default::default() }));
    assert_eq!(variant["task"], json!({"kind": "fuse", "bits": 8, "measured": false}));
}

/// A script that was written for one version reads the next.
#[test]
fn names_are_a_contract() {
    let variant = v1::Variant { parts: vec![v1::MemoryPart::default()], ..Default::default() };
    let variant =
        v1::Variant { inputs: vec![v1::JobInput::default()], caveats: Some(v1::Caveats::default()), ..variant };
    let job = v1::Job {
        outputs: vec![v1::JobOutput::default()],
        variants: vec![variant],
        attempts: vec![v1::Attempt::default()],
        ..Default::default()
    };
    let mut names = Vec::new();
    fn collect(path: &str, value: &Value, names: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| collect(&format!("{path}.{key}"), value, names)),
            Value::Array(list) => list.iter().for_each(|value| collect(path, value, names)),
            _ => names.push(path.to_owned()),
        }
    }
    collect("job", &json(Job::from(&job)), &mut names);
    collect("worker", &json(Worker::from(&v1::Worker::default())), &mut names);
    collect("artifact", &json(Artifact::from(&v1::Artifact::default())), &mut names);
    insta::assert_snapshot!(names.join("\n"));
}
