//! Every call and every route, really asked by every role and by everybody else, beside the table that says what each may.

use super::{Coordinator, Somebody, ask, closed, foreigner, name, reached, revoke, somebody, stranger};
use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use std::collections::BTreeSet;
use std::path::Path;
use tonic::{Code, Status};
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::id::Digest;
use vertigo::principal::Role;
use vertigo_client::Access;
use vertigo_coordinator::serve::permissions::{Permission, Verdict, required, verdict};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Member(Role),
    /// Without a certificate.
    Stranger,
    /// With one of another authority.
    Foreigner,
    /// With one whose principal was revoked.
    Revoked,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It was let in; what the request itself lacked is another matter.
    In,
    Denied,
    Stranger,
    /// There is no answer: the handshake fails.
    None,
}

impl Who {
    /// What the table says. A worker here has no attempt, so nothing is needed for one.
    fn expected(self, required: Option<Permission>) -> Answer {
        match (self, required) {
            (Who::Foreigner, _) => Answer::None,
            (Who::Stranger, Some(Permission::Knock)) => Answer::In,
            (Who::Stranger | Who::Revoked, _) => Answer::Stranger,
            (Who::Member(role), Some(permission)) if verdict(role, permission) == Verdict::Yes => Answer::In,
            (Who::Member(_), _) => Answer::Denied,
        }
    }
}

/// What nobody who is refused may read: what the coordinator holds, and whom.
const INSIDE: [&str; 4] = ["luau", "tutor", "weights", "administrator-"];

/// A coordinator that holds something, and everybody.
async fn all(coordinator: &Coordinator) -> Vec<(Who, Access)> {
    coordinator.import().await;
    coordinator.submit("tutor").await;
    let mut all = Vec::new();
    for role in Role::ALL {
        all.push((Who::Member(role), somebody(coordinator, role, &format!("a-{role}")).await.access));
    }
    let Somebody { identity, .. } = somebody(coordinator, Role::Admin, "gone").await;
    revoke(coordinator, &name("gone")).await;
    all.push((Who::Stranger, stranger(coordinator).await));
    all.push((Who::Foreigner, foreigner(&identity)));
    all.push((Who::Revoked, reached(&identity)));
    all
}

fn calls() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/vertigo/v1");
    let mut calls = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut service = "";
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("service ") {
                service = rest.trim_end_matches(" {");
            }
            if let Some(rest) = line.strip_prefix("rpc ") {
                calls.insert(format!("/vertigo.v1.{service}/{}", rest.split_once('(').unwrap().0));
            }
        }
    }
    assert!(calls.len() > 20);
    calls
}

fn read(call: &str, answered: Result<(), Status>) -> (Answer, String) {
    let Err(status) = answered else { return (Answer::In, String::new()) };
    let said = ApiError::words(&status);
    let answer = match ErrorCode::of(&status) {
        // The door lets everybody knock; what it says of a token that is none is said behind it.
        Some(ErrorCode::Denied) if call.ends_with("/Join") && said.contains("this token") => Answer::In,
        Some(ErrorCode::Denied) => Answer::Denied,
        Some(ErrorCode::Stranger) => Answer::Stranger,
        None if status.code() == Code::Unavailable || status.code() == Code::Unknown => Answer::None,
        _ => Answer::In,
    };
    (answer, said)
}

#[tokio::test]
async fn every_call_is_answered_to_whom_the_table_says_and_to_nobody_else() {
    let coordinator = closed().await;
    let all = all(&coordinator).await;
    // One that there is not is refused to everybody.
    let calls = calls().into_iter().chain(["/vertigo.v1.Jobs/Delete".to_owned(), "/other.Service/Call".to_owned()]);
    let mut told = BTreeSet::new();
    for call in calls {
        let required = required(&Method::POST, &call);
        for (who, access) in &all {
            let (answer, said) = read(&call, ask(access, &call).await);
            assert_eq!(answer, who.expected(required), "{call} by {who:?}: {said}");
            if answer != Answer::In {
                assert!(!INSIDE.iter().any(|word| said.contains(word)), "{call} by {who:?}: {said}");
            }
            if answer == Answer::Stranger && *who == Who::Stranger {
                told.insert(said);
            }
        }
    }
    assert_eq!(told.len(), 1, "strangers hear the same, whatever they ask: {told:?}");
}

