//! What a crash costs: time, never a job.

use crate::{recipe, small_fleet, turn};
use nix::sys::signal::Signal;
use vertigo::v1::report::Body;
use vertigo::v1::{AttemptState, JobEvent, JobState};
use vertigo_tests::waiting::until;
use vertigo_tests::{Fleet, said};

/// The iteration that a step report is of.
pub(crate) fn step(event: &JobEvent) -> Option<u64> {
    if let Some(Body::Step(step)) = said(event) { Some(step.iter) } else { None }
}

/// The iteration of a checkpoint that is in the store.
fn checkpoint(event: &JobEvent) -> Option<u64> {
    if let Some(Body::Checkpoint(checkpoint)) = said(event) { Some(checkpoint.iter) } else { None }
}

/// The iteration that an attempt went on from.
fn resumed(event: &JobEvent) -> Option<u64> {
    if let Some(Body::Started(started)) = said(event) { Some(started.resumed_at) } else { None }
}

/// The digest of the adapter that `recipe` gives where nothing is killed.
pub(crate) async fn undisturbed(fleet: &Fleet, file: &std::path::Path) -> String {
    let id = fleet.train(file, &[]).await;
    adapter(fleet, &id).await
}

/// The digest of a job's weights. The artifact's own digest covers measured memory too, which may differ.
pub(crate) async fn adapter(fleet: &Fleet, id: &str) -> String {
    let job = fleet.ended(id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    let shown = fleet.cli(&["--json", "artifacts", "--kind", "adapter"]).await.ok();
    assert!(shown.contains(&job.outputs[0].digest), "{shown}");
    let folder = fleet.folder(&format!("adapter-{id}"));
    fleet.cli(&["get", &job.outputs[0].digest, &folder.to_string_lossy()]).await.ok();
    vertigo::id::Digest::of(&std::fs::read(folder.join("adapters.safetensors")).unwrap()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_killed_while_a_job_trains_costs_nothing() {
    let _turn = turn().await;
    let mut fleet = small_fleet("60s").await;
    let iters = 40;
    let file = fleet.write("run.yaml", &recipe(iters, ""));
    let id = fleet.train(&file, &["--name", "survivor"]).await;
    let watch = fleet.cli_beside("watch", &["watch", &id]);
    fleet.events(&id, |event| step(event).is_some_and(|iter| iter >= 3)).await;

    fleet.coordinator().kill();
    assert_eq!(children(&fleet.folder("mac").join("attempts")).len(), 1, "training goes on without the coordinator");
    fleet.start_coordinator();

    let (status, text) = watch.output();
    assert!(status.success(), "the watch outlives the coordinator:\n{text}");
    let job = fleet.job(&id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    assert_eq!(job.attempts.len(), 1, "the job succeeded once, in its first attempt: {:?}", job.attempts);
    // Every report came once, in order: none was lost with the coordinator, none was taken twice.
    let events = fleet.events(&id, |_| false).await;
    let steps: Vec<u64> = events.iter().filter_map(step).collect();
    assert_eq!(steps, (1..=iters).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_trains_hands_its_job_over_bit_for_bit() {
    let _turn = turn().await;
    let mut fleet = Fleet::start("10s");
    fleet.start_worker("first", "4GiB");
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    let file = fleet.write(
        "run.yaml",
        &recipe(20, "lora_parameters: {rank: 4, scale: 10.0, dropout: 0.1}\ngradient_accumulation: 3\n"),
    );
    let expected = undisturbed(&fleet, &file).await;

    let id = fleet.train(&file, &[]).await;
    fleet.events(&id, |event| checkpoint(event).is_some()).await;
    fleet.worker("first").kill();
    fleet.start_worker("second", "4GiB");
    assert_eq!(
        adapter(&fleet, &id).await,
        expected,
        "the resumed run's weights are those of a run that nothing stopped"
    );

    let job = fleet.job(&id).await;
    let by: Vec<_> = job.attempts.iter().map(|attempt| (attempt.worker.as_str(), attempt.epoch)).collect();
    assert_eq!(by, [("first", 1), ("second", 2)]);
    assert_eq!(job.attempts[0].state(), AttemptState::Lost, "{:?}", job.attempts);
    let events = fleet.events(&id, |_| false).await;
    let resumed: Vec<u64> = events.iter().filter_map(resumed).collect();
    assert!(resumed[0] == 0 && resumed[1] >= 5, "the second attempt goes on from a checkpoint: {resumed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_comes_back_after_its_lease_is_refused() {
    let _turn = turn().await;
    let mut fleet = Fleet::start("10s");
    fleet.start_worker("sleeper", "4GiB");
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    let file = fleet.write("run.yaml", &recipe(60, ""));
    let id = fleet.train(&file, &[]).await;
    fleet.events(&id, |event| step(event).is_some()).await;

    // The daemon sleeps, as a Mac does when its lid is closed; its child may go on.
    fleet.worker("sleeper").signal(Signal::SIGSTOP);
    fleet.start_worker("second", "4GiB");
    fleet.events(&id, |event| event.epoch == 2 && step(event).is_some()).await;
    fleet.worker("sleeper").signal(Signal::SIGCONT);

    let job = fleet.ended(&id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    let outcomes: Vec<_> = job.attempts.iter().map(|a| (a.worker.as_str(), a.epoch, a.state())).collect();
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    assert_eq!((outcomes[0].2, outcomes[1]), (AttemptState::Lost, ("second", 2, AttemptState::Succeeded)));
    // What the old epoch had still to say was refused: after the new lease began, nothing of it was taken.
    let events = fleet.events(&id, |_| false).await;
    let takeover = events.iter().position(|event| event.epoch == 2).unwrap();
    assert!(events[takeover..].iter().all(|event| event.epoch != 1 || event.event.is_none()), "{events:?}");
    // And the sleeper has let go: it is free for work, and its child is gone.
    fleet.worker_is("free", "sleeper", |worker| worker.connected && worker.job_ids.is_empty()).await;
    let attempts = fleet.folder("sleeper").join("attempts");
    until("the old attempt's child to be gone", || async { children(&attempts).is_empty().then_some(()) }).await;
}

/// Attempts of a worker whose child runs.
fn children(attempts: &std::path::Path) -> Vec<String> {
    let folders = std::fs::read_dir(attempts).into_iter().flatten().flatten();
    let pid = |folder: std::fs::DirEntry| std::fs::read_to_string(folder.path().join("pid")).ok();
    folders.filter_map(pid).filter(|pid| is_alive(pid)).collect()
}

fn is_alive(pid: &str) -> bool {
    let pid = pid.trim().parse().unwrap_or(i32::MAX);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_killed_is_an_outcome_and_the_job_goes_on() {
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    let file = fleet.write("run.yaml", &recipe(120, ""));
    let id = fleet.train(&file, &[]).await;
    fleet.events(&id, |event| checkpoint(event).is_some()).await;
    let child = children(&fleet.folder("mac").join("attempts"));
    assert_eq!(child.len(), 1);
    let pid = nix::unistd::Pid::from_raw(child[0].trim().parse().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGABRT).unwrap();
    let job = fleet.ended(&id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    assert_eq!(job.attempts.len(), 2, "{:?}", job.attempts);
    assert_eq!(job.attempts[0].state(), AttemptState::Failed, "{:?}", job.attempts);
}
