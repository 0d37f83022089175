//! Tags: moved by people who may be wrong about where they are, by jobs and imports; back again; and where they have been.

use super::harness::{Coordinator, access, manifest, success};
use super::process::{Process, state};
use serde_json::{Value, json};
use tonic::{Code, Status};
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::bounds::DECISION_BYTES_MAX;
use vertigo::id::MoveId;
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1::artifacts_client::ArtifactsClient;
use vertigo::v1::tags_client::TagsClient;
use vertigo::v1::{self, JobState, MoveTagRequest, TagMove, TagMover};

fn request(tag: &str, reference: &str) -> MoveTagRequest {
    MoveTagRequest { tag: tag.to_owned(), reference: reference.to_owned(), ..MoveTagRequest::default() }
}

fn back(tag: &str) -> MoveTagRequest {
    MoveTagRequest { back: true, ..request(tag, "") }
}

async fn moved(coordinator: &Coordinator, request: MoveTagRequest) -> Result<TagMove, Status> {
    coordinator.tags().move_tag(request).await.map(tonic::Response::into_inner)
}

async fn history(coordinator: &Coordinator, tag: &str) -> Vec<TagMove> {
    let request = v1::TagHistoryRequest { tag: tag.to_owned(), ..Default::default() };
    coordinator.tags().tag_history(request).await.unwrap().into_inner().moves
}

/// Datasets `a`, `b` and `c`, by these tags.
async fn three(coordinator: &Coordinator) -> [String; 3] {
    let mut digests = Vec::new();
    for name in ["a", "b", "c"] {
        let data = coordinator.upload(Kind::Dataset, name, json!({})).await;
        digests.push(coordinator.register(&data, name).await.digest);
    }
    digests.try_into().unwrap()
}

#[tokio::test]
async fn a_move_is_kept_with_its_grounds_and_read_over_grpc_and_http() {
    let mut coordinator = Coordinator::start().await;
    let [a, b, _] = three(&coordinator).await;
    let first = moved(&coordinator, request("live/production", "a")).await.unwrap();
    assert_eq!((first.number, first.from.as_str(), &first.to, first.by()), (1, "", &a, TagMover::Person));
    let second = MoveTagRequest {
        expected: a.clone(),
        reason: " because ".to_owned(),
        forced: true,
        evidence: vec![b.clone()],
        decision_json: r#"{"holds":false}"#.to_owned(),
        ..request("live/production", "b")
    };
    let second = moved(&coordinator, second).await.unwrap();
    assert_eq!((second.from.as_str(), &second.to, second.reason.as_str()), (&*a, &b, "because"));
    coordinator.restart().await;
    assert_eq!(history(&coordinator, "live/production").await, [second.clone(), first]);
    let get = v1::GetArtifactRequest { reference: "live/production".to_owned() };
    assert_eq!(coordinator.artifacts().get(get).await.unwrap().into_inner().digest, b);

    let http = |path: &str| {
        let url = format!("{}/v1/tags/{path}", coordinator.url);
        async move {
            let answer = reqwest::get(url).await.unwrap();
            let status = answer.status().as_u16();
            (status, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
        }
    };
    let (_, page) = http("live/production/history?page_size=1").await;
    assert_eq!(page["moves"], json!([serde_json::to_value(vertigo_view::TagMove::from(&second)).unwrap()]));
    assert_eq!((&page["moves"][0]["decision"], &page["moves"][0]["by"]), (&json!({"holds": false}), &json!("person")));
    let token = page["next_page_token"].as_str().unwrap();
    let (_, rest) = http(&format!("live/production/history?page_size=1&page_token={token}")).await;
    assert_eq!((&rest["moves"][0]["number"], &rest["moves"][0]["from"]), (&json!(1), &Value::Null));
    assert_eq!(rest["next_page_token"], Value::Null);
    let (status, none) = http("live/prodction/history").await;
    assert_eq!((status, none["error"]["code"].as_str()), (404, Some("not_found")));
    assert_eq!(none["error"]["hint"], "did you mean `live/production`?");
    assert_eq!(http("live/production").await.0, 404);
    assert_eq!(http("live/production/history?page_token=x").await.0, 400);
}

#[tokio::test]
async fn of_two_who_move_a_tag_at_once_one_wins_and_the_other_hears_where_it_is() {
    let coordinator = Coordinator::start().await;
    let [a, b, c] = three(&coordinator).await;
    moved(&coordinator, request("production", "a")).await.unwrap();
    let to = |reference: &str| {
        let request = MoveTagRequest { expected: a.clone(), ..request("production", reference) };
        moved(&coordinator, request)
    };
    let (one, other) = tokio::join!(to("b"), to("c"));
    let (won, lost) = match (one, other) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        both => panic!("{both:?}"),
    };
    assert!([&b, &c].contains(&&won.to));
    assert_eq!((lost.code(), ErrorCode::of(&lost)), (Code::Aborted, Some(ErrorCode::TagMoved)));
    assert!(lost.message().contains(&won.to), "{}", lost.message());
    assert_eq!(history(&coordinator, "production").await.len(), 2);
    let new = MoveTagRequest { expected: "nothing".to_owned(), ..request("production", "a") };
    assert_eq!(ErrorCode::of(&moved(&coordinator, new.clone()).await.unwrap_err()), Some(ErrorCode::TagMoved));
    assert_eq!(moved(&coordinator, MoveTagRequest { tag: "new".to_owned(), ..new }).await.unwrap().number, 1);
}

