//! mlx-lm loads what a fleet made.

use crate::{recipe, small_fleet, turn};
use std::path::Path;
use std::process::Command;
use vertigo::v1::JobState;
use vertigo_tests::{repository, skipped};

/// The Python that has mlx-lm, or why there is none.
fn python() -> Result<String, String> {
    let output = Command::new(repository().join("tests/peer/mlx_lm.sh")).output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn mlx_lm_loads_a_fetched_base_and_its_adapter() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return skipped(&format!("mlx-lm cannot be installed: {why}")),
    };
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    let file = fleet.write("short.yaml", &recipe(20, ""));
    let id = fleet.train(&file, &["--name", "answers"]).await;
    fleet.ended(&id).await;
    let (base, adapter) = (fleet.folder("base"), fleet.folder("adapter"));
    fleet.cli(&["get", "mini", &base.to_string_lossy()]).await.ok();
    fleet.cli(&["get", "answers", &adapter.to_string_lossy()]).await.ok();

    let answer = answer(&python, "load.py", &[&base, &adapter]);
    let loss = |key: &str| answer[key].as_f64().unwrap_or_else(|| panic!("{answer}"));
    assert!(loss("loss") < loss("without") - 0.05, "the adapter has learned Luau for mlx-lm too: {answer}");
}

/// What a script of `tests/peer` prints.
fn answer(python: &str, script: &str, folders: &[&Path]) -> serde_json::Value {
    let script = repository().join("tests/peer").join(script);
    let output = Command::new(python).arg(script).args(folders).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {stdout}{stderr}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn mlx_lm_loads_a_fused_model_that_answers_as_its_base_and_adapter_do() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return skipped(&format!("mlx-lm cannot be installed: {why}")),
    };
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    let file = fleet.write("short.yaml", &recipe(20, ""));
    let train = ["--name", "answers", "--then", "fuse"];
    let stdout =
        fleet.cli(&[&["--json", "train", &*file.to_string_lossy(), "--data", "luau"][..], &train].concat()).await.ok();
    let queued: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
    let fuse = queued[1]["id"].as_str().unwrap_or_else(|| panic!("{stdout}"));
    let job = fleet.ended(fuse).await;
    assert_eq!((job.state(), job.reason.as_str()), (JobState::Succeeded, ""), "in f32 nothing is lost");
    let folders = ["base", "adapter", "fused"].map(|name| fleet.folder(name));
    for (reference, folder) in ["mini", "answers", "answers-fused"].into_iter().zip(&folders) {
        fleet.cli(&["get", reference, &folder.to_string_lossy()]).await.ok();
    }
    let answer = answer(&python, "fused.py", &[&folders[0], &folders[1], &folders[2]]);
    assert_eq!(answer["fused"], answer["adapter"], "{answer}");
    assert_ne!(answer["base"], answer["adapter"], "the adapter changes the answer, or this shows nothing: {answer}");
}
