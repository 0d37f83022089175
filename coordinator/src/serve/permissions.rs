//! Which role may ask what: one table over gRPC and HTTP alike.
//!
//! Promise: what stands in neither table is asked by nobody ([`required`] gives `None`). A route or call that is added later is refused to
//! everybody until it is entered here, and a test walks all of them with every role.

use super::http::BLOBS;
use axum::http::Method;
use vertigo::principal::Role;

/// What a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Nothing: to join, and to see whether anybody is there.
    Knock,
    /// To be somebody: who the caller is, and its next certificate.
    Own,
    /// To look at jobs, artifacts, workers and disks.
    Look,
    /// To fetch what artifacts are made of.
    Fetch,
    /// To send what artifacts are made of.
    Send,
    /// To queue and cancel jobs, to make artifacts and to move tags.
    Change,
    /// To run attempts.
    Work,
    /// To say who may do what, and what becomes of workers and disks.
    Manage,
}

impl Permission {
    /// What it is to do, for people: behind "may not".
    pub fn words(self) -> &'static str {
        match self {
            Permission::Knock => "knock",
            Permission::Own => "be somebody here",
            Permission::Look => "look at jobs, artifacts and workers",
            Permission::Fetch => "fetch files",
            Permission::Send => "send files",
            Permission::Change => "queue or cancel jobs, import anything, or move tags",
            Permission::Work => "run attempts",
            Permission::Manage => "say who may do what, or what becomes of workers and disks",
        }
    }
}

/// What a role's permission is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Yes,
    /// It may for what its own attempts need.
    ForItsAttempts,
    /// It may not.
    No,
}

/// What a role may do.
pub fn verdict(role: Role, permission: Permission) -> Verdict {
    use Permission::{Change, Fetch, Knock, Look, Manage, Own, Send, Work};
    match (permission, role) {
        (Knock | Own, _) => Verdict::Yes,
        (Look | Fetch, Role::Read | Role::Submit | Role::Admin) => Verdict::Yes,
        (Send | Change, Role::Submit | Role::Admin) => Verdict::Yes,
        (Manage, Role::Admin) | (Work, Role::Worker) => Verdict::Yes,
        (Fetch | Send, Role::Worker) => Verdict::ForItsAttempts,
        (Send | Change, Role::Read) | (Look | Change, Role::Worker) => Verdict::No,
        (Manage, Role::Read | Role::Submit | Role::Worker) | (Work, Role::Read | Role::Submit | Role::Admin) => {
            Verdict::No
        }
    }
}

/// The calls of gRPC: service and method.
const CALLS: [(&str, Permission); 30] = [
    ("/vertigo.v1.Access/Join", Permission::Knock),
    ("/vertigo.v1.Access/Renew", Permission::Own),
    ("/vertigo.v1.Access/WhoAmI", Permission::Own),
    ("/vertigo.v1.Access/CreateToken", Permission::Manage),
    ("/vertigo.v1.Access/ListTokens", Permission::Manage),
    ("/vertigo.v1.Access/RevokeToken", Permission::Manage),
    ("/vertigo.v1.Access/ListPrincipals", Permission::Manage),
    ("/vertigo.v1.Access/RevokePrincipal", Permission::Manage),
    ("/vertigo.v1.Jobs/Submit", Permission::Change),
    ("/vertigo.v1.Jobs/Plan", Permission::Look),
    ("/vertigo.v1.Jobs/Get", Permission::Look),
    ("/vertigo.v1.Jobs/List", Permission::Look),
    ("/vertigo.v1.Jobs/Watch", Permission::Look),
    ("/vertigo.v1.Jobs/Logs", Permission::Look),
    ("/vertigo.v1.Jobs/Cancel", Permission::Change),
    ("/vertigo.v1.Fleet/Session", Permission::Work),
    ("/vertigo.v1.Fleet/ListWorkers", Permission::Look),
    ("/vertigo.v1.Fleet/DrainWorker", Permission::Manage),
    ("/vertigo.v1.Fleet/ResumeWorker", Permission::Manage),
    ("/vertigo.v1.Fleet/RemoveWorker", Permission::Manage),
    ("/vertigo.v1.Fleet/SetWorker", Permission::Manage),
    ("/vertigo.v1.Fleet/UpgradeWorker", Permission::Manage),
    ("/vertigo.v1.Artifacts/MissingBlobs", Permission::Send),
    ("/vertigo.v1.Artifacts/Register", Permission::Change),
    // A worker asks what a name stands for that a service of its own follows.
    ("/vertigo.v1.Artifacts/Get", Permission::Fetch),
    ("/vertigo.v1.Artifacts/List", Permission::Look),
    ("/vertigo.v1.Tags/MoveTag", Permission::Change),
    ("/vertigo.v1.Tags/TagHistory", Permission::Look),
    ("/vertigo.v1.Storage/Describe", Permission::Look),
    ("/vertigo.v1.Storage/Collect", Permission::Manage),
];

/// The routes of HTTP that are read, each with all that is below it.
const READS: [(&str, Permission); 7] = [
    ("/health", Permission::Knock),
    ("/v1/jobs", Permission::Look),
    ("/v1/artifacts", Permission::Look),
    ("/v1/tags", Permission::Look),
    ("/v1/workers", Permission::Look),
    ("/v1/storage", Permission::Look),
    ("/v1/events", Permission::Look),
];

/// What a request takes, by its head; `None` for what nobody may ask.
pub fn required(method: &Method, path: &str) -> Option<Permission> {
    if let Some(blob) = path.strip_prefix(BLOBS) {
        return of_blob(method, blob);
    }
    let is_read = *method == Method::GET || *method == Method::HEAD;
    if is_read {
        let is_below =
            |route: &str| path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let read = READS.iter().find(|(route, _)| is_below(route)).map(|(route, permission)| (*route, *permission));
        // Where anybody may knock is one path, with nothing below it.
        return read.filter(|(route, it)| *it != Permission::Knock || *route == path).map(|(_, it)| it);
    }
    let call = CALLS.iter().find(|(call, _)| *call == path);
    call.filter(|_| *method == Method::POST).map(|(_, permission)| *permission)
}

fn of_blob(method: &Method, blob: &str) -> Option<Permission> {
    match (method, blob.split_once('/')) {
        (&Method::GET, None) => Some(Permission::Fetch),
        // Who sends asks first how much of it is there; who only fetches has no need to.
        (&Method::HEAD, None) => Some(Permission::Send),
        (&Method::PUT, None) => Some(Permission::Send),
        // What a reader asks for whose bytes have another digest.
        (&Method::POST, Some((_, "check"))) => Some(Permission::Fetch),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
