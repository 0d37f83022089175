//! What programs without our protocol read: JSON and server-sent events, the same views as everywhere.

use super::harness::{Coordinator, assert_status, log, soon, success};
use futures::StreamExt;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vertigo::manifest::Kind;
use vertigo::v1::{self, JobState, report};

async fn get(coordinator: &Coordinator, path: &str) -> Response {
    Client::new().get(format!("{}{path}", coordinator.url)).send().await.unwrap()
}

async fn read(coordinator: &Coordinator, path: &str) -> Value {
    let answer = get(coordinator, path).await;
    assert_status(&answer, StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/json");
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

fn view<'a, M, V: From<&'a M> + serde::Serialize>(message: &'a M) -> Value {
    serde_json::to_value(V::from(message)).unwrap()
}

/// A server-sent event.
#[derive(Debug, PartialEq)]
struct Told {
    id: Option<u64>,
    /// Empty for what happened to a job.
    name: String,
    data: Value,
}

/// The events of a stream, as far as it was read.
fn told(text: &str) -> Vec<Told> {
    let read = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        Some(Told {
            id: field("id: ").map(|id| id.parse().unwrap()),
            name: field("event: ").unwrap_or_default().to_owned(),
            data: serde_json::from_str(field("data: ")?).unwrap(),
        })
    };
    text.split("\n\n").filter_map(read).collect()
}

/// Reads a stream until something was told.
async fn until(stream: Response, what: &str, is_told: impl Fn(&[Told]) -> bool) -> Vec<Told> {
    assert_status(&stream, StatusCode::OK);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let (mut bytes, mut text) = (stream.bytes_stream(), String::new());
    let read = async {
        while let Some(chunk) = bytes.next().await {
            text += std::str::from_utf8(&chunk.unwrap()).unwrap();
            // Half an event is not one yet.
            let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
            let so_far = told(whole);
            if is_told(&so_far) {
                return so_far;
            }
        }
        panic!("the stream ended without {what}: {text}");
    };
    soon(what, read).await
}

async fn finish(coordinator: &Coordinator, name: &str) -> v1::Job {
    let job = coordinator.submit(name).await;
    let mut worker = coordinator.worker("mac").await;
    let given = worker.assignment().await;
    let output = coordinator.upload(Kind::Adapter, name, json!({"recipe": "small"})).await;
    worker.report(&given, 1, log("loading")).await;
    worker.report(&given, 2, success(&output)).await;
    coordinator.until(&job.id, JobState::Succeeded).await;
    coordinator.job(&job.id).await
}

#[tokio::test]
async fn lists_and_things_are_the_views_of_what_grpc_answers() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let waiting = coordinator.submit("group/first").await;
    let done = {
        coordinator.cancel(&waiting.id).await.unwrap();
        finish(&coordinator, "tutor").await
    };

    for reference in ["tutor", &done.id, &done.id[..20]] {
        assert_eq!(read(&coordinator, &format!("/v1/jobs/{reference}")).await, view::<_, vertigo_view::Job>(&done));
    }
    let named = read(&coordinator, "/v1/jobs/group/first").await;
    assert_eq!((&named["id"], &named["state"]), (&json!(waiting.id), &json!("cancelled")), "a name may have slashes");

    let listed = coordinator.jobs().list(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    let jobs: Vec<Value> = listed.iter().map(view::<_, vertigo_view::Job>).collect();
    assert_eq!(read(&coordinator, "/v1/jobs").await, json!({"jobs": jobs, "next_page_token": null}));
    let failed = read(&coordinator, "/v1/jobs?state=cancelled&kind=train&since_ms=1").await;
    assert_eq!(failed["jobs"], json!([jobs[1]]));

    let first = read(&coordinator, "/v1/jobs?page_size=1").await;
    let token = first["next_page_token"].as_str().unwrap();
    let second = read(&coordinator, &format!("/v1/jobs?page_size=1&page_token={token}")).await;
    assert_eq!((&first["jobs"], &second["jobs"]), (&json!([jobs[0]]), &json!([jobs[1]])));

    let ask = v1::GetArtifactRequest { reference: "tutor".to_owned() };
    let artifact = coordinator.artifacts().get(ask).await.unwrap().into_inner();
    let shown = read(&coordinator, "/v1/artifacts/tutor").await;
    assert_eq!(shown, view::<_, vertigo_view::Artifact>(&artifact));
    assert_eq!(shown["manifest"]["kind"], "adapter");
    let kinds = read(&coordinator, "/v1/artifacts").await;
    let kinds: BTreeSet<_> =
        kinds["artifacts"].as_array().unwrap().iter().map(|it| it["kind"].clone().to_string()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["\"adapter\"", "\"base\"", "\"dataset\""]);
    let bases = read(&coordinator, "/v1/artifacts?kind=base").await;
    assert_eq!((bases["artifacts"].as_array().unwrap().len(), &bases["artifacts"][0]["manifest"]), (1, &Value::Null));

    let workers = read(&coordinator, "/v1/workers").await;
    assert_eq!((&workers["workers"][0]["name"], &workers["next_page_token"]), (&json!("mac"), &Value::Null));
}

#[tokio::test]
async fn an_error_has_a_code_a_message_and_a_hint() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    for (path, status, code, message, hint) in [
        ("/v1/jobs/tutor", StatusCode::NOT_FOUND, "not_found", "no job `tutor`", "vertigo jobs"),
        ("/v1/artifacts/minni", StatusCode::NOT_FOUND, "not_found", "no artifact `minni`", "did you mean `mini`?"),
        ("/v1/jobs?state=lost", StatusCode::BAD_REQUEST, "invalid", "`lost`", "blocked"),
        ("/v1/jobs?kind=trian", StatusCode::BAD_REQUEST, "invalid", "trian", ""),
        ("/v1/jobs?page_size=x", StatusCode::BAD_REQUEST, "invalid", "page_size=x", ""),
        ("/v1/workers?page_token=x", StatusCode::BAD_REQUEST, "invalid", "page_token", ""),
        ("/v1/artifacts?sort=age", StatusCode::BAD_REQUEST, "invalid", "`sort`", ""),
        ("/v1/events?job=tutor", StatusCode::NOT_FOUND, "not_found", "no job `tutor`", "vertigo jobs"),
        ("/v1/jobs/", StatusCode::NOT_FOUND, "not_found", "`/v1/jobs/`", "/v1/jobs"),
        ("/v1/events?after=x", StatusCode::BAD_REQUEST, "invalid", "after=x", ""),
    ] {
        let answer = get(&coordinator, path).await;
        assert_status(&answer, status);
        let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let error = &said["error"];
        assert_eq!(error["code"], code, "{path}: {said}");
        assert!(error["message"].as_str().unwrap().contains(message), "{path}: {said}");
        assert!(error["hint"].as_str().unwrap_or_default().contains(hint), "{path}: {said}");
    }
    let posted = Client::new().post(format!("{}/v1/jobs", coordinator.url)).body("{}").send().await.unwrap();
    assert_status(&posted, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_jobs_events_come_until_it_has_ended_and_go_on_where_a_client_was() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let done = finish(&coordinator, "tutor").await;
    let mut watched = coordinator.watch("tutor", 0).await;
    let mut expected = Vec::new();
    while let Some(event) = soon("the end of the watch", watched.message()).await.unwrap() {
        expected.push((event.seq, view::<_, vertigo_view::Event>(&event)));
    }

    let is_over = |told: &[Told]| told.last().is_some_and(|last| last.name == "end");
    let all = until(get(&coordinator, "/v1/events?job=tutor").await, "the end", is_over).await;
    let seen: Vec<_> =
        all.iter().filter(|told| told.name.is_empty()).map(|it| (it.id.unwrap(), it.data.clone())).collect();
    assert_eq!(seen, expected);
    assert!(seen.iter().all(|(_, event)| event["job_id"] == *done.id));
    assert!(seen.iter().any(|(_, event)| event["event"] == "log" && event["text"] == "loading"));

    let third = expected[2].0;
    let again = Client::new().get(format!("{}/v1/events?job=tutor&after=0", coordinator.url));
    let again = again.header("last-event-id", third.to_string()).send().await.unwrap();
    let rest = until(again, "the end", is_over).await;
    assert_eq!(rest[0].id, Some(expected[3].0));
    assert_eq!(rest.len(), expected.len() - 3 + 1, "the rest, and the end");
}

#[tokio::test]
async fn one_feed_has_the_events_of_all_jobs_as_they_come() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    coordinator.submit("before").await;
    let feed = get(&coordinator, "/v1/events").await;
    let ask = v1::WatchRequest { only_new: true, ..Default::default() };
    let mut watch = coordinator.jobs().watch(ask).await.unwrap().into_inner();
    let ids = [coordinator.submit("one").await.id, coordinator.submit("two").await.id];
    coordinator.cancel(&ids[0]).await.unwrap();

    let is_cancelled = |told: &Told| told.data["job_id"] == *ids[0] && told.data["state"] == "cancelled";
    let seen = until(feed, "the cancellation", |told| told.iter().any(is_cancelled)).await;
    let jobs: BTreeSet<_> = seen.iter().map(|told| told.data["job_id"].as_str().unwrap()).collect();
    assert_eq!(jobs, BTreeSet::from([&*ids[0], &*ids[1]]), "and nothing of what was before");
    assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id), "{seen:?}");

    let mut streamed = Vec::new();
    while streamed.len() < seen.len() {
        let event = soon("an event", watch.message()).await.unwrap().unwrap();
        streamed.push(view::<_, vertigo_view::Event>(&event));
    }
    assert_eq!(streamed, seen.iter().map(|told| told.data.clone()).collect::<Vec<_>>());

    // From the beginning, for whoever keeps a copy.
    let first = until(get(&coordinator, "/v1/events?after=0").await, "all", |told| told.len() > seen.len()).await;
    assert_eq!((first[0].id, &first[0].data["event"]), (Some(1), &json!("state")));
}

#[tokio::test]
async fn a_loss_that_is_no_number_is_null_in_the_feed() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let feed = get(&coordinator, "/v1/events").await;
    coordinator.submit("tutor").await;
    let mut worker = coordinator.worker("mac").await;
    let given = worker.assignment().await;
    let step = v1::Step { iter: 1, iters: 2, loss: f64::INFINITY, ..Default::default() };
    worker.report(&given, 1, report::Body::Step(step)).await;
    let seen = until(feed, "the step", |told| told.iter().any(|told| told.data["event"] == "step")).await;
    let step = seen.iter().find(|told| told.data["event"] == "step").unwrap();
    assert_eq!((&step.data["loss"], &step.data["iter"]), (&Value::Null, &json!(1)));
}
