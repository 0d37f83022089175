//! Attempts led to their ends with real children, on inputs that are in the cache already.

use crate::coordinator::Coordinator;
use crate::support::{INPUTS, eventually, given, lay_inputs, recipe, train};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vertigo::bytes::Bytes;
use vertigo::endpoint::Endpoint;
use vertigo::id::{AttemptId, Digest, JobId};
use vertigo::manifest::{Kind, Manifest};
use vertigo::server_key::KeyRule;
use vertigo::v1::report::Body;
use vertigo::v1::{Assignment, Cure, Failure, Finished, Report, Started, finished};
use vertigo_client::{Access, Transfer};
use vertigo_host::linux::Linux;
use vertigo_host::policy::Policy;
use vertigo_host::presence::Presence;
use vertigo_worker::cache::Cache;
use vertigo_worker::child::process::Patience;
use vertigo_worker::endings::remembered::Remembered;
use vertigo_worker::held::{Attempts, Stop};
use vertigo_worker::machine::Machine;
use vertigo_worker::manners::Conditions;
use vertigo_worker::memory::BESIDE_MLX_BYTES;
use vertigo_worker::spool::Cursor;
use vertigo_worker::supervisor::{Slots, Supervisor};

/// A worker whose coordinator is away.
fn worker(dir: &TempDir) -> Arc<Supervisor> {
    // Port 9 is discard: nobody listens.
    worker_of(dir, &"http://127.0.0.1:9".parse().unwrap())
}

pub(crate) fn worker_of(dir: &TempDir, coordinator: &Endpoint) -> Arc<Supervisor> {
    worker_with(dir, coordinator, env!("CARGO_BIN_EXE_vertigo-worker").into())
}

/// A worker whose child is a shell script.
pub(crate) fn worker_with_script(dir: &TempDir, script: &str) -> Arc<Supervisor> {
    let path = dir.path().join("child");
    // Written by another process: a file that a fork of this one holds open for writing cannot be run.
    let write = "printf '%s\\n' '#!/bin/sh' \"$2\" > \"$1\" && chmod +x \"$1\"";
    let status = Command::new("sh").args(["-c", write, "sh"]).arg(&path).arg(script).status().unwrap();
    assert!(status.success());
    worker_with(dir, &"http://127.0.0.1:9".parse().unwrap(), path)
}

pub(crate) fn worker_with(dir: &TempDir, coordinator: &Endpoint, executable: PathBuf) -> Arc<Supervisor> {
    let folder = |name: &str| dir.path().join(name);
    lay_inputs(&folder("cache"));
    fs::create_dir(folder("attempts")).unwrap();
    let transfer = Transfer::new(&Access::plain(coordinator.clone()).unwrap());
    Arc::new(Supervisor {
        attempts: Arc::new(Attempts::recover(&folder("attempts")).unwrap()),
        cache: Cache::new(folder("cache"), Bytes::gib(1), transfer.clone()),
        ledgers: folder("ledgers"),
        transfer,
        machine: Arc::new(Machine::probe(None).unwrap()),
        remembered: Remembered::open(folder("endings.json")),
        executable,
        slots: Slots::new(1, 1, 1),
        drains: CancellationToken::new(),
        host: Arc::new(Linux::at(folder("no machine"))),
        policy: watch::channel(Policy::default()).1,
        presence: watch::channel(Presence::Present).1,
        conditions: watch::channel(Conditions::default()).1,
        patience: Patience::default(),
        keys: KeyRule::Any,
        beside_mlx: BESIDE_MLX_BYTES,
    })
}

pub(crate) fn assignment(yaml: String) -> Assignment {
    Assignment {
        job_id: JobId::new().to_string(),
        attempt_id: AttemptId::new().to_string(),
        epoch: 1,
        reserved_bytes: Bytes::gib(1).0,
        variant: "tiny".to_owned(),
        task: Some(train(yaml)),
        inputs: given(&[("base", INPUTS.0), ("data", INPUTS.1)]),
        ..Assignment::default()
    }
}

pub(crate) fn id(assignment: &Assignment) -> AttemptId {
    assignment.attempt_id.parse().unwrap()
}

pub(crate) fn reports(worker: &Supervisor, id: AttemptId) -> Vec<Report> {
    let attempt = worker.attempts.all().into_iter().find(|attempt| attempt.id() == id);
    attempt.map(|attempt| attempt.read(&mut Cursor::START.clone()).unwrap()).unwrap_or_default()
}

