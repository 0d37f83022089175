//! Services: they answer beside training runs, follow their names, and outlive what befalls them.

use crate::{recipe, small_fleet, turn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use vertigo::v1::report::Body;
use vertigo::v1::{AttemptState, JobEvent, JobState, Serving};
use vertigo_tests::waiting::{soon, until};
use vertigo_tests::{Fleet, said};

/// Tokens of an answer that goes on for a while.
const LONG: u32 = 600;

/// Queues a service of these models, called `api`, and gives its id.
async fn serve(fleet: &Fleet, models: &[&str]) -> String {
    let stdout = fleet.cli(&[&["--json", "serve", "--name", "api"], models].concat()).await.ok();
    let job: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
    job["id"].as_str().unwrap_or_else(|| panic!("no id in {stdout}")).to_owned()
}

/// Where the service answers, by its attempt of this number at least.
async fn up(fleet: &Fleet, id: &str, epoch: u64) -> Serving {
    until("the service to answer", || async {
        fleet.job(id).await.attempts.into_iter().rev().find(|it| it.epoch >= epoch)?.serving
    })
    .await
}

/// An answer by the most probable tokens.
async fn answer(url: &str, model: &str, tokens: u32, is_streamed: bool) -> reqwest::Response {
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": "local x ="}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": is_streamed,
    });
    let request = reqwest::Client::new().post(format!("{url}/v1/chat/completions")).body(body.to_string());
    let response = soon("an answer", request.header("content-type", "application/json").send()).await.unwrap();
    assert!(response.status().is_success(), "{}", response.text().await.unwrap());
    response
}

/// Its text, thoughts and all.
async fn text(url: &str, model: &str, tokens: u32) -> String {
    let body = answer(url, model, tokens, false).await.text().await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    let message = &body["choices"][0]["message"];
    let part = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    part("reasoning_content") + &part("content")
}

/// The text of a stream of events.
fn streamed(events: &str) -> String {
    let lines = events.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let part = |data: &str| {
        let delta = serde_json::from_str::<Value>(data).unwrap()["choices"][0]["delta"].clone();
        let part = |key: &str| delta[key].as_str().unwrap_or_default().to_owned();
        part("reasoning_content") + &part("content")
    };
    lines.map(part).collect()
}

fn is_step(event: &JobEvent) -> bool {
    matches!(said(event), Some(Body::Step(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_answers_beside_a_training_run_and_its_name_moves_in_the_middle_of_an_answer() {
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    fleet.import("production", &["--preset", "mini-4b"]).await;
    let id = serve(&fleet, &["production"]).await;
    let Serving { url, models } = up(&fleet, &id, 1).await;
    assert_eq!(models, ["production"]);
    let file = fleet.write("run.yaml", &recipe(100_000, ""));
    let training = fleet.train(&file, &[]).await;
    fleet.events(&training, is_step).await;
    let on: Vec<_> =
        [fleet.job(&training).await, fleet.job(&id).await].map(|job| job.attempts[0].worker.clone()).into();
    assert_eq!(on, ["mac", "mac"]);
    let undisturbed = text(&url, "production", LONG).await;
    assert!(!undisturbed.is_empty());

    let mut stream = answer(&url, "production", LONG, true).await;
    let mut events = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    fleet.cli(&["base", "new", "production", "--preset", "mini-4b", "--data", "luau", "--seed", "7"]).await.ok();
    let moved = |event: &JobEvent| matches!(said(event), Some(Body::Log(it)) if it.text.contains("from now on"));
    fleet.events(&id, moved).await;
    let rest = soon("the end of the stream", stream.text()).await.unwrap();
    events += &rest;
    assert_eq!(streamed(&events), undisturbed, "it ended on the model that it had begun on");
    let other = until("an answer of the new model", || async {
        let text = text(&url, "production", LONG).await;
        (text != undisturbed).then_some(text)
    })
    .await;
    assert_eq!(text(&url, "production", LONG).await, other);
    let job = fleet.job(&id).await;
    assert_eq!((job.state(), job.attempts.len()), (JobState::Leased, 1), "it never stopped: {:?}", job.attempts);

    let said = fleet.cli(&["chat", "production", "--message", "local x =", "--max-tokens", "8", "--json"]).await.ok();
    assert!(said.contains(&url), "{said}");
    let listed = fleet.cli(&["jobs"]).await.ok();
    assert!(listed.contains(&format!("api answers at {url}")), "{listed}");
    fleet.cli(&["cancel", "api"]).await.ok();
    let job = fleet.job(&id).await;
    assert!(job.state() == JobState::Cancelled && job.attempts[0].serving.is_none(), "{job:?}");
    let nobody = fleet.cli(&["chat", "production", "--message", "hi"]).await;
    assert!(nobody.code == 4 && nobody.stderr.contains("vertigo serve production"), "{}", nobody.stderr);
    fleet.cli(&["cancel", &training]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_outlives_its_coordinator_its_process_and_its_worker() {
    let _turn = turn().await;
    let mut fleet = small_fleet("10s").await;
    let id = serve(&fleet, &["mini"]).await;
    let first = up(&fleet, &id, 1).await;
    let expected = text(&first.url, "mini", 8).await;

    fleet.coordinator().kill();
    assert_eq!(text(&first.url, "mini", 8).await, expected, "it answers without a coordinator");
    fleet.start_coordinator();
    assert_eq!(up(&fleet, &id, 1).await, first, "and its address is still known");

    let attempts = fleet.folder("mac").join("attempts");
    let folder = attempts.join(&fleet.job(&id).await.attempts[0].id);
    let pid: i32 = std::fs::read_to_string(folder.join("pid")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGABRT).unwrap();
    let second = up(&fleet, &id, 2).await;
    assert_eq!(text(&second.url, "mini", 8).await, expected);

    fleet.start_worker("second", "4GiB");
    let ended = fleet.worker("mac").terminate();
    assert!(ended.success(), "a service does not hold up a worker that drains");
    let third = up(&fleet, &id, 3).await;
    assert_eq!(text(&third.url, "mini", 8).await, expected);
    let job = fleet.job(&id).await;
    let how: Vec<_> = job.attempts.iter().map(|it| (it.worker.as_str(), it.state())).collect();
    assert_eq!(how, [("mac", AttemptState::Failed), ("mac", AttemptState::Lost), ("second", AttemptState::Running)]);
    assert!(job.attempts[1].reason.contains("drains"), "{:?}", job.attempts);
}
