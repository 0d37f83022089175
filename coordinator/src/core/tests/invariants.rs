//! Random commands, and after each the promises of the core.

mod away;
mod grants;
mod holds;
mod machines;
mod order;
mod strangers;
mod tags;

use super::*;
use proptest::prelude::*;
use vertigo::task::code;

const WORKERS: [(&str, u64); 3] = [("a", 50), ("b", 100), ("c", 200)];

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Submit {
        priority: i32,
        needs: Vec<u64>,
        named: bool,
        slot: Slot,
    },
    /// Jobs of one call: each reads what the one before makes, and the first what a job makes that is there.
    Chain {
        source: usize,
        length: usize,
        possible: bool,
    },
    /// A worker connects, with or without what it last was given.
    Connect {
        worker: usize,
        remembers: bool,
    },
    /// Another installation of a worker's name.
    Impostor {
        worker: usize,
    },
    /// A copy of a worker's folder: its secret, from another process.
    Copy {
        worker: usize,
    },
    /// Whoever knows all that is listed, and so everything but the secret.
    Thief {
        worker: usize,
    },
    Disconnect {
        worker: usize,
    },
    Heartbeat {
        worker: usize,
        remembers: bool,
    },
    Drain {
        worker: usize,
    },
    /// Its machine was restarted.
    Reboot {
        worker: usize,
        panicked: bool,
        boot: u8,
    },
    /// The worker's machine is its owner's, or is not any more.
    Away(usize, bool),
    /// Somebody comes to look at a worker's screen or goes, and its memory gets short or does not.
    Conditions(usize, Conditions),
    /// A person holds a worker, for one reason or another.
    Hold {
        worker: usize,
        reason: bool,
    },
    Resume {
        worker: usize,
    },
    Remove {
        worker: usize,
    },
    /// Any worker speaks of any attempt, under its epoch or another.
    Report {
        worker: usize,
        attempt: usize,
        epoch_off: u64,
        skip: u64,
        body: Body,
    },
    Cancel {
        job: usize,
    },
    Advance {
        ms: u64,
    },
    Tag(tags::Act),
    /// Collection finds everything old: all artifacts, all workers, and every event but those of states.
    Forget,
    Restart,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Started,
    Progress(u64),
    Line,
    Checkpoint(u64),
    Serving,
    Success(u8),
    /// With a pause of so many milliseconds.
    Failure(Cure, u64),
    /// The screen stood still, whatever it did. With a pause of so many milliseconds.
    TooLong(u64),
    GivenBack,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS.len();
    let cure = prop::sample::select(vec![
        Cure::Never,
        Cure::MoreMemory,
        Cure::AnotherMachine,
        Cure::Later,
        Cure::FreshProcess,
    ]);
    let slot = prop::sample::select(vec![Slot::Gpu, Slot::Gpu, Slot::Cpu, Slot::Service]);
    let body = prop_oneof![
        1 => Just(Body::Started),
        2 => (0u64..300).prop_map(Body::Progress),
        2 => Just(Body::Line),
        2 => (0u64..20).prop_map(Body::Checkpoint),
        2 => Just(Body::Serving),
        2 => any::<u8>().prop_map(Body::Success),
        4 => (cure, prop::sample::select(vec![0u64, 0, 40_000, u64::MAX]))
            .prop_map(|(cure, pause_ms)| Body::Failure(cure, pause_ms)),
        2 => prop::sample::select(vec![0u64, 40_000, u64::MAX]).prop_map(Body::TooLong),
        1 => Just(Body::GivenBack),
    ];
    prop_oneof![
        4 => (-1..2i32, prop::collection::vec(1u64..260, 1..4), any::<bool>(), slot)
            .prop_map(|(priority, needs, named, slot)| Step::Submit { priority, needs, named, slot }),
        3 => (0usize..6, 1usize..4, prop::bool::weighted(0.8))
            .prop_map(|(source, length, possible)| Step::Chain { source, length, possible }),
        4 => (worker.clone(), any::<bool>()).prop_map(|(worker, remembers)| Step::Connect { worker, remembers }),
        1 => worker.clone().prop_map(|worker| Step::Impostor { worker }),
        2 => worker.clone().prop_map(|worker| Step::Copy { worker }),
        1 => worker.clone().prop_map(|worker| Step::Thief { worker }),
        1 => worker.clone().prop_map(|worker| Step::Disconnect { worker }),
        4 => (worker.clone(), prop::bool::weighted(0.8)).prop_map(|(worker, remembers)| Step::Heartbeat { worker, remembers }),
        1 => worker.clone().prop_map(|worker| Step::Drain { worker }),
        2 => (worker.clone(), any::<bool>(), 0u8..4).prop_map(|(worker, panicked, boot)| Step::Reboot { worker, panicked, boot }),
        2 => (worker.clone(), any::<bool>()).prop_map(|(worker, is_away)| Step::Away(worker, is_away)),
        2 => (worker.clone(), oracle::conditions()).prop_map(|(worker, conditions)| Step::Conditions(worker, conditions)),
        2 => (worker.clone(), any::<bool>()).prop_map(|(worker, reason)| Step::Hold { worker, reason }),
        3 => worker.clone().prop_map(|worker| Step::Resume { worker }),
        1 => worker.clone().prop_map(|worker| Step::Remove { worker }),
        10 => (worker, 0usize..6, prop::sample::select(vec![0u64, 0, 0, 0, 1]), prop::sample::select(vec![1u64, 1, 1, 0, 2]), body)
            .prop_map(|(worker, attempt, epoch_off, skip, body)| Step::Report { worker, attempt, epoch_off, skip, body }),
        2 => (0usize..6).prop_map(|job| Step::Cancel { job }),
        4 => (1u64..LEASE_MS).prop_map(|ms| Step::Advance { ms }),
        4 => tags::act().prop_map(Step::Tag),
        2 => Just(Step::Forget),
        1 => Just(Step::Restart),
    ]
}