pub(crate) async fn finished(worker: &Supervisor, id: AttemptId) -> Finished {
    eventually("the attempt's end", || match reports(worker, id).pop()?.body? {
        Body::Finished(finished) => Some(finished),
        _ => None,
    })
    .await
}

pub(crate) async fn failure(worker: &Supervisor, id: AttemptId) -> (Failure, u64) {
    let finished = finished(worker, id).await;
    match finished.outcome {
        Some(finished::Outcome::Failure(failure)) => (failure, finished.peak_bytes),
        other => panic!("it ended with {other:?}"),
    }
}

/// The child's process id, once it trains.
pub(crate) async fn training(worker: &Supervisor, id: AttemptId, folder: &Path) -> Pid {
    eventually("a step", || reports(worker, id).iter().any(|r| matches!(r.body, Some(Body::Step(_)))).then_some(()))
        .await;
    let pid = fs::read_to_string(folder.join("attempts").join(id.to_string()).join("pid")).unwrap();
    Pid::from_raw(pid.parse().unwrap())
}

pub(crate) fn is_gone(pid: Pid) -> bool {
    kill(pid, None).is_err()
}

#[tokio::test]
async fn a_run_reports_as_it_goes_and_its_adapter_goes_up() {
    let dir = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::new().await;
    let worker = worker_of(&dir, &coordinator.endpoint);
    let assignment = assignment(recipe(40));
    worker.take(assignment.clone(), None);
    let finished = finished(&worker, id(&assignment)).await;
    let Some(finished::Outcome::Outputs(outputs)) = finished.outcome else { panic!("{finished:?}") };
    let json = &outputs.made[0].manifest_json;
    assert_eq!(outputs.made.iter().map(|made| made.role.as_str()).collect::<Vec<_>>(), ["adapter", "best"]);
    let adapter = Manifest::parse(json).unwrap();
    assert_eq!(adapter.kind(), Kind::Adapter);
    assert!(adapter.file("adapters.safetensors").is_some() && adapter.file("adapter_config.json").is_some());
    let fact = |key: &str| adapter.fact(key).unwrap_or_else(|| panic!("no fact {key}")).clone();
    assert_eq!(fact("recipe"), "tiny");
    assert_eq!((fact("base"), fact("data")), (INPUTS.0.to_string().into(), INPUTS.1.to_string().into()));
    assert_eq!((fact("iters"), fact("engine")), (40.into(), vertigo::VERSION.into()));
    assert_eq!(fact("peak_bytes"), finished.peak_bytes);
    assert!(fact("validation_after").as_f64() < fact("validation_before").as_f64());

    let mut bodies = reports(&worker, id(&assignment)).into_iter().filter_map(|report| report.body);
    let started = bodies.find(|body| !matches!(body, Body::Log(_))).unwrap();
    assert!(matches!(started, Body::Started(Started { train_examples: 8, iters: 40, .. })), "{started:?}");
    let steps =
        bodies.filter_map(|body| if let Body::Step(step) = body { Some((step.iter, step.iters)) } else { None });
    assert_eq!(steps.collect::<Vec<_>>(), (1..=20).map(|n| (2 * n, 40)).collect::<Vec<_>>());
}

#[tokio::test]
async fn checkpoints_go_up_while_it_trains_and_older_ones_are_removed_here() {
    let dir = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::new().await;
    let worker = worker_of(&dir, &coordinator.endpoint);
    let assignment = assignment(recipe(1_000_000));
    worker.take(assignment.clone(), None);
    let checkpoints = eventually("checkpoints", || {
        let bodies = reports(&worker, id(&assignment)).into_iter().filter_map(|report| report.body);
        let checkpoints = bodies.filter_map(|body| if let Body::Checkpoint(sent) = body { Some(sent) } else { None });
        Some(checkpoints.collect::<Vec<_>>()).filter(|checkpoints| checkpoints.len() >= 2)
    })
    .await;
    assert!(checkpoints.is_sorted_by_key(|checkpoint| checkpoint.iter));
    let newest = checkpoints.last().unwrap();
    let manifest = Manifest::parse(&newest.manifest_json).unwrap();
    assert_eq!(manifest.kind(), Kind::Checkpoint);
    assert_eq!(manifest.fact("iter").unwrap(), newest.iter);
    assert_eq!((manifest.fact("recipe").unwrap(), manifest.fact("epoch").unwrap()), (&"tiny".into(), &1.into()));
    assert!(manifest.file("optimizer.safetensors").is_some() && manifest.file("adapters.safetensors").is_some());
    let here = dir.path().join("attempts").join(&assignment.attempt_id).join("out/checkpoints");
    let oldest = checkpoints.first().unwrap().iter;
    eventually("the oldest to go", || (!here.join(format!("{oldest:08}")).exists()).then_some(())).await;
    worker.attempts.stop(id(&assignment), Stop::LeaseOver("the test is over".to_owned()));
    eventually("the attempt's end", || worker.attempts.is_empty().then_some(())).await;
}