#[tokio::test]
async fn a_call_that_comes_again_moves_nothing_again_and_a_second_rollback_goes_further_back() {
    let coordinator = Coordinator::start().await;
    let [a, b, _] = three(&coordinator).await;
    for name in ["a", "b", "c"] {
        moved(&coordinator, request("production", name)).await.unwrap();
    }
    let id = MoveId::new().to_string();
    let rollback = MoveTagRequest { id: id.clone(), ..back("production") };
    let first = moved(&coordinator, rollback.clone()).await.unwrap();
    assert_eq!((&first.to, first.by(), &first.id), (&b, TagMover::Rollback, &id));
    assert_eq!(moved(&coordinator, rollback).await.unwrap(), first);
    assert_eq!(moved(&coordinator, back("production")).await.unwrap().to, a);
    let end = moved(&coordinator, back("production")).await.unwrap_err();
    assert_eq!(ErrorCode::of(&end), Some(ErrorCode::Conflict));
    let end = ApiError::of(&end).unwrap();
    assert!(end.hint.unwrap().contains("vertigo history production"), "{}", end.message);
    moved(&coordinator, request("production", "c")).await.unwrap();
    moved(&coordinator, request("production", "b")).await.unwrap();
    let to = MoveTagRequest { back: true, ..request("production", &a["sha256:".len()..][..10]) };
    assert_eq!(moved(&coordinator, to).await.unwrap().to, a);
    let to = |reference| MoveTagRequest { back: true, ..request("production", reference) };
    let refused = moved(&coordinator, to("a")).await.unwrap_err();
    assert!(refused.message().contains("already"), "{}", refused.message());
    let to = to("c");
    let refused = moved(&coordinator, to).await.unwrap_err();
    assert!(refused.message().contains("did not come by"), "{}", refused.message());
}

#[tokio::test]
async fn jobs_and_imports_move_tags_and_it_is_kept_that_they_did() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let import = history(&coordinator, "luau").await;
    assert_eq!((import.len(), import[0].by(), import[0].reason.as_str()), (1, TagMover::Import, ""));
    assert!(import[0].at_ms > 0 && import[0].id.is_empty());
    let mut worker = coordinator.worker("mac").await;
    let mut jobs = Vec::new();
    // The last makes what the one before has made: nothing moves.
    for weights in ["first", "second", "second"] {
        let job = coordinator.submit("tutor").await;
        let given = worker.assignment().await;
        let output = coordinator.upload(Kind::Adapter, weights, json!({})).await;
        worker.report(&given, 1, success(&output)).await;
        assert_eq!(worker.ack().await, 1);
        assert_eq!(coordinator.job(&job.id).await.state(), JobState::Succeeded);
        jobs.push(job.id);
    }
    let moves = history(&coordinator, "tutor").await;
    let told: Vec<_> = moves.iter().map(|it| (it.by(), it.job_id.as_str())).collect();
    assert_eq!(told, [(TagMover::Job, &*jobs[1]), (TagMover::Job, &*jobs[0])]);
    assert_eq!(moves[0].from, moves[1].to);
}

