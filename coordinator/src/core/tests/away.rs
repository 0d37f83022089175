//! Workers that their machines' owners keep away.

use super::cases::leased;
use super::*;

fn away(bench: &mut Bench, session: SessionId, reason: Option<&str>) {
    bench.apply(Command::Away { session, reason: reason.map(str::to_owned) }).unwrap();
}

#[test]
fn what_a_worker_gives_back_goes_elsewhere_at_once_and_counts_against_no_job() {
    let (mut bench, _, session, job, attempt) = leased();
    away(&mut bench, session, Some("it runs on battery"));
    assert_eq!(bench.live(job), attempt, "the worker gives it back itself");
    bench
        .report(session, attempt, ReportBody::Checkpoint { iter: 7, artifact: manifest(Kind::Checkpoint, "7") })
        .unwrap();
    bench.report(session, attempt, given_back()).unwrap();
    assert_eq!(bench.state(job), "queued");
    let name = bench.core.workers.values().next().unwrap().name.clone();
    let told = bench.journal.iter().filter_map(|event| match &event.body {
        EventBody::State { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert!(told.into_iter().any(|reason| reason == format!("given back by {name}: it runs on battery")));
    assert!(bench.core.jobs[&job].reason.ends_with(&format!("fits {name}, which is kept away: it runs on battery")));
    assert_eq!((bench.core.jobs[&job].retries, bench.core.jobs[&job].crashes), (0, 0));
    let other = bench.connect(WorkerId::new(), "other", 1000, &[]).unwrap();
    let second = bench.live(job);
    assert_ne!(second, attempt);
    // For as often as machines come and go: nothing ever fails by it.
    for turn in 0..30 {
        let (from, to) = if turn % 2 == 0 { (other, session) } else { (session, other) };
        away(&mut bench, to, None);
        away(&mut bench, from, Some("somebody used it within 15m"));
        let attempt = bench.live(job);
        bench.report(from, attempt, given_back()).unwrap();
        assert!(matches!(bench.core.jobs[&job].state, State::Leased { .. }), "turn {turn}");
    }
    assert_eq!(bench.core.jobs[&job].retries, 0);
}

#[test]
fn a_worker_that_comes_back_is_given_what_waits() {
    let mut bench = Bench::new();
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    away(&mut bench, session, Some("its lid is closed"));
    let job = bench.submit(None, &[("small", 40)]);
    assert_eq!(bench.core.jobs[&job].reason, "small (40 B) fits mac, which is kept away: its lid is closed");
    away(&mut bench, session, None);
    bench.live(job);
}

#[test]
fn one_that_gives_back_without_being_away_is_counted_as_any_other() {
    let (mut bench, _, session, job, attempt) = leased();
    bench.report(session, attempt, given_back()).unwrap();
    assert_eq!((bench.state(job), bench.core.jobs[&job].retries), ("backoff", 1));
}

#[test]
fn a_worker_may_be_away_when_it_connects() {
    let mut bench = Bench::new();
    let waiting = bench.submit(None, &[("small", 40)]);
    let hello = |session, away: Option<&str>| {
        let worker = WorkerId::new();
        let machine = Machine { usable: Bytes(100), gpu_slots: 1, ..Machine::default() };
        let (process, name) = (ProcessId::new(), format!("mac-{session}"));
        let (session, away) = (SessionId(session), away.map(str::to_owned));
        Connect {
            session,
            worker,
            secret: secret(worker),
            process,
            name,
            machine,
            held: Vec::new(),
            away,
            conditions: Conditions::default(),
            reboots: Vec::new(),
        }
    };
    bench.apply(Command::Connect(hello(7, Some("it runs on battery")))).unwrap();
    assert_eq!(bench.state(waiting), "queued");
    bench.apply(Command::Connect(hello(8, None))).unwrap();
    bench.live(waiting);
}

#[test]
fn a_worker_that_is_there_is_told_its_policy_and_one_that_is_not_cannot_be() {
    let mut bench = Bench::new();
    let worker = WorkerId::new();
    let set_policy =
        |bench: &mut Bench| bench.apply(Command::SetPolicy { worker, when: "on-ac".to_owned(), by: person() });
    assert_eq!(set_policy(&mut bench), Err(Refusal::NoWorker(worker)));
    let session = bench.connect(worker, "mac", 100, &[]).unwrap();
    bench.sent();
    set_policy(&mut bench).unwrap();
    assert_eq!(bench.sent(), [Outgoing::Policy { when: "on-ac".to_owned() }]);
    bench.apply(Command::StartAnew { worker, by: person() }).unwrap();
    let told: Vec<_> = bench.journal.iter().map(|event| event.body.clone()).collect();
    let (name, by, when) = ("mac".to_owned(), person(), "on-ac".to_owned());
    let set = EventBody::Set { worker, name: name.clone(), by: by.clone(), when };
    assert_eq!(told, [set, EventBody::StartedAnew { worker, name, by }], "one that was refused is told of nowhere");
    bench.apply(Command::Disconnect { session }).unwrap();
    assert_eq!(set_policy(&mut bench), Err(Refusal::WorkerNotThere("mac".to_owned())));
}

#[test]
fn a_worker_of_an_earlier_release_is_told_nothing_that_it_would_pass_over() {
    let mut bench = Bench::new();
    let worker = WorkerId::new();
    bench.edition = 0;
    let session = bench.connect(worker, "mac", 100, &[]).unwrap();
    assert_eq!(bench.sent(), [Outgoing::Welcome { acks: Vec::new() }]);
    let too_old = Refusal::WorkerTooOld { name: "mac".to_owned(), version: String::new() };
    let by = person();
    let set = Command::SetPolicy { worker, when: "on-ac".to_owned(), by: by.clone() };
    for command in [set, Command::StartAnew { worker, by }] {
        assert_eq!(bench.apply(command), Err(too_old.clone()));
    }
    assert_eq!(bench.sent(), []);
    // It works on, and once it is another it is told.
    let waiting = bench.submit(None, &[("small", 40)]);
    bench.live(waiting);
    bench.apply(Command::Disconnect { session }).unwrap();
    bench.edition = 1;
    bench.connect(worker, "mac", 100, &[]).unwrap();
    bench.apply(Command::StartAnew { worker, by: person() }).unwrap();
    assert!(bench.sent().contains(&Outgoing::StartAnew));
}
