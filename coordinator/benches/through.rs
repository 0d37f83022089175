//! How many jobs a coordinator takes and sees through: real gRPC, a real database that is on the disk before it answers, real blobs, and
//! workers that finish at once.
//!
//! First jobs come while workers work, from callers that each wait for an answer before the next call, so that few are queued at a time.
//! Then a queue is filled in calls of many jobs, and workers come to it. One JSON line for each: jobs submitted and jobs through per
//! second.
//!
//! `cargo bench -p vertigo-coordinator --bench through [-- JOBS WORKERS]`.

#[path = "../tests/server/harness.rs"]
#[allow(dead_code, reason = "the tests' own harness, of which this needs a part")]
mod harness;

use harness::{Coordinator, Worker, holding, success, train};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vertigo::id::WorkerId;
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1::{self, coordinator_message::Message};

/// Callers that submit at a time.
const CALLERS: usize = 4;

/// Jobs in one call, where a queue is filled.
const CALL_JOBS: usize = 500;

/// Nothing is heard of for longer in a bench that goes well.
const PATIENCE: Duration = Duration::from_secs(600);

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

fn rate(jobs: usize, begun: Instant) -> f64 {
    (jobs as f64 / begun.elapsed().as_secs_f64()).round()
}

async fn started() -> Arc<Coordinator> {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    Arc::new(coordinator)
}

/// Workers that have what every job makes already.
struct Fleet {
    coordinator: Arc<Coordinator>,
    workers: Vec<Worker>,
    made: Manifest,
}

impl Fleet {
    async fn start(workers: usize) -> Fleet {
        Fleet::of(started().await, workers).await
    }

    async fn of(coordinator: Arc<Coordinator>, workers: usize) -> Fleet {
        let made = coordinator.upload(Kind::Adapter, "weights", json!({"recipe": "small"})).await;
        let mut all = Vec::new();
        for n in 0..workers {
            let worker = Worker::connect(&coordinator, WorkerId::new(), &format!("mac-{n}"), &[]).await;
            all.push(worker.expect("it is welcomed"));
        }
        Fleet { coordinator, workers: all, made }
    }

    /// Works until so many jobs are through.
    async fn work(self, jobs: usize) {
        let left = Arc::new(AtomicUsize::new(jobs));
        let (done, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        for mut worker in self.workers {
            let (left, made, done) = (left.clone(), self.made.clone(), done.clone());
            tokio::spawn(async move {
                // It is welcomed no more when the bench is over.
                while let Ok(Some(Message::Assignment(given))) = worker.next().await {
                    worker.heartbeat(&holding(&given)).await;
                    worker.report(&given, 1, success(&made)).await;
                    worker.ack().await;
                    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                        // Nobody may be waiting any more.
                        let _ = done.send(()).await;
                    }
                }
            });
        }
        tokio::time::timeout(PATIENCE, ended.recv()).await.expect("all jobs go through");
    }
}
