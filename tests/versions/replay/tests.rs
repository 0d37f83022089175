use super::*;
use crate::previous;
use std::path::{Path, PathBuf};
use vertigo::manifest::Manifest;
use vertigo::v1::{Finished, JobState, finished};
use vertigo_tests::Fleet;

/// A coordinator of today that has what the recorded job reads, and the job, which waits for a worker.
async fn with_the_job(recording: &Recording) -> (Fleet, String) {
    let fleet = Fleet::start("30s");
    for part in ["train", "valid"] {
        fleet.write(&format!("data/{part}.jsonl"), &kept("sums.jsonl"));
    }
    let base = base(recording, &fleet.folder("base"));
    fleet.cli(&["data", "import", "sums", "data"]).await.ok();
    fleet.cli(&["base", "import", "tiny", &base.to_string_lossy()]).await.ok();
    let recipe = fleet.write("tiny.yaml", &kept("tiny.yaml"));
    let stdout =
        fleet.cli(&["--json", "train", &recipe.to_string_lossy(), "--data", "sums", "--name", "first"]).await.ok();
    let job: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    (fleet, job["id"].as_str().unwrap().to_owned())
}

fn kept(name: &str) -> String {
    std::fs::read_to_string(previous().join(name)).unwrap()
}

/// The base that the recorded job trained, as a folder.
fn base(recording: &Recording, folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let artifact = |step: &Step| match step {
        Step::Hears { message, .. } => Artifact::decode(&message.0[..]).ok().filter(|artifact| artifact.kind == "base"),
        _ => None,
    };
    let artifact = recording.steps.iter().find_map(artifact).expect("the worker fetched a base");
    for file in Manifest::parse(&artifact.manifest_json).unwrap().files() {
        std::fs::write(folder.join(&file.path), &recording.blobs[&file.digest]).unwrap();
    }
    folder.to_owned()
}

fn outputs(reports: &[Report]) -> Vec<(String, Manifest)> {
    let made = reports.iter().find_map(|report| match &report.body {
        Some(Body::Finished(Finished { outcome: Some(finished::Outcome::Outputs(outputs)), .. })) => {
            Some(&outputs.made)
        }
        _ => None,
    });
    let made = made.expect("it finished").iter();
    made.map(|made| (made.role.clone(), Manifest::parse(&made.manifest_json).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_the_release_before_does_a_job_for_todays_coordinator() {
    let recording = Recording::read(&previous());
    let (fleet, id) = with_the_job(&recording).await;
    let mut worker = OldWorker::new(fleet.endpoint(), &recording);
    worker.plays_until(|_| false).await;
    assert_eq!(worker.refused, None);

    let job = fleet.ended(&id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    let by: Vec<_> = job.attempts.iter().map(|it| (it.worker.as_str(), it.epoch, it.code.as_str())).collect();
    assert_eq!(by, [("old", 1, "")]);
    // What it made is what is there, to the last bit.
    let made = outputs(&worker.reported);
    let said: Vec<_> = made.iter().map(|(role, manifest)| (role.clone(), manifest.digest().to_string())).collect();
    let there: Vec<_> = job.outputs.iter().map(|output| (output.role.clone(), output.digest.clone())).collect();
    assert_eq!(said, there);
    let folder = fleet.folder("fetched");
    fleet.cli(&["get", "first", &folder.to_string_lossy()]).await.ok();
    for file in made[0].1.files() {
        assert_eq!(std::fs::read(folder.join(&file.path)).unwrap(), recording.blobs[&file.digest], "{}", file.path);
    }
    // Its story is what it told, once and in order.
    let events = fleet.events(&id, |_| false).await;
    let told = events.iter().filter_map(vertigo_tests::said);
    let told: Vec<_> = told.map(without_manifests).collect();
    let said: Vec<_> =
        worker.reported.iter().filter_map(|report| report.body.as_ref()).map(without_manifests).collect();
    assert_eq!(told, said);
    for is_there in [
        |body: &Body| matches!(body, Body::Started(_)),
        |body: &Body| matches!(body, Body::Step(step) if step.iter == 16),
        |body: &Body| matches!(body, Body::Validation(_)),
        |body: &Body| matches!(body, Body::Checkpoint(_)),
        |body: &Body| matches!(body, Body::Finished(_)),
    ] {
        assert!(told.iter().any(is_there), "{told:#?}");
    }
    // It said that it goes, and it has gone.
    fleet.worker_is("about to go", "old", |worker| worker.draining).await;
    drop(worker);
    fleet.worker_is("gone", "old", |worker| !worker.connected).await;
}

/// Manifests are the artifacts' and stand in no story.
fn without_manifests(body: &Body) -> Body {
    let mut body = body.clone();
    match &mut body {
        Body::Checkpoint(checkpoint) => checkpoint.manifest_json.clear(),
        Body::Finished(Finished { outcome: Some(finished::Outcome::Outputs(outputs)), .. }) => {
            outputs.made.iter_mut().for_each(|made| made.manifest_json.clear());
        }
        _ => {}
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_where_it_was_cut_off() {
    let recording = Recording::read(&previous());
    let (fleet, id) = with_the_job(&recording).await;
    let mut worker = OldWorker::new(fleet.endpoint(), &recording);
    worker.plays_until(trains).await;
    worker.is_cut_off().await;
    worker.plays_until(|_| false).await;
    let job = fleet.ended(&id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    assert_eq!((job.attempts.len(), job.attempts[0].epoch), (1, 1));
    let events = fleet.events(&id, |_| false).await;
    let iters = events.iter().filter_map(|event| match vertigo_tests::said(event) {
        Some(Body::Step(step)) => Some(step.iter),
        _ => None,
    });
    assert_eq!(iters.collect::<Vec<_>>(), (1..=16).collect::<Vec<_>>(), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_what_it_would_pass_over_hears_at_once_that_it_is_too_old() {
    let recording = Recording::read(&previous());
    let fleet = Fleet::start("30s");
    let mut worker = OldWorker::new(fleet.endpoint(), &recording);
    worker.plays_until(is_welcome).await;
    for arguments in [&["upgrade", "old"][..], &["worker", "set", "old", "--when", "on-ac"]] {
        let ran = fleet.cli(arguments).await;
        assert!(ran.code != 0 && ran.stderr.contains("old runs an earlier release (0.1.0)"), "{}", ran.stderr);
        assert!(ran.stderr.contains("install this release on its machine"), "{}", ran.stderr);
    }
}

fn is_welcome(step: &Step) -> bool {
    matches!(step, Step::Hears { .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_refused_by_the_code_that_it_knows_where_its_id_is_anothers() {
    let recording = Recording::read(&previous());
    let (fleet, _) = with_the_job(&recording).await;
    let mut first = OldWorker::new(fleet.endpoint(), &recording);
    first.plays_until(is_welcome).await;
    assert_eq!(first.refused, None);
    drop(first);

    // The same id, with another secret.
    let mut copy = recording.clone();
    let hello =
        copy.steps.iter_mut().find_map(|step| if let Step::Says { message, .. } = step { Some(message) } else { None });
    let hello = hello.expect("it begins with Hello");
    let mut said = WorkerMessage::decode(&hello.0[..]).unwrap();
    let Some(FromWorker::Hello(it)) = &mut said.message else { panic!("{said:?}") };
    it.secret = vec![7; it.secret.len()];
    hello.0 = said.encode_to_vec().into();
    let mut other = OldWorker::new(fleet.endpoint(), &copy);
    other.plays_until(is_welcome).await;
    assert_eq!(other.refused, Some(("7".to_owned(), "other_installation".to_owned())));
}
