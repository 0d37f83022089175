//! What befalls machines, by hand.

use super::*;

const HOUR_MS: u64 = 60 * 60 * 1000;

/// A machine, a job that runs on it, and another that waits.
struct Stage {
    bench: Bench,
    mac: WorkerId,
    job: JobId,
}

impl Stage {
    fn new() -> Stage {
        let (mut bench, mac) = (Bench::new(), WorkerId::new());
        bench.connect(mac, "mac", 100, &[]).unwrap();
        let job = bench.submit(None, &[("r", 80)]);
        Stage { bench, mac, job }
    }

    /// The machine goes down under the job's attempt for so long, and its worker comes back.
    fn goes_down(&mut self, boot: &str, panic: Option<&str>, ms: u64) -> AttemptId {
        let attempt = self.bench.live(self.job);
        let session = self.bench.core.workers[&self.mac].session.unwrap();
        self.bench.apply(Command::Disconnect { session }).unwrap();
        self.bench.advance(ms);
        self.comes_back(boot, panic, attempt);
        attempt
    }

    fn comes_back(&mut self, boot: &str, panic: Option<&str>, attempt: AttemptId) {
        let panic = panic.map(str::to_owned);
        self.bench.reboots = vec![Reboot { boot: boot.to_owned(), at: self.bench.now, panic, attempts: vec![attempt] }];
        self.bench.connect(self.mac, "mac", 100, &[]).unwrap();
    }

    fn outcome(&self, attempt: AttemptId) -> (String, Cure, String) {
        match &self.bench.core.attempts[&attempt].outcome {
            Outcome::Failed { message, cure, code } => (message.clone(), *cure, code.clone()),
            other => panic!("{other}"),
        }
    }

    fn checkpoint(&mut self, iter: u64) {
        let attempt = self.bench.live(self.job);
        let session = self.bench.core.workers[&self.bench.core.attempts[&attempt].worker].session.unwrap();
        let artifact = manifest(Kind::Checkpoint, &iter.to_string());
        self.bench.report(session, attempt, ReportBody::Checkpoint { iter, artifact }).unwrap();
    }
}

#[test]
fn a_restart_of_the_machine_is_an_outcome_of_its_own_before_and_after_the_lease_ran_out() {
    for ms in [LEASE_MS / 2, 3 * LEASE_MS] {
        let mut stage = Stage::new();
        let attempt = stage.goes_down("one", None, ms);
        let (message, cure, code) = stage.outcome(attempt);
        assert_eq!((message.as_str(), cure), ("the machine was restarted under it", Cure::AnotherMachine));
        assert_eq!(code, "machine_rebooted");
        stage.bench.wait_out_backoff(stage.job);
        assert_eq!(stage.bench.state(stage.job), "leased", "it counts for nothing else");
    }
}

#[test]
fn after_a_panic_a_machine_cools_down_and_after_two_in_a_day_a_person_has_to_say_so() {
    let mut stage = Stage::new();
    let attempt = stage.goes_down("one", Some("panic(cpu 4 caller 0x1): x"), LEASE_MS / 2);
    assert_eq!(stage.outcome(attempt).2, "machine_panicked");
    assert!(stage.outcome(attempt).0.contains("panic(cpu 4 caller 0x1): x"));
    stage.bench.wait_out_backoff(stage.job);
    assert_eq!(stage.bench.state(stage.job), "queued", "it cools down");
    let told = stage.bench.core.workers[&stage.mac].told_hold().unwrap();
    assert!(told.reason.contains("cools down") && told.by == HeldBy::Coordinator, "{told:?}");
    assert_eq!(told.since, Millis(stage.bench.core.workers[&stage.mac].marks[0].at.0));
    let reader = stage.bench.submit_reader(stage.job).unwrap();
    assert_eq!(stage.bench.state(reader), "blocked");
    // A restart of the coordinator changes nothing, nor does it that the same is told again.
    stage.bench.restart();
    stage.comes_back("one", Some(""), attempt);
    assert_eq!((stage.bench.core.jobs[&stage.job].panics, stage.bench.state(stage.job)), (1, "queued"));
    stage.bench.advance(HOUR_MS / 4);
    assert_eq!(stage.bench.state(stage.job), "leased");

    stage.goes_down("two", Some(""), LEASE_MS / 2);
    stage.bench.advance(30 * 24 * HOUR_MS);
    stage.bench.restart();
    stage.bench.connect(stage.mac, "mac", 100, &[]).unwrap();
    assert_eq!(stage.bench.state(stage.job), "queued", "for as long as nobody says so");
    let hold = stage.bench.core.workers[&stage.mac].hold.clone().unwrap();
    assert_eq!(hold.by, HeldBy::Coordinator);
    assert!(hold.reason.contains("2 kernel panics") && hold.reason.contains("look at the machine"), "{}", hold.reason);
    stage.bench.apply(Command::Resume { worker: stage.mac, by: person() }).unwrap();
    assert_eq!(stage.bench.state(stage.job), "leased");
    assert_eq!(stage.bench.core.workers[&stage.mac].marks, [], "what was before counts no more");
}

