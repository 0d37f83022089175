//! A laptop whose plug is pulled gives its job back, and the job ends elsewhere with the bits that it would have had.

use crate::survival::{adapter, step, undisturbed};
use crate::{recipe, turn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use vertigo::task::GIVEN_BACK;
use vertigo::v1::report::Body;
use vertigo::v1::{JobState, Screen, job_event::Event};
use vertigo_testkit::laptop::{light, plug, squeeze};
use vertigo_tests::waiting::until;
use vertigo_tests::{Fleet, Process, said};

/// A worker on the laptop that is played in `root`.
fn start(fleet: &Fleet, root: &Path) -> Process {
    start_with(fleet, root, "200ms")
}

/// The same, where the policy has to be open for so long, and memory enough for ten times that.
fn start_with(fleet: &Fleet, root: &Path, settle: &str) -> Process {
    let mut command = fleet.worker_command("laptop", "laptop");
    command.args(["--memory", "4GiB", "--grace", "400ms", "--settle", settle, "--host-root"]).arg(root);
    let (process, line) = Process::start("laptop", &mut command, &fleet.folder(""));
    assert!(line.contains("connected"), "{line}");
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_plug_moves_a_job_and_changes_no_bit_of_it() {
    let _turn = turn().await;
    let mut fleet = Fleet::start("60s");
    let root = fleet.folder("played");
    plug(&root, true).unwrap();
    let _laptop = start(&fleet, &root);
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    // No checkpoint of its own before it has to go, and dropout between the micro-batches of a step.
    let more = "lora_parameters: {rank: 4, scale: 10.0, dropout: 0.1}\ngradient_accumulation: 3\n";
    let file = fleet.write("run.yaml", &recipe(30, more).replace("save_every: 5", "save_every: 1000"));
    let expected = undisturbed(&fleet, &file).await;

    let id = fleet.train(&file, &[]).await;
    fleet.events(&id, |event| step(event).is_some_and(|iter| iter >= 4)).await;
    plug(&root, false).unwrap();
    fleet.worker_is("kept away", "laptop", |worker| worker.away == "it runs on battery").await;
    let waits = fleet.events(&id, |event| event.reason.contains("which is kept away: it runs on battery")).await;
    let given_back = |event: &&vertigo::v1::JobEvent| event.reason == "given back by laptop: it runs on battery";
    let back = waits.iter().find(given_back).expect("the story says that it was given back");
    assert_eq!(back.event, Some(Event::State(JobState::Queued.into())));
    let shown = fleet.cli(&["workers"]).await.ok();
    assert!(shown.contains("laptop is kept away by its policy: it runs on battery"), "{shown}");
    let shown = fleet.cli(&["--json", "workers"]).await.ok();
    assert!(shown.contains(r#""away":"it runs on battery""#), "{shown}");

    // Nobody waits for the laptop: another worker goes on from where it was.
    fleet.start_worker("studio", "4GiB");
    assert_eq!(adapter(&fleet, &id).await, expected, "the weights are those of a run that nothing paused");
    let job = fleet.job(&id).await;
    let by: Vec<_> = job.attempts.iter().map(|it| (it.worker.as_str(), it.epoch, it.code.as_str())).collect();
    assert_eq!(by, [("laptop", 1, GIVEN_BACK), ("studio", 2, "")]);
    let events = fleet.events(&id, |_| false).await;
    let iters: Vec<u64> = events.iter().filter_map(step).collect();
    assert_eq!(iters, (1..=30).collect::<Vec<_>>(), "no iteration was lost and none was done twice");
    let paused = |event: &vertigo::v1::JobEvent| matches!(said(event), Some(Body::Warning(it)) if it.text.starts_with("paused: it runs on battery"));
    assert!(events.iter().any(paused));
    let told = fleet.cli(&["watch", &id]).await.ok();
    assert!(told.contains("given back by laptop: it runs on battery"), "{told}");

    // Another policy brings it back, and a plug under the first one.
    let wrong = fleet.cli(&["worker", "set", "laptop", "--when", "on-ac or idel > 15m"]).await;
    assert!(wrong.code != 0 && wrong.stderr.contains("column 10: `idel` is no condition"), "{}", wrong.stderr);
    fleet.cli(&["worker", "set", "laptop", "--when", "on-ac or battery >= 0%"]).await.ok();
    fleet.worker_is("back", "laptop", |worker| worker.away.is_empty()).await;
    fleet.cli(&["worker", "set", "laptop", "--when", "on-ac"]).await.ok();
    fleet.worker_is("away again", "laptop", |worker| worker.away == "it runs on battery").await;
    plug(&root, true).unwrap();
    fleet.worker_is("back", "laptop", |worker| worker.away.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_gets_short_under_a_run_is_given_back_and_changes_no_bit_of_it() {
    let _turn = turn().await;
    let fleet = Fleet::start("60s");
    let root = fleet.folder("played");
    plug(&root, true).unwrap();
    squeeze(&root, 50).unwrap();
    let _laptop = start_with(&fleet, &root, "20ms");
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    let file = fleet.write("run.yaml", &recipe(20, "lora_parameters: {rank: 4, scale: 10.0, dropout: 0.1}\n"));
    let expected = undisturbed(&fleet, &file).await;

    let id = fleet.train(&file, &[]).await;
    fleet.events(&id, |event| step(event).is_some_and(|iter| iter >= 2)).await;
    squeeze(&root, 5).unwrap();
    let short = |event: &vertigo::v1::JobEvent| matches!(said(event), Some(Body::Warning(it)) if it.text.starts_with("memory is short on this machine"));
    fleet.events(&id, short).await;
    squeeze(&root, 50).unwrap();
    let enough = |event: &vertigo::v1::JobEvent| matches!(said(event), Some(Body::Log(it)) if it.text.starts_with("memory is short no longer"));
    fleet.events(&id, enough).await;
    assert_eq!(adapter(&fleet, &id).await, expected, "the weights are those of a run with a cache");
    assert_eq!(fleet.job(&id).await.attempts.len(), 1);
    let events = fleet.events(&id, |_| false).await;
    assert_eq!(events.iter().filter(|event| short(event)).count(), 1, "it is told once");

    // What is offered goes down and comes back.
    let withheld = |worker: &vertigo::v1::Worker| worker.conditions.map_or(0, |it| it.withheld_bytes);
    squeeze(&root, 5).unwrap();
    fleet.worker_is("offered with less", "laptop", |worker| withheld(worker) == 1 << 30).await;
    let shown = fleet.cli(&["workers"]).await.ok();
    assert!(shown.contains("laptop is short of memory: new jobs get 1.0 GiB less there"), "{shown}");
    squeeze(&root, 50).unwrap();
    fleet.worker_is("offered whole", "laptop", |worker| withheld(worker) == 0).await;
}

/// What Metal's watchdog leaves of a process, as the worker hears it.
const STOOD_STILL: &str = "libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] Command buffer execution \
                           failed: Impacting Interactivity (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity).";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_stands_a_screen_still_however_short_its_work_waits_until_nobody_looks() {
    if !cfg!(target_os = "linux") {
        eprintln!("SKIPPED: only Linux lets a test write to another process's stderr");
        return;
    }
    let _turn = turn().await;
    let fleet = Fleet::start("60s");
    let root = fleet.folder("played");
    plug(&root, true).unwrap();
    light(&root, true).unwrap();
    let _laptop = start(&fleet, &root);
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    let file = fleet.write("run.yaml", &recipe(10, "").replace("save_every: 5", "save_every: 1000"));
    let id = fleet.train(&file, &[]).await;
    for epoch in 1..=4 {
        let begun =
            |event: &vertigo::v1::JobEvent| event.epoch == epoch && matches!(said(event), Some(Body::Started(_)));
        fleet.events(&id, begun).await;
        let attempt = fleet.job(&id).await.attempts.last().unwrap().id.clone();
        let pid = fleet.folder("laptop").join("attempts").join(attempt).join("pid");
        let pid =
            until("the attempt's process", || async { std::fs::read_to_string(&pid).ok()?.trim().parse::<i32>().ok() })
                .await;
        // Into the child's own stderr, before it dies as MLX has it die.
        let mut stderr = File::options().write(true).open(format!("/proc/{pid}/fd/2")).unwrap();
        writeln!(stderr, "{STOOD_STILL}").unwrap();
        drop(stderr);
        kill(Pid::from_raw(pid), Signal::SIGABRT).unwrap();
    }
    let waits =
        |event: &vertigo::v1::JobEvent| event.reason.contains("tried again there when nobody looks at its screen");
    fleet.events(&id, waits).await;
    assert_eq!(fleet.job(&id).await.state(), JobState::Backoff);
    // The reason is broken into lines.
    let told = fleet.cli(&["job", &id]).await.ok().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("when nobody looks at its screen"), "{told}");
    fleet
        .worker_is("looked at", "laptop", |worker| worker.conditions.is_some_and(|it| it.screen() == Screen::Watched))
        .await;

    light(&root, false).unwrap();
    let job = fleet.ended(&id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    let codes: Vec<&str> = job.attempts.iter().map(|it| it.code.as_str()).collect();
    assert_eq!(codes, ["gpu_too_long", "gpu_too_long", "gpu_too_long", "gpu_too_long", ""]);
    let events = fleet.events(&id, |_| false).await;
    let dark = "nobody looks at the screen of laptop any more";
    assert!(events.iter().any(|event| event.reason == dark), "the story says why it goes on");
}

/// What an init does where a daemon is installed anew, as another version of it: a signal, and once it has gone, a start.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_replaced_in_the_middle_of_a_run_loses_no_iteration() {
    let _turn = turn().await;
    loses_no_iteration(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_start_anew_loses_no_iteration_and_stays_the_same_process() {
    let _turn = turn().await;
    loses_no_iteration(false).await;
}

async fn loses_no_iteration(by_signal: bool) {
    let fleet = Fleet::start("60s");
    let start = |fleet: &Fleet| {
        let mut command = fleet.worker_command("mac", "mac");
        let (process, line) =
            Process::start("mac", command.args(["--memory", "4GiB", "--drain", "10ms"]), &fleet.folder(""));
        assert!(line.contains("connected"), "{line}");
        process
    };
    let mut before = start(&fleet);
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    // No checkpoint of its own before it has to go.
    let file = fleet.write("run.yaml", &recipe(20, "").replace("save_every: 5", "save_every: 1000"));
    let expected = undisturbed(&fleet, &file).await;

    let id = fleet.train(&file, &[]).await;
    fleet.events(&id, |event| step(event).is_some_and(|iter| iter >= 4)).await;
    if by_signal {
        assert!(before.terminate().success(), "{}", before.log());
        before = start(&fleet);
    } else {
        let said = fleet.cli(&["upgrade", "mac"]).await.ok();
        assert!(said.contains("mac is back, and runs"), "{said}");
    }
    assert_eq!(adapter(&fleet, &id).await, expected, "the weights are those of a run that nothing ended");
    let events = fleet.events(&id, |_| false).await;
    let iters: Vec<u64> = events.iter().filter_map(step).collect();
    assert_eq!(iters, (1..=20).collect::<Vec<_>>(), "no iteration was lost and none was done twice");
    let job = fleet.job(&id).await;
    let by: Vec<_> = job.attempts.iter().map(|it| (it.worker.as_str(), it.code.as_str())).collect();
    assert_eq!(by, [("mac", GIVEN_BACK), ("mac", "")]);
    assert!(before.ended().is_none());
}
