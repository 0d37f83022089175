//! The daemon: one machine's state, session and supervisor, and its end.
//!
//! The first SIGTERM or SIGINT drains: no attempt is taken any more, and the daemon goes when the running one has ended and its
//! result was taken; services are given back at once. A second one ends the child, which is reported as a failure that another try may
//! help, and goes.

use crate::cache::Cache;
use crate::child::process::Patience;
use crate::endings::boot::Boots;
use crate::endings::remembered::Remembered;
use crate::held::{Attempts, Stop};
use crate::machine::{GPU_SLOTS, Machine, MachineError, SERVICE_SLOTS, cpu_slots};
use crate::memory::BESIDE_MLX_BYTES;
use crate::session::{self, Phase, Refused, Session};
use crate::state::{State, StateError};
use crate::supervisor::{Slots, Supervisor};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vertigo::bytes::Bytes;
use vertigo::id::ProcessId;
use vertigo::printable;
use vertigo::v1::Assignment;
use vertigo_client::{Access, Transfer};

/// What the daemon is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How the coordinator is reached.
    pub coordinator: Access,
    /// What people call this worker.
    pub name: String,
    /// What plans may use at most.
    pub memory: Option<Bytes>,
    /// Its folder.
    pub state: PathBuf,
    /// Disk that inputs may take.
    pub cache: Bytes,
    /// The program whose `attempt` command is the child.
    pub executable: PathBuf,
}

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Its folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The coordinator will not have it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

/// Runs until it is told to go.
///
/// # Errors
/// Where it cannot begin, or the coordinator refuses it for good.
pub async fn run(settings: Settings) -> Result<(), DaemonError> {
    let state = State::open(&settings.state)?;
    let machine = Arc::new(Machine::probe(settings.memory)?.with_disk(settings.state.clone()));
    let attempts = Arc::new(Attempts::recover(&state.attempts())?);
    let transfer = Transfer::new(&settings.coordinator);
    let drains = CancellationToken::new();
    let supervisor = Arc::new(Supervisor {
        attempts: attempts.clone(),
        ledgers: state.ledgers(),
        cache: Cache::new(state.cache(), settings.cache, transfer.clone()),
        transfer,
        machine: machine.clone(),
        remembered: Remembered::open(state.endings()),
        executable: settings.executable.clone(),
        slots: Slots::new(GPU_SLOTS, cpu_slots(), SERVICE_SLOTS),
        drains: drains.clone(),
        patience: Patience::default(),
        beside_mlx: BESIDE_MLX_BYTES,
    });
    let (phase, phases) = watch::channel(Phase::Serving);
    let told = phases.clone();
    let take = move |assignment: Assignment| {
        let refusal = (*told.borrow() != Phase::Serving).then_some("the worker is draining");
        supervisor.take(assignment, refusal);
    };
    let endpoint = settings.coordinator.endpoint();
    let announced = AtomicBool::new(false);
    let boots = Boots::open(state.boot(), attempts.cut_off().to_vec());
    let welcomed = || {
        boots.told();
        if !announced.swap(true, Ordering::Relaxed) {
            println!("vertigo-worker {} connected to {}", printable::line(&settings.name), endpoint);
        }
        tracing::info!("connected to {endpoint}");
    };
    let session = Session {
        identity: state.identity(),
        process: ProcessId::new(),
        name: &settings.name,
        endpoint,
        dial: &|outbound| session::dial(&settings.coordinator, outbound),
        jitter: &rand::random,
        machine: &*machine,
        attempts: &attempts,
        reboots: &|| boots.untold(),
        take: &take,
        welcomed: &welcomed,
    };
    let mut signals = Signals::listen().map_err(DaemonError::Signals)?;
    let told_to_go = async {
        signals.next().await;
        tracing::info!("draining: no attempt is taken any more; a second signal ends the running one");
        phase.send_replace(Phase::Draining);
        // Nobody waits for what comes to no end.
        drains.cancel();
        signals.next().await;
        tracing::info!("leaving at once");
        for attempt in attempts.all() {
            attempts.stop(attempt.id(), Stop::WorkerLeaves);
        }
        phase.send_replace(Phase::Leaving);
        std::future::pending::<()>().await
    };
    tokio::select! {
        ended = session.run(phases) => Ok(ended?),
        () = told_to_go => unreachable!("it waits for ever once it has told all"),
    }
}

/// The signals that tell a daemon to go.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
