//! A job that gets on is tried again for as long as it does; one that does not is ended.

use super::*;
use proptest::prelude::*;

/// A worker of 100 bytes that holds one plan of 80, and the job's failures so far.
struct Run {
    bench: Bench,
    worker: WorkerId,
    session: SessionId,
    job: JobId,
    iter: u64,
}

impl Run {
    fn new() -> Run {
        let mut bench = Bench::new();
        let worker = WorkerId::new();
        let session = bench.connect(worker, "mac", 100, &[]).unwrap();
        let job = bench.submit(None, &[("plan", 80)]);
        Run { bench, worker, session, job, iter: 0 }
    }

    fn is_running(&self) -> bool {
        matches!(self.bench.core.jobs[&self.job].state, State::Leased { .. })
    }

    /// The attempt's next checkpoint, or one that it had reached before.
    fn checkpoint(&mut self, new: bool) {
        self.iter += u64::from(new);
        let content = format!("{}", self.iter);
        let body = ReportBody::Checkpoint { iter: self.iter, artifact: manifest(Kind::Checkpoint, &content) };
        let attempt = self.bench.live(self.job);
        self.bench.report(self.session, attempt, body).unwrap();
    }

    fn fail(&mut self, kind: Cure) {
        let attempt = self.bench.live(self.job);
        self.bench.fail(self.session, attempt, kind);
        self.bench.wait_out_backoff(self.job);
    }

    /// The machine panics under the attempt. A person lets it go on, as they have to where it is the second time.
    fn panic(&mut self) {
        let attempts = vec![self.bench.live(self.job)];
        let (boot, at) = (format!("{}", self.bench.sessions), self.bench.now);
        self.bench.reboots = vec![Reboot { boot, at, panic: Some(String::new()), attempts }];
        self.session = self.bench.connect(self.worker, "mac", 100, &[]).unwrap();
        self.bench.apply(Command::Resume { worker: self.worker, by: person() }).unwrap();
        self.bench.wait_out_backoff(self.job);
    }

    /// The attempt fails and asks for a pause. Gives how long the job waits.
    fn fail_after(&mut self, cure: Cure, pause_ms: u64) -> u64 {
        let failure = Failure { pause_ms, ..Failure::new(cure, "killed", "somebody ended its process") };
        let attempt = self.bench.live(self.job);
        let body = ReportBody::Finished { peak: Bytes(5), outcome: Err(failure) };
        self.bench.report(self.session, attempt, body).unwrap();
        match self.bench.core.jobs[&self.job].state {
            State::Backoff { until } => until.0 - self.bench.now.0,
            state => panic!("{}", state.name()),
        }
    }

    fn reason(&self) -> &str {
        &self.bench.core.jobs[&self.job].reason
    }
}

const HOUR_MS: u64 = 60 * 60 * 1000;

/// How an attempt ends without a result.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Fails(Cure),
    /// Its machine's kernel panics.
    Panics,
}

fn passing() -> impl Strategy<Value = End> {
    let cures = prop::sample::select(vec![Cure::FreshProcess, Cure::Later, Cure::AnotherMachine]);
    prop_oneof![12 => cures.prop_map(End::Fails), 1 => Just(End::Panics)]
}

/// What the promise says, counted another way than the core does: from the end back to the newest headway, panics excepted, which count
/// from the beginning.
fn is_over(history: &[(bool, End)]) -> bool {
    let last = history.iter().rposition(|(headway, _)| *headway).unwrap_or(0);
    let count = |from: usize, end| history[from..].iter().filter(|(_, it)| *it == end).count();
    let passing = [End::Fails(Cure::Later), End::Fails(Cure::AnotherMachine), End::Panics];
    count(last, End::Fails(Cure::FreshProcess)) >= 3
        || passing.iter().map(|end| count(last, *end)).sum::<usize>() > 10
        || count(0, End::Panics) >= 3
}

#[test]
fn what_a_person_ended_waits_through_a_restart_and_says_where_and_how_long() {
    let mut run = Run::new();
    assert_eq!(run.fail_after(Cure::Later, HOUR_MS / 2), HOUR_MS / 2);
    assert_eq!(run.reason(), "on mac: somebody ended its process; tried again in 30 minutes");
    run.bench.advance(HOUR_MS / 2 - 1000);
    run.bench.restart();
    assert_eq!(run.bench.state(run.job), "backoff", "it is not lost, and does not come back at once");
    run.session = run.bench.connect(run.worker, "mac", 100, &[]).unwrap();
    run.bench.advance(1000);
    assert!(run.is_running());
    // A clock that is set back makes no wait longer than it was meant to be.
    run.fail_after(Cure::Later, 2 * HOUR_MS);
    assert!(run.reason().ends_with("tried again in 2 h"), "{}", run.reason());
    run.bench.now = Millis(run.bench.now.0 - 500_000);
    run.bench.restart();
    run.bench.advance(2 * HOUR_MS);
    assert_eq!(run.bench.state(run.job), "queued");
}