#[tokio::test]
async fn an_input_that_the_coordinator_does_not_know_is_bad_input() {
    let dir = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::new().await;
    let worker = worker_of(&dir, &coordinator.endpoint);
    let unknown = Digest::of(b"unknown");
    let assignment = Assignment { inputs: given(&[("base", unknown), ("data", INPUTS.1)]), ..assignment(recipe(2)) };
    worker.take(assignment.clone(), None);
    let (failure, _) = failure(&worker, id(&assignment)).await;
    assert_eq!(failure.cure(), Cure::Never);
    assert!(failure.message.contains(&unknown.hex()), "{}", failure.message);
}

#[tokio::test]
async fn a_recipe_that_cannot_be_read_is_bad_input_with_the_childs_words() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker(&dir);
    let assignment = assignment("modle: tiny\n".to_owned());
    worker.take(assignment.clone(), None);
    let (failure, _) = failure(&worker, id(&assignment)).await;
    assert_eq!(failure.cure(), Cure::Never);
    assert!(failure.message.contains("modle"), "{}", failure.message);
}

#[tokio::test]
async fn a_child_that_aborts_is_a_crash_with_a_measured_peak_and_the_worker_lives() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker(&dir);
    let assignment = assignment(recipe(1_000_000).replace("save_every: 2", "save_every: 1000000"));
    worker.take(assignment.clone(), None);
    let pid = training(&worker, id(&assignment), dir.path()).await;
    kill(pid, Signal::SIGABRT).unwrap();
    let (failure, peak) = failure(&worker, id(&assignment)).await;
    assert_eq!(failure.cure(), Cure::FreshProcess, "{}", failure.message);
    assert!(failure.message.contains("SIGABRT") && peak > 0, "{} {peak}", failure.message);
    let numbers: Vec<_> = reports(&worker, id(&assignment)).iter().map(|report| report.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn past_what_the_machine_offers_a_run_is_ended_as_out_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let offered = Bytes(1000);
    let mut worker = worker(&dir);
    Arc::get_mut(&mut worker).unwrap().machine = Arc::new(Machine::probe(Some(offered)).unwrap());
    let assignment = assignment(recipe(1_000_000).replace("save_every: 2", "save_every: 1000000"));
    worker.take(assignment.clone(), None);
    let (failure, peak) = failure(&worker, id(&assignment)).await;
    assert_eq!(failure.cure(), Cure::MoreMemory);
    assert!(peak > offered.0 && failure.message.contains("offers"), "{} {peak}", failure.message);
}

#[tokio::test]
async fn a_child_that_grows_past_its_bound_is_ended_as_out_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let small = Bytes::mib(1);
    // The shell itself holds the 200 MB, and would hold them for long.
    let mut worker =
        worker_with_script(&dir, "held=$(head -c 200000000 /dev/zero | tr '\\0' x)\necho grown >&2\nsleep 1000");
    let inner = Arc::get_mut(&mut worker).unwrap();
    inner.machine = Arc::new(Machine::probe(Some(small)).unwrap());
    inner.beside_mlx = Bytes::mib(64);
    let assignment = assignment(recipe(2));
    worker.take(assignment.clone(), None);
    let (failure, peak) = failure(&worker, id(&assignment)).await;
    assert_eq!(failure.cure(), Cure::MoreMemory, "{}", failure.message);
    assert!(failure.message.contains("its process held"), "{}", failure.message);
    assert_eq!(peak, 0, "MLX's peak is not known");
}

#[tokio::test]
async fn past_its_reservation_alone_a_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::new().await;
    let worker = worker_of(&dir, &coordinator.endpoint);
    let reserved_bytes = 1000;
    let assignment = Assignment { reserved_bytes, ..assignment(recipe(4)) };
    worker.take(assignment.clone(), None);
    let finished = finished(&worker, id(&assignment)).await;
    assert!(finished.peak_bytes > reserved_bytes, "{finished:?}");
    assert!(matches!(finished.outcome, Some(finished::Outcome::Outputs(_))), "{finished:?}");
}

