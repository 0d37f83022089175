//! The daemon on a laptop that is played: it pauses when the plug is pulled, goes on when that passes, and gives back what runs when it
//! does not.

use crate::coordinator::{Call, Coordinator};
use crate::support::{eventually, given, lay_inputs, recipe, train};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, JobId};
use vertigo::task::GIVEN_BACK;
use vertigo::v1::coordinator_message::Message as ToWorker;
use vertigo::v1::report::Body;
use vertigo::v1::worker_message::Message as FromWorker;
use vertigo::v1::{Ack, Assignment, Cure, Report, finished};
use vertigo_testkit::laptop::plug;

const ON_BATTERY: &str = "it runs on battery";

/// A daemon on the laptop in `dir` that leaves after `grace`.
fn start(coordinator: &Coordinator, dir: &Path, grace: &str, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_vertigo-worker"))
        .args(["--coordinator", coordinator.endpoint.url(), "--name", "laptop", "--memory", "2GiB"])
        .args(["--grace", grace, "--settle", "200ms", "--state"])
        .arg(dir.join("worker"))
        .arg("--host-root")
        .arg(dir.join("laptop"))
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Training that does not end, whose inputs are there; it checkpoints by itself after `save_every` iterations.
fn assignment(dir: &Path, save_every: u64) -> Assignment {
    let (base, data) = lay_inputs(&dir.join("worker/cache"));
    Assignment {
        job_id: JobId::new().to_string(),
        attempt_id: AttemptId::new().to_string(),
        epoch: 1,
        reserved_bytes: Bytes::gib(1).0,
        variant: "tiny".to_owned(),
        task: Some(train(recipe(1_000_000).replace("save_every: 2", &format!("save_every: {save_every}")))),
        inputs: given(&[("base", base), ("data", data)]),
        ..Assignment::default()
    }
}

fn iter(report: &Report) -> Option<u64> {
    if let Some(Body::Step(step)) = &report.body { Some(step.iter) } else { None }
}

fn end(report: &Report) -> Option<&vertigo::v1::Finished> {
    if let Some(Body::Finished(finished)) = &report.body { Some(finished) } else { None }
}

/// Waits until a heartbeat says this of why the worker takes nothing. Reports that come meanwhile are given.
async fn away_is(call: &mut Call, away: &str) -> Vec<Report> {
    let mut reports = Vec::new();
    loop {
        match call.next().await {
            FromWorker::Heartbeat(heartbeat) if heartbeat.away == away => return reports,
            FromWorker::Reports(batch) => reports.extend(batch.reports),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_pulled_plug_pauses_between_two_steps_and_a_plug_goes_on_in_the_same_process() {
    let dir = tempfile::tempdir().unwrap();
    plug(&dir.path().join("laptop"), true).unwrap();
    let mut coordinator = Coordinator::new().await;
    let assignment = assignment(dir.path(), 1_000_000);
    let _daemon = start(&coordinator, dir.path(), "1h", &[]);
    let (mut call, hello) = coordinator.welcomed(vec![]).await;
    assert_eq!(hello.away, "");
    call.say(ToWorker::Assignment(assignment.clone())).await;
    call.reports(|report| iter(report).is_some()).await;

    plug(&dir.path().join("laptop"), false).unwrap();
    let mut reports = away_is(&mut call, ON_BATTERY).await;
    let paused = |report: &Report| matches!(&report.body, Some(Body::Warning(it)) if it.text.starts_with("paused: it runs on battery"));
    if !reports.iter().any(paused) {
        reports.extend(call.reports(paused).await);
    }
    // Paused, it uses no processor: what it has used stands still, and is far from what a second of training takes.
    let pid = fs::read_to_string(dir.path().join("worker/attempts").join(&assignment.attempt_id).join("pid")).unwrap();
    let used = || -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).ok()?;
        let times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
        Some(times.filter_map(|time| time.parse::<u64>().ok()).sum())
    };
    if cfg!(target_os = "linux") {
        // Half a second of looks.
        let (mut before, mut looks) = (None, 0);
        eventually("a child that stands still", || {
            let now = used();
            looks = if now.is_some() && std::mem::replace(&mut before, now) == now { looks + 1 } else { 0 };
            (looks >= 25).then_some(())
        })
        .await;
    }

    plug(&dir.path().join("laptop"), true).unwrap();
    reports.extend(away_is(&mut call, "").await);
    let newest = reports.iter().filter_map(iter).max();
    let after = call.reports(|report| iter(report) > newest).await;
    assert!(
        after.iter().any(|report| matches!(&report.body, Some(Body::Log(it)) if it.text.starts_with("goes on after")))
    );
    assert!(!after.iter().chain(&reports).any(|report| end(report).is_some()), "it ended");
    let again =
        fs::read_to_string(dir.path().join("worker/attempts").join(&assignment.attempt_id).join("pid")).unwrap();
    assert_eq!(pid, again, "another process");
}

#[tokio::test]
async fn a_plug_that_stays_out_gives_the_attempt_back_with_a_checkpoint_of_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    plug(&dir.path().join("laptop"), true).unwrap();
    let mut coordinator = Coordinator::new().await;
    let first = assignment(dir.path(), 1_000_000);
    let mut daemon = start(&coordinator, dir.path(), "400ms", &[]);
    let (mut call, _) = coordinator.welcomed(vec![]).await;
    call.say(ToWorker::Assignment(first.clone())).await;
    let mut reports = call.reports(|report| iter(report).is_some()).await;

    plug(&dir.path().join("laptop"), false).unwrap();
    reports.extend(call.reports(|report| end(report).is_some()).await);
    let checkpoints = reports.iter().filter_map(|report| match &report.body {
        Some(Body::Checkpoint(checkpoint)) => Some(checkpoint.iter),
        _ => None,
    });
    let checkpoints: Vec<u64> = checkpoints.collect();
    let newest = reports.iter().filter_map(iter).max().unwrap();
    // A step is reported after two iterations, and the recipe saves none by itself.
    assert!(matches!(checkpoints[..], [at] if at == newest || at == newest + 1), "{checkpoints:?} after {newest}");
    let last = reports.last().unwrap();
    let Some(finished::Outcome::Failure(failure)) = &end(last).unwrap().outcome else { panic!("{last:?}") };
    assert_eq!(
        (failure.cure(), failure.code.as_str(), failure.message.as_str()),
        (Cure::Later, GIVEN_BACK, ON_BATTERY)
    );
    call.say(ToWorker::Ack(Ack { attempt_id: first.attempt_id, number: last.number })).await;

    // What comes in spite of that is given back before anything is fetched or run.
    let second = Assignment { attempt_id: AttemptId::new().to_string(), inputs: Vec::new(), ..first };
    call.say(ToWorker::Assignment(second.clone())).await;
    let reports = call.reports(|report| end(report).is_some()).await;
    let Some(finished::Outcome::Failure(failure)) = &end(&reports[0]).unwrap().outcome else { panic!("{reports:?}") };
    assert_eq!((reports.len(), failure.code.as_str()), (1, GIVEN_BACK));
    assert!(!dir.path().join("worker/attempts").join(second.attempt_id).join("out").exists());

    // A restart says so in its first words.
    daemon.kill().await.unwrap();
    let _again = start(&coordinator, dir.path(), "400ms", &[]);
    assert_eq!(coordinator.welcomed(vec![]).await.1.away, ON_BATTERY);
}

#[tokio::test]
async fn a_policy_is_kept_and_one_that_cannot_be_read_is_pointed_at() {
    let dir = tempfile::tempdir().unwrap();
    plug(&dir.path().join("laptop"), false).unwrap();
    let mut coordinator = Coordinator::new().await;
    let wanted = ["--when", "on-battery or (idle>15m and never)"];
    let mut daemon = start(&coordinator, dir.path(), "1h", &wanted);
    assert_eq!(coordinator.welcomed(vec![]).await.1.away, "");
    daemon.kill().await.unwrap();
    let mut daemon = start(&coordinator, dir.path(), "1h", &[]);
    assert_eq!(coordinator.welcomed(vec![]).await.1.away, "", "the policy is kept");
    daemon.kill().await.unwrap();
    let mut daemon = start(&coordinator, dir.path(), "1h", &["--when", "always and not lid-closed and on-ac"]);
    assert_eq!(coordinator.welcomed(vec![]).await.1.away, ON_BATTERY, "the command line has another");
    daemon.kill().await.unwrap();
    let wrong =
        start(&coordinator, dir.path(), "1h", &["--when", "on-ac adn idle > 15m"]).wait_with_output().await.unwrap();
    let words = String::from_utf8(wrong.stderr).unwrap();
    assert!(!wrong.status.success() && words.contains("column 7: write `and` or `or` before this"), "{words}");
}