/// The bench and what its workers believe.
pub(crate) struct World {
    bench: Bench,
    ids: [WorkerId; WORKERS.len()],
    /// Whose turn it is, of the processes that run on each worker's folder.
    processes: [ProcessId; WORKERS.len()],
    asked: Option<MoveTag>,
}

impl World {
    fn new() -> World {
        let (ids, processes) = (std::array::from_fn(|_| WorkerId::new()), std::array::from_fn(|_| ProcessId::new()));
        World { bench: Bench::new(), ids, processes, asked: None }
    }

    /// A world whose core is read back from what `keeper` has kept.
    pub(crate) fn kept_by(keeper: Box<dyn Keeper>) -> World {
        let mut world = World::new();
        world.bench.keeper = Some(keeper);
        world
    }

    fn session(&self, worker: usize) -> SessionId {
        // A worker that is not connected speaks on a session that does not exist.
        self.bench.core.workers.get(&self.ids[worker]).and_then(|w| w.session).unwrap_or(SessionId(0))
    }

    /// The newest attempt that was given to a worker.
    fn given(&self, worker: usize) -> Vec<AttemptId> {
        let of = |attempt: &&Attempt| attempt.worker == self.ids[worker];
        self.bench.core.attempts.values().filter(of).max_by_key(|a| a.id).map(|a| a.id).into_iter().collect()
    }

