//! Real fleets for tests: a coordinator and workers as processes of this machine, in a folder that goes with the test.
//!
//! Promise: every wait has a deadline and says what it waited for; when a test fails, what its processes wrote is printed; none of
//! them outlives it.

pub mod bucket;
mod fleet;
mod process;

pub use fleet::{Fleet, Ran};
pub use process::Process;
pub use vertigo_testkit::{skipped, waiting};

use std::path::{Path, PathBuf};
use vertigo::endpoint::Endpoint;
use vertigo::v1::JobEvent;
use vertigo::v1::job_event::Event;
use vertigo::v1::report::Body;
use vertigo_client::Access;

/// What an attempt said, where the event is a report.
pub fn said(event: &JobEvent) -> Option<&Body> {
    match &event.event {
        Some(Event::Report(report)) => report.body.as_ref(),
        _ => None,
    }
}

/// Whether an attempt has come to its first steps.
pub fn trains(event: &JobEvent) -> bool {
    matches!(said(event), Some(Body::Step(_)))
}

/// A channel to a coordinator of this machine.
///
/// # Panics
/// Where the address is another machine's.
pub fn channel(endpoint: &Endpoint) -> tonic::transport::Channel {
    Access::plain(endpoint.clone()).expect("a test's coordinator is on loopback, without certificates").channel()
}

/// The repository's folder.
pub fn repository() -> &'static Path {
    // `CARGO_MANIFEST_DIR` is `tests`.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The repository's own dataset.
pub fn luau() -> PathBuf {
    repository().join("tests/data/luau")
}

/// A binary of the workspace, from the same build as the test.
///
/// # Panics
/// Where it is not built: cargo builds other packages' binaries only when told to.
pub fn binary(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    let folder = program.parent().expect("programs lie in target/PROFILE, tests in its deps");
    let profile = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = profile.join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --workspace --bins` first, as `make test` does",
        path.display()
    );
    path
}
