//! The daemon: one machine's state, session and supervisor, and its end.
//!
//! The first SIGTERM or SIGINT drains: no attempt is taken any more, and the daemon goes when the running one has ended and its result
//! was taken; services are given back at once. A second one, or the end of its patience, has what runs saved and given back, so that
//! whoever goes on with it loses nothing; a third one, or minutes, ends the child, which is reported as a failure that another try may
//! help. A daemon that is told to start anew does not drain: what runs is saved and given back, and then the program that lies where this
//! one did begins, unless a signal has come meanwhile: whoever is told to go does not come back.
//!
//! Meanwhile the worker comes and goes with the policy of the machine's owner: see [`manners`](crate::manners).

use crate::cache::Cache;
use crate::child::process::Patience;
use crate::endings::boot::Boots;
use crate::endings::remembered::Remembered;
use crate::held::{Attempts, Stop};
use crate::machine::{GPU_SLOTS, Machine, MachineError, SERVICE_SLOTS, cpu_slots};
use crate::manners::Manners;
use crate::membership::{Membership, MembershipError};
use crate::memory::BESIDE_MLX_BYTES;
use crate::session::{self, Phase, Refused, Session};
use crate::state::{State, StateError};
use crate::supervisor::{Slots, Supervisor};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use vertigo::bytes::Bytes;
use vertigo::endpoint::Endpoint;
use vertigo::id::ProcessId;
use vertigo::printable;
use vertigo::server_key::{KeyPlace, KeyRule};
use vertigo::v1::Assignment;
use vertigo_client::Transfer;
use vertigo_daemon::life;
use vertigo_host::Host;
use vertigo_host::linux::Linux;
use vertigo_host::policy::Policy;
use vertigo_host::presence::{Presence, Terms};

/// What the daemon is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the coordinator is; `None` for the one that the worker joined, or that of this machine.
    pub coordinator: Option<Endpoint>,
    /// What people call this worker; `None` for what it joined as, or what the machine is called.
    pub name: Option<String>,
    /// What plans may use at most.
    pub memory: Option<Bytes>,
    /// Its folder.
    pub state: PathBuf,
    /// Disk that inputs may take.
    pub cache: Bytes,
    /// How long it waits for what runs once it was told to go; `None` is until that has ended.
    pub drain: Option<Duration>,
    /// Keys of this machine that jobs may have. Where there are none, a worker that joined gives none, and one that speaks on the
    /// coordinator's own machine any.
    pub keys: BTreeSet<KeyPlace>,
    /// The program whose `attempt` command is the child.
    pub executable: PathBuf,
    /// When the machine takes part, where the command line says so.
    pub when: Option<Policy>,
    /// How long it waits before it goes, and before it comes back.
    pub terms: Terms,
    /// A folder that the machine is played in, where it is not this one.
    pub host_root: Option<PathBuf>,
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
    /// Who it is to its coordinator.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// Nobody says what it is called.
    #[error("this machine has no host name; give the worker a name with --name")]
    NoName,
    /// Signals cannot be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

/// How long what runs may take to be saved once the worker is to go. An init waits for longer (`install`).
const SAVING: Duration = Duration::from_secs(240);

/// The same of a worker that comes back at once, as another version: no init waits for it, and a full run's checkpoint of 48 GB takes half
/// an hour to send over a wireless network.
const SAVING_TO_COME_BACK: Duration = Duration::from_secs(60 * 60);

/// How long a program may take to say which version it is.
const ANSWER: Duration = Duration::from_secs(30);

/// What comes after the daemon's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Gone,
    /// The program that lies where this one did, with the same words: it was told to start anew.
    Anew,
}

