//! Curations: from raw rows to a dataset that is trained on, what can be asked of it, and what a crash costs.

use crate::{recipe, small_fleet, turn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use vertigo::v1::JobState;
use vertigo::v1::report::Body;
use vertigo_tests::{Fleet, luau, said};

const CONFIG: &str = "rights: {licenses: [Apache-2.0]}\nfilters: {unclosed_fence: drop, secrets: redact}\n\
                      split: {valid: 0.1, test: 0.1, seed: 3}\n";

/// What the suite asks, which one raw row asks too.
const PROMPT: &str = "Write a function that gives the seventh prime number, and say how you found it.";

fn suite(fleet: &Fleet) -> PathBuf {
    let path = fleet.write("small/suite.yaml", "name: small\nsystem: Answer with Luau.\n");
    let task = format!("id: primes\ncategory: coding\nprompt: {PROMPT}\nchecks:\n  patterns: [\"17\"]\n");
    fleet.write("small/tasks/primes.yaml", &task);
    path.parent().unwrap().to_owned()
}

fn row(question: &str, answer: &str, license: Option<&str>) -> String {
    let messages = json!([{"role": "user", "content": question}, {"role": "assistant", "content": answer}]);
    let mut row = json!({"messages": messages, "source": "a test"});
    if let Some(license) = license {
        row["license"] = license.into();
    }
    format!("{row}\n")
}

/// The repository's rows, and a file of odd ones.
fn raw(fleet: &Fleet) -> PathBuf {
    for file in fs::read_dir(luau()).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        fleet.write(&format!("raw/{name}"), &fs::read_to_string(&file).unwrap());
    }
    let ours = Some("Apache-2.0");
    let odd = [
        row("How do I greet somebody?", "Say `print(\"hello\")`.", None),
        row(PROMPT, "It is 17: count the numbers that nothing divides.", ours),
        row("Show me a loop over a list of names.", "```luau\nfor _, name in names do\n\tprint(name)\nend\n", ours),
        row("Whom do I ask about signals?", "Write to ada@vertigo-luau.dev, who knows all of them.", ours),
        "{\"messages\": [\n".to_owned(),
    ];
    fleet.write("raw/odd.jsonl", &odd.concat()).parent().unwrap().to_owned()
}

async fn json_of(fleet: &Fleet, arguments: &[&str]) -> Value {
    let stdout = fleet.cli(&[&["--json"], arguments].concat()).await.ok();
    serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"))
}

/// Queues a curation, and gives its job.
async fn curate(fleet: &Fleet, config: &Path, data: &[&str], name: &str) -> String {
    let config = config.to_string_lossy();
    let mut arguments = vec!["curate", &*config, "--suite", "small", "--name", name];
    data.iter().for_each(|data| arguments.extend(["--data", data]));
    let job = json_of(fleet, &arguments).await;
    job["id"].as_str().unwrap_or_else(|| panic!("no id in {job}")).to_owned()
}