#[tokio::test]
async fn a_stop_ends_the_child_and_the_next_one_begins_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker(&dir);
    let (first, second) = (assignment(recipe(1_000_000)), assignment("modle: tiny\n".to_owned()));
    worker.take(first.clone(), None);
    let pid = training(&worker, id(&first), dir.path()).await;
    worker.take(second.clone(), None);
    worker.attempts.stop(id(&first), Stop::LeaseOver("cancelled".to_owned()));
    let (failure, _) = failure(&worker, id(&second)).await;
    assert_eq!(failure.cure(), Cure::Never);
    assert!(is_gone(pid), "one child at a time");
    eventually("the first to be let go", || {
        let held = worker.attempts.all();
        (held.len() == 1 && held[0].id() == id(&second)).then_some(())
    })
    .await;
    let folder = dir.path().join("attempts").join(first.attempt_id);
    assert!(!folder.join("out").exists() && folder.join("log").exists());
}

#[tokio::test]
async fn a_worker_that_leaves_reports_the_running_attempt_as_transient() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker(&dir);
    let assignment = assignment(recipe(1_000_000));
    worker.take(assignment.clone(), None);
    let pid = training(&worker, id(&assignment), dir.path()).await;
    worker.attempts.stop(id(&assignment), Stop::WorkerLeaves);
    let (failure, _) = failure(&worker, id(&assignment)).await;
    assert_eq!(failure.cure(), Cure::Later);
    assert!(is_gone(pid));
}

#[tokio::test]
async fn what_cannot_be_taken_is_handed_back() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker(&dir);
    let late = assignment(recipe(2));
    worker.take(late.clone(), Some("the worker is draining"));
    let (failed, _) = failure(&worker, id(&late)).await;
    assert_eq!((failed.cure(), failed.message.as_str()), (Cure::Later, "the worker is draining"));
    let broken = Assignment {
        inputs: vec![vertigo::v1::Given { role: "base".to_owned(), digest: "latest".to_owned() }],
        ..assignment(recipe(2))
    };
    worker.take(broken.clone(), None);
    let (failed, _) = failure(&worker, id(&broken)).await;
    assert!(failed.cure() == Cure::Never && failed.message.contains("inputs.base"), "{}", failed.message);
}

#[tokio::test]
async fn a_child_that_does_not_listen_is_killed_with_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker_with_script(&dir, "trap '' TERM\necho begun >&2\nsleep 1000");
    let assignment = assignment(recipe(2));
    worker.take(assignment.clone(), None);
    let log = || {
        reports(&worker, id(&assignment)).into_iter().find_map(|report| match report.body? {
            Body::Log(line) => Some(line.text),
            _ => None,
        })
    };
    assert_eq!(eventually("its log", log).await, "begun");
    worker.attempts.stop(id(&assignment), Stop::WorkerLeaves);
    let (failure, _) = failure(&worker, id(&assignment)).await;
    assert_eq!(failure.cure(), Cure::Later);
}

#[tokio::test]
async fn a_noisy_child_is_heard_in_part_and_what_was_left_out_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let lines = 20_000;
    let worker = worker_with_script(&dir, &format!("echo no event\nyes noise | head -n {lines} >&2\nexit 3"));
    let assignment = assignment(recipe(2));
    worker.take(assignment.clone(), None);
    let (failure, _) = failure(&worker, id(&assignment)).await;
    assert_eq!(failure.cure(), Cure::FreshProcess);
    assert!(failure.message.contains("code 3") && failure.message.contains("noise"), "{}", failure.message);
    let (mut told, mut left_out) = (0, 0);
    for report in reports(&worker, id(&assignment)) {
        let Some(Body::Log(line)) = report.body else { continue };
        match line.text.strip_prefix("… ").and_then(|rest| rest.split_once(" lines left out")) {
            Some((count, _)) => left_out += count.parse::<u64>().unwrap(),
            None => told += 1,
        }
    }
    assert_eq!(told + left_out, lines + 1);
    assert!(told < lines / 2, "{told} lines were forwarded");
    let log = fs::read_to_string(dir.path().join("attempts").join(&assignment.attempt_id).join("log")).unwrap();
    assert_eq!(log.lines().count() as u64, lines + 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_log_that_cannot_be_written_does_not_end_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::new().await;
    let worker = worker_of(&dir, &coordinator.endpoint);
    let assignment = assignment(recipe(4));
    let folder = dir.path().join("attempts").join(&assignment.attempt_id);
    fs::create_dir(&folder).unwrap();
    // A disk that is always full.
    std::os::unix::fs::symlink("/dev/full", folder.join("log")).unwrap();
    worker.take(assignment.clone(), None);
    let finished = finished(&worker, id(&assignment)).await;
    assert!(matches!(finished.outcome, Some(finished::Outcome::Outputs(_))), "{finished:?}");
}

