//! The protocol's messages as JSON for scripts: the views that HTTP answers with too.

use serde::Serialize;
use serde_json::Value;
use vertigo::v1;
use vertigo_access::contexts::ContextName;
use vertigo_access::identity::Identity;
pub(crate) use vertigo_view::{attempt_state, state};

fn value(view: impl Serialize) -> Value {
    serde_json::to_value(view).expect("views are numbers, strings, lists of them, and maps whose keys are strings")
}

pub(crate) fn job(job: &v1::Job) -> Value {
    value(vertigo_view::Job::from(job))
}

pub(crate) fn variant(variant: &v1::Variant) -> Value {
    value(vertigo_view::Variant::from(variant))
}

pub(crate) fn placement(placement: &v1::Placement) -> Value {
    value(vertigo_view::Placement::from(placement))
}

pub(crate) fn worker(worker: &v1::Worker) -> Value {
    value(vertigo_view::Worker::from(worker))
}

pub(crate) fn artifact(artifact: &v1::Artifact) -> Value {
    value(vertigo_view::Artifact::from(artifact))
}

pub(crate) fn tag_move(moved: &v1::TagMove) -> Value {
    value(vertigo_view::TagMove::from(moved))
}

pub(crate) fn storage(report: &v1::StorageReport) -> Value {
    value(vertigo_view::Storage::from(report))
}

pub(crate) fn collection(gone: &v1::Collection) -> Value {
    value(vertigo_view::Collection::from(gone))
}

pub(crate) fn principal(principal: &v1::Principal) -> Value {
    value(vertigo_view::Principal::from(principal))
}

pub(crate) fn token(token: &v1::Token) -> Value {
    value(vertigo_view::Token::from(token))
}

/// A context, which no message tells of: the coordinator knows nothing of it.
pub(crate) fn context(name: &ContextName, identity: &Identity, current: Option<&ContextName>) -> Value {
    serde_json::json!({
        "name": name.to_string(),
        "coordinator": identity.coordinator.to_string(),
        "principal": identity.principal,
        "role": identity.role,
        "ends_ms": identity.life.ends.0,
        "fingerprint": identity.anchor.fingerprint().to_string(),
        "is_current": current == Some(name),
    })
}

pub(crate) fn event(event: &v1::JobEvent) -> Value {
    value(vertigo_view::Event::from(event))
}
