//! Workers that are held, resumed and removed, by hand.

use super::*;

fn hold(bench: &mut Bench, worker: WorkerId, reason: &str) -> Result<(), Refusal> {
    bench.apply(Command::Hold { worker, by: person(), reason: reason.to_owned() })
}

/// Two workers of 100 bytes.
fn two() -> (Bench, [WorkerId; 2], [SessionId; 2]) {
    let (mut bench, ids) = (Bench::new(), [WorkerId::new(), WorkerId::new()]);
    let sessions = [("a", ids[0]), ("b", ids[1])].map(|(name, id)| bench.connect(id, name, 100, &[]).unwrap());
    (bench, ids, sessions)
}

/// What the journal has of workers.
fn told(bench: &Bench) -> Vec<&EventBody> {
    bench.journal.iter().filter(|event| event.job.is_none()).map(|event| &event.body).collect()
}

#[test]
fn a_held_worker_ends_what_it_runs_and_takes_nothing_new_until_it_is_resumed() {
    let (mut bench, [a, b], [on_a, on_b]) = two();
    let first = bench.submit(None, &[("r", 80)]);
    let attempt = bench.live(first);
    assert_eq!(bench.core.attempts[&attempt].worker, a);
    hold(&mut bench, a, "a new disk").unwrap();
    hold(&mut bench, b, "").unwrap();
    let next = bench.submit(None, &[("r", 80)]);
    bench.report(on_a, attempt, success("out")).unwrap();
    assert_eq!((bench.state(first), bench.state(next)), ("succeeded", "queued"));
    // Restarts of the coordinator and of the worker change nothing.
    bench.restart();
    let on_a_again = bench.connect(a, "a", 100, &[]).unwrap();
    bench.connect(b, "b", 100, &[]).unwrap();
    bench.heartbeat(on_a_again, &[]).unwrap();
    assert_eq!(bench.state(next), "queued");
    let held = bench.core.workers[&a].hold.clone().unwrap();
    assert_eq!((held.by.person(), held.since, held.reason.as_str()), (Some(&person()), bench.now, "a new disk"));
    bench.apply(Command::Resume { worker: b, by: person() }).unwrap();
    assert_eq!(bench.core.attempts[&bench.live(next)].worker, b);
    assert!(on_b < on_a_again);
}

#[test]
fn a_worker_that_is_set_up_anew_under_its_name_is_still_held_and_one_that_was_collected_would_not_be() {
    let mut bench = Bench::new();
    let (former, now) = (WorkerId::new(), WorkerId::new());
    let session = bench.connect(former, "mac", 100, &[]).unwrap();
    bench.apply(Command::Disconnect { session }).unwrap();
    hold(&mut bench, former, "two panics").unwrap();
    let forget = Forget { workers: vec![former], ..Forget::default() };
    bench.apply(Command::Forget(forget)).unwrap();
    assert!(bench.core.workers.contains_key(&former), "so it stays");
    bench.connect(now, "mac", 100, &[]).unwrap();
    assert_eq!(bench.core.workers[&now].hold.as_ref().map(|hold| hold.reason.as_str()), Some("two panics"));
    let job = bench.submit(None, &[("r", 80)]);
    assert_eq!(bench.state(job), "queued");
}

#[test]
fn a_service_leaves_a_worker_that_is_held_also_one_that_is_away() {
    let (mut bench, [a, b], [on_a, _]) = two();
    let job = JobId::new();
    let service = Variant { need: Some(needs(60, Slot::Service)), ..variant("serve", 0) };
    bench.apply(Command::Submit(vec![submit(job, None, 0, vec![service])])).unwrap();
    let attempt = bench.live(job);
    bench.report(on_a, attempt, serving()).unwrap();
    bench.apply(Command::Disconnect { session: on_a }).unwrap();
    hold(&mut bench, a, "").unwrap();
    assert_eq!(bench.core.attempts[&bench.live(job)].worker, b);
    assert_eq!((bench.core.jobs[&job].crashes, bench.core.jobs[&job].retries), (0, 0), "it was nobody's fault");
    bench.sent();
    // It comes back with the old process and is told to end it.
    bench.connect(a, "a", 100, &[attempt]).unwrap();
    let stopped = |it: &Outgoing| matches!(it, Outgoing::Stop { attempt: told, .. } if *told == attempt);
    assert!(bench.sent().iter().any(stopped));
}

