//! A wide fleet: workers by the thousand, each with a session of its own and a heartbeat every third of a lease, and a queue that they
//! empty.
//!
//! Workers share connections, a hundred to each, so that both ends fit into one process. One JSON line: jobs through per second, and how
//! many leases were lost, which a late heartbeat would cost.
//!
//! `cargo bench -p vertigo-coordinator --bench wide [-- JOBS WORKERS]`.

#[allow(dead_code, reason = "another bench needs the rest")]
mod fleet;

use fleet::harness::{Coordinator, Worker, hello, holding, message, success, train};
use fleet::rate;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use vertigo::id::WorkerId;
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1::coordinator_message::Message;
use vertigo::v1::{self, worker_message};

/// As long as a coordinator's leases are where nobody says otherwise.
const LEASE: Duration = Duration::from_secs(30);

/// Workers of one connection.
const SHARED: usize = 100;

/// Sessions that are opened at a time.
const OPENED: usize = 50;

/// Jobs in one call, where a queue is filled.
const CALL_JOBS: usize = 1000;

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (jobs, workers) = match numbers[..] {
        [jobs, workers] => (jobs, workers),
        _ => (100_000, 10_000),
    };
    let coordinator = Coordinator::with_lease(LEASE).await;
    coordinator.import().await;
    let made = Arc::new(coordinator.upload(Kind::Adapter, "weights", json!({"recipe": "small"})).await);
    let all = connect(&coordinator, workers).await;
    let (begun, progress) = (Instant::now(), Arc::new(Progress::of(jobs)));
    let mut sessions = JoinSet::new();
    for worker in all {
        sessions.spawn(work(worker, made.clone(), progress.clone()));
    }
    for first in (0..jobs).step_by(CALL_JOBS) {
        let call = (first..jobs.min(first + CALL_JOBS)).map(|_| train("")).collect();
        coordinator.queue_all(call).await.expect("they are queued");
    }
    progress.ended.notified().await;
    let through = rate(jobs, begun);
    let lost = progress.given.load(Ordering::Relaxed) - jobs;
    println!(
        "{}",
        json!({"workers": workers, "jobs": jobs, "submitted_and_through_per_s": through, "leases_lost": lost})
    );
}

/// Opens all sessions.
async fn connect(coordinator: &Coordinator, workers: usize) -> Vec<Worker> {
    let mut all = Vec::with_capacity(workers);
    for first in (0..workers).step_by(SHARED) {
        let channel = coordinator.fleet();
        let ids: Vec<usize> = (first..workers.min(first + SHARED)).collect();
        for some in ids.chunks(OPENED) {
            let opened =
                some.iter().map(|n| Worker::over(channel.clone(), hello(WorkerId::new(), &format!("mac-{n}"), &[])));
            let opened = futures::future::join_all(opened).await;
            all.extend(opened.into_iter().map(|worker| worker.expect("it is welcomed")));
        }
    }
    all
}

/// What all workers have done.
struct Progress {
    given: AtomicUsize,
    left: AtomicUsize,
    ended: Notify,
}

impl Progress {
    fn of(jobs: usize) -> Progress {
        Progress { given: AtomicUsize::new(0), left: AtomicUsize::new(jobs), ended: Notify::new() }
    }
}

/// Finishes at once what comes, and beats meanwhile.
async fn work(worker: Worker, made: Arc<Manifest>, progress: Arc<Progress>) {
    let beats = beat(worker.sender.clone());
    let work = async {
        let mut worker = worker;
        while let Ok(Some(incoming)) = worker.incoming().await {
            match incoming {
                Message::Assignment(given) => {
                    progress.given.fetch_add(1, Ordering::Relaxed);
                    worker.heartbeat(&holding(&given)).await;
                    worker.report(&given, 1, success(&made)).await;
                }
                Message::Ack(_) if progress.left.fetch_sub(1, Ordering::Relaxed) == 1 => progress.ended.notify_one(),
                _ => {}
            }
        }
    };
    tokio::select! { () = beats => {}, () = work => {} }
}

async fn beat(sender: mpsc::Sender<v1::WorkerMessage>) {
    let mut pace = tokio::time::interval(LEASE / 3);
    loop {
        pace.tick().await;
        let heartbeat = v1::Heartbeat { free_bytes: 1, ..Default::default() };
        if sender.send(message(worker_message::Message::Heartbeat(heartbeat))).await.is_err() {
            return;
        }
    }
}
