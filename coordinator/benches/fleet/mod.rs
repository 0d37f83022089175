//! A coordinator in this process, and workers that finish at once, over real gRPC.

#[path = "../../tests/server/harness.rs"]
#[allow(dead_code, reason = "the tests' own harness, of which a bench needs a part")]
pub(crate) mod harness;

use harness::{Coordinator, Worker, holding, success};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use vertigo::id::WorkerId;
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1::{self, coordinator_message::Message};

/// Nothing is heard of for longer in a bench that goes well.
const PATIENCE: Duration = Duration::from_secs(600);

/// So many a second, since `begun`.
pub(crate) fn rate(things: usize, begun: Instant) -> f64 {
    (things as f64 / begun.elapsed().as_secs_f64()).round()
}

/// A coordinator that has a base and data.
pub(crate) async fn started() -> Arc<Coordinator> {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    Arc::new(coordinator)
}

/// Workers that have what every job makes already.
pub(crate) struct Fleet {
    pub(crate) coordinator: Arc<Coordinator>,
    workers: Vec<Worker>,
    made: Manifest,
}

impl Fleet {
    pub(crate) async fn start(workers: usize) -> Fleet {
        Fleet::of(started().await, workers).await
    }

    pub(crate) async fn of(coordinator: Arc<Coordinator>, workers: usize) -> Fleet {
        let made = coordinator.upload(Kind::Adapter, "weights", json!({"recipe": "small"})).await;
        let mut all = Vec::new();
        for n in 0..workers {
            // Not the name of one that has just left.
            let id = WorkerId::new();
            let worker = Worker::connect(&coordinator, id, &format!("mac-{n}-{id}"), &[]).await;
            all.push(worker.expect("it is welcomed"));
        }
        Fleet { coordinator, workers: all, made }
    }

    /// Works until so many jobs are through.
    pub(crate) async fn work(self, jobs: usize) {
        self.work_and_tell(jobs, |_| ()).await;
    }

    /// The same; `tell` is called with each assignment as it comes.
    pub(crate) async fn work_and_tell(self, jobs: usize, tell: impl Fn(&v1::Assignment) + Clone + Send + 'static) {
        let left = Arc::new(AtomicUsize::new(jobs));
        let (done, mut ended) = tokio::sync::mpsc::channel::<()>(1);
        // They leave when this is dropped.
        let mut sessions = JoinSet::new();
        for mut worker in self.workers {
            let (left, made, done, tell) = (left.clone(), self.made.clone(), done.clone(), tell.clone());
            sessions.spawn(async move {
                while let Ok(Some(Message::Assignment(given))) = worker.next().await {
                    tell(&given);
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
