//! The daemon as a process: what it says, how it goes, and that its child goes with it.

use crate::coordinator::{Call, Coordinator};
use crate::support::{eventually, given, lay_inputs, recipe, soon, train};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, JobId};
use vertigo::task::GIVEN_BACK;
use vertigo::v1::coordinator_message::Message as ToWorker;
use vertigo::v1::report::Body;
use vertigo::v1::worker_message::Message as FromWorker;
use vertigo::v1::{Ack, Assignment, Cure, Report, StartAnew, finished};

fn start(coordinator: &Coordinator, state: &Path) -> Child {
    start_with(coordinator, state, |_| {})
}

fn start_with(coordinator: &Coordinator, state: &Path, more: impl FnOnce(&mut Command)) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vertigo-worker"));
    command.args(["--coordinator", coordinator.endpoint.url(), "--name", "studio", "--memory", "2GiB", "--state"]);
    command.arg(state).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    more(&mut command);
    command.spawn().unwrap()
}

fn signal(daemon: &Child, signal: Signal) {
    kill(Pid::from_raw(daemon.id().unwrap() as i32), signal).unwrap();
}

fn is_step(report: &Report) -> bool {
    matches!(report.body, Some(Body::Step(_)))
}

/// A state folder with the inputs of a job that never ends.
fn state(dir: &Path) -> (PathBuf, Assignment) {
    let state = dir.join("worker");
    let (base, data) = lay_inputs(&state.join("cache"));
    let assignment = Assignment {
        job_id: JobId::new().to_string(),
        attempt_id: AttemptId::new().to_string(),
        epoch: 1,
        reserved_bytes: Bytes::gib(1).0,
        variant: "tiny".to_owned(),
        task: Some(train(recipe(1_000_000))),
        inputs: given(&[("base", base), ("data", data)]),
        ..Assignment::default()
    };
    (state, assignment)
}

/// The process id of the child that trains for `assignment`.
async fn training(call: &mut Call, state: &Path, assignment: &Assignment) -> Pid {
    call.say(ToWorker::Assignment(assignment.clone())).await;
    call.reports(is_step).await;
    let pid = fs::read_to_string(state.join("attempts").join(&assignment.attempt_id).join("pid")).unwrap();
    Pid::from_raw(pid.parse().unwrap())
}

#[tokio::test]
async fn a_daemon_that_is_killed_takes_its_child_along_and_its_restart_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (state, assignment) = state(dir.path());
    let mut coordinator = Coordinator::new().await;
    let mut daemon = start(&coordinator, &state);
    let (mut call, hello) = coordinator.welcomed(vec![]).await;
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    assert_eq!(line, format!("vertigo-worker studio connected to {}\n", coordinator.endpoint));
    assert_eq!(hello.machine.unwrap().usable_bytes, Bytes::gib(2).0);
    let child = training(&mut call, &state, &assignment).await;

    daemon.kill().await.unwrap();
    eventually("the child's end", || kill(child, None).is_err().then_some(())).await;
    let _again = start(&coordinator, &state);
    let (_, again) = coordinator.welcomed(vec![]).await;
    assert_eq!((again.worker_id, again.held), (hello.worker_id, vec![]));
    // The installation is the same, the process is not.
    assert_eq!(again.secret, hello.secret);
    assert_ne!(again.process, hello.process);
}

#[tokio::test]
async fn the_first_signal_drains_and_the_second_hands_the_attempt_back() {
    let dir = tempfile::tempdir().unwrap();
    let (state, assignment) = state(dir.path());
    let mut coordinator = Coordinator::new().await;
    let mut daemon = start(&coordinator, &state);
    let (mut call, _) = coordinator.welcomed(vec![]).await;
    let child = training(&mut call, &state, &assignment).await;
    signal(&daemon, Signal::SIGTERM);
    while !matches!(call.next().await, vertigo::v1::worker_message::Message::Drain(_)) {}
    call.reports(is_step).await;
    signal(&daemon, Signal::SIGTERM);
    let reports = call.reports(|report| matches!(report.body, Some(Body::Finished(_)))).await;
    let last = reports.last().unwrap();
    let Some(Body::Finished(finished)) = &last.body else { panic!("the last report is {last:?}") };
    let Some(finished::Outcome::Failure(failure)) = &finished.outcome else { panic!("{finished:?}") };
    assert_eq!(failure.cure(), Cure::Later);
    call.say(ToWorker::Ack(Ack { attempt_id: assignment.attempt_id, number: last.number })).await;
    assert!(daemon.wait().await.unwrap().success());
    assert!(kill(child, None).is_err());
}

