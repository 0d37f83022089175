//! One history: machines, people, and what goes wrong; then peace, and what must be true when it has come.

use crate::chance::Chance;
use crate::client::{Client, waits_with_a_reason};
use crate::coordinator::{Coordinator, LEASE};
use crate::network::{Network, Open};
use crate::promises;
use crate::witness::{Witness, is_final};
use crate::worker::Worker;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use vertigo::bytes::Bytes;

/// How long after the last fault every job must have ended, in a world where every attempt succeeds.
const PEACE: Duration = Duration::from_secs(60 * 60);

/// What the largest machine offers.
const LARGEST: Bytes = Bytes(1 << 44);

/// How a history went.
pub(crate) struct Played {
    pub(crate) hash: String,
    pub(crate) violations: Vec<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) jobs: usize,
    pub(crate) attempts: usize,
    pub(crate) faults: usize,
}

/// Plays the history of a seed.
pub(crate) fn play(seed: u64) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime of one thread needs nothing").block_on(history(seed))
}

/// A folder in memory, where the system has such.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("there is a folder for temporary files")
}

struct World {
    chance: Chance,
    network: Network,
    coordinator: Coordinator,
    workers: Vec<Worker>,
    copies: Vec<Worker>,
    folder: PathBuf,
    faults: usize,
}

async fn history(seed: u64) -> Played {
    let (chance, folder, witness) = (Chance::new(seed), folder(), Witness::new());
    let network = Network::new(chance.clone());
    let staging = folder.path().join("uploads");
    let coordinator = Coordinator::new(chance.clone(), network.clone(), witness.clone(), &staging).await;
    coordinator.start();
    let jobs = Arc::default();
    let client = |host: &str| {
        let channel = network.channel(host, CancellationToken::new(), Arc::new(|_, _| {}));
        Client { channel, chance: chance.clone(), witness: witness.clone(), jobs: Arc::clone(&jobs) }
    };
    let operator = client("operator");
    operator.import().await;
    if chance.happens(0.25) {
        operator.submit_large().await;
    }
    let calm = Arc::new(AtomicBool::new(false));
    let shared = || (chance.clone(), network.clone(), witness.clone());
    let worker = |name: &str, usable: Bytes| {
        let named = (name.to_owned(), usable);
        Worker::new(shared(), calm.clone(), named, folder.path().join(name))
    };
    let gib = |n: usize| Bytes(((n + 1) as u64) << 29);
    let workers = (0..2 + chance.below(3)).map(|n| worker(&format!("mac-{n}"), gib(chance.below(3)))).collect();
    let (copies, faults, path) = (Vec::new(), 0, folder.path().to_owned());
    let mut world =
        World { chance: chance.clone(), network: network.clone(), coordinator, workers, copies, folder: path, faults };
    world.workers.iter().for_each(Worker::start);

    let people: Vec<_> = (0..1 + chance.below(3))
        .map(|n| {
            let (client, acts) = (client(&format!("person-{n}")), 2 + chance.below(5));
            tokio::spawn(async move {
                for _ in 0..acts {
                    client.act().await;
                }
            })
        })
        .collect();
    world.disturb(&operator).await;

    witness.note("peace");
    calm.store(true, Ordering::Relaxed);
    world.calm_down();
    let largest = worker("largest", LARGEST);
    let quiet = async {
        for person in people {
            person.await.expect("a person does not panic");
        }
        world.until_ended(&operator, &largest).await;
        world.until_nothing_is_held(&witness).await;
    };
    tokio::select! {
        biased;
        () = quiet => {}
        () = world.keep_up(&operator) => {}
    }
    // A death that waits for a commit may have waited until now.
    world.coordinator.spare();
    let faults = world.faults;
    let (jobs, attempts) = promises::check(&operator, &witness).await;
    let violations = witness.seen().violations.clone();
    Played { hash: witness.hash(), violations, trace: witness.trace(), jobs, attempts, faults }
}

impl World {
    /// Breaks things for some minutes. Each history has its own few kinds of fault, so that none hides the others.
    async fn disturb(&mut self, operator: &Client) {
        let chance = self.chance.clone();
        let kinds: Vec<usize> = (0..13).filter(|_| chance.happens(0.5)).collect();
        let end = Instant::now() + chance.millis(30_000, 240_000);
        while Instant::now() < end {
            sleep(chance.millis(100, 12_000)).await;
            self.revive(0.3);
            if !kinds.is_empty() {
                self.faults += 1;
                self.fault(kinds[chance.below(kinds.len())], operator);
            }
        }
    }

