//! Jobs that wait until nobody looks at a machine's screen, and machines that are short of memory.

use super::*;
use vertigo::task::code;

const HALF_AN_HOUR_MS: u64 = 30 * 60 * 1000;

/// A bench with one worker that says this of its screen, and a job that has just kept its GPU too long for the last time.
fn too_long(is_watched: Option<bool>) -> (Bench, SessionId, JobId) {
    let mut bench = Bench::new();
    bench.conditions.is_watched = is_watched;
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    let job = bench.submit(None, &[("small", 40)]);
    fail(&mut bench, session, job);
    (bench, session, job)
}

fn fail(bench: &mut Bench, session: SessionId, job: JobId) {
    let failure = Failure::new(Cure::AnotherMachine, code::GPU_TOO_LONG, "the screen stood still");
    let failure = Failure { pause_ms: HALF_AN_HOUR_MS, ..failure };
    let attempt = bench.live(job);
    bench.report(session, attempt, ReportBody::Finished { peak: Bytes(5), outcome: Err(failure) }).unwrap();
}

fn watched(bench: &mut Bench, session: SessionId, is_watched: Option<bool>) {
    let conditions = Conditions { is_watched, ..Conditions::default() };
    bench.apply(Command::Conditions { session, conditions }).unwrap();
}

/// Lets time pass and keeps the worker's session alive; there is no lease.
fn pass(bench: &mut Bench, ms: u64) {
    bench.advance(ms);
}

#[test]
fn a_job_waits_until_nobody_looks_at_the_screen_however_long_that_is() {
    let (mut bench, session, job) = too_long(Some(true));
    let reason = bench.core.jobs[&job].reason.clone();
    assert!(reason.starts_with("on mac: ") && reason.contains("when nobody looks at its screen"), "{reason}");
    for _ in 0..20 {
        pass(&mut bench, HALF_AN_HOUR_MS);
        assert_eq!(bench.state(job), "backoff", "somebody looks at it still");
    }
    assert!(bench.core.jobs[&job].reason.contains("the screen of mac still"), "{}", bench.core.jobs[&job].reason);
    assert_eq!(bench.core.jobs[&job].retries, 1, "to wait is no failure");
    watched(&mut bench, session, None);
    assert_eq!(bench.state(job), "backoff", "it is not known that nobody looks");
    watched(&mut bench, session, Some(false));
    bench.live(job);
    let told = bench.journal.iter().any(|event| {
        matches!(&event.body, EventBody::State { reason, .. } if reason == "nobody looks at the screen of mac any more")
    });
    assert!(told);
}

#[test]
fn a_machine_that_does_not_say_is_waited_for_by_time() {
    for is_watched in [None, Some(false)] {
        let (mut bench, _, job) = too_long(is_watched);
        let reason = &bench.core.jobs[&job].reason;
        assert!(reason.ends_with("tried again in 30 minutes"), "{reason}");
        pass(&mut bench, HALF_AN_HOUR_MS - 1);
        assert_eq!(bench.state(job), "backoff");
        pass(&mut bench, 1);
        bench.live(job);
    }
}

#[test]
fn another_machine_takes_the_job_as_soon_as_it_is_there() {
    let (mut bench, _, job) = too_long(Some(true));
    bench.connect(WorkerId::new(), "too small", 30, &[]).unwrap();
    assert_eq!(bench.state(job), "backoff");
    bench.conditions.is_watched = Some(true);
    let other = WorkerId::new();
    bench.connect(other, "other", 50, &[]).unwrap();
    let attempt = bench.live(job);
    assert_eq!(bench.core.attempts[&attempt].worker, other);
}

#[test]
fn a_machine_that_goes_away_keeps_its_job_no_longer_than_by_time() {
    let (mut bench, session, job) = too_long(Some(true));
    bench.apply(Command::Disconnect { session }).unwrap();
    pass(&mut bench, HALF_AN_HOUR_MS);
    assert_eq!(bench.state(job), "queued");
}

#[test]
fn other_pauses_end_by_time_alone() {
    let mut bench = Bench::new();
    bench.conditions.is_watched = Some(true);
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    let job = bench.submit(None, &[("small", 40)]);
    let failure = Failure { pause_ms: HALF_AN_HOUR_MS, ..Failure::new(Cure::Later, "killed", "somebody ended it") };
    let attempt = bench.live(job);
    bench.report(session, attempt, ReportBody::Finished { peak: Bytes(5), outcome: Err(failure) }).unwrap();
    watched(&mut bench, session, Some(false));
    assert_eq!(bench.state(job), "backoff");
    watched(&mut bench, session, Some(true));
    pass(&mut bench, HALF_AN_HOUR_MS);
    bench.live(job);
}

#[test]
fn a_machine_that_is_short_of_memory_is_given_less_until_it_is_not() {
    let mut bench = Bench::new();
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    let short = |bench: &mut Bench, withheld| {
        let conditions = Conditions { withheld: Bytes(withheld), ..Conditions::default() };
        bench.apply(Command::Conditions { session, conditions }).unwrap();
    };
    short(&mut bench, 25);
    let job = bench.submit(None, &[("large", 80)]);
    assert_eq!(
        bench.core.jobs[&job].reason,
        "large (80 B) fits mac, but 0 B of its 100 B are reserved and 25 B withheld while its memory is short"
    );
    short(&mut bench, 0);
    let attempt = bench.live(job);
    // What runs there has what it was promised.
    short(&mut bench, 50);
    assert_eq!(bench.live(job), attempt);
}