#[test]
fn what_another_machine_cures_waits_for_nobody_where_there_is_one() {
    let mut run = Run::new();
    assert!(run.fail_after(Cure::AnotherMachine, HOUR_MS) >= HOUR_MS, "there is none");
    run.bench.wait_out_backoff(run.job);
    run.bench.connect(WorkerId::new(), "other", 100, &[]).unwrap();
    assert!(run.fail_after(Cure::AnotherMachine, HOUR_MS) < HOUR_MS);
    run.bench.wait_out_backoff(run.job);
    let attempt = run.bench.live(run.job);
    assert_eq!(run.bench.core.attempts[&attempt].worker_name, "other");
}

proptest! {
    /// No pause keeps a job for longer than four hours, and one that is asked for is kept, however short the wait would be without.
    #[test]
    fn a_pause_is_kept_and_bounded(pauses in prop::collection::vec(any::<u64>(), 1..10)) {
        let mut run = Run::new();
        for pause in pauses {
            let waits = run.fail_after(Cure::Later, pause);
            prop_assert!(waits <= 4 * HOUR_MS && waits >= pause.min(4 * HOUR_MS));
            run.bench.wait_out_backoff(run.job);
            prop_assert!(run.is_running());
        }
    }

    #[test]
    fn failures_count_from_the_newest_headway_on(rounds in prop::collection::vec((prop::bool::weighted(0.3), passing()), 1..60)) {
        let mut run = Run::new();
        run.checkpoint(true);
        for n in 0..rounds.len() {
            let (headway, end) = rounds[n];
            // A checkpoint that is no further than the newest is no headway.
            run.checkpoint(headway);
            match end {
                End::Fails(cure) => run.fail(cure),
                End::Panics => run.panic(),
            }
            let over = is_over(&rounds[..=n]);
            prop_assert_eq!(run.bench.state(run.job), if over { "failed" } else { "leased" });
            if over {
                break;
            }
        }
    }

    #[test]
    fn any_number_of_crashes_with_headway_is_survived(rounds in prop::collection::vec(0usize..3, 1..40)) {
        let mut run = Run::new();
        for crashes in rounds {
            run.checkpoint(true);
            (0..crashes).for_each(|_| run.fail(Cure::FreshProcess));
        }
        run.checkpoint(true);
        prop_assert!(run.is_running());
    }

    #[test]
    fn a_job_without_headway_ends(kinds in prop::collection::vec(
        prop::sample::select(vec![Cure::FreshProcess, Cure::Later, Cure::AnotherMachine, Cure::MoreMemory]), 20)) {
        let mut run = Run::new();
        for kind in kinds {
            if !run.is_running() {
                break;
            }
            run.fail(kind);
        }
        // Failed, or too large for every worker by now: either way it takes no machine's time any more.
        prop_assert!(!run.is_running());
    }
}

/// What crashes in the same place every time, and whose checkpoints nothing can go on from, saves something in each of its lives.
#[test]
fn checkpoints_that_nothing_goes_on_from_keep_no_job_alive() {
    let (mut bench, _, session, job, mut attempt) = cases::leased();
    let saved = |bench: &mut Bench, attempt, resumed_at, iter: u64| {
        let started = Started { resumed_at, ..Started::default() };
        bench.report(session, attempt, ReportBody::Started(started)).unwrap();
        let artifact = manifest(Kind::Checkpoint, &iter.to_string());
        bench.report(session, attempt, ReportBody::Checkpoint { iter, artifact }).unwrap();
    };
    saved(&mut bench, attempt, 0, 100);
    for _ in 0..2 {
        bench.fail(session, attempt, Cure::FreshProcess);
        bench.wait_out_backoff(job);
        attempt = bench.live(job);
        saved(&mut bench, attempt, 0, 100);
    }
    // One that is read is headway again.
    bench.fail(session, attempt, Cure::Later);
    bench.wait_out_backoff(job);
    attempt = bench.live(job);
    saved(&mut bench, attempt, 100, 200);
    for _ in 0..retry::CRASH_LIMIT {
        assert!(!bench.core.jobs[&job].state.is_terminal());
        bench.fail(session, attempt, Cure::FreshProcess);
        bench.wait_out_backoff(job);
        if let State::Leased { attempt: next } = bench.core.jobs[&job].state {
            attempt = next;
            saved(&mut bench, attempt, 0, 100);
        }
    }
    assert_eq!(bench.core.jobs[&job].state, State::Failed);
}
