//! The coordinator's machine: the product's services and writer over a disk that outlives their process.

use crate::chance::Chance;
use crate::network::{Network, Request, Response};
use crate::witness::Witness;
use futures::FutureExt;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{ObjectStore, ObjectStoreExt};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::Service;
use vertigo::id::{Digest, Millis};
use vertigo_coordinator::api::{Api, Caller};
use vertigo_coordinator::blobs::Blobs;
use vertigo_coordinator::core::Settings;
use vertigo_coordinator::keep::{Collector, Keep};
use vertigo_coordinator::kinds::Catalog;
use vertigo_coordinator::serve::grpc::{Context, Sessions, router};
use vertigo_coordinator::store::simulation::{Death, Disk, Played};

/// How long a lease is: three heartbeats, and longer than the longest pause between two dials.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// The one blob that every artifact of a history is made of.
pub(crate) const BLOB: &[u8] = b"weights";

/// When histories begin, in the coordinator's clock.
const ORIGIN_MS: u64 = 1_700_000_000_000;

#[derive(Clone)]
pub(crate) struct Coordinator {
    chance: Chance,
    network: Network,
    witness: Witness,
    disk: Disk,
    blobs: Blobs,
    began: Instant,
    attempts: Arc<AtomicU64>,
    process: Arc<Mutex<Option<Process>>>,
}

/// A start of it.
#[derive(Clone)]
struct Process {
    alive: CancellationToken,
    /// Until when the writer stands still.
    stalled: Arc<Mutex<Instant>>,
}

impl Coordinator {
    /// A machine with an empty database, and a store that has [`BLOB`].
    pub(crate) async fn new(chance: Chance, network: Network, witness: Witness, staging: &Path) -> Coordinator {
        let memory = InMemory::new();
        let hex = Digest::of(BLOB).hex();
        let key = ["blobs", "sha256", &hex[..2], &hex].into_iter().fold(Key::default(), |key, part| key.join(part));
        memory.put(&key, BLOB.into()).await.expect("memory takes a blob");
        let slow = ThrottleConfig { wait_get_per_call: chance.millis(1, 400), ..ThrottleConfig::default() };
        let store: Arc<dyn ObjectStore> = Arc::new(ThrottledStore::new(memory, slow));
        let blobs = Blobs::new(store, Key::default(), staging).expect("the folder for uploads can be made");
        let (disk, process) = Default::default();
        let attempts = Arc::new(AtomicU64::new(1 << 40));
        Coordinator { chance, network, witness, disk, blobs, began: Instant::now(), attempts, process }
    }

    /// Starts a process, with a clock that was set since the last one by as much as an hour.
    pub(crate) fn start(&self) {
        if self.is_up() {
            return;
        }
        let set = self.chance.below(7_200_000) as u64;
        let elapsed = self.began.elapsed().as_millis() as u64;
        let origin = Millis(ORIGIN_MS + elapsed + set);
        let (jitter, names, counter) = (self.chance.clone(), self.chance.clone(), self.attempts.clone());
        let played = Played {
            origin,
            jitter: Box::new(move || jitter.unit()),
            name: Box::new(move || {
                let id = names.id(counter.fetch_add(1, Ordering::Relaxed));
                id.parse().expect("the chance's ids are UUIDs")
            }),
        };
        let lease_ms = LEASE.as_millis() as u64;
        let sessions = Sessions::new(lease_ms);
        let outbox = sessions.clone();
        let deliver = Box::new(move |session, message| outbox.deliver(session, message));
        let opened = self.disk.open(played, Settings { lease_ms }, Box::new(Catalog), deliver);
        let (store, writer) = opened.expect("what was committed reads back");
        let process = Process { alive: CancellationToken::new(), stalled: Arc::new(Mutex::new(Instant::now())) };
        let collector = Collector::new(store.clone(), self.blobs.clone(), Keep::default());
        let api = Api::new(store, self.blobs.clone(), collector);
        let routes = router(Context { api, sessions, lease: LEASE }).layer(axum::Extension(Caller::local()));
        let services = move |request: Request| {
            let mut routes = routes.clone();
            let answer = async move {
                let response: Response = match routes.call(request).await {
                    Ok(response) => response.map(Body::new),
                    Err(never) => match never {},
                };
                response
            };
            answer.boxed()
        };
        self.network.listen(Arc::new(services), process.alive.clone());
        self.witness.note("the coordinator starts");
        let (alive, stalled, witness) = (process.alive.clone(), process.stalled.clone(), self.witness.clone());
        tokio::spawn(async move {
            let mut writer = pin!(writer);
            // A writer that stands still is not polled.
            let steps = std::future::poll_fn(|cx| {
                let until = *stalled.lock().unwrap_or_else(PoisonError::into_inner);
                if until > Instant::now() {
                    let wake = cx.waker().clone();
                    tokio::spawn(async move {
                        sleep_until(until).await;
                        wake.wake();
                    });
                    return std::task::Poll::Pending;
                }
                writer.as_mut().poll(cx)
            });
            match alive.run_until_cancelled(AssertUnwindSafe(steps).catch_unwind()).await {
                Some(Ok(ended)) => witness.note(format!("the coordinator dies: {ended:?}")),
                Some(Err(_)) => witness.violation("the writer panicked".to_owned()),
                None => {}
            }
            alive.cancel();
        });
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
    }

    fn process(&self) -> Option<Process> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).clone();
        process.filter(|process| !process.alive.is_cancelled())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process().is_some()
    }

    /// Kills the process: now, or at its next commit, before or after what that makes durable.
    pub(crate) fn crash(&self) {
        let Some(process) = self.process() else { return };
        match self.chance.below(3) {
            0 => {
                self.witness.note("the coordinator is killed");
                process.alive.cancel();
            }
            1 => self.disk.die_at_commit(Death::BeforeCommit),
            _ => self.disk.die_at_commit(Death::AfterCommit),
        }
    }

    /// Has nothing happen to it any more, so that whoever looks at it is answered.
    pub(crate) fn spare(&self) {
        self.disk.spare();
        if !self.is_up() {
            self.start();
        }
    }

    /// Has the writer stand still, as on a disk that hangs.
    pub(crate) fn stall(&self, length: Duration) {
        let Some(process) = self.process() else { return };
        self.witness.note(format!("the writer stands still for {length:?}"));
        *process.stalled.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + length;
    }
}