#[tokio::test]
async fn a_move_that_makes_no_sense_is_refused_with_what_is_wrong() {
    let coordinator = Coordinator::start().await;
    three(&coordinator).await;
    let nowhere = manifest(Kind::Dataset, "nowhere", json!({})).digest().to_string();
    let ok = || request("production", "a");
    for (wrong, code, word) in [
        (request("a b", "a"), Code::InvalidArgument, "cannot be a tag"),
        (request("production", ""), Code::InvalidArgument, "name what to move"),
        (request("production", "d"), Code::NotFound, "no artifact `d`"),
        (MoveTagRequest { id: "x".to_owned(), ..ok() }, Code::InvalidArgument, "move id"),
        (MoveTagRequest { expected: "a".to_owned(), ..ok() }, Code::InvalidArgument, "`a`"),
        (MoveTagRequest { forced: true, ..ok() }, Code::InvalidArgument, "no reason"),
        (MoveTagRequest { reason: "x".repeat(2001), ..ok() }, Code::InvalidArgument, "2001 characters"),
        (MoveTagRequest { evidence: vec![nowhere.clone()], ..ok() }, Code::NotFound, &nowhere),
        (MoveTagRequest { decision_json: "{".to_owned(), ..ok() }, Code::InvalidArgument, "no JSON"),
        (back("production"), Code::NotFound, "no tag `production`"),
    ] {
        let refused = moved(&coordinator, wrong).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(word), "{word}: {refused}");
    }
    let none = v1::TagHistoryRequest { tag: "production".to_owned(), ..Default::default() };
    assert_eq!(coordinator.tags().tag_history(none).await.unwrap_err().code(), Code::NotFound, "nothing has moved");
}

/// Moves with the longest decisions: a page ends where a message would be too long, and no move is lost between two.
#[tokio::test]
async fn a_long_history_comes_in_pages_that_any_client_takes() {
    let coordinator = Coordinator::start().await;
    three(&coordinator).await;
    let decision_json = format!("\"{}\"", "x".repeat(DECISION_BYTES_MAX - 2));
    for name in ["a", "b", "c"].into_iter().cycle().take(70) {
        let request = MoveTagRequest { decision_json: decision_json.clone(), ..request("production", name) };
        moved(&coordinator, request).await.unwrap();
    }
    let (mut numbers, mut pages, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let request = v1::TagHistoryRequest { tag: "production".to_owned(), page_size: 1000, page_token };
        let page = coordinator.tags().tag_history(request).await.unwrap().into_inner();
        numbers.extend(page.moves.iter().map(|moved| moved.number));
        (pages, page_token) = (pages + 1, page.next_page_token);
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(numbers, (1..=70).rev().collect::<Vec<u64>>());
    assert!(pages > 1, "{pages}");
}

#[tokio::test]
async fn a_move_that_was_answered_is_there_after_the_process_was_killed() {
    let (_folder, state) = state();
    let process = Process::start(&state, "true", &[]).await.unwrap();
    process.put(b"a").await;
    process.put(b"b").await;
    let reached = access(&process.url);
    let register = |manifest: &Manifest| v1::RegisterArtifactRequest {
        manifest_json: manifest.to_json(),
        tags: vec!["production".to_owned()],
    };
    let [a, b] = ["a", "b"].map(|content| manifest(Kind::Dataset, content, json!({})));
    let mut artifacts = ArtifactsClient::new(reached.channel());
    artifacts.register(register(&a)).await.unwrap();
    artifacts.register(register(&b)).await.unwrap();
    let rollback = MoveTagRequest { id: MoveId::new().to_string(), ..back("production") };
    let kept = TagsClient::new(reached.channel()).move_tag(rollback.clone()).await.unwrap().into_inner();
    process.kill().await;

    let process = Process::start(&state, "true", &[]).await.unwrap();
    let reached = access(&process.url);
    let mut tags = TagsClient::new(reached.channel());
    let history = v1::TagHistoryRequest { tag: "production".to_owned(), ..Default::default() };
    let moves = tags.tag_history(history).await.unwrap().into_inner().moves;
    assert_eq!(moves.iter().map(|moved| moved.number).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!((&moves[0], &moves[0].to), (&kept, &a.digest().to_string()));
    assert_eq!(tags.move_tag(rollback).await.unwrap().into_inner(), kept, "the answer was lost, and asked for again");
}
