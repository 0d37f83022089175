//! Tokens: what opens, what does not, and how often it may be tried.

use super::bringing::bring;
use super::{Coordinator, HOUR, Somebody, certificates, closed, endpoint, revoke, somebody, stranger, token};
use serde_json::Value;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::id::{Millis, TokenId};
use vertigo::principal::Role;
use vertigo::secret::Secret;
use vertigo::v1;
use vertigo::v1::access_client::AccessClient;
use vertigo::v1::jobs_client::JobsClient;
use vertigo_access::identity::Request;
use vertigo_access::tls::Joining;
use vertigo_access::token::Token;
use vertigo_client::Access;
use vertigo_coordinator::access::tries::ADDRESS_FAILURES_MAX;
use vertigo_coordinator::serve::connections::Limits;
use vertigo_testkit::authority::Authority;

const DAY_MS: u64 = 86_400_000;

/// Joins as a program does that is not ours.
async fn join(
    access: &Access,
    token: &Token,
    change: impl Fn(&mut v1::JoinRequest),
) -> Result<v1::Certificate, Status> {
    let mut request = v1::JoinRequest {
        secret: token.secret.to_bytes(),
        request: Request::new().unwrap().der,
        name: "newcomer".to_owned(),
        clock_ms: Millis::now().0,
        ..Default::default()
    };
    change(&mut request);
    Ok(AccessClient::new(access.channel()).join(request).await?.into_inner())
}

fn wrong(like: &Token) -> Token {
    Token { secret: Secret::from([7; 32]), ..like.clone() }
}

/// As if its time were over.
async fn end(coordinator: &mut Coordinator, which: &str) {
    coordinator.stop().await;
    let path = coordinator.state().join("access/registry.json");
    let mut registry: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for token in registry["tokens"].as_array_mut().unwrap() {
        if token["id"] == which {
            token["ends"] = Value::from(1_000);
        }
    }
    fs::write(&path, registry.to_string()).unwrap();
    coordinator.open().await;
}

#[tokio::test]
async fn a_token_that_is_used_up_or_over_or_revoked_or_wrong_is_refused_in_the_same_words() {
    let mut coordinator = closed().await;
    let used = token(&coordinator, Role::Submit, 1, "").await;
    let over = token(&coordinator, Role::Submit, 1, "").await;
    let revoked = token(&coordinator, Role::Submit, 1, "").await;
    Somebody::with(&used, "laptop").await.unwrap();
    let mut admin = AccessClient::new(coordinator.access.channel());
    let listed = admin.list_tokens(v1::ListTokensRequest {}).await.unwrap().into_inner().tokens;
    // Newest first; the one that is used up cannot be used.
    let [newest, before] = &listed[..] else { panic!("{listed:?}") };
    admin.revoke_token(v1::RevokeTokenRequest { id: newest.id.clone() }).await.unwrap();
    let again = admin.revoke_token(v1::RevokeTokenRequest { id: TokenId::new().to_string() }).await.unwrap_err();
    assert_eq!(ErrorCode::of(&again), Some(ErrorCode::NotFound));
    end(&mut coordinator, &before.id).await;
    let stranger = stranger(&coordinator).await;
    let mut told = Vec::new();
    for token in [&used, &over, &revoked, &wrong(&used)] {
        let refused = join(&stranger, token, |_| {}).await.unwrap_err();
        assert_eq!(ErrorCode::of(&refused), Some(ErrorCode::Denied));
        told.push(ApiError::words(&refused));
    }
    let short = join(&stranger, &used, |request| request.secret.truncate(3)).await.unwrap_err();
    told.push(ApiError::words(&short));
    assert!(told.iter().all(|words| *words == told[0]), "{told:?}");
}

#[tokio::test]
async fn the_eleventh_wrong_token_of_a_minute_waits_and_a_right_one_with_it() {
    let coordinator = closed().await;
    let right = token(&coordinator, Role::Submit, 1, "").await;
    let stranger = stranger(&coordinator).await;
    for _ in 0..ADDRESS_FAILURES_MAX {
        let refused = join(&stranger, &wrong(&right), |_| {}).await.unwrap_err();
        assert_eq!(ErrorCode::of(&refused), Some(ErrorCode::Denied));
    }
    for token in [&wrong(&right), &right] {
        let refused = join(&stranger, token, |_| {}).await.unwrap_err();
        assert_eq!(ErrorCode::of(&refused), Some(ErrorCode::Busy), "{refused}");
        assert!(refused.message().contains("try again in"), "{refused}");
    }
    // Whoever has joined is not kept out with them.
    coordinator.jobs().list(v1::ListJobsRequest::default()).await.unwrap();
}

