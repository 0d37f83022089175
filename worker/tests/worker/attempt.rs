//! The child alone: a spec in, lines out, and its death with the daemon's.

use crate::support::{DEADLINE, recipe, write_base, write_data};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Epoch, JobId};
use vertigo_engine::Event;
use vertigo_worker::attempt::{End, Failed, Reason, Said, Spec};

fn spec(dir: &Path, iters: u64) -> Spec {
    write_base(&dir.join("base"));
    write_data(&dir.join("data"));
    Spec {
        job: JobId::new(),
        attempt: AttemptId::new(),
        epoch: Epoch(1),
        reserved: Bytes::gib(1),
        recipe: "tiny".to_owned(),
        yaml: recipe(iters),
        base: dir.join("base"),
        data: dir.join("data"),
        checkpoint: None,
        out: dir.join("out"),
    }
}

fn start(dir: &Path, spec: &Spec) -> (Child, BufReader<ChildStdout>) {
    let path = dir.join("spec.json");
    spec.save(&path).unwrap();
    start_on(&path)
}

fn start_on(spec: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vertigo-worker"))
        .args(["attempt", "--spec"])
        .arg(spec)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// Runs to the end: what was said, and the exit code.
fn run(dir: &Path, spec: &Spec) -> (Vec<Said>, Option<i32>) {
    let (mut child, stdout) = start(dir, spec);
    let said = stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    (said, child.wait().unwrap().code())
}

fn failure(dir: &TempDir, spec: &Spec) -> Failed {
    let (said, code) = run(dir.path(), spec);
    assert_eq!(code, Some(1));
    match said.last() {
        Some(Said::End(End::Failed(failed))) => failed.clone(),
        other => panic!("the last word was {other:?}"),
    }
}

#[test]
fn a_spec_becomes_events_and_an_adapter_and_goes_on_from_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let whole = spec(dir.path(), 6);
    let (said, code) = run(dir.path(), &whole);
    assert_eq!(code, Some(0));
    let events: Vec<_> =
        said.iter().map(|said| if let Said::Event(event) = said { event } else { panic!("{said:?}") }).collect();
    assert!(matches!(events[0], Event::Started { train_examples: 8, valid_examples: 2, resumed_at: 0, iters: 6, .. }));
    let steps: Vec<_> = events
        .iter()
        .filter_map(|e| if let Event::Step { iter, peak_bytes, .. } = e { Some((*iter, *peak_bytes)) } else { None })
        .collect();
    assert_eq!(steps.iter().map(|(iter, _)| *iter).collect::<Vec<_>>(), [2, 4, 6]);
    assert!(steps.iter().all(|(_, peak)| *peak > 0));
    let Some(Event::Finished(outcome)) = events.last() else { panic!("{events:?}") };
    assert!(outcome.validation_after < outcome.validation_before, "{outcome:?}");
    assert!(
        outcome.folder.join("adapters.safetensors").exists() && outcome.folder.join("adapter_config.json").exists()
    );
    let checkpoint = events.iter().find_map(|e| match e {
        Event::Checkpoint { iter: 4, folder } => Some(folder.clone()),
        _ => None,
    });

    let resumed = Spec { checkpoint, out: dir.path().join("again"), ..whole };
    let (said, code) = run(dir.path(), &resumed);
    assert_eq!(code, Some(0));
    assert!(matches!(said[0], Said::Event(Event::Started { resumed_at: 4, .. })), "{:?}", said[0]);
    let weights = |folder: &Path| fs::read(folder.join("adapter/adapters.safetensors")).unwrap();
    assert!(weights(&dir.path().join("again")) == weights(&dir.path().join("out")), "a resumed run is the same run");
}

#[test]
fn bad_input_is_said_to_be_that() {
    let dir = tempfile::tempdir().unwrap();
    let good = spec(dir.path(), 2);
    let unknown = failure(&dir, &Spec { yaml: format!("{}itters: 3\n", good.yaml), ..good.clone() });
    assert_eq!(unknown.kind, Reason::BadInput);
    assert!(unknown.message.contains("itters") && unknown.message.contains("iters"), "{}", unknown.message);

    fs::write(dir.path().join("data/more.jsonl"), "{\"text\":\"fine\"}\n{\"text\":\n").unwrap();
    let broken = failure(&dir, &good);
    assert!(broken.kind == Reason::BadInput && broken.message.contains("more.jsonl:2"), "{broken:?}");

    fs::remove_file(dir.path().join("data/more.jsonl")).unwrap();
    fs::remove_file(dir.path().join("base/model.safetensors")).unwrap();
    let missing = failure(&dir, &good);
    assert!(missing.kind == Reason::BadInput && missing.message.contains("model.safetensors"), "{missing:?}");

    fs::write(dir.path().join("spec.json"), "{}").unwrap();
    let (mut child, stdout) = start_on(&dir.path().join("spec.json"));
    let line = stdout.lines().next().unwrap().unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(line.contains("bad_input") && line.contains("spec.json"), "{line}");
}

#[test]
fn it_ends_when_its_stdin_closes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, stdout) = start(dir.path(), &spec(dir.path(), 1_000_000));
    let step = stdout.lines().map(|line| line.unwrap()).find(|line| line.contains(r#""event":"step""#));
    assert!(step.is_some(), "it trains");
    assert_eq!(child.try_wait().unwrap(), None);
    drop(child.stdin.take());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < DEADLINE, "it goes on without a daemon");
        std::thread::yield_now();
    };
    assert!(!status.success());
}