#[tokio::test]
async fn what_this_machine_cannot_write_is_said_and_tried_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker(&dir);
    let assignment = assignment(recipe(4));
    fs::create_dir_all(dir.path().join("attempts").join(&assignment.attempt_id).join("spec.json")).unwrap();
    worker.take(assignment.clone(), None);
    let (failure, _) = failure(&worker, id(&assignment)).await;
    assert_eq!((failure.cure(), failure.code.as_str()), (Cure::AnotherMachine, "this_machine"));
    assert!(failure.message.contains("spec.json"), "{}", failure.message);
}

#[tokio::test]
async fn a_coordinator_that_is_away_costs_two_checkpoints_of_disk() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker(&dir);
    let assignment = assignment(recipe(1_000_000));
    worker.take(assignment.clone(), None);
    let here = dir.path().join("attempts").join(&assignment.attempt_id).join("out/checkpoints");
    let made = || {
        let entries = fs::read_dir(&here).ok()?.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        Some(names)
    };
    // One every other iteration: by the fortieth there were twenty. Two stay, and what came in this moment.
    let few = |names: &Vec<String>| names.len() <= 4 && names.last().is_some_and(|name| name.as_str() >= "00000040");
    eventually("few of many checkpoints", || made().filter(few)).await;
    worker.attempts.stop(id(&assignment), Stop::LeaseOver("the test is over".to_owned()));
    eventually("the attempt's end", || worker.attempts.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_child_that_hangs_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut worker = worker_with_script(&dir, "echo begun >&2\nsleep 1000");
    Arc::get_mut(&mut worker).unwrap().patience.still = Duration::from_millis(1500);
    let hanging = assignment(recipe(2));
    worker.take(hanging.clone(), None);
    let (failed, _) = failure(&worker, id(&hanging)).await;
    assert_eq!(failed.cure(), Cure::FreshProcess);
    assert!(failed.message.contains("it hung"), "{}", failed.message);
}

#[tokio::test]
async fn a_child_that_has_said_its_last_word_and_stays_is_ended_and_its_word_counts() {
    let dir = tempfile::tempdir().unwrap();
    let said = r#"{"event":"failed","cure":"never","code":"bad_input","message":"so it is"}"#;
    let mut worker = worker_with_script(&dir, &format!("echo '{said}'\nsleep 1000"));
    Arc::get_mut(&mut worker).unwrap().patience.farewell = Duration::from_millis(100);
    let assignment = assignment(recipe(2));
    worker.take(assignment.clone(), None);
    let (failed, _) = failure(&worker, id(&assignment)).await;
    assert_eq!((failed.cure(), failed.message.as_str()), (Cure::Never, "so it is"));
}

#[tokio::test]
async fn a_checkpoint_that_the_disk_did_not_take_is_a_warning_to_the_person_and_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let unwritten = r#"{"event":"warning","text":"no checkpoint at 20: out/00000020: no space left"}"#;
    let step = r#"{"event":"step","iter":30,"iters":40,"loss":1.0,"learning_rate":1.0,"tokens_per_second":1.0,"trained_tokens":1,"peak_bytes":1,"grad_norm":1.0}"#;
    let worker = worker_with_script(&dir, &format!("echo '{unwritten}'; echo '{step}'; exit 3"));
    let assignment = assignment(recipe(2));
    worker.take(assignment.clone(), None);
    finished(&worker, id(&assignment)).await;
    let bodies: Vec<Body> = reports(&worker, id(&assignment)).into_iter().filter_map(|report| report.body).collect();
    let warning = bodies.iter().position(|body| match body {
        Body::Warning(warning) => {
            assert!(warning.text.contains("no checkpoint at 20: out/00000020: no space left"), "{}", warning.text);
            true
        }
        _ => false,
    });
    let step = bodies.iter().position(|body| matches!(body, Body::Step(_)));
    assert!(warning.is_some() && warning < step, "{bodies:?}");
}
