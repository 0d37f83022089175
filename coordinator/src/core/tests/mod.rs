//! The core driven by hand (`cases`, `graph`, `services`, `holds`, `marks`, `grants`, `screens`, `waiting`, `who`), by random failures of
//! one job (`headway`) and by random commands (`invariants`). Whoever drives it, every placement is compared with a walk over the whole
//! queue (`oracle`), and all that it does with a core that lets go of what has ended (`archive`).

mod archive;
mod away;
mod cases;
mod grants;
mod graph;
mod headway;
mod holds;
pub(crate) mod invariants;
mod marks;
mod oracle;
mod screens;
mod services;
mod waiting;
mod who;

use super::*;
use archive::Disk;
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::id::{Digest, ProcessId};
use vertigo::manifest::{FileEntry, Kind};
use vertigo::secret::{Secret, SecretHash};
use vertigo::task::{Cure, Failure, Slot, TaskKind};

pub(crate) const LEASE_MS: u64 = 30_000;

/// The random number of every moment.
const JITTER: f64 = 0.5;

/// What keeps a bench's effects besides the bench itself, as a database does.
pub(crate) trait Keeper {
    /// Takes what a batch did, and gives back all that it has.
    fn commit(&mut self, core: &Core, effects: &Effects) -> Snapshot;

    /// Gives back all that was committed, as it is found after the process was killed.
    fn restart(&mut self) -> Snapshot;
}

/// A core, its clock, and what it has written so far.
pub(crate) struct Bench {
    core: Core,
    /// The same, but that it lets go of what has ended. `None` where a test drives the core past it.
    twin: Option<Core>,
    now: Millis,
    /// What was written: filled from effects only. Also what has ended.
    disk: Disk,
    journal: Vec<Event>,
    sent: Vec<(SessionId, Outgoing)>,
    sessions: u64,
    keeper: Option<Box<dyn Keeper>>,
    /// What the next worker that connects says of its machine.
    reboots: Vec<Reboot>,
    /// The same, of what may change at any time.
    conditions: Conditions,
    /// Which of our messages it understands.
    edition: u32,
    /// How many attempts a placement has ids for.
    attempts_max: usize,
}

impl Bench {
    fn new() -> Bench {
        let settings = Settings { lease_ms: LEASE_MS };
        let (now, disk) = (Millis(1_000_000), Disk::default());
        let core = || Core::restore(settings, Box::new(Lazy), disk.archive(), Snapshot::default(), now);
        Bench {
            core: core(),
            twin: Some(core()),
            now,
            disk: disk.clone(),
            journal: Vec::new(),
            sent: Vec::new(),
            sessions: 0,
            keeper: None,
            reboots: Vec::new(),
            conditions: Conditions::default(),
            edition: vertigo::EDITION,
            attempts_max: usize::MAX,
        }
    }

    /// What the driver does with a batch of one: apply, let time pass, place, write, send.
    fn apply(&mut self, command: Command) -> Result<(), Refusal> {
        let answer = self.carry_out(command);
        self.settle();
        answer
    }

