//! Bad input is refused before any work starts, by an error that says what to do; nothing is queued and nothing is stored.

use crate::recipe;
use std::fs;
use std::process::Stdio;
use vertigo::v1::{ListArtifactsRequest, ListJobsRequest, artifacts_client::ArtifactsClient};
use vertigo_tests::{Fleet, Process, Ran, channel, luau};

/// That a command failed and its error says all of `words`.
fn refused(ran: &Ran, words: &[&str]) {
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    for word in words {
        assert!(ran.stderr.contains(word), "`{word}` is missing in:\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("Status {"), "{}", ran.stderr);
}

/// Jobs and artifacts that the coordinator knows.
async fn known(fleet: &Fleet) -> (usize, usize) {
    let jobs = fleet.jobs().list(ListJobsRequest::default()).await.unwrap().into_inner().jobs.len();
    let request = ListArtifactsRequest::default();
    let artifacts = ArtifactsClient::new(channel(&fleet.endpoint())).list(request).await.unwrap().into_inner();
    (jobs, artifacts.artifacts.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn recipes_that_cannot_run_are_refused() {
    let mut fleet = Fleet::start("30s");
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    let train = async |name: &str, text: &str| {
        let file = fleet.write(name, text);
        fleet.cli(&["train", &file.to_string_lossy(), "--data", "luau"]).await
    };
    refused(
        &train("a.yaml", &recipe(3, "learning_rat: 1\n")).await,
        &["learning_rat", "line", "did you mean `learning_rate`"],
    );
    let absent = recipe(3, "").replace("model: mini", "model: mini-7b");
    refused(&train("b.yaml", &absent).await, &["mini-7b", "vertigo base import"]);
    refused(
        &train("c.yaml", &recipe(3, "lora_parameters: {keys: [self_attn.q_prj]}\n")).await,
        &["self_attn.q_prj", "self_attn.q_proj"],
    );

    let file = fleet.write("d.yaml", &recipe(3, ""));
    let path = file.to_string_lossy().into_owned();
    refused(&fleet.cli(&["train", &path, "--data", "luaw"]).await, &["luaw", "vertigo data import"]);
    refused(&fleet.cli(&["train", "no-such.yaml", "--data", "luau"]).await, &["no-such.yaml"]);
    assert_eq!(known(&fleet).await, (0, 2), "nothing was queued");

    // A plan that no worker could ever hold.
    fleet.start_worker("small", "5MiB");
    refused(&fleet.cli(&["train", &path, "--data", "luau"]).await, &["small", "5.0 MiB"]);
    assert_eq!(known(&fleet).await.0, 0, "nothing was queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_line_of_data_is_named_and_nothing_is_stored() {
    let fleet = Fleet::start("30s");
    let folder = fleet.folder("data");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("good.jsonl"), "{\"text\": \"print(1)\"}\n").unwrap();
    fs::write(folder.join("worse.jsonl"), "{\"text\": \"print(1)\"}\n\n{\"messages\": []\n").unwrap();
    refused(&fleet.cli(&["data", "import", "broken", &folder.to_string_lossy()]).await, &["worse.jsonl:3"]);
    assert_eq!(known(&fleet).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_with_a_missing_tensor_is_named_and_nothing_is_stored() {
    let fleet = Fleet::start("30s");
    let folder = fleet.folder("base");
    let (path, data) = (folder.to_string_lossy().into_owned(), luau());
    let new = ["base", "new", "whole", "--preset", "mini-4b", "--data", &data.to_string_lossy(), "--out", &path];
    fleet.cli(&new).await.ok();
    // Another name of the same length: the file stays a safetensors file, and lacks a tensor.
    let file = folder.join("model.safetensors");
    let whole = fs::read(&file).unwrap();
    let mut holed = whole.clone();
    let name = b"layers.3.self_attn.q_norm.weight";
    let at = whole.windows(name.len()).position(|window| window == name).expect("layer 3 is full attention");
    holed[at..at + name.len()].copy_from_slice(b"layers.3.self_attn.q_none.weight");
    fs::write(&file, holed).unwrap();
    refused(&fleet.cli(&["base", "import", "holed", &path]).await, &["layers.3.self_attn.q_norm.weight", "missing"]);

    fs::write(&file, whole).unwrap();
    fs::rename(folder.join("tokenizer.json"), folder.join("tokenizer.bak")).unwrap();
    refused(&fleet.cli(&["base", "import", "holed", &path]).await, &["tokenizer.json"]);
    assert_eq!(known(&fleet).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_of_the_same_name_is_refused() {
    let mut fleet = Fleet::start("30s");
    fleet.start_worker("mac", "4GiB");
    // On a state folder of its own, and on the first one's.
    for (state, words) in [("other", ["named `mac`", "--name"]), ("mac", ["another vertigo-worker", "--state"])] {
        let mut command = fleet.worker_command("mac", state);
        let mut second = Process::spawn("second", command.stdout(Stdio::null()), &fleet.folder(""));
        assert_eq!(second.wait().code(), Some(1), "{}", second.log());
        assert!(words.iter().all(|word| second.log().contains(word)), "{}", second.log());
    }
    fleet.worker_is("connected still", "mac", |worker| worker.connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_coordinator_the_cli_says_how_to_start_one() {
    let mut fleet = Fleet::start("30s");
    fleet.coordinator().kill();
    let ran = fleet.cli(&["jobs"]).await;
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    refused(&ran, &[fleet.endpoint().url(), "vertigo-coordinator"]);
    let ran = fleet.cli(&["--coordinator", "http://10.1.2.3:7420", "jobs"]).await;
    refused(&ran, &["10.1.2.3", "https://", "vertigo login"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}