    fn take_one(&mut self, step: &Step) {
        match step.clone() {
            Step::Submit { priority, needs, named, slot } => {
                let variant = |peak: &u64| Variant { need: Some(super::needs(*peak, slot)), ..super::variant("r", 0) };
                let variants = needs.iter().map(variant).collect();
                let before = self.bench.core.jobs.len();
                let job = submit(JobId::new(), named.then_some("tag"), priority, variants);
                let answer = self.bench.apply(Command::Submit(vec![job]));
                assert_eq!(self.bench.core.jobs.len(), before + usize::from(answer.is_ok()));
            }
            Step::Chain { source, length, possible } => self.chain(source, length, possible),
            Step::Connect { worker, remembers } => {
                let held = if remembers { self.given(worker) } else { Vec::new() };
                let (name, usable) = WORKERS[worker];
                // The process that was there last is never kept waiting.
                self.hello(worker, self.processes[worker], name, usable, &held).unwrap();
            }
            Step::Impostor { worker } => {
                let connected = self.session(worker) != SessionId(0);
                if connected {
                    let answer = self.bench.connect(WorkerId::new(), WORKERS[worker].0, 10, &[]);
                    assert!(matches!(answer, Err(Refusal::NameTaken(_))));
                }
            }
            Step::Copy { worker } => self.copy(worker),
            Step::Thief { worker } => self.thief(worker),
            Step::Disconnect { worker } => {
                let session = self.session(worker);
                self.bench.apply(Command::Disconnect { session }).unwrap();
            }
            Step::Heartbeat { worker, remembers } => {
                let held = if remembers { self.given(worker) } else { Vec::new() };
                let session = self.session(worker);
                let answer = self.bench.heartbeat(session, &held);
                assert_eq!(answer.is_ok(), session != SessionId(0));
            }
            Step::Drain { worker } => {
                let _ = self.bench.apply(Command::Drain { session: self.session(worker) });
            }
            Step::Reboot { worker, panicked, boot } => self.reboot(worker, panicked, boot),
            Step::Away(worker, is_away) => self.away(worker, is_away),
            Step::Conditions(worker, conditions) => self.conditions(worker, conditions),
            Step::Hold { worker, reason } => self.hold(worker, reason),
            Step::Resume { worker } => self.resume(worker),
            Step::Remove { worker } => self.remove(worker),
            Step::Report { worker, attempt, epoch_off, skip, body } => {
                self.report(worker, attempt, epoch_off, skip, body)
            }
            Step::Cancel { job } => {
                if let Some(id) = self.bench.core.jobs.keys().rev().nth(job).copied() {
                    let ended = self.bench.core.jobs[&id].state.is_terminal();
                    assert_eq!(self.bench.apply(Command::Cancel { job: id, by: person() }).is_err(), ended);
                }
            }
            Step::Advance { ms } => self.bench.advance(ms),
            Step::Tag(act) => self.tag(act),
            Step::Forget => self.forget(),
            Step::Restart => self.restart(),
        }
    }

    /// What is live stays, and what nobody names goes.
    fn forget(&mut self) {
        let core = &self.bench.core;
        let before = (core.index.clone(), core.workers.clone());
        let events = |event: &Event| Some((event.job?, vec![event.seq]));
        let detail = self.bench.journal.iter().filter(|event| !matches!(event.body, EventBody::State { .. }));
        let forget = Forget {
            artifacts: before.0.list(None, None).map(|(digest, _)| digest).collect(),
            workers: before.1.keys().copied().collect(),
            events: detail.filter_map(events).collect(),
        };
        self.bench.apply(Command::Forget(forget)).unwrap();
        let core = &self.bench.core;
        let live: Vec<&Job> = core.jobs.values().filter(|job| !job.state.is_terminal()).collect();
        let resumes = |digest| {
            let of = |variant: &Variant| variant.resume.is_some_and(|resume| resume.checkpoint == digest);
            live.iter().any(|job| job.variants.iter().any(of))
        };
        let moved = self.named_by_tags();
        for (digest, artifact) in before.0.list(None, None) {
            let is_needed = resumes(digest) || moved.contains(&digest);
            let is_free = artifact.manifest.kind() == Kind::Checkpoint && !is_needed;
            assert_eq!(core.index.get(&digest).is_none(), is_free, "{artifact:?}");
        }
        for worker in before.1.values() {
            let is_avoided = live.iter().any(|job| job.avoid.contains(&worker.id));
            let is_free = worker.session.is_none() && worker.hold.is_none() && worker.leases.is_empty() && !is_avoided;
            assert_eq!(core.workers.get(&worker.id).is_none(), is_free, "{worker:?}");
        }
        let is_live = |id: JobId| live.iter().any(|job| job.id == id);
        let is_state = |event: &Event| matches!(event.body, EventBody::State { .. });
        assert!(self.bench.journal.iter().all(|event| is_state(event) || event.job.is_none_or(is_live)));
    }

    fn chain(&mut self, source: usize, length: usize, possible: bool) {
        let jobs = &self.bench.core.jobs;
        let Some((mut source, state)) = jobs.values().rev().nth(source).map(|job| (job.id, job.state)) else { return };
        let mut chain = Vec::new();
        for _ in 0..length {
            let id = JobId::new();
            chain.push(submit(id, None, 0, vec![reader(if possible { "reader" } else { "impossible" }, source)]));
            source = id;
        }
        let before = jobs.len();
        let answer = self.bench.apply(Command::Submit(chain));
        let useless = matches!(state, State::Failed | State::Cancelled);
        assert_eq!(matches!(answer, Err(Refusal::NoOutput { .. })), useless, "{answer:?}");
        assert_eq!(self.bench.core.jobs.len(), before + if useless { 0 } else { length }, "all of them, or none");
    }