#[tokio::test]
async fn many_who_try_at_once_try_no_more_often() {
    let coordinator = closed().await;
    let right = token(&coordinator, Role::Submit, 1, "").await;
    let stranger = stranger(&coordinator).await;
    let wrong = wrong(&right);
    let tried = futures::future::join_all((0..40).map(|_| join(&stranger, &wrong, |_| {}))).await;
    let denied = tried.iter().filter(|it| ErrorCode::of(it.as_ref().unwrap_err()) == Some(ErrorCode::Denied)).count();
    assert!(denied <= ADDRESS_FAILURES_MAX, "{denied}");
}

#[tokio::test]
async fn one_who_is_revoked_does_not_come_back_by_the_token_it_came_with() {
    let coordinator = closed().await;
    let for_many = token(&coordinator, Role::Submit, 5, "").await;
    let first = Somebody::with(&for_many, "laptop").await.unwrap();
    let second = Somebody::with(&for_many, "desktop").await.unwrap();
    revoke(&coordinator, &first.identity.principal).await;
    for called in ["laptop", "somebody-else"] {
        let refused = Somebody::with(&for_many, called).await.err().unwrap().to_string();
        assert!(refused.contains("does not open"), "{refused}");
    }
    // Who joined with it besides is not sent away.
    JobsClient::new(second.access.channel()).list(v1::ListJobsRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_two_days_wrong_is_said_and_uses_up_nothing() {
    let coordinator = closed().await;
    let token = token(&coordinator, Role::Submit, 1, "").await;
    let stranger = stranger(&coordinator).await;
    let now = Millis::now().0;
    for (clock, word) in [(now - 2 * DAY_MS, "behind"), (now + 2 * DAY_MS + 1_000, "ahead of"), (0, "behind")] {
        let refused = join(&stranger, &token, |request| request.clock_ms = clock).await.unwrap_err();
        let words = ApiError::words(&refused);
        assert_eq!(ErrorCode::of(&refused), Some(ErrorCode::Conflict), "{words}");
        assert!(words.contains(word) && words.contains("clock") && words.contains("set it"), "{words}");
    }
    let laptop = Somebody::with(&token, "laptop").await.unwrap();
    let renew = v1::RenewRequest { request: Request::new().unwrap().der, clock_ms: now - 2 * DAY_MS };
    let refused = AccessClient::new(laptop.access.channel()).renew(renew).await.unwrap_err();
    assert!(refused.message().contains("48 hours behind"), "{refused}");
}

#[tokio::test]
async fn a_machine_whose_clock_is_days_behind_the_coordinators_hears_of_clocks_when_it_joins() {
    let folder = tempfile::tempdir().unwrap();
    // As the coordinator's certificate looks to a machine whose clock is behind.
    let other = Authority::new();
    let brought = bring(folder.path(), &other.issue_for_years("later", 3000, 4000));
    let fingerprint = other.anchor().fingerprint();
    let config = vertigo_coordinator::server::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        state: folder.path().join("state"),
        store: None,
        lease: HOUR,
        anew: false,
        reserve: None,
        keep: vertigo_coordinator::keep::Keep::default(),
        collect_every: HOUR,
        limits: Limits::of_descriptors(1024).unwrap(),
        certificates: Some(certificates(HOUR, Some(brought))),
    };
    let server = vertigo_coordinator::server::Server::start(config).await.unwrap();
    let url = server.url();
    let line = fs::read_to_string(server.administrator_path().unwrap()).unwrap();
    let running = tokio::spawn(server.run(std::future::pending()));
    let token: Token = line.parse().unwrap();
    assert_eq!(token.anchor, fingerprint);
    let error = Somebody::with(&token, "laptop").await.err().unwrap();
    let words = error.to_string();
    assert!(words.contains("one of the two clocks is wrong") && words.contains(&url), "{words}");
    running.abort();
}

#[tokio::test]
async fn a_certificate_that_the_operator_brought_is_what_machines_compare_and_theirs_are_the_coordinators_own() {
    let folder = tempfile::tempdir().unwrap();
    let other = Authority::new();
    let brought = bring(folder.path(), &other.issue("coordinator"));
    let limits = Limits::of_descriptors(1024).unwrap();
    let coordinator = Coordinator::with_certificates(certificates(HOUR, Some(brought)), limits).await;
    assert_eq!(token(&coordinator, Role::Read, 1, "").await.anchor, other.anchor().fingerprint());
    coordinator.import().await;
    let laptop = somebody(&coordinator, Role::Submit, "laptop").await;
    JobsClient::new(laptop.access.channel()).list(v1::ListJobsRequest::default()).await.unwrap();
    // Of the authority of that certificate nobody is let in: it vouches for the coordinator, not for people.
    let config = other.client(Some(&other.issue("laptop")));
    let access = Access::new(endpoint(&coordinator), Some(Arc::new(config))).unwrap();
    let refused = JobsClient::new(access.channel()).list(v1::ListJobsRequest::default()).await.unwrap_err();
    assert_eq!(ErrorCode::of(&refused), None, "no answer but the handshake's: {refused}");
}

#[tokio::test]
async fn a_token_of_another_coordinator_ends_before_its_secret_is_told() {
    let coordinator = closed().await;
    let elsewhere = closed().await;
    let token = token(&elsewhere, Role::Submit, 1, "").await;
    let misled = Token { addresses: vec![endpoint(&coordinator)], ..token };
    let error = Somebody::with(&misled, "laptop").await.err().unwrap().to_string();
    assert!(error.contains("not of the expected authority"), "{error}");
    // Its use is left.
    let config = Joining::new(misled.anchor).config().unwrap();
    let right = Access::new(endpoint(&elsewhere), Some(Arc::new(config))).unwrap();
    join(&right, &misled, |_| {}).await.unwrap();
}

#[tokio::test]
async fn who_did_it_is_kept_with_what_was_done() {
    let coordinator = closed().await;
    coordinator.import().await;
    let laptop = somebody(&coordinator, Role::Submit, "adas-laptop").await;
    let mut jobs = JobsClient::new(laptop.access.channel());
    let submit = v1::SubmitRequest { jobs: vec![crate::harness::train("tutor")] };
    let job = jobs.submit(submit).await.unwrap().into_inner().jobs.remove(0);
    assert_eq!(job.by, "adas-laptop");
    jobs.cancel(v1::CancelRequest { id: job.id.clone(), ..Default::default() }).await.unwrap();
    let mut events = coordinator.watch(&job.id, 0).await;
    let mut by = Vec::new();
    while let Some(event) = events.message().await.unwrap() {
        by.push(event.by);
    }
    assert_eq!(by.first().map(String::as_str), Some("adas-laptop"), "{by:?}");
    assert_eq!(by.last().map(String::as_str), Some("adas-laptop"), "{by:?}");
    let token = v1::CreateTokenRequest { role: "read".to_owned(), ttl_ms: 60_000, ..Default::default() };
    let made = AccessClient::new(coordinator.access.channel()).create_token(token).await.unwrap().into_inner();
    let made_by = made.token.unwrap().made_by;
    assert!(made_by.starts_with("administrator-"), "{made_by}");
}

#[tokio::test]
async fn the_life_that_is_told_is_the_certificates_own_after_the_operator_shortened_it() {
    let mut coordinator = closed().await;
    let laptop = somebody(&coordinator, Role::Read, "laptop").await;
    coordinator.change_life(Duration::from_secs(60));
    coordinator.restart().await;
    let mut identity = laptop.identity.clone();
    identity.coordinator = endpoint(&coordinator);
    let renewed = vertigo_client::joining::renew(&super::reached(&identity), &identity).await.unwrap();
    let left = renewed.life.ends.0.saturating_sub(Millis::now().0);
    assert!(left <= 60_000, "it is told {left} ms, and the certificate has 60 s");
}