#[test]
fn a_worker_is_removed_where_nothing_is_lost_by_it_and_joins_anew_with_another_secret() {
    let (mut bench, [a, _], [on_a, on_b]) = two();
    let remove = |bench: &mut Bench| bench.apply(Command::Remove { worker: a, by: person() });
    let refused = |is_held| Err(Refusal::WorkerThere { name: "a".to_owned(), is_held });
    assert_eq!(remove(&mut bench), refused(false));
    let job = bench.submit(None, &[("r", 80)]);
    let attempt = bench.live(job);
    hold(&mut bench, a, "sold").unwrap();
    assert_eq!(remove(&mut bench), refused(true));
    // Away, its lease has not expired: what it ran is tried again at once.
    bench.apply(Command::Disconnect { session: on_a }).unwrap();
    assert_eq!(remove(&mut bench), Ok(()));
    assert_eq!(bench.core.jobs[&job].reason, "lost on a: its worker was removed");
    bench.wait_out_backoff(job);
    assert_ne!(bench.live(job), attempt);
    assert_eq!(remove(&mut bench), Err(Refusal::NoWorker(a)));
    // Another secret takes the id over, and nobody holds it.
    let stranger = secret(WorkerId::new());
    let session = bench.connect_as(a, stranger, ProcessId::new(), "a", 100, &[attempt]).unwrap();
    assert_eq!(bench.core.workers[&a].hold, None);
    let told = bench.sent();
    assert!(told.iter().any(|it| matches!(it, Outgoing::Stop { attempt: old, .. } if *old == attempt)), "{told:?}");
    // Held and idle it is removed although it is there, and its session is over.
    bench.heartbeat(session, &[]).unwrap();
    hold(&mut bench, a, "").unwrap();
    assert_eq!(remove(&mut bench), Ok(()));
    assert!(matches!(&bench.sent()[..], [Outgoing::Close { .. }]));
    assert_eq!(bench.heartbeat(session, &[]), Err(Refusal::NoSession));
    assert_eq!(bench.heartbeat(on_b, &[bench.live(job)]), Ok(()));
    bench.restart();
    assert!(!bench.core.workers.contains_key(&a) && !bench.core.installations.contains_key(&a));
}

#[test]
fn the_journal_has_who_held_a_worker_and_why_once() {
    let (mut bench, [a, _], [on_a, _]) = two();
    for _ in 0..2 {
        hold(&mut bench, a, "a new disk").unwrap();
    }
    for _ in 0..2 {
        bench.apply(Command::Resume { worker: a, by: person() }).unwrap();
    }
    bench.apply(Command::Disconnect { session: on_a }).unwrap();
    bench.apply(Command::Remove { worker: a, by: person() }).unwrap();
    let (name, by) = ("a".to_owned(), person());
    let held = EventBody::Held {
        worker: a,
        name: name.clone(),
        by: HeldBy::Person(by.clone()),
        reason: "a new disk".to_owned(),
    };
    let resumed = EventBody::Resumed { worker: a, name: name.clone(), by: by.clone() };
    assert_eq!(told(&bench), [&held, &resumed, &EventBody::Removed { worker: a, name, by }]);
}

#[test]
fn a_worker_is_found_by_its_name_by_its_id_and_by_what_only_its_id_begins_with() {
    let (bench, [a, b], _) = two();
    let found = |text: &str| bench.core.find_worker(text).map(|found| found.map(|worker| worker.id));
    assert_eq!((found("a"), found("b")), (Ok(Some(a)), Ok(Some(b))));
    let id = b.to_string();
    assert_eq!((found(&id), found(&id.to_uppercase()), found("")), (Ok(Some(b)), Ok(Some(b)), Ok(None)));
    let both: String = a.to_string().chars().zip(id.chars()).take_while(|(x, y)| x == y).map(|(x, _)| x).collect();
    assert!(both.is_empty() || found(&both).is_err());
    assert_eq!((found(&id[..=both.len()]), found("c!")), (Ok(Some(b)), Ok(None)));
}

/// Else the job would wait for as long as nobody resumes the other, beside a machine that has nothing to do.
#[test]
fn a_job_that_a_machine_failed_does_not_wait_for_one_that_takes_nothing() {
    type Close = fn(&mut Bench, WorkerId, SessionId);
    let closes: [Close; 3] = [
        |bench, b, _| hold(bench, b, "a new disk").unwrap(),
        |bench, _, session| bench.apply(Command::Drain { session }).unwrap(),
        |bench, _, session| {
            bench.apply(Command::Away { session, reason: Some("its lid is closed".to_owned()) }).unwrap()
        },
    ];
    for close in closes {
        let (mut bench, [a, b], [on_a, on_b]) = two();
        let job = bench.submit(None, &[("r", 80)]);
        let attempt = bench.live(job);
        bench.fail(on_a, attempt, Cure::AnotherMachine);
        close(&mut bench, b, on_b);
        bench.wait_out_backoff(job);
        assert_eq!(bench.state(job), "leased", "{}", bench.core.jobs[&job].reason);
        assert_eq!(bench.core.attempts[&bench.live(job)].worker, a);
    }
}

#[test]
fn a_machine_that_is_set_up_anew_while_its_former_self_has_a_lease_is_still_held() {
    let mut bench = Bench::new();
    let (former, now) = (WorkerId::new(), WorkerId::new());
    let session = bench.connect(former, "mac", 100, &[]).unwrap();
    bench.submit(None, &[("r", 80)]);
    hold(&mut bench, former, "mine").unwrap();
    bench.apply(Command::Disconnect { session }).unwrap();
    bench.connect(now, "mac", 100, &[]).unwrap();
    assert_eq!(bench.core.workers[&now].hold.as_ref().map(|hold| hold.reason.as_str()), Some("mine"));
    let next = bench.submit(None, &[("r", 80)]);
    assert_eq!(bench.state(next), "queued");
}