    /// Starts what is down, or some of it.
    fn revive(&self, probability: f64) {
        if !self.coordinator.is_up() && self.chance.happens(probability) {
            self.coordinator.start();
        }
        for worker in self.workers.iter().filter(|worker| !worker.is_up()) {
            if self.chance.happens(probability) {
                worker.start();
            }
        }
    }

    fn fault(&mut self, kind: usize, operator: &Client) {
        let chance = &self.chance;
        let worker = &self.workers[chance.below(self.workers.len())];
        let host = match chance.below(5) {
            0 => format!("person-{}", chance.below(3)),
            _ => worker.name.clone(),
        };
        match kind {
            0 => self.network.cut(&host),
            1..4 => {
                let open =
                    [Open { up: false, down: false }, Open { up: false, down: true }, Open { up: true, down: false }];
                self.network.set(&host, open[kind - 1]);
                let (network, length) = (self.network.clone(), chance.millis(500, 60_000));
                tokio::spawn(async move {
                    sleep(length).await;
                    network.set(&host, Open::BOTH);
                });
            }
            4 => self.coordinator.crash(),
            5 => self.coordinator.stall(chance.millis(1_000, 25_000)),
            6 => {
                worker.crash(chance.happens(0.5));
                if chance.happens(0.3) {
                    let (worker, wait) = (worker.clone(), chance.millis(1, 1_000));
                    tokio::spawn(async move {
                        sleep(wait).await;
                        worker.lose_disk();
                    });
                }
            }
            7 if self.copies.len() < 2 => {
                let copy = worker.copy(self.folder.join(format!("copy-{}", self.copies.len())));
                copy.start();
                self.copies.push(copy);
            }
            8 => self.network.set_delay([20, 500, 3_000][chance.below(3)]),
            9 => {
                let operator = operator.clone();
                tokio::spawn(async move { operator.hold_or_resume().await });
            }
            10 => worker.is_kept_away(chance.happens(0.5)),
            11 => worker.restart_machine(chance.happens(0.4)),
            12 => worker.goes(),
            _ => {}
        }
    }

    /// Ends all faults but those whose effects go on by themselves.
    fn calm_down(&self) {
        self.network.heal();
        self.network.set_delay(20);
        self.copies.iter().for_each(|copy| copy.crash(false));
        self.workers.iter().for_each(|worker| worker.is_kept_away(false));
        self.revive(1.0);
    }

    /// Starts again, for ever, what ends, as a machine's own supervisor does; and lets go what is held.
    async fn keep_up(&self, operator: &Client) {
        loop {
            sleep(Duration::from_secs(5)).await;
            self.network.heal();
            self.revive(1.0);
            operator.resume_all().await;
        }
    }

    /// Promises 5 and 7: every job ends; what is too large for all waits with a reason, holds up nobody, and ends when there is a
    /// machine for it.
    async fn until_ended(&self, operator: &Client, largest: &Worker) {
        let deadline = Instant::now() + PEACE;
        let (mut settled, mut is_largest_there) = (0, false);
        loop {
            sleep(Duration::from_secs(5)).await;
            let jobs = operator.list().await;
            if jobs.iter().all(|job| is_final(job.state())) {
                return;
            }
            // A job in backoff or with an attempt may still make others ready.
            settled = if jobs.iter().all(waits_with_a_reason) { settled + 1 } else { 0 };
            if settled == 12 && !is_largest_there {
                is_largest_there = true;
                largest.start();
            }
            if Instant::now() > deadline {
                for job in jobs.iter().filter(|job| !is_final(job.state())) {
                    let problem = format!("promise 5: job {} is still {:?}: {}", job.id, job.state(), job.reason);
                    operator.witness.violation(problem);
                }
                return;
            }
        }
    }

    /// What runs under no lease is stopped, and what has ended is let go.
    async fn until_nothing_is_held(&self, witness: &Witness) {
        let deadline = Instant::now() + 3 * LEASE + crate::child::GRACE;
        while self.workers.iter().any(|worker| worker.held() > 0) {
            sleep(Duration::from_secs(5)).await;
            if Instant::now() > deadline {
                let held = self.workers.iter().filter(|worker| worker.held() > 0);
                held.for_each(|it| witness.violation(format!("{} still holds {} attempts", it.name, it.held())));
                return;
            }
        }
    }
}