    /// One command of a batch.
    fn carry_out(&mut self, command: Command) -> Result<(), Refusal> {
        let answer = self.core.apply(self.moment(), command.clone());
        if let Some(twin) = &mut self.twin {
            let moment = Moment { now: self.now, jitter: JITTER };
            assert_eq!(twin.apply(moment, command), answer, "what has ended changes no answer");
        }
        answer
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now, jitter: JITTER }
    }

    fn settle(&mut self) {
        self.core.tick(self.moment());
        oracle::place(&mut self.core, self.now, self.attempts_max);
        let effects = self.core.take_effects();
        self.write(&effects);
        let moment = self.moment();
        self.twin.iter_mut().for_each(|twin| archive::keep_up(twin, moment, &effects));
        if let Some(kept) = self.keeper.as_mut().map(|keeper| keeper.commit(&self.core, &effects)) {
            self.check_kept(&kept);
        }
        self.journal.retain(|event| !effects.forgotten.events.contains(&event.seq));
        self.journal.extend(effects.journal);
        self.sent.extend(effects.outbox);
    }

    fn write(&mut self, effects: &Effects) {
        fn put<T: Clone, K: PartialEq>(rows: &mut Vec<T>, key: impl Fn(&T) -> K, id: K, row: Option<&T>) {
            rows.retain(|row| key(row) != id);
            rows.extend(row.cloned());
        }
        let mut disk = self.disk.rows();
        for id in &effects.jobs {
            put(&mut disk.jobs, |job| job.id, *id, self.core.jobs.get(id));
        }
        for id in &effects.attempts {
            put(&mut disk.attempts, |attempt| attempt.id, *id, self.core.attempts.get(id));
        }
        for id in &effects.workers {
            put(&mut disk.workers, |worker| worker.id, *id, self.core.workers.get(id));
        }
        for id in &effects.installations {
            match self.core.installations.get(id) {
                Some(known) => drop(disk.installations.insert(*id, known.clone())),
                None => drop(disk.installations.remove(id)),
            }
        }
        for digest in &effects.forgotten.artifacts {
            assert!(disk.index.remove(*digest), "{digest} was never there");
        }
        for digest in &effects.artifacts {
            let artifact = self.core.index.get(digest).unwrap();
            disk.index.insert(artifact.manifest.clone(), artifact.created, artifact.origin.clone());
        }
        for moved in &effects.moves {
            disk.index.note_move(moved);
            self.disk.moves().push(moved.clone());
        }
        if !effects.factors.is_empty() {
            disk.factors = self.core.factors.clone();
        }
        if let Some(entry) = effects.journal.last() {
            disk.last_seq = entry.seq;
        }
    }

    /// What was written, as a restart finds it, and what has ended.
    fn written(&self) -> Snapshot {
        let offline = |worker: &Worker| Worker {
            session: None,
            cools_until: None,
            draining: false,
            away: None,
            conditions: Default::default(),
            leases: Default::default(),
            stopping: Default::default(),
            ..worker.clone()
        };
        let unheard = |known: &Installation| Installation { heard: Millis(0), since: Millis(0), ..known.clone() };
        let disk = self.disk.rows();
        Snapshot {
            installations: disk.installations.iter().map(|(id, known)| (*id, unheard(known))).collect(),
            jobs: disk.jobs.clone(),
            attempts: disk.attempts.clone(),
            workers: disk.workers.iter().map(offline).collect(),
            index: disk.index.clone(),
            factors: disk.factors.clone(),
            last_seq: disk.last_seq,
        }
    }

    fn check_kept(&self, kept: &Snapshot) {
        assert_eq!(
            in_order(kept.clone()),
            in_order(archive::unended(self.written())),
            "what was committed is what is kept"
        );
    }

    fn restart(&mut self) {
        let written = self.written();
        let found = match self.keeper.as_mut().map(|keeper| keeper.restart()) {
            Some(kept) => {
                self.check_kept(&kept);
                kept
            }
            None => archive::unended(written.clone()),
        };
        let (settings, now) = (self.core.settings, self.now);
        let core = |snapshot| Core::restore(settings, Box::new(Lazy), self.disk.archive(), snapshot, now);
        (self.core, self.twin) = (core(written), Some(core(found)));
        self.settle();
    }

    fn advance(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.settle();
    }

    /// Goes on until the job is no longer in backoff.
    fn wait_out_backoff(&mut self, job: JobId) {
        if let State::Backoff { until } = self.core.jobs[&job].state {
            self.advance(until.0.saturating_sub(self.now.0));
        }
    }

    fn submit(&mut self, name: Option<&str>, plans: &[(&str, u64)]) -> JobId {
        let id = JobId::new();
        self.submit_as(id, name, 0, plans).unwrap();
        id
    }

    fn submit_as(
        &mut self,
        id: JobId,
        name: Option<&str>,
        priority: i32,
        plans: &[(&str, u64)],
    ) -> Result<(), Refusal> {
        let variants = plans.iter().map(|(name, need)| variant(name, *need)).collect();
        self.apply(Command::Submit(vec![submit(id, name, priority, variants)]))
    }

    /// Queues a job that reads the first output of `source`, with a need that is known only then.
    fn submit_reader(&mut self, source: JobId) -> Result<JobId, Refusal> {
        let id = JobId::new();
        self.apply(Command::Submit(vec![submit(id, None, 0, vec![reader("reader", source)])])).map(|()| id)
    }

    /// The worker's one process connects, with its own secret.
    fn connect(&mut self, worker: WorkerId, name: &str, usable: u64, held: &[AttemptId]) -> Result<SessionId, Refusal> {
        let process = ProcessId(worker.0);
        self.connect_as(worker, secret(worker), process, name, usable, held)
    }

    fn connect_as(
        &mut self,
        worker: WorkerId,
        secret: SecretHash,
        process: ProcessId,
        name: &str,
        usable: u64,
        held: &[AttemptId],
    ) -> Result<SessionId, Refusal> {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        let machine = Machine {
            usable: Bytes(usable),
            gpu_slots: 1,
            cpu_slots: 2,
            service_slots: 2,
            edition: self.edition,
            ..Machine::default()
        };
        let held = held.iter().map(|id| (*id, self.core.attempts[id].epoch)).collect();
        let reboots = std::mem::take(&mut self.reboots);
        self.apply(Command::Connect(Connect {
            session,
            worker,
            secret,
            process,
            name: name.to_owned(),
            machine,
            held,
            reboots,
            away: None,
            conditions: self.conditions,
        }))
        .map(|()| session)
    }

    fn heartbeat(&mut self, session: SessionId, held: &[AttemptId]) -> Result<(), Refusal> {
        let held = held.iter().map(|id| (*id, self.core.attempts[id].epoch)).collect();
        self.apply(Command::Heartbeat { session, free: Bytes(1), disk_free: None, held })
    }

    /// A heartbeat of a worker that holds nothing, with this much room on its disk.
    fn heartbeat_with_disk(&mut self, session: SessionId, disk_free: Option<Bytes>) {
        self.apply(Command::Heartbeat { session, free: Bytes(1), disk_free, held: Vec::new() }).unwrap();
    }

    fn report(&mut self, session: SessionId, attempt: AttemptId, body: ReportBody) -> Result<(), Refusal> {
        let number = self.core.attempts[&attempt].last_report + 1;
        let epoch = self.core.attempts[&attempt].epoch;
        self.apply(Command::Reports { session, attempt, epoch, reports: vec![report(number, body)] })
    }

    fn fail(&mut self, session: SessionId, attempt: AttemptId, cure: Cure) {
        let failure = Failure::new(cure, "", format!("{cure:?}"));
        self.report(session, attempt, ReportBody::Finished { peak: Bytes(5), outcome: Err(failure) }).unwrap();
    }

    fn state(&self, job: JobId) -> &'static str {
        self.core.jobs[&job].state.name()
    }

    fn live(&self, job: JobId) -> AttemptId {
        match self.core.jobs[&job].state {
            State::Leased { attempt } => attempt,
            state => panic!("{job} is {}", state.name()),
        }
    }

    /// What was sent since the last call.
    fn sent(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.sent).into_iter().map(|(_, message)| message).collect()
    }
}