/// What is asked over HTTP: what there is, what there is not, and other ways to write it.
fn requests() -> Vec<(Method, String)> {
    let mut requests: Vec<(Method, String)> = Vec::new();
    let blob = |bytes: &[u8]| format!("/v1/blobs/{}", Digest::of(bytes));
    for path in ["/v1/jobs", "/v1/artifacts", "/v1/tags", "/v1/workers", "/v1/storage", "/v1/events", "/health"] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            requests.push((method, path.to_owned()));
        }
        requests.push((Method::GET, format!("{path}/")));
        requests.push((Method::GET, format!("{path}x")));
    }
    for path in ["/v1/jobs/tutor", "/v1/artifacts/mini", "/v1/tags/mini/history", "/health/x", "/", "/v1", "/nothing"] {
        requests.push((Method::GET, path.to_owned()));
    }
    for path in ["//v1/jobs", "/v1/./jobs", "/health/../v1/jobs", "/%76%31/jobs", "/V1/JOBS", "/v1/jobs%2ftutor"] {
        requests.push((Method::GET, path.to_owned()));
    }
    for path in [blob(b"weights"), blob(b"nothing"), "/v1/blobs/x".to_owned(), "/v1/blobs/".to_owned()] {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE] {
            requests.push((method, path.clone()));
        }
        requests.push((Method::POST, format!("{path}/check")));
        requests.push((Method::GET, format!("{path}/check")));
        requests.push((Method::GET, path.replace(':', "%3A")));
        requests.push((Method::PUT, path.replace(':', "%3a").replace("sha", "%73ha")));
    }
    requests.extend(calls().into_iter().flat_map(|call| [(Method::GET, call.clone()), (Method::POST, call)]));
    requests
}

#[tokio::test]
async fn every_route_is_answered_to_whom_the_table_says_and_to_nobody_else() {
    let coordinator = closed().await;
    let all = all(&coordinator).await;
    let mut told = BTreeSet::new();
    for (who, access) in &all {
        let client = access.http().build().unwrap();
        for (method, path) in requests() {
            let asked = format!("{method} {path} by {who:?}");
            // As it stands: a client would tidy the path up.
            let url = format!("{}{path}", coordinator.url);
            let is_as_written = reqwest::Url::parse(&url).unwrap().path() == path;
            let answered = client.request(method.clone(), &url).send().await;
            let required = required(&method, &path);
            let expected = who.expected(required);
            let Ok(answer) = answered else {
                assert_eq!(expected, Answer::None, "{asked}");
                continue;
            };
            let status = answer.status();
            let found = match status {
                StatusCode::FORBIDDEN => Answer::Denied,
                StatusCode::UNAUTHORIZED => Answer::Stranger,
                _ => Answer::In,
            };
            // Who has joined hears of what is no request at all that it is none.
            let is_none = match status.as_u16() {
                404 => required.is_none(),
                405 | 415 => true,
                _ => false,
            };
            let is_told = matches!(who, Who::Member(_)) && is_none && expected == Answer::Denied;
            if is_as_written && !is_told {
                assert_eq!(found, expected, "{asked}: {status}");
            }
            if found == Answer::In {
                continue;
            }
            let body = answer.text().await.unwrap();
            // What was asked is said again.
            let body_alone = body.replace(&path, "");
            assert!(!INSIDE.iter().any(|word| body_alone.contains(word)), "{asked}: {body}");
            if method == Method::HEAD {
                assert_eq!(body, "", "{asked}");
                continue;
            }
            let error = ApiError::from_json(&body).unwrap_or_else(|| panic!("{asked}: {body}"));
            let code = if found == Answer::Denied { ErrorCode::Denied } else { ErrorCode::Stranger };
            assert_eq!(error.code, code, "{asked}");
            if *who == Who::Stranger {
                told.insert(body);
            }
        }
    }
    assert_eq!(told.len(), 1, "strangers hear the same, whatever they ask: {told:?}");
}

/// Many at once, each on a connection of its own, so that no answer is another's.
#[tokio::test]
async fn those_who_ask_at_once_are_not_mistaken_for_one_another() {
    let coordinator = closed().await;
    let all = all(&coordinator).await;
    let asked = stream::iter(0..200).map(|n| {
        let (who, access) = &all[n % all.len()];
        async move { (*who, read("", ask(access, "/vertigo.v1.Jobs/List").await)) }
    });
    let answers: Vec<_> = asked.buffer_unordered(16).collect().await;
    let required = required(&Method::POST, "/vertigo.v1.Jobs/List");
    for (who, (answer, said)) in answers {
        assert_eq!(answer, who.expected(required), "{who:?}: {said}");
    }
}