/// The digest of what a job made.
async fn made(fleet: &Fleet, id: &str) -> String {
    let job = fleet.ended(id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    job.outputs[0].digest.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_rows_become_a_dataset_that_says_why_and_is_trained_on() {
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    fleet.cli(&["suite", "import", "small", &suite(&fleet).to_string_lossy()]).await.ok();
    let (folder, config) = (raw(&fleet), fleet.write("c.yaml", CONFIG));
    let folder = folder.to_string_lossy();
    let refused = fleet.cli(&["data", "import", "raw", &folder]).await;
    assert!(refused.code == 1 && refused.stderr.contains("odd.jsonl:5"), "{}", refused.stderr);
    fleet.cli(&["data", "import", "raw", &folder, "--raw"]).await.ok();

    // The same inputs and config are the same dataset, whoever makes it.
    let id = curate(&fleet, &config, &["raw"], "luau:v1").await;
    let digest = made(&fleet, &id).await;
    let again = curate(&fleet, &config, &["raw"], "again").await;
    assert_eq!(made(&fleet, &again).await, digest);

    let dataset = fleet.folder("v1");
    fleet.cli(&["get", "luau:v1", &dataset.to_string_lossy()]).await.ok();
    let lines = |file: &str| fs::read_to_string(dataset.join(file)).unwrap().lines().count();
    let read: usize = fs::read_dir(&*folder)
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap().lines().filter(|line| !line.is_empty()).count())
        .sum();
    assert_eq!(lines("provenance.jsonl"), read, "every line once");
    let kept = lines("train.jsonl") + lines("valid.jsonl") + lines("test.jsonl");
    assert!(kept + 4 <= read && lines("train.jsonl") > lines("valid.jsonl"), "{kept} of {read}");
    let rows = ["train.jsonl", "valid.jsonl", "test.jsonl"].map(|file| fs::read_to_string(dataset.join(file)).unwrap());
    assert!(!rows.concat().contains("ada@vertigo-luau.dev"), "an address is no row's to teach");

    for (line, words) in
        [("1", "quarantined"), ("2", "dropped"), ("3", "unclosed_fence"), ("4", "repaired"), ("5", "rejected")]
    {
        let why = fleet.cli(&["data", "why", &format!("odd.jsonl:{line}"), "--data", "luau:v1"]).await.ok();
        assert!(why.contains(words), "{line}: {why}");
    }
    let shown = fleet.cli(&["data", "show", "luau:v1"]).await.ok();
    assert!(shown.contains("contamination") && shown.contains("Apache-2.0"), "{shown}");
    let page = fleet.folder("page.html");
    fleet.cli(&["data", "report", "luau:v1", "--html", &page.to_string_lossy()]).await.ok();
    assert!(fs::read_to_string(page).unwrap().starts_with("<!DOCTYPE html>"));

    let audit = json_of(&fleet, &["data", "audit", "raw", "--suite", "small"]).await;
    assert!(audit.to_string().contains("primes"), "an imported dataset has what the suite asks: {audit}");
    let audit = json_of(&fleet, &["data", "audit", "luau:v1", "--suite", "small"]).await;
    assert!(!audit.to_string().contains("\"primes\""), "and the curated one has not: {audit}");

    let other = fleet.write(
        "other.yaml",
        &CONFIG.replace("seed: 3", "seed: 4").replace("unclosed_fence: drop", "unclosed_fence: note"),
    );
    let second = curate(&fleet, &other, &["raw"], "luau:v2").await;
    assert_ne!(made(&fleet, &second).await, digest);
    let diff = json_of(&fleet, &["data", "diff", "luau:v1", "luau:v2"]).await;
    assert_eq!(diff["only_after"].as_array().map(Vec::len), Some(1), "{diff}");
    assert!(diff["only_after"][0]["why"].as_str().is_some_and(|why| why.contains("unclosed_fence")), "{diff}");
    assert!(!diff["moved"].as_array().unwrap().is_empty(), "another seed holds back others: {diff}");

    let train = fleet.write("run.yaml", &recipe(2, ""));
    let run = json_of(&fleet, &["train", &train.to_string_lossy(), "--data", &format!("{id}@data")]).await;
    made(&fleet, run["id"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_fails_at_once_and_says_why() {
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    fleet.cli(&["suite", "import", "small", &suite(&fleet).to_string_lossy()]).await.ok();
    fleet.cli(&["data", "import", "raw", &raw(&fleet).to_string_lossy(), "--raw"]).await.ok();
    let wrong = fleet.write("wrong.yaml", "fitlers: {}\n");
    let refused = fleet.cli(&["curate", &wrong.to_string_lossy(), "--data", "raw", "--name", "x"]).await;
    assert!(refused.code == 1 && refused.stderr.contains("filters"), "{}", refused.stderr);
    // A row that is longer than may be fails the job where the config says so.
    let long = fleet.write("long.yaml", "lengths: {tokens_max: 16, overlength: error}\n");
    let arguments = ["curate", &long.to_string_lossy(), "--data", "raw", "--base", "mini", "--name", "long"];
    let id = json_of(&fleet, &arguments).await["id"].as_str().unwrap().to_owned();
    let job = fleet.ended(&id).await;
    assert_eq!((job.state(), job.attempts.len()), (JobState::Failed, 1), "{}", job.reason);
    assert!(job.reason.contains("token"), "{}", job.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_curation_whose_process_and_worker_are_killed_makes_the_same() {
    let _turn = turn().await;
    let mut fleet = small_fleet("10s").await;
    fleet.cli(&["suite", "import", "small", &suite(&fleet).to_string_lossy()]).await.ok();
    let words =
        |n: usize| (0..40).map(|k| format!("word{}", (n * 7919 + k * k * 31) % 5000)).collect::<Vec<_>>().join(" ");
    let rows: String =
        (0..ROWS).map(|n| row(&format!("Question {n}: {}?", words(n)), &words(n + 1), Some("Apache-2.0"))).collect();
    let folder = fleet.write("many/rows.jsonl", &rows).parent().unwrap().to_owned();
    fleet.cli(&["data", "import", "many", &folder.to_string_lossy(), "--raw"]).await.ok();
    let config = fleet.write("c.yaml", CONFIG);
    let undisturbed = curate(&fleet, &config, &["many"], "undisturbed").await;
    let expected = made(&fleet, &undisturbed).await;

    let id = curate(&fleet, &config, &["many"], "disturbed").await;
    begun(&fleet, &id, 1).await;
    let folder = fleet.folder("mac").join("attempts").join(&fleet.job(&id).await.attempts[0].id);
    let pid: i32 = fs::read_to_string(folder.join("pid")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGABRT).unwrap();
    begun(&fleet, &id, 2).await;
    fleet.worker("mac").kill();
    fleet.start_worker("second", "4GiB");
    assert_eq!(made(&fleet, &id).await, expected);
    let job = fleet.job(&id).await;
    let by: Vec<_> = job.attempts.iter().map(|attempt| attempt.worker.as_str()).collect();
    assert_eq!(by, ["mac", "mac", "second"]);
}

/// Rows that take a curation some seconds.
const ROWS: usize = 6_000;

/// Waits until an attempt of this number, from 1, is in the midst of its rows.
async fn begun(fleet: &Fleet, id: &str, attempt: usize) {
    let mut seen = 0;
    fleet
        .events(id, |event| {
            seen += usize::from(matches!(said(event), Some(Body::Started(_))));
            seen == attempt && matches!(said(event), Some(Body::Progress(_)))
        })
        .await;
}
