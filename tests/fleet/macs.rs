//! Machines that reach one another over a network: certificates, joining, a cable that is pulled, a certificate that is revoked.

mod site;

use crate::{recipe, turn};
use serde_json::Value;
use site::Site;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;
use tokio::task::spawn_blocking;
use vertigo::id::Millis;
use vertigo_tests::waiting::{soon, until};
use vertigo_tests::{Process, luau, skipped};

/// Where the coordinator is, and the laptop of whoever administers it.
const MINI: &str = "mini";

/// Longer than between two heartbeats, and shorter than a lease.
const SILENT_MS: u64 = 5_000;

/// A coordinator that other machines reach, and its administrator logged in beside it.
fn coordinator(site: &Site) -> Process {
    let state = site.home(MINI).join("coordinator");
    let words = ["--listen", "0.0.0.0:7420", "--lease", "10s", "--state", &state.to_string_lossy()];
    let (process, line) = site.start(MINI, "vertigo-coordinator", &words);
    assert!(line.ends_with("listening on https://0.0.0.0:7420"), "{line}");
    let token = fs::read_to_string(state.join("access/admin-token")).unwrap();
    let login = site.run(MINI, "vertigo", &["login"], &token).ok();
    assert!(login.contains("logged in to") && login.contains("admin"), "{login}");
    process
}

/// A machine that joins as a worker, as a person has it join.
fn worker(site: &Site, machine: &'static str) -> Process {
    let made: Value =
        serde_json::from_str(&site.cli(MINI, &["--json", "token", "create", "--role", "worker"])).unwrap();
    let line = made["line"].as_str().unwrap();
    let state = site.home(machine).join("worker");
    let state = state.to_string_lossy();
    let words = ["join", "--no-install", "--name", machine, "--state", &state];
    let joined = site.run(machine, "vertigo-worker", &words, line).ok();
    assert!(joined.contains(&format!("as {machine}")), "{joined}");
    // A token is used once.
    let again = site.run(machine, "vertigo-worker", &words, line);
    assert!(again.code != 0 && again.stderr.contains("does not open anything"), "{again:?}");
    let (process, line) = site.start(machine, "vertigo-worker", &["--memory", "4GiB", "--state", &state]);
    assert!(line.contains(&format!("vertigo-worker {machine} connected to https://10.77.0.1:7420")), "{line}");
    process
}

/// A pipeline of all kinds that end by themselves: raw rows become a dataset, an adapter, a model and a report.
fn write_pipeline(folder: &Path) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("small/suite.yaml", "name: small\nsystem: Answer with Luau.\ndefaults: {tokens_max: 16, samples: 2}\n");
    write(
        "small/tasks/said.yaml",
        "id: said\ncategory: said\nprompt: Write a function.\nchecks:\n  patterns: [\".*\"]\n",
    );
    write("curation.yaml", "rights: {licenses: [Apache-2.0]}\nsplit: {valid: 0.1, test: 0.1, seed: 3}\n");
    write("recipe.yaml", &recipe(16, ""));
    let pipeline = "name: luau\njobs:\n  \
                    rows: {kind: curate, config: curation.yaml, data: raw}\n  \
                    tutor: {kind: train, recipes: [recipe.yaml], data: \"${{ rows }}\"}\n  \
                    model: {kind: fuse, adapter: \"${{ tutor }}\"}\n  \
                    judged: {kind: eval, model: \"${{ model }}\", suite: small}\n";
    write("pipeline.yaml", pipeline);
}

fn json(site: &Site, words: &[&str]) -> Value {
    serde_json::from_str(&site.cli(MINI, &[&["--json"], words].concat())).unwrap()
}

