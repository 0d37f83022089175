//! The walk over the whole queue and all workers that decides what a placement has to decide, and random histories of fleets that hold
//! the two together: every lease and its words, every worker that is kept, everything journalled and sent, and every reason to wait.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use vertigo::placement::Placement;

/// What a walk found, besides what it changed.
struct Walk {
    kept: BTreeMap<WorkerId, queue::Rank>,
    reasons: BTreeMap<JobId, String>,
    leases: usize,
}

impl Core {
    /// Another core that is the same.
    fn fork(&self) -> Core {
        Core {
            settings: self.settings,
            jobs: self.jobs.clone(),
            attempts: self.attempts.clone(),
            workers: self.workers.clone(),
            installations: self.installations.clone(),
            index: self.index.clone(),
            factors: self.factors.clone(),
            last_seq: self.last_seq,
            sessions: self.sessions.clone(),
            leases: self.leases.clone(),
            backoffs: self.backoffs.clone(),
            readers: self.readers.clone(),
            resumes: self.resumes.clone(),
            just_ended: self.just_ended.clone(),
            kinds: Box::new(Lazy),
            archive: Arc::clone(&self.archive),
            shared: Shared::default(),
            queue: self.queue.clone(),
            unsettled: self.unsettled,
            effects: self.effects.clone(),
        }
    }

    /// [`Core::place`], with every job and every worker looked at.
    fn place_by_walking(&mut self, now: Millis, ids: &mut dyn Iterator<Item = AttemptId>) -> Walk {
        self.unsettled = false;
        let jobs: Vec<queue::Rank> = self.queue.iter().copied().collect();
        let mut walk = Walk { kept: BTreeMap::new(), reasons: BTreeMap::new(), leases: 0 };
        for rank in jobs {
            let job = &self.jobs[&rank.2];
            let kept = walk.kept.keys().copied().collect();
            let (workers, placement) = self.placement_beside(&job.variants, &job.avoid, &kept);
            match placement {
                Placement::On { variant, worker, reason } => {
                    let Some(attempt) = ids.next() else { return walk };
                    self.lease(now, job.id, variant, workers[worker], attempt, reason);
                    walk.leases += 1;
                }
                Placement::Wait { reason } => {
                    walk.kept.extend(self.waits_for_memory_of(job, &kept).map(|worker| (worker, rank)));
                    self.wait_by_walking(now, rank, &reason, walk.reasons.is_empty());
                    walk.reasons.insert(rank.2, reason);
                }
            }
        }
        self.unsettled = false;
        walk
    }

    fn waits_for_memory_of(&self, job: &Job, kept: &BTreeSet<WorkerId>) -> Option<WorkerId> {
        let would = |worker: &&Worker| {
            let usable = worker.machine.usable;
            let running = self.attempts.values().filter(|a| a.worker == worker.id && a.outcome == Outcome::Running);
            let promised: Bytes = running.map(|attempt| attempt.reserved).sum();
            let free = usable.saturating_sub(promised + worker.conditions.withheld);
            let lacks_memory = |variant: &Variant| {
                worker.has_open(variant.slot()) && variant.peak() <= usable && variant.peak() > free
            };
            !kept.contains(&worker.id) && !job.avoid.contains(&worker.id) && job.variants.iter().any(lacks_memory)
        };
        let tightest = self.workers.values().filter(would).min_by_key(|worker| (worker.machine.usable, &worker.name));
        tightest.map(|worker| worker.id)
    }

    fn wait_by_walking(&mut self, now: Millis, rank: queue::Rank, reason: &str, is_first: bool) {
        let Some(job) = self.jobs.get_mut(&rank.2) else { return };
        if (is_first || job.reason.is_empty()) && job.reason != reason {
            self.queue.tell(rank);
            job.reason = reason.to_owned();
            self.effects.jobs.insert(rank.2);
            self.journal(now, rank.2, EventBody::State { state: State::Queued, reason: reason.to_owned(), by: None });
        }
    }

