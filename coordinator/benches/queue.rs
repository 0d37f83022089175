//! What a long queue and a long past cost.
//!
//! Without a queue: how long it takes from a submission to the message to an idle worker, and what memory a job leaves that has ended. Then
//! a queue is filled with jobs of 50 different needs: the memory that a queued job takes, how long a page takes that `vertigo jobs` shows,
//! how many jobs go through out of that queue, beside how many did in the same run out of a short one, and how long the coordinator takes
//! from its start to its first placement. One JSON line for each.
//!
//! `cargo bench -p vertigo-coordinator --bench queue [-- JOBS]`.

#[allow(dead_code, reason = "another bench needs the rest")]
mod fleet;

use fleet::harness::{Coordinator, SMALL, Worker, recipe, train};
use fleet::{Fleet, rate, started};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vertigo::id::{JobId, WorkerId};
use vertigo::v1;

/// Different needs among the jobs.
const NEEDS: usize = 50;

/// Jobs in one call, where a queue is filled.
const CALL_JOBS: usize = 1000;

/// Jobs that go through where that is timed.
const THROUGH_JOBS: usize = 4000;

/// Workers, and callers that submit at a time.
const WORKERS: usize = 4;

/// Pages that are asked for.
const PAGES: usize = 50;

#[tokio::main]
async fn main() {
    let jobs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    latency(2000).await;
    ended(THROUGH_JOBS * 5).await;
    let few = through_with_few().await;
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    fill(&coordinator, jobs).await;
    pages(&coordinator, jobs).await;
    let coordinator = through(Arc::new(coordinator), jobs, few).await;
    start(coordinator, jobs).await;
}

/// A job of one of the needs.
fn job(n: usize) -> v1::NewJob {
    let length = 256 + 8 * (n % NEEDS);
    let small = SMALL.replace("256", &length.to_string());
    v1::NewJob { variants: vec![recipe("small", &small)], ..train("") }
}

/// Queues jobs in calls of many.
async fn queue(coordinator: &Coordinator, jobs: usize) {
    for first in (0..jobs).step_by(CALL_JOBS) {
        coordinator.queue_all((first..jobs.min(first + CALL_JOBS)).map(job).collect()).await.expect("they are queued");
    }
}

async fn fill(coordinator: &Coordinator, jobs: usize) {
    let (before, begun) = (resident(), Instant::now());
    queue(coordinator, jobs).await;
    let bytes = resident().zip(before).map(|(after, before)| after.saturating_sub(before) / jobs as u64);
    println!("{}", json!({"queued": jobs, "submits_per_s": rate(jobs, begun), "bytes_per_queued_job": bytes}));
}

/// Pages as `vertigo jobs` asks for them, and by a state and a label.
async fn pages(coordinator: &Coordinator, jobs: usize) {
    let all = v1::ListJobsRequest::default();
    let queued = v1::ListJobsRequest { states: vec![v1::JobState::Queued.into()], ..all.clone() };
    let labelled = v1::ListJobsRequest { labels: [("group".to_owned(), "none".to_owned())].into(), ..all.clone() };
    for (of, request) in [("all", all), ("queued", queued), ("a label", labelled)] {
        let mut took = Vec::new();
        let mut client = coordinator.jobs();
        for _ in 0..PAGES {
            let begun = Instant::now();
            client.list(request.clone()).await.expect("a page");
            took.push(begun.elapsed());
        }
        let [p50, p99] = percentiles(took);
        println!("{}", json!({"page_of": of, "queued": jobs, "p50_ms": p50, "p99_ms": p99}));
    }
}

async fn through_with_few() -> f64 {
    let fleet = Fleet::of(started().await, WORKERS).await;
    queue(&fleet.coordinator, THROUGH_JOBS).await;
    let begun = Instant::now();
    fleet.work(THROUGH_JOBS).await;
    rate(THROUGH_JOBS, begun)
}

/// The same number of jobs goes through, out of a long queue. Gives the coordinator back.
async fn through(coordinator: Arc<Coordinator>, jobs: usize, few: f64) -> Coordinator {
    let fleet = Fleet::of(coordinator.clone(), WORKERS).await;
    let begun = Instant::now();
    fleet.work(THROUGH_JOBS).await;
    let long = rate(THROUGH_JOBS, begun);
    println!("{}", json!({"queued": jobs, "through_per_s": long, "with_few_queued": few, "ratio": long / few}));
    let mut coordinator = coordinator;
    loop {
        // Workers that have not seen the end yet hold it.
        match Arc::try_unwrap(coordinator) {
            Ok(coordinator) => return coordinator,
            Err(held) => coordinator = held,
        }
        tokio::task::yield_now().await;
    }
}

/// From its start to its first assignment.
async fn start(mut coordinator: Coordinator, jobs: usize) {
    coordinator.stop().await;
    let begun = Instant::now();
    coordinator.open().await;
    let mut worker = Worker::connect(&coordinator, WorkerId::new(), "after", &[]).await.expect("it is welcomed");
    worker.assignment().await;
    println!("{}", json!({"queued": jobs, "start_to_placement_s": begun.elapsed().as_secs_f64()}));
}

/// Callers that each queue a job when their last one has been given to a worker: there is always an idle one.
async fn latency(jobs: usize) {
    let fleet = Fleet::start(WORKERS * 2).await;
    let given = Arc::new(Mutex::new(BTreeMap::<String, tokio::sync::oneshot::Sender<Instant>>::new()));
    let callers = (0..WORKERS).map(|_| {
        let (coordinator, given) = (fleet.coordinator.clone(), given.clone());
        async move {
            let mut took = Vec::new();
            for _ in 0..jobs / WORKERS {
                let id = JobId::new().to_string();
                let (tell, told) = tokio::sync::oneshot::channel();
                given.lock().expect("nobody panics").insert(id.clone(), tell);
                let begun = Instant::now();
                coordinator.queue(v1::NewJob { id, ..train("") }).await.expect("it is queued");
                took.push(told.await.expect("it is given to a worker") - begun);
            }
            took
        }
    });
    let callers = futures::future::join_all(callers);
    let tell = move |assignment: &v1::Assignment| {
        if let Some(tell) = given.lock().expect("nobody panics").remove(&assignment.job_id) {
            // The caller waits for it.
            let _ = tell.send(Instant::now());
        }
    };
    let (took, ()) = futures::future::join(callers, fleet.work_and_tell(jobs / WORKERS * WORKERS, tell)).await;
    let [p50, p99] = percentiles(took.into_iter().flatten().collect());
    println!("{}", json!({"submit_to_assignment": jobs, "callers": WORKERS, "p50_ms": p50, "p99_ms": p99}));
}

/// What jobs leave in memory that have ended: a first half fills what is kept for the next.
async fn ended(jobs: usize) {
    let coordinator = started().await;
    let mut resident_then = Vec::new();
    for _ in 0..2 {
        queue(&coordinator, jobs / 2).await;
        Fleet::of(coordinator.clone(), WORKERS).await.work(jobs / 2).await;
        resident_then.push(resident());
    }
    let bytes = match resident_then[..] {
        [Some(half), Some(all)] => Some((all as f64 - half as f64) / (jobs / 2) as f64),
        _ => None,
    };
    println!("{}", json!({"ended": jobs, "bytes_per_ended_job": bytes}));
}

/// The median and the 99th percentile, in milliseconds.
fn percentiles(mut took: Vec<Duration>) -> [f64; 2] {
    took.sort_unstable();
    [0.5, 0.99].map(|part| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0)
}

/// Memory of this process, coordinator and clients together, where the system tells.
fn resident() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
