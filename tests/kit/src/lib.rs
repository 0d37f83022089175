//! What tests of several crates share, each part behind a feature, so that nobody builds what is not used.
//!
//! Promise: every wait has a deadline and says what it waited for; the base is small enough to train in a second, and the same each time;
//! nothing here needs MLX, a database or the network beyond loopback.

#[cfg(feature = "authority")]
pub mod authority;
pub mod base;
#[cfg(feature = "coordinator")]
pub mod coordinator;
pub mod laptop;
pub mod tokenizer;
#[cfg(feature = "waiting")]
pub mod waiting;

/// Says that a test did not run. Straight to stderr: what a passing test says by `eprintln!` is not shown.
pub fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// What lies in `../shared`, beside the repository, at this path; `None`, and said, where it is not there: it exists for developers and CI.
pub fn shared(path: &str) -> Option<std::path::PathBuf> {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if !path.exists() {
        skipped(&format!("{} is not there", path.display()));
        return None;
    }
    Some(path)
}