    /// Checks the lists, and the reasons that are given to whoever asks: those of a walk over all workers, for each queued job by itself.
    fn check_lists_and_reasons(&self) {
        assert!(self.workers == self.workers.listed_anew(), "the lists say what the workers are: {:?}", self.workers);
        self.queue.check();
        let reasons = Reasons::new(self);
        for rank in self.queue.iter() {
            let job = &self.jobs[&rank.2];
            let kept = self.workers.kept().iter().filter(|(_, keeper)| *keeper < rank).map(|(id, _)| *id).collect();
            // One that could go on by now was let in by what no placement follows, such as a download.
            if let (_, Placement::Wait { reason }) = self.placement_beside(&job.variants, &job.avoid, &kept) {
                assert_eq!(reasons.of(job), reason, "{job:?}");
            }
            assert_eq!(
                self.queue.cohort(*rank).unwrap().1.as_ref(),
                &Wants::new(&job.variants, &job.avoid, &self.index)
            );
        }
    }
}

/// Places jobs both ways, and compares everything.
pub(super) fn place(core: &mut Core, now: Millis, attempts_max: usize) {
    core.check_lists_and_reasons();
    if !core.unsettled {
        return core.place(now, &mut std::iter::repeat_with(|| panic!("nothing has changed")));
    }
    let mut walked = core.fork();
    let ids: Vec<AttemptId> = core.queue.iter().take(attempts_max).map(|_| AttemptId::new()).collect();
    core.place(now, &mut ids.iter().copied());
    let walk = walked.place_by_walking(now, &mut ids.iter().copied());
    assert_eq!(core.effects, walked.effects);
    assert_eq!((&core.jobs, &core.attempts), (&walked.jobs, &walked.attempts));
    assert_eq!((&*core.workers, &core.leases), (&*walked.workers, &walked.leases));
    assert_eq!((core.workers.kept(), core.unsettled), (&walk.kept, walked.unsettled));
    core.check_lists_and_reasons();
    let reasons = Reasons::new(core);
    // What was reserved after a job was met is not in what the walk said of it.
    for (id, reason) in walk.reasons.iter().filter(|_| walk.leases == 0) {
        assert_eq!(&reasons.of(&core.jobs[id]), reason);
    }
}

/// Few, so that workers and jobs are often equal.
const USABLE: [u64; 4] = [50, 100, 100, 200];
const PEAKS: [u64; 6] = [20, 30, 60, 60, 90, 180];
const DISKS: [u64; 4] = [0, 0, 20, 60];
const INPUTS: [(&str, u64); 3] = [("data", 10), ("base", 100), ("more", 40)];
const DISKS_FREE: [Option<u64>; 6] = [None, None, Some(20), Some(60), Some(110), Some(200)];
/// Kinds of job in a history.
const MENU: usize = 5;
const NAMES: [&str; 6] = ["f", "b", "d", "a", "c", "e"];

/// Inputs by the bits of a number.
fn found(inputs: usize) -> impl Iterator<Item = (&'static str, Found)> {
    let is_read = move |bit: &usize| inputs >> bit & 1 == 1;
    (0..INPUTS.len()).filter(is_read).map(|bit| {
        let (role, bytes) = INPUTS[bit];
        (role, Found { digest: Digest::of(role.as_bytes()), bytes: Bytes(bytes) })
    })
}

/// A variant by the places of what it needs in those lists; `inputs` by the bits of a number.
#[derive(Debug, Clone, Copy)]
struct Plan {
    peak: usize,
    disk: usize,
    inputs: usize,
    slot: Slot,
}