/// Waits until something holds of a worker as the CLI shows it.
async fn worker_is(site: &Site, what: &str, name: &str, condition: impl Fn(&Value) -> bool) {
    until(&format!("{name} to be {what}"), || async {
        let all = json(site, &["workers"]);
        all.as_array().unwrap().iter().any(|worker| worker["name"] == name && condition(worker)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn macs_join_over_tls_run_a_pipeline_lose_their_cable_and_are_revoked() {
    let _turn = turn().await;
    let site = match Site::build(&[MINI, "mac-a", "mac-b"]) {
        Ok(site) => site,
        Err(why) => return skipped(&format!("machines in network namespaces: {why}")),
    };
    let _coordinator = coordinator(&site);
    let mut workers = ["mac-a", "mac-b"].map(|machine| worker(&site, machine));

    // A laptop's user, who is no administrator, queues all of it.
    let made = json(&site, &["token", "create", "--role", "submit", "--name", "ada"]);
    let line = made["line"].as_str().unwrap();
    site.run(MINI, "vertigo", &["login", "--as", "ada"], line).ok();
    site.cli(MINI, &["context", "use", "10.77.0.1"]);
    let ada = |words: &[&str]| site.cli(MINI, &[&["--context", "ada", "--json"], words].concat());
    ada(&["data", "import", "luau", &luau().to_string_lossy()]);
    ada(&["base", "new", "mini", "--preset", "mini-4b", "--data", "luau"]);
    ada(&["data", "import", "--raw", "raw", &luau().to_string_lossy()]);
    write_pipeline(site.folder());
    ada(&["suite", "import", "small", &site.folder().join("small").to_string_lossy()]);
    ada(&["run", &site.folder().join("pipeline.yaml").to_string_lossy()]);
    let of_kind = |kind: &str| json(&site, &["jobs", "--kind", kind])[0]["id"].as_str().unwrap().to_owned();
    let id = &of_kind("train")[..];

    // The machine that runs it loses its cable in the middle, and gets it again before its lease is over.
    let mut watch = site.command(MINI, "vertigo");
    watch.args(["--json", "watch", id]).stdout(Stdio::piped());
    let mut watch = Process::spawn("watch", &mut watch, site.folder());
    let is_third = |line: &str| line.contains("\"iter\":3,") || line.contains("\"iter\":3}");
    let watch = soon("three steps", spawn_blocking(move || (watch.lines_until(is_third), watch))).await.unwrap();
    let job = json(&site, &["job", id]);
    assert_eq!(job["by"], "ada");
    let machine = job["attempts"][0]["worker"].as_str().unwrap().to_owned();
    site.cable(&machine, "down");
    let is_silent = |worker: &Value| Millis::now().0 > worker["last_seen_ms"].as_u64().unwrap() + SILENT_MS;
    worker_is(&site, "silent", &machine, is_silent).await;
    site.cable(&machine, "up");
    let watched = ada(&["watch", &of_kind("eval")]);
    drop(watch);
    assert!(watched.lines().last().is_some_and(|line| line.contains("succeeded")), "{watched}");
    let job = json(&site, &["job", id]);
    assert_eq!(
        (job["state"].as_str(), job["attempts"].as_array().map(Vec::len)),
        (Some("succeeded"), Some(1)),
        "{job}"
    );
    let fetched = site.folder().join("fetched");
    ada(&["get", &of_kind("fuse"), &fetched.to_string_lossy()]);
    assert!(fetched.join("config.json").exists());

    // Who may only submit ends nobody; an administrator does, and within a second the worker is gone.
    let refused = site.run(MINI, "vertigo", &["--context", "ada", "revoke", "mac-b"], "");
    assert!(refused.code != 0 && refused.stderr.contains("role submit"), "{refused:?}");
    let begun = Instant::now();
    site.cli(MINI, &["revoke", "mac-b"]);
    worker_is(&site, "away", "mac-b", |worker| worker["connected"] == false).await;
    eprintln!("revoked and gone after {} ms, with two starts of the CLI", begun.elapsed().as_millis());
    assert!(!workers[1].wait().success());
    assert!(workers[1].log().contains("revoked"), "{}", workers[1].log());
    let state = site.home("mac-b").join("worker");
    let back = site.run("mac-b", "vertigo-worker", &["--state", &state.to_string_lossy()], "");
    assert!(back.code != 0 && back.stderr.contains("revoked"), "{back:?}");
    worker_is(&site, "connected", "mac-a", |worker| worker["connected"] == true).await;
    assert!(workers[0].ended().is_none());
}
