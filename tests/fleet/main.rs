//! Whole fleets: real processes, gRPC, SQLite, MLX and files.
//!
//! The tests run side by side in one process; those that train take turns ([`turn`]), so that each has the machine's cores.

#![allow(missing_docs)] // a test's name says what it shows

mod bucket;
mod comparisons;
mod curations;
mod evals;
mod keys;
mod macs;
mod main_job;
mod manners;
mod peer;
mod pipelines;
mod refusals;
mod secrets;
mod services;
mod survival;
mod trace;

use tokio::sync::{Semaphore, SemaphorePermit};
use vertigo_tests::Fleet;

/// Fleets that are up at the same time: most of their time is waiting for leases.
const FLEETS: usize = 2;

/// A turn at the machine's cores.
async fn turn() -> SemaphorePermit<'static> {
    static CORES: Semaphore = Semaphore::const_new(FLEETS);
    CORES.acquire().await.expect("nobody closes it")
}

/// A recipe on the base `mini` for as long as a test needs.
fn recipe(iters: u64, more: &str) -> String {
    format!(
        "model: mini\nnum_layers: 2\niters: {iters}\nbatch_size: 1\nmax_seq_length: 256\nmask_prompt: true\nlearning_rate: 1.0e-3\n\
         steps_per_report: 1\nsteps_per_eval: 1000\nval_batches: 2\nsave_every: 5\n{more}"
    )
}

/// A fleet of one worker, `mac`, with the repository's dataset and the base `mini`.
async fn small_fleet(lease: &str) -> Fleet {
    let mut fleet = Fleet::start(lease);
    fleet.start_worker("mac", "4GiB");
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    fleet
}