impl Plan {
    fn variant(self) -> Variant {
        let Plan { peak, disk, inputs, slot } = self;
        let input = |(role, found): (&str, Found)| Input {
            role: role.to_owned(),
            source: Source::Artifact,
            artifact: Some(found),
        };
        let need = Need { disk: Bytes(DISKS[disk]), ..needs(PEAKS[peak], slot) };
        let inputs = found(inputs).map(input).collect();
        Variant { inputs, need: Some(need), ..variant("v", 0) }
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Jobs of one call by their places in the history's menu, so that those of equal wants lie between others.
    Submit {
        jobs: Vec<usize>,
        priority: i32,
    },
    Connect {
        worker: usize,
        usable: usize,
        slots: (u32, u32, u32),
        disk_free: Option<u64>,
    },
    Disconnect(usize),
    Drain(usize),
    Away(usize, bool),
    Conditions(usize, Conditions),
    Hold(usize),
    Resume(usize),
    /// A worker says what its disk has free, and whether it still holds what it was told to stop.
    Heartbeat {
        worker: usize,
        disk_free: Option<u64>,
        holds: bool,
    },
    /// One of the attempts that run says something.
    Report {
        attempt: usize,
        body: Body,
    },
    Cancel(usize),
    Advance(u64),
    /// A worker has fetched what another variant reads as well; `inputs` as in a plan.
    Cache {
        worker: usize,
        inputs: usize,
    },
    Attempts(usize),
}

#[derive(Debug, Clone)]
enum Body {
    Started,
    Checkpoint(u64),
    Success,
    Failure(Cure),
}

fn plan() -> impl Strategy<Value = Plan> {
    let slot = prop::sample::select(vec![Slot::Gpu, Slot::Gpu, Slot::Cpu, Slot::Service]);
    (0..PEAKS.len(), 0..DISKS.len(), prop::sample::select(vec![0usize, 3, 3, 6, 7]), slot)
        .prop_map(|(peak, disk, inputs, slot)| Plan { peak, disk, inputs, slot })
}

/// What a machine may say of itself; it withholds nothing most of the time.
pub(super) fn conditions() -> impl Strategy<Value = Conditions> {
    let withheld = prop::sample::select(vec![0u64, 0, 0, 10, 30, 60, u64::MAX]);
    (prop::option::of(any::<bool>()), withheld)
        .prop_map(|(is_watched, withheld)| Conditions { is_watched, withheld: Bytes(withheld) })
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..NAMES.len();
    let cure = prop::sample::select(vec![Cure::MoreMemory, Cure::AnotherMachine, Cure::AnotherMachine, Cure::Later]);
    let body = prop_oneof![
        3 => Just(Body::Started),
        1 => (0u64..20).prop_map(Body::Checkpoint),
        3 => Just(Body::Success),
        4 => cure.prop_map(Body::Failure),
    ];
    let disk = prop::sample::select(DISKS_FREE.to_vec());
    let slots = (0u32..3, 0u32..4, 0u32..3);
    prop_oneof![
        6 => (prop::collection::vec(0..MENU, 1..6), -1..2i32).prop_map(|(jobs, priority)| Step::Submit { jobs, priority }),
        4 => (worker.clone(), 0..USABLE.len(), slots, disk.clone())
            .prop_map(|(worker, usable, slots, disk_free)| Step::Connect { worker, usable, slots, disk_free }),
        1 => worker.clone().prop_map(Step::Disconnect),
        1 => worker.clone().prop_map(Step::Drain),
        2 => (worker.clone(), any::<bool>()).prop_map(|(worker, is_away)| Step::Away(worker, is_away)),
        3 => (worker.clone(), conditions()).prop_map(|(worker, conditions)| Step::Conditions(worker, conditions)),
        1 => worker.clone().prop_map(Step::Hold),
        1 => worker.clone().prop_map(Step::Resume),
        2 => (worker.clone(), 1usize..8).prop_map(|(worker, inputs)| Step::Cache { worker, inputs }),
        4 => (worker, disk, any::<bool>()).prop_map(|(worker, disk_free, holds)| Step::Heartbeat { worker, disk_free, holds }),
        10 => (0usize..8, body).prop_map(|(attempt, body)| Step::Report { attempt, body }),
        1 => (0usize..12).prop_map(Step::Cancel),
        3 => (1u64..20_000).prop_map(Step::Advance),
        1 => prop::sample::select(vec![0, 1, 2, usize::MAX, usize::MAX, usize::MAX]).prop_map(Step::Attempts),
    ]
}

fn take(bench: &mut Bench, menu: &[Vec<Plan>], ids: &[WorkerId; NAMES.len()], step: Step) {
    let session = |bench: &Bench, worker: WorkerId| bench.core.workers.get(&worker).and_then(|worker| worker.session);
    let running = |bench: &Bench, worker: WorkerId| -> Vec<(AttemptId, Epoch)> {
        let told = bench.core.workers.get(&worker).map(|it| it.leases.keys().chain(&it.stopping)).into_iter().flatten();
        told.filter_map(|id| Some((*id, bench.core.attempts.get(id)?.epoch))).collect()
    };
    match step {
        Step::Submit { jobs, priority } => {
            let variants = |at: &usize| menu[*at].iter().map(|plan| plan.variant()).collect();
            let jobs = jobs.iter().map(|at| submit(JobId::new(), None, priority, variants(at))).collect();
            // One too large for every worker that was ever seen is refused.
            let _ = bench.apply(Command::Submit(jobs));
        }
        Step::Connect { worker, usable, slots: (gpu_slots, cpu_slots, service_slots), disk_free } => {
            bench.sessions += 1;
            let (session, id) = (SessionId(bench.sessions), ids[worker]);
            let (usable, disk_free) = (Bytes(USABLE[usable]), disk_free.map(Bytes));
            let held = running(bench, id);
            // What runs there fits the machine that it is: one with leases comes back as it was.
            let before = bench.core.workers.get(&id).filter(|it| !it.leases.is_empty()).map(|it| it.machine.clone());
            let slots = Machine { gpu_slots, cpu_slots, service_slots, ..Machine::default() };
            let machine = before.unwrap_or(Machine { usable, disk_free, ..slots });
            let (secret, process, name) = (secret(id), ProcessId(id.0), NAMES[worker].to_owned());
            bench
                .apply(Command::Connect(Connect {
                    session,
                    worker: id,
                    secret,
                    process,
                    name,
                    machine,
                    held,
                    reboots: Vec::new(),
                    away: None,
                    conditions: Conditions::default(),
                }))
                .unwrap();
        }
        Step::Disconnect(worker) => {
            if let Some(session) = session(bench, ids[worker]) {
                bench.apply(Command::Disconnect { session }).unwrap();
            }
        }
        Step::Drain(worker) => {
            if let Some(session) = session(bench, ids[worker]) {
                bench.apply(Command::Drain { session }).unwrap();
            }
        }
        Step::Away(worker, is_away) => {
            if let Some(session) = session(bench, ids[worker]) {
                let reason = is_away.then(|| "its lid is closed".to_owned());
                bench.apply(Command::Away { session, reason }).unwrap();
            }
        }
        Step::Conditions(worker, conditions) => {
            if let Some(session) = session(bench, ids[worker]) {
                bench.apply(Command::Conditions { session, conditions }).unwrap();
            }
        }
        Step::Hold(worker) => {
            // One that was never seen is refused.
            let _ = bench.apply(Command::Hold { worker: ids[worker], by: person(), reason: String::new() });
        }
        Step::Resume(worker) => drop(bench.apply(Command::Resume { worker: ids[worker], by: person() })),
        Step::Heartbeat { worker, disk_free, holds } => {
            if let Some(session) = session(bench, ids[worker]) {
                let mut held = running(bench, ids[worker]);
                held.retain(|(id, _)| holds || bench.core.leases.contains_key(id));
                let (free, disk_free) = (Bytes(1), disk_free.map(Bytes));
                bench.apply(Command::Heartbeat { session, free, disk_free, held }).unwrap();
            }
        }
        Step::Report { attempt, body } => {
            let Some(id) = bench.core.leases.keys().nth(attempt).copied() else { return };
            let Some(session) = session(bench, bench.core.attempts[&id].worker) else { return };
            let body = match body {
                Body::Started => started(None),
                Body::Success => success(&id.to_string()),
                Body::Checkpoint(iter) => {
                    ReportBody::Checkpoint { iter, artifact: manifest(Kind::Checkpoint, &format!("{iter} {id}")) }
                }
                Body::Failure(cure) => {
                    let failure = Failure::new(cure, "", "it failed");
                    ReportBody::Finished { peak: Bytes(3), outcome: Err(failure) }
                }
            };
            bench.report(session, id, body).unwrap();
        }
        Step::Cancel(job) => {
            let unended = bench.core.jobs.values().filter(|job| !job.state.is_terminal());
            if let Some(id) = unended.map(|job| job.id).nth(job) {
                bench.apply(Command::Cancel { job: id, by: person() }).unwrap();
            }
        }
        Step::Advance(ms) => bench.advance(ms),
        Step::Cache { worker, inputs } => {
            let digests: Vec<Digest> = found(inputs).map(|(_, found)| found.digest).collect();
            for core in [&mut bench.core].into_iter().chain(&mut bench.twin) {
                if core.workers.change(ids[worker], |worker| worker.cached.extend(digests.iter().copied())).is_some() {
                    core.effects.workers.insert(ids[worker]);
                }
            }
            bench.settle();
        }
        Step::Attempts(max) => bench.attempts_max = max,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The comparison is in the bench: each step places jobs both ways.
    #[test]
    fn a_placement_decides_and_says_what_a_walk_over_the_whole_queue_would(
        menu in prop::collection::vec(prop::collection::vec(plan(), 1..4), MENU),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let ids = std::array::from_fn(|_| WorkerId::new());
        let mut bench = Bench::new();
        for step in steps {
            take(&mut bench, &menu, &ids, step);
        }
    }
}

#[test]
fn a_change_looks_at_one_job_of_each_need_and_at_none_where_every_slot_is_taken() {
    let mut bench = Bench { twin: None, ..Bench::new() };
    let (worker, other) = (WorkerId::new(), WorkerId::new());
    let session = bench.connect(worker, "a", 100, &[]).unwrap();
    for needs in [90, 30, 70, 30, 90, 40].into_iter().cycle().take(240) {
        let jobs = vec![submit(JobId::new(), None, 0, vec![variant("v", needs)])];
        bench.core.apply(bench.moment(), Command::Submit(jobs)).unwrap();
    }
    bench.settle();
    assert_eq!((bench.core.leases.len(), bench.core.queue.iter().count()), (1, 239));
    // The processor is free, and no job wants it. Whoever is first is told why it waits.
    assert_eq!(bench.core.walk_heads(bench.now, &mut std::iter::empty()), 1);
    bench.core.apply(bench.moment(), Command::Disconnect { session }).unwrap();
    bench.settle();
    let machine = Machine { usable: Bytes(35), gpu_slots: 3, ..Machine::default() };
    let (secret, process, name) = (secret(other), ProcessId(other.0), "b".to_owned());
    let hello = Connect {
        session: SessionId(9),
        worker: other,
        secret,
        process,
        name,
        machine,
        held: Vec::new(),
        away: None,
        conditions: Conditions::default(),
        reboots: Vec::new(),
    };
    bench.core.apply(bench.moment(), Command::Connect(hello)).unwrap();
    // One that needs 30 is leased, the one that needs 70 waits, the next that needs 30 keeps the worker, and nothing is left for the one
    // behind that.
    assert_eq!(bench.core.walk_heads(bench.now, &mut std::iter::repeat_with(AttemptId::new)), 4);
    assert_eq!(bench.core.leases.len(), 2);
}
