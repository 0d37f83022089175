//! A worker's machine: the product's session, table of attempts and spool over a folder that outlives their process. The child is
//! played: it reports, checkpoints, finishes, fails by each cure, hangs, and takes its time to stop. The machine goes down and says so at
//! its next start; its owner keeps it away for a while; its daemon is told to go, and gives back what runs.

use crate::chance::Chance;
use crate::child::{self, Children};
use crate::network::{Channel, Network, Tap};
use crate::witness::Witness;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vertigo::bytes::Bytes;
use vertigo::endpoint::Endpoint;
use vertigo::id::Millis;
use vertigo::v1::fleet_client::FleetClient;
use vertigo::v1::{self, CoordinatorMessage};
use vertigo_host::Boot;
use vertigo_host::presence::Presence;
use vertigo_worker::endings::boot::{Boots, Panic};
use vertigo_worker::held::Attempts;
use vertigo_worker::machine::Offer;
use vertigo_worker::manners::Conditions;
use vertigo_worker::session::{Phase, Session};
use vertigo_worker::state::State;
use vertigo_worker::supervisor::Slots;

/// Attempts on the processor alone, beside one on the GPU.
const CPU_SLOTS: usize = 2;

/// When machines say that they were started, by clocks of their own.
const BOOT_SECONDS: u64 = 1_700_000_100;

/// A machine.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) usable: Bytes,
    chance: Chance,
    network: Network,
    witness: Witness,
    /// Whether the world is at peace: then every attempt succeeds.
    calm: Arc<AtomicBool>,
    folder: PathBuf,
    process: Arc<Mutex<Option<Process>>>,
    starts: Arc<Mutex<u64>>,
    /// How often the machine was started, and what its system says of panics.
    boots: Arc<Mutex<(u64, Vec<Panic>)>>,
}

#[derive(Clone)]
struct Process {
    alive: CancellationToken,
    /// Gone without a word.
    lost: CancellationToken,
    attempts: Arc<Attempts>,
    presence: Arc<watch::Sender<Presence>>,
    phase: Arc<watch::Sender<Phase>>,
}

/// What a played machine offers.
struct Offered(Bytes);

impl Offer for Offered {
    fn describe(&self) -> v1::Machine {
        v1::Machine {
            chip: "M5".to_owned(),
            os: "macOS".to_owned(),
            memory_bytes: self.0.0 * 2,
            gpu_limit_bytes: self.0.0,
            usable_bytes: self.0.0,
            free_bytes: self.0.0,
            version: vertigo::VERSION.to_owned(),
            disk_free_bytes: 1 << 40,
            gpu_slots: 1,
            cpu_slots: CPU_SLOTS as u32,
            service_slots: 0,
            edition: vertigo::EDITION,
        }
    }

    fn usable(&self) -> Bytes {
        self.0
    }

    fn free(&self) -> Bytes {
        self.0
    }

    fn disk_free(&self) -> Option<Bytes> {
        Some(Bytes(1 << 40))
    }
}

/// Writes down who an installation is, as its first start would by chance.
fn install(folder: &Path, chance: &Chance) {
    fs::create_dir_all(folder).expect("a history has a folder");
    let id = chance.id(1 << 30);
    fs::write(folder.join("worker-id"), id).expect("a history has a folder");
    let secret = vertigo::secret::Secret::from(chance.secret());
    fs::write(folder.join("secret"), secret.to_hex()).expect("a history has a folder");
}

impl Worker {
    pub(crate) fn new(
        (chance, network, witness): (Chance, Network, Witness),
        calm: Arc<AtomicBool>,
        (name, usable): (String, Bytes),
        folder: PathBuf,
    ) -> Worker {
        install(&folder, &chance);
        let (process, starts, boots) = Default::default();
        Worker { name, usable, chance, network, witness, calm, folder, process, starts, boots }
    }