/// What an init hears next, but for heartbeats.
async fn heard(socket: &UnixDatagram) -> String {
    loop {
        let mut bytes = [0; 4096];
        let length = soon("word to the init", socket.recv(&mut bytes)).await.unwrap();
        let said = String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned();
        if said != "WATCHDOG=1" {
            return said;
        }
    }
}

#[tokio::test]
async fn an_init_hears_of_it_and_one_signal_is_enough_where_its_patience_has_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let (state, assignment) = state(dir.path());
    let mut coordinator = Coordinator::new().await;
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut daemon = start_with(&coordinator, &state, |command| {
        // Rare enough that none waits for room in the socket while the test listens to something else.
        command.args(["--drain", "10ms"]).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "60000000");
    });
    assert_eq!(heard(&socket).await, format!("STATUS=dialling {}", coordinator.endpoint));
    assert_eq!(heard(&socket).await, "READY=1", "a coordinator that has not answered yet is waited for");
    let (mut call, _) = coordinator.welcomed(vec![]).await;
    assert_eq!(heard(&socket).await, format!("STATUS=connected to {}", coordinator.endpoint));
    let child = training(&mut call, &state, &assignment).await;
    if let Ok(environment) = fs::read_to_string(format!("/proc/{child}/environ")) {
        assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG"), "{environment}");
    }
    signal(&daemon, Signal::SIGTERM);
    assert_eq!(heard(&socket).await, "STOPPING=1");
    let reports = call.reports(|report| matches!(report.body, Some(Body::Finished(_)))).await;
    let number = reports.last().unwrap().number;
    call.say(ToWorker::Ack(Ack { attempt_id: assignment.attempt_id, number })).await;
    assert!(daemon.wait().await.unwrap().success());
    assert!(kill(child, None).is_err());
}

#[tokio::test]
async fn a_taken_name_or_a_taken_folder_ends_it_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut coordinator = Coordinator::new().await;
    let mut daemon = start(&coordinator, dir.path());
    let call = coordinator.call().await;
    let second = start(&coordinator, dir.path()).wait_with_output().await.unwrap();
    let words = String::from_utf8(second.stderr).unwrap();
    assert!(second.status.code() == Some(1) && words.contains("--state"), "{words}");

    call.refuse(ApiError::new(ErrorCode::NameTaken, "another worker named studio is connected").into()).await;
    assert_eq!(daemon.wait().await.unwrap().code(), Some(1));
    let mut words = String::new();
    daemon.stderr.take().unwrap().read_to_string(&mut words).await.unwrap();
    assert!(words.contains("another worker named studio is connected"), "{words}");
}

#[tokio::test]
async fn an_address_that_others_could_listen_in_on_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_vertigo-worker"))
        .args(["--coordinator", "http://10.0.0.1:7420"])
        .output()
        .await
        .unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && words.contains("not on this machine"), "{words}");
}

/// Waits until a heartbeat says that the worker takes nothing, and for a few after that.
async fn goes(call: &mut Call) {
    let mut beats = 0;
    while beats < 5 {
        if let FromWorker::Heartbeat(heartbeat) = call.next().await
            && !heartbeat.away.is_empty()
        {
            beats += 1;
        }
    }
}

/// Takes what an attempt says to its end, and lets it go.
async fn to_its_end(call: &mut Call, assignment: &Assignment) -> (Vec<Report>, String) {
    let reports = call.reports(|report| matches!(report.body, Some(Body::Finished(_)))).await;
    let last = reports.last().unwrap();
    let Some(Body::Finished(finished)) = &last.body else { panic!("the last report is {last:?}") };
    let Some(finished::Outcome::Failure(failure)) = &finished.outcome else { panic!("{finished:?}") };
    let code = failure.code.clone();
    call.say(ToWorker::Ack(Ack { attempt_id: assignment.attempt_id.clone(), number: last.number })).await;
    (reports, code)
}