/// Runs until it is told to go.
///
/// # Errors
/// Where it cannot begin, or the coordinator refuses it for good.
pub async fn run(settings: Settings) -> Result<End, DaemonError> {
    let state = State::open(&settings.state)?;
    let machine = Arc::new(Machine::probe(settings.memory)?.with_disk(settings.state.clone()));
    let (policy, policies) = watch::channel(state.policy(settings.when.as_ref())?);
    let host = host(settings.host_root.as_deref());
    let mut manners = Manners::new(host.clone(), policies.clone(), settings.terms);
    let (takes_part, is_so) = manners.begin().await;
    let ((comes_and_goes, presence), (changes, conditions)) = (watch::channel(takes_part), watch::channel(is_so));
    let goes = comes_and_goes.clone();
    let keeps = AbortOnDropHandle::new(tokio::spawn(manners.keep(comes_and_goes, changes)));
    let attempts = Arc::new(Attempts::recover(&state.attempts())?);
    let boots = Boots::open(state.boot(), host.boot().await, attempts.cut_off().to_vec()).await;
    let membership = Membership::of(&settings.state, settings.coordinator)?;
    let access = membership.access.clone();
    let name = settings.name.or_else(|| membership.name().map(ToString::to_string)).or_else(host_name);
    let name = name.ok_or(DaemonError::NoName)?;
    let transfer = Transfer::new(&access);
    let (drains, anew) = (CancellationToken::new(), Notify::new());
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
        host,
        conditions: conditions.clone(),
        policy: policies,
        presence: presence.clone(),
        patience: Patience::default(),
        keys: keys(settings.keys, membership.name().is_some()),
        beside_mlx: BESIDE_MLX_BYTES,
    });
    let (phase, phases) = watch::channel(Phase::Serving);
    let told = phases.clone();
    let take = move |assignment: Assignment| {
        let refusal = (*told.borrow() != Phase::Serving).then_some("the worker is draining");
        supervisor.take(assignment, refusal);
    };
    let endpoint = access.endpoint();
    let announced = AtomicBool::new(false);
    let welcomed = || {
        boots.told();
        if !announced.swap(true, Ordering::Relaxed) {
            println!("vertigo-worker {} connected to {}", printable::line(&name), endpoint);
        }
        tracing::info!("connected to {endpoint}");
        life::does(&format!("connected to {endpoint}"));
    };
    let session = Session {
        identity: state.identity(),
        process: ProcessId::new(),
        name: &name,
        endpoint,
        dial: &|outbound| session::dial(&access, outbound),
        jitter: &rand::random,
        machine: &*machine,
        presence: presence.clone(),
        conditions,
        set_policy: &|when| set_policy(&state, &policy, when),
        start_anew: &|| anew.notify_one(),
        attempts: &attempts,
        reboots: &|| boots.untold(),
        take: &take,
        welcomed: &welcomed,
    };
    let (told_anew, comes_back) = (|| told_anew(&anew, &settings.executable), AtomicBool::new(false));
    let mut signals = Signals::listen().map_err(DaemonError::Signals)?;
    // Without a coordinator, too: one that is away is waited for, by a worker that is as ready as it can be.
    life::does(&format!("dialling {endpoint}"));
    life::ready();
    let told_to_go = async {
        let is_anew = tokio::select! {
            () = signals.next() => false,
            () = told_anew() => true,
        };
        comes_back.store(is_anew, Ordering::Relaxed);
        phase.send_replace(Phase::Draining);
        // Nobody waits for what comes to no end.
        drains.cancel();
        if !is_anew {
            life::stopping();
            tracing::info!(
                "draining: no attempt is taken any more; a second signal has the running one saved and given back"
            );
            let patience = async {
                match settings.drain {
                    Some(drain) => tokio::time::sleep(drain).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = signals.next() => {}
                () = patience => {}
                // Whoever wants another version now wants no run's end first.
                () = told_anew() => {}
            }
        }
        tracing::info!("giving back what runs, once it is saved; another signal ends it at once");
        keeps.abort();
        goes.send_replace(Presence::Away { reason: "the worker was told to go".to_owned(), open: None });
        if comes_back.load(Ordering::Relaxed) {
            tokio::select! {
                () = tokio::time::sleep(SAVING_TO_COME_BACK) => {}
                // The first word of whoever wants it to go: what runs is being saved already.
                () = signals.next() => {
                    comes_back.store(false, Ordering::Relaxed);
                    life::stopping();
                    tracing::info!("told to go: it does not start anew; another signal ends what runs at once");
                }
            }
        }
        if !comes_back.load(Ordering::Relaxed) {
            tokio::select! {
                () = signals.next() => {}
                () = tokio::time::sleep(SAVING) => {}
            }
        }
        tracing::info!("leaving at once");
        for attempt in attempts.all() {
            attempts.stop(attempt.id(), Stop::WorkerLeaves);
        }
        phase.send_replace(Phase::Leaving);
        std::future::pending::<()>().await
    };
    life::beside(async {
        tokio::select! {
            ended = session.run(phases) => {
                let end = if comes_back.load(Ordering::Relaxed) { End::Anew } else { End::Gone };
                ended.map(|()| end).map_err(DaemonError::from)
            }
            never = membership.renew() => match never {},
            () = told_to_go => unreachable!("it waits for ever once it has told all"),
        }
    })
    .await
}

/// Waits until the daemon is told to start anew and there is a program to start. Where there is none it goes on as it is: a worker that
/// went would not come back, and nobody would be here to be told again.
async fn told_anew(told: &Notify, program: &Path) {
    loop {
        told.notified().await;
        match version(program).await {
            Ok(version) => return tracing::info!("told to start anew, as {version}"),
            Err(error) => {
                let problem = format!("told to start anew, but {} does not start: {error}", program.display());
                tracing::error!("{problem}");
                life::does(&problem);
            }
        }
    }
}

/// Which version a program says that it is.
async fn version(program: &Path) -> io::Result<String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    for own in life::OWN_ENVIRONMENT {
        command.env_remove(own);
    }
    let said = tokio::time::timeout(ANSWER, command.output()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if !said.status.success() {
        return Err(io::Error::other(format!("asked for its version, it ended with {}", said.status)));
    }
    Ok(printable::line(String::from_utf8_lossy(&said.stdout).trim()).to_string())
}

/// What the machine is called.
fn host_name() -> Option<String> {
    sysinfo::System::host_name().ok()
}

/// Takes a policy that a person has set from elsewhere, and keeps it.
fn set_policy(state: &State, policy: &watch::Sender<Policy>, when: &str) {
    match when.parse::<Policy>() {
        Ok(set) => {
            tracing::info!("takes part by another policy from now on: {set}");
            if let Err(error) = state.keep_policy(&set) {
                tracing::error!(%error, "the policy cannot be kept: it counts until this worker is started again");
            }
            policy.send_replace(set);
        }
        // The coordinator has read it: it is of a later version.
        Err(error) => tracing::error!(%error, when, "a policy that this version does not know is passed over"),
    }
}

fn host(root: Option<&Path>) -> Arc<dyn Host> {
    match root {
        Some(root) => Arc::new(Linux::at(root.to_owned())),
        None => vertigo_host::this_machine().into(),
    }
}

/// Which keys of this machine jobs may have: those that are named; where none is, none of a worker that serves people on other machines.
fn keys(named: BTreeSet<KeyPlace>, has_joined: bool) -> KeyRule {
    if named.is_empty() && !has_joined { KeyRule::Any } else { KeyRule::Only(named) }
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