    fn process(&self) -> Option<Process> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).clone();
        process.filter(|process| !process.alive.is_cancelled())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process().is_some()
    }

    /// What its process holds.
    pub(crate) fn held(&self) -> usize {
        self.process().map_or(0, |process| process.attempts.all().len())
    }

    /// Ends the process and its children: by a signal, or with the machine's power, so that nobody is told.
    pub(crate) fn crash(&self, is_silent: bool) {
        let Some(process) = self.process() else { return };
        self.witness.note(format!("{} crashes{}", self.name, if is_silent { " without a word" } else { "" }));
        if is_silent {
            process.lost.cancel();
        }
        process.alive.cancel();
    }

    /// Loses what its folder has, while no process runs: the next start is another installation of the same name.
    pub(crate) fn lose_disk(&self) {
        if self.is_up() {
            return;
        }
        self.witness.note(format!("{} loses its disk", self.name));
        self.witness.seen().anew.insert(self.name.clone());
        fs::remove_dir_all(&self.folder).expect("the history's folder is its own");
        install(&self.folder, &self.chance);
    }

    /// The machine goes down, with all that runs there, and comes up again.
    pub(crate) fn restart_machine(&self, has_panicked: bool) {
        self.crash(true);
        self.witness.note(format!("{} goes down{}", self.name, if has_panicked { " in a panic" } else { "" }));
        let (count, panics) = &mut *self.boots.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        // One of all times is of any start's.
        panics.clear();
        panics.extend(has_panicked.then(|| Panic { at: Millis(u64::MAX), words: "it is played".to_owned() }));
    }

    /// Its owner keeps it away, or does not any more.
    pub(crate) fn is_kept_away(&self, is_away: bool) {
        let Some(process) = self.process() else { return };
        let away = Presence::Away { reason: "its lid is closed".to_owned(), open: None };
        process.presence.send_replace(if is_away { away } else { Presence::Present });
    }

    /// Its daemon is told to go.
    pub(crate) fn goes(&self) {
        let Some(process) = self.process() else { return };
        self.witness.note(format!("{} is told to go", self.name));
        process.phase.send_replace(Phase::Draining);
        let away = Presence::Away { reason: "the worker was told to go".to_owned(), open: None };
        process.presence.send_replace(away);
    }

    /// The same folder again, on another machine of the same name.
    pub(crate) fn copy(&self, folder: PathBuf) -> Worker {
        self.witness.note(format!("{} is copied", self.name));
        copy(&self.folder, &folder);
        Worker { folder, process: Arc::default(), boots: Arc::new(Mutex::new((1 << 20, Vec::new()))), ..self.clone() }
    }

    /// Starts a process where there is none.
    pub(crate) fn start(&self) {
        if self.is_up() {
            return;
        }
        let number = {
            let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
            *starts += 1;
            *starts
        };
        let called = format!("{}.{number}", self.name);
        self.witness.note(format!("{called} starts"));
        // One that was killed in this moment still has the folder.
        let Ok(state) = State::open(&self.folder) else { return };
        let attempts = state.attempts();
        let attempts = Arc::new(Attempts::recover(&attempts).expect("the history's folder can be read"));
        let (phase, presence) = (watch::Sender::new(Phase::Serving), watch::Sender::new(Presence::Present));
        let process = Process {
            alive: CancellationToken::new(),
            lost: CancellationToken::new(),
            attempts: attempts.clone(),
            presence: Arc::new(presence),
            phase: Arc::new(phase),
        };
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.clone());
        let children = Arc::new(Children {
            process: called.clone(),
            chance: self.chance.clone(),
            witness: self.witness.clone(),
            calm: self.calm.clone(),
            usable: self.usable,
            slots: Slots::new(1, CPU_SLOTS, 0),
            attempts: attempts.clone(),
            alive: process.alive.clone(),
            presence: process.presence.subscribe(),
        });
        let channel = self.network.channel(&self.name, process.lost.clone(), tap(&called, &self.witness));
        let (worker, alive) = (self.clone(), process.alive.clone());
        tokio::spawn(async move {
            let run = worker.run(called, &state, children, channel, process.phase.subscribe());
            let _ = alive.run_until_cancelled(run).await;
            alive.cancel();
        });
    }

    /// A process, to its end.
    async fn run(
        &self,
        called: String,
        state: &State,
        children: Arc<Children>,
        channel: Channel,
        phases: watch::Receiver<Phase>,
    ) {
        let (attempts, jitter) = (children.attempts.clone(), self.chance.clone());
        let boots = self.boots(state, &attempts);
        let dial = move |outbound| -> vertigo_worker::session::Dialled {
            let mut client = FleetClient::new(channel.clone());
            Box::pin(async move { Ok(client.session(outbound).await?.into_inner()) })
        };
        let process = self.chance.id(1 << 31).parse().expect("the chance's ids are UUIDs");
        let session = Session {
            identity: state.identity(),
            process,
            name: &self.name,
            endpoint: &Endpoint::default(),
            dial: &dial,
            jitter: &move || jitter.unit(),
            machine: &Offered(self.usable),
            presence: children.presence.clone(),
            conditions: watch::channel(Conditions::default()).1,
            set_policy: &|_| {},
            start_anew: &|| {},
            attempts: &attempts,
            reboots: &|| boots.untold(),
            take: &move |assignment| child::take(&children, assignment),
            welcomed: &|| boots.told(),
        };
        let ended = session.run(phases).await;
        self.witness.note(format!("{called} ends: {ended:?}"));
    }

    /// Which start of the machine this is, as the product writes it down.
    fn boots(&self, state: &State, attempts: &Attempts) -> Boots {
        let (count, panics) = self.boots.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let boot = Boot { id: format!("{}-{count}", self.name), at_seconds: BOOT_SECONDS };
        Boots::open_after(state.boot(), &boot, &panics, attempts.cut_off().to_vec())
    }
}

/// Reads what the network delivers to a process as the messages that it is, however it is cut.
fn tap(called: &str, witness: &Witness) -> Tap {
    let (called, witness) = (called.to_owned(), witness.clone());
    let kept: Mutex<BTreeMap<u64, Vec<u8>>> = Mutex::default();
    Arc::new(move |line, bytes| {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let buffer = kept.entry(line).or_default();
        buffer.extend_from_slice(bytes);
        while let Some(message) = next_message(buffer) {
            witness.delivered(&called, message);
        }
    })
}

/// Takes a whole message from the front: gRPC's five bytes of head, and its body.
fn next_message(buffer: &mut Vec<u8>) -> Option<CoordinatorMessage> {
    let head: [u8; 5] = buffer.get(..5)?.try_into().ok()?;
    let end = 5 + u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let message = prost::Message::decode(buffer.get(5..end)?).expect("the coordinator sends its own messages");
    buffer.drain(..end);
    Some(message)
}

/// Copies a folder, but for its lock.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a history has a folder");
    for entry in fs::read_dir(from).expect("a history has a folder") {
        let entry = entry.expect("a history's folder is its own");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() != "lock" {
            fs::copy(entry.path(), target).expect("a history's folder is its own");
        }
    }
}

/// Whether the world is at peace.
pub(crate) fn is_calm(calm: &AtomicBool) -> bool {
    calm.load(Ordering::Relaxed)
}
