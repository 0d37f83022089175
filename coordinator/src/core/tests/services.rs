//! Services: they go on until somebody ends them, through failures and from worker to worker.

use super::*;
use crate::core::services::STEADY_MS;

/// Promise 13, for all jobs that can be nothing else than a service.
pub(super) fn check(core: &Core) {
    let is_service = |job: &&Job| job.variants.iter().all(|variant| variant.is_service());
    for job in core.jobs.values().filter(is_service) {
        assert!(job.state != State::Succeeded, "{job:?}");
        let has_been_up = job.attempts.iter().any(|id| core.attempts[id].service.is_some());
        assert!(!(has_been_up && job.state == State::Failed), "{job:?}");
        if let State::Leased { attempt } = job.state {
            let worker = &core.workers[&core.attempts[&attempt].worker];
            assert!(!worker.draining && worker.hold.is_none(), "{job:?}");
        }
    }
    let is_other = |attempt: &&Attempt| !core.jobs[&attempt.job].variants[attempt.variant].is_service();
    assert!(core.attempts.values().filter(is_other).all(|attempt| attempt.service.is_none()));
}

/// Two workers of 100 bytes, and a service of 60 on the first of them.
struct Served {
    bench: Bench,
    sessions: [SessionId; 2],
    job: JobId,
}

impl Served {
    fn new() -> Served {
        let mut bench = Bench::new();
        let first = bench.connect(WorkerId::new(), "a", 100, &[]).unwrap();
        let job = JobId::new();
        let service = Variant { need: Some(needs(60, Slot::Service)), ..variant("serve", 0) };
        bench.apply(Command::Submit(vec![submit(job, Some("api"), 0, vec![service])])).unwrap();
        let second = bench.connect(WorkerId::new(), "b", 100, &[]).unwrap();
        bench.sent();
        Served { bench, sessions: [first, second], job }
    }

    /// The session of the worker that has the lease.
    fn session(&self) -> SessionId {
        let worker = self.bench.core.attempts[&self.bench.live(self.job)].worker;
        self.bench.core.workers[&worker].session.unwrap()
    }

    fn come_up(&mut self) {
        let (session, attempt) = (self.session(), self.bench.live(self.job));
        self.bench.report(session, attempt, serving()).unwrap();
    }

    /// Lets time pass while its worker says that it is there.
    fn stay_up(&mut self, ms: u64) {
        let (session, attempt) = (self.session(), self.bench.live(self.job));
        for _ in 0..ms.div_ceil(LEASE_MS / 2) {
            self.bench.advance(LEASE_MS / 2);
            self.bench.heartbeat(session, &[attempt]).unwrap();
        }
    }

    fn fail(&mut self, cure: Cure) {
        let (session, attempt) = (self.session(), self.bench.live(self.job));
        self.bench.fail(session, attempt, cure);
    }

    /// How long it waits before it is tried again.
    fn pause(&self) -> u64 {
        match self.bench.core.jobs[&self.job].state {
            State::Backoff { until } => until.0 - self.bench.now.0,
            state => panic!("it is {}", state.name()),
        }
    }
}

#[test]
fn a_service_that_has_been_up_is_tried_for_ever_ever_more_rarely_until_it_stays_up() {
    let mut served = Served::new();
    let mut pauses = Vec::new();
    for cure in [Cure::FreshProcess, Cure::Later, Cure::Never].into_iter().cycle().take(40) {
        served.come_up();
        served.fail(cure);
        pauses.push(served.pause());
        served.bench.wait_out_backoff(served.job);
    }
    assert!(pauses[39] > 60_000 && pauses[0] < 10_000, "{pauses:?}");
    served.come_up();
    served.stay_up(STEADY_MS);
    served.fail(Cure::FreshProcess);
    assert_eq!(served.pause(), pauses[0], "it had stood on its own feet");
}

#[test]
fn a_service_that_never_comes_up_fails_with_its_reason() {
    let mut served = Served::new();
    for _ in 0..3 {
        served.fail(Cure::FreshProcess);
        served.bench.wait_out_backoff(served.job);
    }
    assert_eq!(served.bench.state(served.job), "failed");
    assert!(served.bench.core.jobs[&served.job].reason.contains("FreshProcess"));
    let mut served = Served::new();
    served.fail(Cure::Never);
    assert_eq!(served.bench.state(served.job), "failed", "the same input fails anywhere");
}

#[test]
fn a_service_that_ends_by_itself_has_failed() {
    let mut served = Served::new();
    served.come_up();
    let (session, attempt) = (served.session(), served.bench.live(served.job));
    let made = Made { outputs: Vec::new(), remark: String::new() };
    served.bench.report(session, attempt, ReportBody::Finished { peak: Bytes(5), outcome: Ok(made) }).unwrap();
    assert_eq!(served.bench.state(served.job), "backoff");
    assert!(served.bench.core.jobs[&served.job].reason.contains("ended by itself"));
}

#[test]
fn a_worker_that_drains_gives_its_service_back_and_another_takes_it_at_once() {
    let mut served = Served::new();
    served.come_up();
    let (attempt, [first, second]) = (served.bench.live(served.job), served.sessions);
    assert_eq!(served.session(), first);
    served.bench.sent();
    served.bench.apply(Command::Drain { session: first }).unwrap();
    assert_eq!(served.session(), second);
    let told = served.bench.sent();
    assert!(matches!(&told[0], Outgoing::Stop { attempt: stopped, .. } if *stopped == attempt), "{told:?}");
    assert!(matches!(&told[1], Outgoing::Assignment(given) if given.slot == Slot::Service), "{told:?}");
    let job = &served.bench.core.jobs[&served.job];
    assert_eq!((job.crashes, job.retries, job.avoid.len()), (0, 0, 0), "it was nobody's fault");
    served.bench.apply(Command::Drain { session: second }).unwrap();
    assert_eq!(served.bench.state(served.job), "queued", "nobody is left");
}

#[test]
fn a_training_run_and_a_service_share_a_worker_where_its_memory_is_enough() {
    let mut served = Served::new();
    let [_, second] = served.sessions;
    served.bench.apply(Command::Disconnect { session: second }).unwrap();
    let (small, large) = (served.bench.submit(None, &[("small", 40)]), served.bench.submit(None, &[("large", 41)]));
    assert_eq!([small, large].map(|job| served.bench.state(job)), ["leased", "queued"]);
    assert!(served.bench.core.jobs[&large].reason.contains("busy"), "{}", served.bench.core.jobs[&large].reason);
    served.bench.apply(Command::Cancel { job: served.job, by: person() }).unwrap();
    assert_eq!(served.bench.state(served.job), "cancelled");
}