/// What a worker says of an attempt whose machine its owner wants.
fn given_back() -> ReportBody {
    let failure = Failure::new(Cure::Later, vertigo::task::GIVEN_BACK, "it runs on battery");
    ReportBody::Finished { peak: Bytes(3), outcome: Err(failure) }
}

/// A snapshot whose lists have an order.
fn in_order(mut snapshot: Snapshot) -> Snapshot {
    snapshot.jobs.sort_by_key(|job| job.id);
    snapshot.attempts.sort_by_key(|attempt| (attempt.job, attempt.epoch));
    snapshot.workers.sort_by_key(|worker| worker.id);
    snapshot
}

fn submit(id: JobId, name: Option<&str>, priority: i32, variants: Vec<Variant>) -> Submit {
    let name = name.map(str::to_owned);
    Submit { id, name, priority, labels: BTreeMap::new(), variants, traceparent: String::new(), by: person() }
}

/// Whoever asks.
fn person() -> PrincipalName {
    "laptop".parse().unwrap()
}

pub(super) fn variant(name: &str, need: u64) -> Variant {
    let input = |role: &str, bytes| Input {
        role: role.to_owned(),
        source: Source::Artifact,
        artifact: Some(Found { digest: Digest::of(role.as_bytes()), bytes: Bytes(bytes) }),
    };
    Variant {
        name: name.to_owned(),
        task: Task { kind: TaskKind::Train, message: name.as_bytes().to_vec() },
        model: "m".to_owned(),
        inputs: vec![input("data", 10), input("base", 100)],
        need: Some(needs(need, Slot::Gpu)),
        raised: None,
        resume: None,
        began_anew: false,
        caveats: None,
    }
}

