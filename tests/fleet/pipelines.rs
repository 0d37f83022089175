//! Pipelines of real processes: what one job makes the next one reads, whatever is killed in between.

use crate::{recipe, turn};
use std::path::Path;
use vertigo::id::Digest;
use vertigo::v1::report::Body;
use vertigo::v1::{AttemptState, JobState};
use vertigo_tests::{Fleet, said, trains};

const PIPELINE: &str = "name: luau\njobs:\n  train: {kind: train, recipes: [run.yaml], data: luau, name: tutor}\n  \
     fuse: {kind: fuse, adapter: ${{ train }}, name: tutor-model}\n";

/// The ids of a pipeline's jobs: what trains, and what fuses.
async fn run(fleet: &Fleet, file: &Path) -> [String; 2] {
    let stdout = fleet.cli(&["--json", "run", &file.to_string_lossy()]).await.ok();
    let queued: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
    let id = |n: usize| queued["jobs"][n]["id"].as_str().unwrap_or_else(|| panic!("{stdout}")).to_owned();
    assert_eq!(queued["jobs"][1]["state"], "blocked", "{stdout}");
    [id(0), id(1)]
}

/// The digest of a model's weights.
async fn weights(fleet: &Fleet, job: &str) -> String {
    let folder = fleet.folder(&format!("model-{job}"));
    fleet.cli(&["get", job, &folder.to_string_lossy()]).await.ok();
    let shards: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"))
        .collect();
    assert_eq!(shards.len(), 1, "{shards:?}");
    Digest::of(&std::fs::read(&shards[0]).unwrap()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_survives_its_coordinator_and_its_worker_and_makes_the_same_model() {
    let _turn = turn().await;
    let mut fleet = Fleet::start("10s");
    fleet.start_worker("first", "4GiB");
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    fleet.write("run.yaml", &recipe(14, ""));
    let file = fleet.write("pipeline.yaml", PIPELINE);

    let [train, fuse] = run(&fleet, &file).await;
    fleet.events(&train, |event| matches!(said(event), Some(Body::Checkpoint(_)))).await;
    fleet.coordinator().kill();
    fleet.start_coordinator();
    fleet.start_worker("second", "4GiB");
    fleet.worker("first").kill();
    let done = fleet.ended(&fuse).await;
    assert_eq!(done.state(), JobState::Succeeded, "{}", done.reason);
    let trained = fleet.job(&train).await;
    let states: Vec<_> = trained.attempts.iter().map(|attempt| attempt.state()).collect();
    assert_eq!(states, [AttemptState::Lost, AttemptState::Succeeded]);
    assert_eq!(done.attempts.len(), 1, "what was made is not made again: {:?}", done.attempts);
    let shown = fleet.cli(&["job", &fuse]).await.ok();
    assert!(shown.contains("fuse, measured") && shown.contains("made by"), "{shown}");

    let [again, model] = run(&fleet, &file).await;
    let undisturbed = fleet.ended(&model).await;
    assert_eq!(undisturbed.state(), JobState::Succeeded, "{}", undisturbed.reason);
    assert_eq!(fleet.job(&again).await.attempts.len(), 1);
    assert_eq!(weights(&fleet, &fuse).await, weights(&fleet, &model).await, "bit for bit");

    // The best adapter has a name, and can be fused and fetched by it.
    let best = format!("{again}@best");
    fleet.cli(&["fuse", &best, "--name", "best-model", "--measure", "none", "--follow"]).await.ok();
    let folder = fleet.folder("best");
    fleet.cli(&["get", &best, &folder.to_string_lossy()]).await.ok();
    assert!(folder.join("adapters.safetensors").exists());
    let wrong = fleet.cli(&["get", &format!("{again}@wurst"), &fleet.folder("none").to_string_lossy()]).await;
    assert!(wrong.code != 0 && wrong.stderr.contains("makes adapter, best"), "{}", wrong.stderr);

    // The model is a base, and what is measured of it is on record.
    let facts = fleet.cli(&["--json", "artifacts", "--kind", "model"]).await.ok();
    assert!(facts.contains("\"loss_fused\"") && facts.contains("\"kl_adapter_base\""), "{facts}");
    let next = fleet.write("next.yaml", &recipe(2, "").replace("model: mini", "model: tutor-model"));
    let id = fleet.train(&next, &[]).await;
    assert_eq!(fleet.ended(&id).await.state(), JobState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_pipeline_ends_whole_and_a_wrong_one_queues_nothing() {
    let _turn = turn().await;
    let mut fleet = Fleet::start("30s");
    fleet.start_worker("mac", "4GiB");
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    fleet.write("run.yaml", &recipe(1000, ""));
    let wrong = fleet.write("wrong.yaml", &PIPELINE.replace("adapter: ${{ train }}", "adapter: luau"));
    let refused = fleet.cli(&["run", &wrong.to_string_lossy()]).await;
    assert!(refused.code == 1 && refused.stderr.contains("`luau` is no adapter"), "{}", refused.stderr);
    assert!(fleet.cli(&["jobs"]).await.ok().contains("no jobs"), "all or none");

    let file = fleet.write("pipeline.yaml", PIPELINE);
    let [train, fuse] = run(&fleet, &file).await;
    fleet.events(&train, trains).await;
    let job = fleet.job(&train).await;
    fleet.cli(&["cancel", "--pipeline", &job.labels["pipeline"]]).await.ok();
    let ended = [fleet.ended(&train).await, fleet.ended(&fuse).await];
    assert_eq!(ended.map(|job| job.state()), [JobState::Cancelled; 2]);
}
