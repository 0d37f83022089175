//! Evaluations: what a crash costs, and what moves a tag.

use crate::{small_fleet, turn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use vertigo::v1::report::Body;
use vertigo::v1::{JobEvent, JobState};
use vertigo_tests::{Fleet, said};

/// Three tasks that any whole answer passes and three that hardly any does.
fn suite(fleet: &Fleet) -> PathBuf {
    let about = "name: small\nsystem: Answer with Luau.\ndefaults: {tokens_max: 48, samples: 12, temperature: 1.0}\n";
    let path = fleet.write("small/suite.yaml", about);
    for n in 0..3 {
        let task = |kind: &str, checks: &str| {
            format!("id: {kind}-{n}\ncategory: {kind}\nprompt: Write a function that gives {n}.\nchecks:\n{checks}")
        };
        fleet.write(&format!("small/tasks/said-{n}.yaml"), &task("said", "  patterns: [\".*\"]\n"));
        let test =
            format!("  run: |\n    test(\"gives it\", function() expect(require(\"answer\")()).toBe({n}) end)\n");
        fleet.write(&format!("small/tasks/run-{n}.yaml"), &task("run", &test));
    }
    path.parent().unwrap().to_owned()
}

/// Queues an evaluation of `model`, and gives its job.
async fn eval(fleet: &Fleet, model: &str, name: &str) -> String {
    let arguments = ["--json", "eval", model, "--suite", "small", "--seed", "7", "--name", name];
    let stdout = fleet.cli(&arguments).await.ok();
    let value: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
    let job = value["jobs"].as_array().map_or(&value, |jobs| &jobs[0]);
    job["id"].as_str().unwrap_or_else(|| panic!("no id in {stdout}")).to_owned()
}

/// The report of a job that has succeeded, as its file stands.
async fn report(fleet: &Fleet, id: &str) -> String {
    let job = fleet.ended(id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    let folder = fleet.folder(&format!("report-{id}"));
    fleet.cli(&["get", &job.outputs[0].digest, &folder.to_string_lossy()]).await.ok();
    fs::read_to_string(folder.join("report.json")).unwrap()
}

/// Waits for a checkpoint of at least so many answers.
async fn answered(fleet: &Fleet, id: &str, answers: u64) {
    let is_enough =
        |event: &JobEvent| matches!(said(event), Some(Body::Checkpoint(checkpoint)) if checkpoint.iter >= answers);
    fleet.events(id, is_enough).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_that_is_killed_three_times_reports_the_same_bits() {
    let _turn = turn().await;
    let mut fleet = small_fleet("10s").await;
    fleet.cli(&["suite", "import", "small", &suite(&fleet).to_string_lossy()]).await.ok();
    let expected = eval(&fleet, "mini", "undisturbed").await;
    let expected = report(&fleet, &expected).await;

    let id = eval(&fleet, "mini", "disturbed").await;
    answered(&fleet, &id, 16).await;
    let attempts = fleet.folder("mac").join("attempts");
    let folder = attempts.join(&fleet.job(&id).await.attempts[0].id);
    let pid: i32 = fs::read_to_string(folder.join("pid")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGABRT).unwrap();
    answered(&fleet, &id, 32).await;
    fleet.coordinator().kill();
    fleet.start_coordinator();
    answered(&fleet, &id, 48).await;
    fleet.worker("mac").kill();
    fleet.start_worker("second", "4GiB");

    let disturbed = report(&fleet, &id).await;
    let job = fleet.job(&id).await;
    let by: Vec<_> = job.attempts.iter().map(|attempt| attempt.worker.as_str()).collect();
    assert_eq!(by, ["mac", "mac", "second"], "each went on from what the one before had");
    assert_eq!(disturbed, expected);
    let report: Value = serde_json::from_str(&disturbed).unwrap();
    assert_eq!((&report["missing"], &report["overall"]["answers"]), (&0.into(), &72.into()));
    // A model of random weights writes no Luau that runs, and the report says so.
    assert_eq!(report["categories"]["run"]["passed"], 0);
    let said = &report["categories"]["said"];
    let cut = said["endings"]["cut"].as_u64().unwrap_or_default();
    assert_eq!(said["passed"].as_u64().unwrap() + cut, 36, "any answer that is whole holds what these ask: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_moves_where_a_gate_holds_and_goes_back() {
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    fleet.import("other", &["--preset", "mini-4b", "--seed", "9"]).await;
    fleet.cli(&["suite", "import", "small", &suite(&fleet).to_string_lossy()]).await.ok();
    for model in ["mini", "other"] {
        let id = eval(&fleet, model, &format!("of-{model}")).await;
        report(&fleet, &id).await;
    }
    let gate = |name: &str, rule: &str| fleet.write(name, &format!("suites:\n  small:\n    {rule}\n"));
    let (strict, lenient) =
        (gate("strict.yaml", "floors: {overall: 0}\n    echo: 5"), gate("lenient.yaml", "floors: {overall: 0}"));
    let promote = |model: &'static str, gate: &PathBuf, more: &[&'static str]| {
        let gate = gate.to_string_lossy().into_owned();
        let more = more.to_vec();
        let fleet = &fleet;
        async move {
            let arguments = [&["promote", model, "--to", "production", "--gate", &gate], &more[..]].concat();
            fleet.cli(&arguments).await
        }
    };

    let refused = promote("mini", &strict, &[]).await;
    assert_eq!(refused.code, 1, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stdout.contains("echo"), "an echo passes half of the suite: {}", refused.stdout);
    promote("mini", &lenient, &[]).await.ok();
    promote("other", &strict, &["--force", "--reason", "the echo is known"]).await.ok();
    let back = fleet.cli(&["rollback", "production"]).await.ok();
    assert!(back.contains("production"), "{back}");
    let history = fleet.cli(&["--json", "history", "production"]).await.ok();
    let history: Value = serde_json::from_str(&history).unwrap();
    let moves = history.as_array().unwrap_or_else(|| panic!("{history}"));
    assert_eq!(moves.len(), 3, "{history}");
    assert_eq!((&moves[1]["forced"], &moves[1]["reason"]), (&true.into(), &"the echo is known".into()), "{history}");
    assert_eq!(moves[0]["to"], moves[2]["to"], "{history}");
    assert!(moves[2]["evidence"].as_array().is_some_and(|reports| !reports.is_empty()), "{history}");
}