    fn hello(
        &mut self,
        worker: usize,
        process: ProcessId,
        name: &str,
        usable: u64,
        held: &[AttemptId],
    ) -> Result<SessionId, Refusal> {
        let id = self.ids[worker];
        self.bench.connect_as(id, secret(id), process, name, usable, held)
    }

    /// Promise 3: only the live epoch, from the worker that holds it, is heard.
    fn report(&mut self, worker: usize, attempt: usize, epoch_off: u64, skip: u64, body: Body) {
        let Some(id) = self.bench.core.attempts.keys().rev().nth(attempt).copied() else { return };
        let (session, told) = (self.session(worker), self.bench.core.attempts[&id].clone());
        let number = told.last_report + skip;
        let heard = session != SessionId(0)
            && told.outcome == Outcome::Running
            && told.worker == self.ids[worker]
            && epoch_off == 0
            && skip == 1;
        let body = match body {
            Body::Started => started(Some(Default::default())),
            Body::Progress(peak) => progress(Bytes(peak)),
            Body::Line => ReportBody::Log("a line".to_owned()),
            Body::Checkpoint(iter) => {
                ReportBody::Checkpoint { iter, artifact: manifest(Kind::Checkpoint, &format!("{iter} {id}")) }
            }
            Body::Serving => serving(),
            Body::Success(n) => success(&n.to_string()),
            Body::GivenBack => given_back(),
            Body::Failure(cure, pause_ms) => failed(cure, "", pause_ms),
            Body::TooLong(pause_ms) => failed(Cure::AnotherMachine, code::GPU_TOO_LONG, pause_ms),
        };
        let reports = |journal: &[Event]| journal.iter().filter(|e| matches!(e.body, EventBody::Report(_))).count();
        let before = reports(&self.bench.journal);
        let epoch = Epoch(told.epoch.0 + epoch_off);
        let _ = self.bench.apply(Command::Reports { session, attempt: id, epoch, reports: vec![report(number, body)] });
        assert_eq!(reports(&self.bench.journal), before + usize::from(heard), "{told:?}");
    }

    /// What effects wrote is all there is.
    fn restart(&mut self) {
        let core = &self.bench.core;
        let (jobs, attempts) = (core.jobs.clone(), core.attempts.clone());
        let (index, factors) = (core.index.clone(), core.factors.clone());
        let holds = |core: &Core| core.workers.values().map(|it| (it.id, it.hold.clone())).collect::<Vec<_>>();
        let held = holds(core);
        self.bench.restart();
        let core = &self.bench.core;
        assert_eq!(holds(core), held, "16");
        assert_eq!(core.attempts, attempts);
        assert_eq!((&core.index, &core.factors), (&index, &factors));
        // Why a job waits is found out again.
        let bare = |jobs: &BTreeMap<JobId, Job>| -> Vec<Job> {
            jobs.values().map(|job| Job { reason: String::new(), ..job.clone() }).collect()
        };
        assert_eq!(bare(&core.jobs), bare(&jobs));
        assert!(core.leases.values().all(|deadline| *deadline == self.bench.now.plus(LEASE_MS)));
    }