#[tokio::test]
async fn a_daemon_that_is_told_to_go_while_it_saves_to_start_anew_saves_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (state, assignment) = state(dir.path());
    let mut coordinator = Coordinator::new().await;
    let mut daemon = start(&coordinator, &state);
    let (mut call, _) = coordinator.welcomed(vec![]).await;
    let child = training(&mut call, &state, &assignment).await;
    // It saves for as long as this takes.
    kill(child, Signal::SIGSTOP).unwrap();
    call.say(ToWorker::StartAnew(StartAnew {})).await;
    goes(&mut call).await;
    signal(&daemon, Signal::SIGTERM);
    goes(&mut call).await;
    kill(child, Signal::SIGCONT).unwrap();
    let (reports, code) = to_its_end(&mut call, &assignment).await;
    assert_eq!(code, GIVEN_BACK, "{reports:?}");
    assert!(reports.iter().any(|report| matches!(report.body, Some(Body::Checkpoint(_)))), "{reports:?}");
    assert!(soon("the daemon's end", daemon.wait()).await.unwrap().success(), "and does not come back");
}

#[tokio::test]
async fn a_daemon_that_goes_does_not_come_back_when_it_is_told_to_start_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (state, assignment) = state(dir.path());
    let mut coordinator = Coordinator::new().await;
    let mut daemon = start(&coordinator, &state);
    let (mut call, _) = coordinator.welcomed(vec![]).await;
    training(&mut call, &state, &assignment).await;
    signal(&daemon, Signal::SIGTERM);
    while !matches!(call.next().await, FromWorker::Drain(_)) {}
    call.say(ToWorker::StartAnew(StartAnew {})).await;
    let (_, code) = to_its_end(&mut call, &assignment).await;
    assert_eq!(code, GIVEN_BACK);
    assert!(soon("the daemon's end", daemon.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_daemon_starts_anew_only_where_there_is_a_program_that_starts() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = dir.path().join("vertigo-worker");
    fs::hard_link(env!("CARGO_BIN_EXE_vertigo-worker"), &program).unwrap();
    let (state, assignment) = state(dir.path());
    let mut coordinator = Coordinator::new().await;
    let mut command = Command::new(&program);
    command.args(["--coordinator", coordinator.endpoint.url(), "--name", "studio", "--memory", "2GiB", "--state"]);
    let mut daemon = command.arg(&state).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut log = BufReader::new(daemon.stderr.take().unwrap()).lines();
    let (mut call, hello) = coordinator.welcomed(vec![]).await;
    training(&mut call, &state, &assignment).await;
    let missing = |program: &Path| fs::remove_file(program);
    let no_program = |program: &Path| fs::write(program, "");
    let broken = |program: &Path| {
        fs::write(program, "#!/bin/sh\nexit 3\n")?;
        fs::set_permissions(program, Permissions::from_mode(0o755))
    };
    type Break = fn(&Path) -> std::io::Result<()>;
    let breaks: [Break; 3] = [missing, no_program, broken];
    for break_it in breaks {
        break_it(&program).unwrap();
        call.say(ToWorker::StartAnew(StartAnew {})).await;
        loop {
            let line = soon("a word on it", log.next_line()).await.unwrap().unwrap();
            if line.contains("told to start anew, but") {
                break;
            }
        }
        // What runs there goes on.
        call.reports(is_step).await;
    }
    fs::remove_file(&program).unwrap();
    fs::hard_link(env!("CARGO_BIN_EXE_vertigo-worker"), &program).unwrap();
    call.say(ToWorker::StartAnew(StartAnew {})).await;
    let (_, code) = to_its_end(&mut call, &assignment).await;
    assert_eq!(code, GIVEN_BACK);
    let (_, again) = coordinator.welcomed(vec![]).await;
    assert_eq!(again.worker_id, hello.worker_id);
    assert!(again.process != hello.process && daemon.try_wait().unwrap().is_none(), "the same process, another start");
}