#[test]
fn a_machine_that_is_held_for_what_befell_it_still_works_on_its_processor() {
    let mut stage = Stage::new();
    for boot in ["one", "two"] {
        let attempt = AttemptId::new();
        stage.comes_back(boot, Some(""), attempt);
    }
    let slots = [Slot::Gpu, Slot::Service, Slot::Cpu].map(|slot| stage.bench.core.workers[&stage.mac].has_open(slot));
    assert_eq!(slots, [false, false, true]);
    let cpu = Variant { need: Some(needs(10, Slot::Cpu)), ..variant("curate", 0) };
    let id = JobId::new();
    stage.bench.apply(Command::Submit(vec![submit(id, None, 0, vec![cpu])])).unwrap();
    assert_eq!(stage.bench.state(id), "leased");
}

#[test]
fn a_gpu_that_broke_twice_in_a_day_gets_nothing_more() {
    let mut stage = Stage::new();
    let broke = || Failure::new(Cure::AnotherMachine, "gpu_broke", "Caused GPU Hang Error");
    for is_held in [false, true] {
        let attempt = stage.bench.live(stage.job);
        let session = stage.bench.core.workers[&stage.mac].session.unwrap();
        let body = ReportBody::Finished { peak: Bytes(5), outcome: Err(broke()) };
        stage.bench.report(session, attempt, body).unwrap();
        stage.bench.wait_out_backoff(stage.job);
        assert_eq!(stage.bench.core.workers[&stage.mac].hold.is_some(), is_held);
    }
    assert_eq!(stage.bench.state(stage.job), "queued");
    let other = WorkerId::new();
    stage.bench.connect(other, "other", 100, &[]).unwrap();
    let attempt = stage.bench.live(stage.job);
    assert_eq!(stage.bench.core.attempts[&attempt].worker, other, "another machine takes it");
}

#[test]
fn who_holds_a_machine_already_ends_what_befell_it_too() {
    let mut stage = Stage::new();
    stage.bench.apply(Command::Hold { worker: stage.mac, by: person(), reason: "mine".to_owned() }).unwrap();
    for boot in ["one", "two"] {
        stage.comes_back(boot, Some(""), AttemptId::new());
    }
    let hold = |stage: &Stage| stage.bench.core.workers[&stage.mac].hold.clone();
    assert_eq!(hold(&stage).unwrap().reason, "mine");
    stage.bench.apply(Command::Resume { worker: stage.mac, by: person() }).unwrap();
    assert_eq!(hold(&stage), None);
}

#[test]
fn a_job_under_which_machines_panic_ends_whatever_it_saves_in_between() {
    let mut stage = Stage::new();
    for (n, boot) in ["one", "two", "three"].into_iter().enumerate() {
        stage.checkpoint(n as u64 + 1);
        // The lease runs out first, and it is told late.
        stage.goes_down(boot, Some("so it said"), 2 * LEASE_MS);
        // Somebody looks at the machine each time, and lets it go on.
        stage.bench.apply(Command::Resume { worker: stage.mac, by: person() }).unwrap();
        stage.bench.wait_out_backoff(stage.job);
    }
    let job = &stage.bench.core.jobs[&stage.job];
    assert_eq!((job.state, job.panics), (State::Failed, 3));
    assert!(job.reason.contains("3 machines panicked") && job.reason.contains("so it said"), "{}", job.reason);
}

#[test]
fn a_job_that_runs_elsewhere_when_its_third_panic_is_told_may_get_there() {
    let mut stage = Stage::new();
    for boot in ["one", "two"] {
        stage.goes_down(boot, Some(""), 2 * LEASE_MS);
        stage.bench.apply(Command::Resume { worker: stage.mac, by: person() }).unwrap();
        stage.bench.wait_out_backoff(stage.job);
    }
    let attempt = stage.bench.live(stage.job);
    let session = stage.bench.core.workers[&stage.mac].session.unwrap();
    stage.bench.apply(Command::Disconnect { session }).unwrap();
    stage.bench.advance(LEASE_MS);
    stage.bench.wait_out_backoff(stage.job);
    let other = stage.bench.connect(WorkerId::new(), "other", 100, &[]).unwrap();
    let second = stage.bench.live(stage.job);
    stage.comes_back("three", Some(""), attempt);
    assert_eq!((stage.bench.state(stage.job), stage.bench.core.jobs[&stage.job].panics), ("leased", 3));
    stage.bench.fail(other, second, Cure::FreshProcess);
    assert_eq!(stage.bench.state(stage.job), "failed");
}

/// The coordinator's clock was years ahead when the machine panicked.
#[test]
fn a_clock_that_was_set_back_keeps_no_machine_away_for_longer_than_a_panic_does() {
    let mut stage = Stage::new();
    let right = stage.bench.now;
    stage.bench.advance(10 * 365 * 24 * HOUR_MS);
    stage.bench.restart();
    stage.bench.connect(stage.mac, "mac", 100, &[]).unwrap();
    stage.bench.wait_out_backoff(stage.job);
    stage.goes_down("one", Some(""), LEASE_MS / 2);
    stage.bench.now = right;
    stage.bench.restart();
    stage.bench.connect(stage.mac, "mac", 100, &[]).unwrap();
    stage.bench.advance(HOUR_MS / 4);
    assert_eq!(stage.bench.state(stage.job), "leased");
}