    fn check(&self, ended: &BTreeMap<JobId, Job>) {
        let core = &self.bench.core;
        let running =
            |job: &Job| core.attempts.values().filter(|a| a.job == job.id && a.outcome == Outcome::Running).count();
        for job in core.jobs.values() {
            // 1 and 5: leased with the one lease, queued, in backoff, or ended; each in its own list and no other.
            let lists = (
                running(job),
                usize::from(core.queue.contains(&job.rank())),
                core.backoffs.iter().filter(|(_, id)| *id == job.id).count(),
            );
            match job.state {
                State::Leased { attempt } => {
                    assert_eq!(lists, (1, 0, 0));
                    assert!(core.leases.contains_key(&attempt));
                    assert_eq!(core.attempts[&attempt].epoch, job.epoch);
                }
                State::Queued => assert_eq!(lists, (0, 1, 0)),
                State::Backoff { .. } => assert_eq!(lists, (0, 0, 1)),
                _ => assert_eq!(lists, (0, 0, 0)),
            }
            self.check_inputs(job);
            // 7: who waits knows why.
            assert!(job.state != State::Queued || !(job.reason.is_empty() || Reasons::new(core).of(job).is_empty()));
        }
        // 2
        for (id, before) in ended {
            assert_eq!(&core.jobs[id], before);
        }
        // 4
        for worker in core.workers.values() {
            let of = |a: &&Attempt| a.worker == worker.id && a.outcome == Outcome::Running;
            let promised: Bytes = core.attempts.values().filter(of).map(|a| a.reserved).sum();
            assert!(promised <= worker.machine.usable, "{promised} on {worker:?}");
            assert_eq!(promised, worker.reserved());
            for slot in [Slot::Gpu, Slot::Cpu, Slot::Service] {
                let taken =
                    core.attempts.values().filter(of).filter(|a| core.jobs[&a.job].variants[a.variant].slot() == slot);
                assert!(taken.count() <= worker.machine.slots(slot), "{slot} of {worker:?}");
            }
        }
        services::check(core);
        self.check_grants();
        self.check_tags();
        // 6
        for (digest, _) in core.index.list(Some(Kind::Adapter), None) {
            assert!(core.jobs.values().any(|job| job.output() == Some(digest)));
        }
        for job in core.jobs.values() {
            assert!(job.output().is_none_or(|digest| core.index.get(&digest).is_some()));
            let resumes = job.variants.iter().filter_map(|variant| variant.resume);
            assert!(job.state.is_terminal() || resumes.into_iter().all(|it| core.index.get(&it.checkpoint).is_some()));
        }
        // 7: no free worker is left that a waiting job fits, but for those that are kept for one of higher rank.
        let mut behind: Vec<&Job> = Vec::new();
        for (.., id) in core.queue.iter() {
            let job = &core.jobs[id];
            let waits = core
                .workers
                .values()
                .filter(|worker| self.fits(job, worker, worker.reserved() + worker.conditions.withheld));
            for worker in waits {
                assert!(
                    behind.iter().any(|ahead| self.fits(ahead, worker, Bytes::ZERO)),
                    "{job:?} waits beside {worker:?}"
                );
            }
            behind.push(job);
        }
        assert!(core.next_deadline().is_none_or(|deadline| deadline > self.bench.now));
    }

    /// 8 to 11, for one job.
    fn check_inputs(&self, job: &Job) {
        let core = &self.bench.core;
        let waits_for = job.waits_for();
        // 8, and 11: nobody is blocked by a job that has ended.
        assert_eq!(job.state == State::Blocked, !waits_for.is_empty() && !job.state.is_terminal(), "{job:?}");
        if job.state == State::Blocked {
            assert!(waits_for.iter().all(|source| !core.jobs[source].state.is_terminal()), "{job:?}");
            assert!(waits_for.iter().all(|source| core.readers[source].contains(&job.id)));
            assert!(!job.reason.is_empty());
        }
        for input in job.variants.iter().flat_map(|variant| &variant.inputs) {
            let Source::Output { job: source, role } = &input.source else { continue };
            // 9
            assert!(*source < job.id);
            // 10: it is what the source made, which never changes by 2.
            if let Some(found) = input.artifact {
                assert_eq!(core.jobs[source].output_of(role), Some(found.digest));
            }
        }
        // What is placed has all that it reads, and a need.
        if matches!(job.state, State::Queued | State::Leased { .. } | State::Backoff { .. }) {
            assert!(job.variants.iter().all(|variant| variant.need.is_some()));
        }
    }
}

fn failed(cure: Cure, code: &str, pause_ms: u64) -> ReportBody {
    let failure = Failure { pause_ms, ..Failure::new(cure, code, "it failed") };
    ReportBody::Finished { peak: Bytes(3), outcome: Err(failure) }
}

/// Takes steps, and checks the promises after each.
pub(crate) fn hold(mut world: World, steps: impl IntoIterator<Item = Step>) {
    let mut ended = BTreeMap::new();
    for step in steps {
        let seen = world.bench.core.last_seq;
        world.take(&step);
        world.check(&ended);
        world.check_order(seen);
        world.check_machines();
        let jobs = world.bench.core.jobs.iter();
        ended = jobs.filter(|(_, job)| job.state.is_terminal()).map(|(id, job)| (*id, job.clone())).collect();
    }
    let seqs: Vec<_> = world.bench.journal.iter().map(|event| event.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_promises_hold_after_any_commands(steps in prop::collection::vec(step(), 1..120)) {
        hold(World::new(), steps);
    }
}
