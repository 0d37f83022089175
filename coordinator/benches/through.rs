//! How many jobs a coordinator takes and sees through: real gRPC, a real database that is on the disk before it answers, real blobs, and
//! workers that finish at once.
//!
//! First jobs come while workers work, from callers that each wait for an answer before the next call, so that few are queued at a time.
//! Then a queue is filled in calls of many jobs, and workers come to it. One JSON line for each: jobs submitted and jobs through per
//! second.
//!
//! `cargo bench -p vertigo-coordinator --bench through [-- JOBS WORKERS]`.

mod fleet;

use fleet::harness::train;
use fleet::{Fleet, rate, started};
use serde_json::json;
use std::time::Instant;
use vertigo::v1;

/// Callers that submit at a time.
const CALLERS: usize = 4;

/// Jobs in one call, where a queue is filled.
const CALL_JOBS: usize = 500;

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (jobs, workers) = match numbers[..] {
        [jobs, workers] => (jobs, workers),
        _ => (5_000, 4),
    };
    let came = while_they_work(jobs, workers).await;
    let line = |queued: &str, submits: f64, through: f64| json!({"queued": queued, "jobs": jobs, "workers": workers, "submits_per_s": submits, "through_per_s": through});
    println!("{}", line("few", came, came));
    let (submitted, through) = queued_first(jobs, workers).await;
    println!("{}", line("all", submitted, through));
}

/// Jobs per second where they come while workers work.
async fn while_they_work(jobs: usize, workers: usize) -> f64 {
    let fleet = Fleet::start(workers).await;
    let begun = Instant::now();
    let all = fleet.coordinator.clone();
    let callers = (0..CALLERS).map(|caller| {
        let coordinator = all.clone();
        let own = (caller..jobs).step_by(CALLERS).count();
        async move {
            for _ in 0..own {
                coordinator.queue(train("")).await.expect("it is queued");
            }
        }
    });
    let work = fleet.work(jobs);
    futures::future::join(futures::future::join_all(callers), work).await;
    rate(jobs, begun)
}

/// Jobs per second that are taken by a coordinator without workers, and that go through once those have come.
async fn queued_first(jobs: usize, workers: usize) -> (f64, f64) {
    let coordinator = started().await;
    let begun = Instant::now();
    for first in (0..jobs).step_by(CALL_JOBS) {
        let call: Vec<v1::NewJob> = (first..jobs.min(first + CALL_JOBS)).map(|_| train("")).collect();
        coordinator.queue_all(call).await.expect("they are queued");
    }
    let submitted = rate(jobs, begun);
    let fleet = Fleet::of(coordinator, workers).await;
    let begun = Instant::now();
    fleet.work(jobs).await;
    (submitted, rate(jobs, begun))
}
