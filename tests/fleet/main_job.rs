//! The main job: data and a base go in, an adapter comes out.

use crate::{recipe, small_fleet, turn};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use vertigo::manifest::Manifest;
use vertigo::v1::report::Body;
use vertigo::v1::{GetArtifactRequest, JobState, artifacts_client::ArtifactsClient};
use vertigo_tests::waiting::{soon, until};
use vertigo_tests::{Fleet, Process, channel, said, trains};

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_becomes_an_adapter_that_can_be_fetched() {
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    let file = fleet.write("short.yaml", &recipe(6, ""));
    let id = fleet.train(&file, &["--name", "first"]).await;
    let job = fleet.ended(&id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    assert_eq!(job.attempts.len(), 1);

    // What was measured is what was predicted, within a tenth.
    let attempt = &job.attempts[0];
    let ratio = attempt.peak_bytes as f64 / attempt.reserved_bytes as f64;
    assert!((0.9..1.1).contains(&ratio), "{ratio}: {attempt:?}");

    // The tag is the adapter's, and what comes back is what its manifest says.
    let folder = fleet.folder("fetched");
    fleet.cli(&["get", "first", &folder.to_string_lossy()]).await.ok();
    let request = GetArtifactRequest { reference: "first".to_owned() };
    let artifact = ArtifactsClient::new(channel(&fleet.endpoint())).get(request).await.unwrap().into_inner();
    assert_eq!(artifact.digest, job.outputs[0].digest);
    let manifest = Manifest::parse(&artifact.manifest_json).unwrap();
    let paths: Vec<_> = manifest.files().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["adapter_config.json", "adapters.safetensors"]);
    for file in manifest.files() {
        let bytes = std::fs::read(folder.join(&file.path)).unwrap();
        assert_eq!(vertigo::id::Digest::of(&bytes), file.digest, "{}", file.path);
    }
    let loss = |fact: &str| manifest.fact(fact).and_then(serde_json::Value::as_f64).unwrap();
    assert!(loss("validation_after") < loss("validation_before"), "{manifest:?}");

    // A thing has one JSON, wherever it is met.
    let over_http = async |path: &str| -> Value {
        let answer = reqwest::get(format!("{}{path}", fleet.endpoint())).await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    };
    let printed = async |args: &[&str]| -> Value {
        serde_json::from_str(&fleet.cli(&[&["--json"], args].concat()).await.ok()).unwrap()
    };
    assert_eq!(printed(&["job", &id]).await, over_http(&format!("/v1/jobs/{id}")).await);
    assert_eq!(printed(&["jobs"]).await, over_http("/v1/jobs").await["jobs"]);
    assert_eq!(printed(&["artifacts"]).await, over_http("/v1/artifacts").await["artifacts"]);
    let watched = fleet.cli(&["--json", "watch", &id]).await.ok();
    let lines: Vec<Value> = watched.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let streamed =
        reqwest::get(format!("{}/v1/events?job={id}", fleet.endpoint())).await.unwrap().text().await.unwrap();
    let data = streamed.lines().filter_map(|line| line.strip_prefix("data: "));
    let streamed: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    let (end, events) = (streamed.len() - 1, lines.len() - 1);
    assert_eq!((&lines[..events], &lines[events]["event"]), (&streamed[..end], &json!("result")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_watch_follows_all_jobs_and_ctrl_c_ends_it_and_no_job() {
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    let mut watch = fleet.cli_beside("all", &["watch"]);
    until("the watch", || async { watch.log().contains("what happens to all jobs").then_some(()) }).await;
    let file = fleet.write("short.yaml", &recipe(3, ""));
    for name in ["one", "two"] {
        fleet.train(&file, &["--name", name]).await;
    }
    let read = tokio::task::spawn_blocking(move || {
        let mut ended = 0;
        let lines = watch.lines_until(|line| {
            ended += usize::from(line.ends_with("  succeeded"));
            ended == 2
        });
        (watch, lines)
    });
    let (mut watch, lines) = soon("both ends", read).await.unwrap();
    for name in ["one ", "two "] {
        let of_it: Vec<_> = lines.iter().filter(|line| line.starts_with(name)).collect();
        assert!(of_it.iter().any(|line| line.contains("iter 3/3")), "{lines:#?}");
        assert!(of_it.last().unwrap().ends_with("succeeded"), "{lines:#?}");
    }
    watch.signal(Signal::SIGINT);
    assert_eq!(watch.wait().code(), Some(130), "{}", watch.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_recipe_and_data_give_the_same_adapter() {
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    let file = fleet.write("short.yaml", &recipe(4, "lora_parameters: {rank: 4, scale: 10.0, dropout: 0.1}\n"));
    let mut blobs = Vec::new();
    for _ in 0..2 {
        let id = fleet.train(&file, &[]).await;
        let job = fleet.ended(&id).await;
        let request = GetArtifactRequest { reference: job.outputs[0].digest.clone() };
        let artifact = ArtifactsClient::new(channel(&fleet.endpoint())).get(request).await.unwrap().into_inner();
        let manifest = Manifest::parse(&artifact.manifest_json).unwrap();
        blobs.push(manifest.file("adapters.safetensors").unwrap().digest);
    }
    assert_eq!(blobs[0], blobs[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_plan_goes_to_the_worker_that_holds_it() {
    let _turn = turn().await;
    let mut fleet = Fleet::start("30s");
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    let large =
        fleet.write("large.yaml", &recipe(400, "fine_tune_type: full\n").replace("num_layers: 2", "num_layers: -1"));
    let small = fleet.write("small.yaml", &recipe(3, "lora_parameters: {rank: 2, scale: 10.0, dropout: 0.0}\n"));
    let needs = fleet.cli(&["--json", "plan", &large.to_string_lossy(), &small.to_string_lossy()]).await.ok();
    let needs: serde_json::Value = serde_json::from_str(&needs).unwrap();
    let need = |plan: usize| needs["variants"][plan]["peak_bytes"].as_u64().unwrap_or_else(|| panic!("{needs}"));
    assert!(need(0) > need(1), "{needs}");
    // One between the two needs, one above both.
    fleet.start_worker("m5-max", &need(0).midpoint(need(1)).to_string());
    fleet.start_worker("ultra", &(need(0) * 2).to_string());

    // The first choice goes to the only worker that holds it; while it runs there, the next job takes its second choice.
    let both = [small.to_string_lossy().into_owned()];
    let first = fleet.train(&large, &both.each_ref().map(String::as_str)).await;
    let placed = |job: &vertigo::v1::Job| {
        (job.attempts[0].worker.clone(), job.variants[job.attempts[0].variant as usize].name.clone())
    };
    fleet.events(&first, trains).await;
    let second = fleet.train(&large, &both.each_ref().map(String::as_str)).await;
    let second = fleet.ended(&second).await;
    assert_eq!(second.state(), JobState::Succeeded, "{}", second.reason);
    assert_eq!(placed(&second), ("m5-max".to_owned(), "small".to_owned()));
    assert_eq!(placed(&fleet.job(&first).await), ("ultra".to_owned(), "large".to_owned()));

    // Cancelling reaches the child: the worker is free again, and the job ends as cancelled.
    fleet.cli(&["cancel", &first]).await.ok();
    assert_eq!(fleet.ended(&first).await.state(), JobState::Cancelled);
    fleet.worker_is("free", "ultra", |worker| worker.job_ids.is_empty() && worker.reserved_bytes == 0).await;
    let id = fleet.train(&large, &[]).await;
    fleet.events(&id, |event| matches!(said(event), Some(Body::Started(_)))).await;
    fleet.cli(&["cancel", &id]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_end_finishes_its_job_first() {
    let _turn = turn().await;
    let mut fleet = small_fleet("30s").await;
    let file = fleet.write("short.yaml", &recipe(12, ""));
    let id = fleet.train(&file, &[]).await;
    fleet.events(&id, trains).await;
    let waits = fleet.write("waits.yaml", &recipe(3, ""));
    let waiting = fleet.train(&waits, &[]).await;
    let status = fleet.worker("mac").terminate();
    assert!(status.success(), "{status}");
    assert_eq!(fleet.ended(&id).await.state(), JobState::Succeeded);
    let job = fleet.job(&waiting).await;
    assert_eq!((job.state(), job.attempts.len()), (JobState::Queued, 0), "a draining worker takes nothing new");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_follows_to_the_end_and_its_code_is_the_jobs() {
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    let file = fleet.write("short.yaml", &recipe(4, ""));
    let path = file.to_string_lossy().into_owned();
    let watch: Process =
        fleet.cli_beside("watch", &["train", &path, "--data", "luau", "--name", "followed", "--follow"]);
    let (status, text) = watch.output();
    assert!(status.success(), "{text}");
    for shown in ["mac", "loss", "followed", "vertigo get"] {
        assert!(text.contains(shown), "`{shown}` is missing in:\n{text}");
    }
    // A learning rate at which the loss cannot stay finite: the job fails with the step and the reason, and so does the watch.
    let file = fleet.write("diverges.yaml", &recipe(30, "").replace("1.0e-3", "1.0e+30"));
    let path = file.to_string_lossy().into_owned();
    let (status, text) = fleet.cli_beside("diverges", &["train", &path, "--data", "luau", "--follow"]).output();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("iteration"), "{text}");
}
