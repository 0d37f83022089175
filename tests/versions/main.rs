//! One version apart: what the release before says is understood today, and what is said today it understands.
//!
//! `previous/` is of that release: its protocol, and a session of its worker with its coordinator, as bytes. `record.sh COMMIT` makes
//! all of it anew, for another release.

#![allow(missing_docs)] // a test's name says what it shows

mod grpc;
mod ids;
mod old_coordinator;
mod record;
mod recording;
mod replay;
mod wire;

use std::path::PathBuf;
use vertigo_tests::repository;

/// What is kept of the release before.
fn previous() -> PathBuf {
    repository().join("tests/versions/previous")
}