fn needs(peak: u64, slot: Slot) -> Need {
    Need {
        method: "full".to_owned(),
        engine: "1".to_owned(),
        parts: vec![MemoryPart { name: "weights".to_owned(), bytes: Bytes(peak) }],
        factor: 1.0,
        disk: Bytes::ZERO,
        slot,
    }
}

/// A variant that reads the first output of `source`, and whose need nobody knows before that is there.
fn reader(name: &str, source: JobId) -> Variant {
    let input =
        Input { role: "base".to_owned(), source: Source::Output { job: source, role: String::new() }, artifact: None };
    Variant { inputs: vec![input], need: None, ..variant(name, 0) }
}

/// Needs 30 on the CPU, and cannot do tasks that are called so.
#[derive(Debug)]
struct Lazy;

impl Kinds for Lazy {
    fn complete(&self, core: &Core, variant: &mut Variant) -> Result<(), String> {
        assert!(variant.artifacts().all(|(digest, _)| core.index().get(&digest).is_some()), "all inputs are there");
        if variant.name == "impossible" {
            return Err("it cannot be done".to_owned());
        }
        variant.need = Some(needs(30, Slot::Cpu));
        Ok(())
    }

    /// A task that is called `follows NAME` does.
    fn followed(&self, core: &Core, variant: &Variant) -> Result<Vec<Digest>, ArchiveError> {
        let name = variant.name.strip_prefix("follows ");
        Ok(name.and_then(|name| core.index().tagged(name)).into_iter().collect())
    }
}

/// A worker's own secret.
fn secret(worker: WorkerId) -> SecretHash {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(worker.0.as_bytes());
    Secret::from(bytes).hash()
}

fn manifest(kind: Kind, content: &str) -> Manifest {
    let file = FileEntry { path: "f".to_owned(), digest: Digest::of(content.as_bytes()), bytes: Bytes(1) };
    Manifest::new(kind, vec![file], Default::default()).unwrap()
}

/// A dataset of one file.
pub(crate) fn dataset(content: &str) -> Manifest {
    manifest(Kind::Dataset, content)
}

fn report(number: u64, body: ReportBody) -> Report {
    Report { number, at: Millis(7), body }
}

fn started(caveats: Option<Caveats>) -> ReportBody {
    ReportBody::Started(Started { caveats, ..Started::default() })
}

fn progress(peak: Bytes) -> ReportBody {
    ReportBody::Progress(Progress { peak, ..Progress::default() })
}

/// A service says that it is up.
fn serving() -> ReportBody {
    let models = vec!["mini".to_owned()];
    ReportBody::Serving(Serving { url: "http://127.0.0.1:8080".to_owned(), models })
}

fn success(content: &str) -> ReportBody {
    ReportBody::Finished { peak: Bytes(50), outcome: Ok(made(content)) }
}

/// What a training run makes.
fn made(content: &str) -> Made {
    let output = |role: &str| (role.to_owned(), manifest(Kind::Adapter, content));
    Made { outputs: vec![output("adapter"), output("best")], remark: String::new() }
}
