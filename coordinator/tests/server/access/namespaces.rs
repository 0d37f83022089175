//! All that there is lies in one namespace; whoever is of another sees none of it.

use super::{Somebody, ask, closed, token};
use reqwest::StatusCode;
use vertigo::api_error::ErrorCode;
use vertigo::id::Digest;
use vertigo::principal::Role;

const CALLS: [&str; 20] = [
    "Jobs/Submit",
    "Jobs/List",
    "Jobs/Get",
    "Jobs/Watch",
    "Jobs/Cancel",
    "Fleet/ListWorkers",
    "Fleet/Session",
    "Fleet/DrainWorker",
    "Fleet/RemoveWorker",
    "Fleet/SetWorker",
    "Fleet/UpgradeWorker",
    "Artifacts/Get",
    "Artifacts/List",
    "Artifacts/Register",
    "Tags/MoveTag",
    "Storage/Describe",
    "Storage/Collect",
    "Access/CreateToken",
    "Access/ListPrincipals",
    "Access/RevokePrincipal",
];

#[tokio::test]
async fn whoever_is_of_another_namespace_sees_nothing_and_changes_nothing() {
    let coordinator = closed().await;
    coordinator.import().await;
    for role in Role::ALL {
        let it = Somebody::with(&token(&coordinator, role, 1, "lab").await, &format!("lab-{role}")).await.unwrap();
        for call in CALLS {
            let refused = ask(&it.access, &format!("/vertigo.v1.{call}")).await.unwrap_err();
            assert_eq!(ErrorCode::of(&refused), Some(ErrorCode::Denied), "{call} by {role}: {refused}");
        }
        let http = it.access.http().build().unwrap();
        let blob = format!("/v1/blobs/{}", Digest::of(b"weights"));
        for path in ["/v1/jobs", "/v1/artifacts/mini", "/v1/events", "/v1/workers", "/v1/storage", blob.as_str()] {
            let answer = http.get(format!("{}{path}", coordinator.url)).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} by {role}");
        }
        // Who it is, and that somebody is there.
        ask(&it.access, "/vertigo.v1.Access/WhoAmI").await.unwrap();
        let lacks = ask(&it.access, "/vertigo.v1.Access/Renew").await.unwrap_err();
        assert_eq!(ErrorCode::of(&lacks), Some(ErrorCode::Conflict), "let in, and asked without a clock: {lacks}");
        assert_eq!(http.get(format!("{}/health", coordinator.url)).send().await.unwrap().status(), StatusCode::OK);
    }
}
