use super::*;
use crate::{previous, wire};
use protox::prost_reflect::{DescriptorPool, DynamicMessage, Value};
use std::process::Command;
use vertigo::manifest::Manifest;
use vertigo::v1::{Artifact, GetArtifactRequest, Outputs, Report, finished::Outcome, report::Body as Said};
use vertigo_tests::waiting::soon;
use vertigo_tests::{Process, binary};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_today_does_a_job_for_the_coordinator_of_the_release_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut coordinator = OldCoordinator::new(Recording::read(&previous())).await;
    let mut command = Command::new(binary("vertigo-worker"));
    command.env("VERTIGO_COORDINATOR", coordinator.endpoint.url()).env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
    command.args(["--name", "new", "--memory", "4GiB", "--state"]).arg(dir.path().join("worker"));
    let (mut worker, line) = Process::start("new", &mut command, dir.path());
    assert!(line.contains("connected"), "{line}");

    let mut reports: Vec<Report> = Vec::new();
    while !reports.iter().any(|report| matches!(report.body, Some(Said::Finished(_)))) {
        let message = soon("the worker's word", coordinator.hears.recv()).await.unwrap();
        is_understood(&message);
        if let Some(FromWorker::Reports(batch)) = WorkerMessage::decode(&message[..]).unwrap().message {
            reports.extend(batch.reports);
        }
    }
    let numbers: Vec<u64> = reports.iter().map(|report| report.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "each once and in order");
    let said = |is_it: fn(&Said) -> Option<u64>| reports.iter().filter_map(move |it| it.body.as_ref().and_then(is_it));
    let iters = said(|body| if let Said::Step(step) = body { Some(step.iter) } else { None });
    assert_eq!(iters.collect::<Vec<_>>(), (1..=16).collect::<Vec<_>>());
    assert!(said(|body| if let Said::Checkpoint(it) = body { Some(it.iter) } else { None }).count() > 0);

    // What it made has the roles that it had, says what it was made of, and is there.
    let Some(Said::Finished(finished)) = &reports.last().unwrap().body else { panic!("{reports:?}") };
    let Some(Outcome::Outputs(Outputs { made, .. })) = &finished.outcome else { panic!("{finished:?}") };
    let then = recorded_outputs(&coordinator.played.recording);
    let roles = |made: &[vertigo::v1::Made]| made.iter().map(|made| made.role.clone()).collect::<Vec<_>>();
    assert_eq!(roles(made), roles(&then));
    for (made, then) in made.iter().zip(&then) {
        let read = |made: &vertigo::v1::Made| Manifest::parse(&made.manifest_json).unwrap();
        let (now, then) = (read(made), read(then));
        for file in now.files() {
            assert!(coordinator.has(&file.digest), "{} was not sent up", file.path);
        }
        for (fact, value) in then.facts() {
            let same_kind =
                now.fact(fact).is_some_and(|now| std::mem::discriminant(now) == std::mem::discriminant(value));
            assert!(same_kind, "{fact} was {value} and is {:?}", now.fact(fact));
        }
    }
    assert!(worker.terminate().success(), "{}", worker.log());
}

fn recorded_outputs(recording: &Recording) -> Vec<vertigo::v1::Made> {
    let finished = recording.steps.iter().rev().find_map(|step| {
        let Step::Says { call: 1, message } = step else { return None };
        let Some(FromWorker::Reports(batch)) = WorkerMessage::decode(&message.0[..]).unwrap().message else {
            return None;
        };
        batch.reports.into_iter().find_map(|it| if let Some(Said::Finished(it)) = it.body { Some(it) } else { None })
    });
    let Some(Outcome::Outputs(outputs)) = finished.unwrap().outcome else { panic!("it failed") };
    outputs.made
}

/// Reads a worker's message by the protocol of the release before: more fields it passes over, but not what the message is.
fn is_understood(message: &Bytes) {
    let pool = DescriptorPool::from_file_descriptor_set(wire::compile(&previous().join("proto")).unwrap()).unwrap();
    let kind = pool.get_message_by_name("vertigo.v1.WorkerMessage").unwrap();
    let read = DynamicMessage::decode(kind, &message[..]).unwrap();
    assert_eq!(read.unknown_fields().count(), 0, "{read:?}");
    let batch = read.get_field_by_name("reports").unwrap();
    let reports = batch.as_message().and_then(|batch| batch.get_field_by_name("reports")).unwrap();
    for report in reports.as_list().unwrap().iter().filter_map(Value::as_message) {
        assert_eq!(report.unknown_fields().count(), 0, "{report:?}");
    }
}

/// A message that is read and written again, to the last byte: nothing of it is unknown, and nothing is read as something else.
fn same<M: prost::Message + Default>(bytes: &Bytes) {
    let read = M::decode(&bytes[..]).unwrap();
    assert_eq!(read.encode_to_vec(), bytes.to_vec(), "{}", std::any::type_name::<M>());
}

#[test]
fn every_recorded_message_is_read_to_its_last_byte() {
    let recording = Recording::read(&previous());
    let paths: std::collections::BTreeMap<u64, &str> = recording
        .steps
        .iter()
        .filter_map(|step| if let Step::Calls { call, path } = step { Some((*call, path.as_str())) } else { None })
        .collect();
    let mut read = 0;
    for step in &recording.steps {
        match step {
            Step::Says { call, message } => match paths[call] {
                SESSION => same::<WorkerMessage>(&message.0),
                ARTIFACT => same::<GetArtifactRequest>(&message.0),
                MISSING => same::<MissingBlobsRequest>(&message.0),
                path => panic!("what is said by {path}?"),
            },
            Step::Hears { call, message } => match paths[call] {
                SESSION => same::<CoordinatorMessage>(&message.0),
                ARTIFACT => same::<Artifact>(&message.0),
                MISSING => same::<MissingBlobsResponse>(&message.0),
                path => panic!("what is said by {path}?"),
            },
            _ => continue,
        }
        read += 1;
    }
    assert!(read > 30, "{read}");
}
