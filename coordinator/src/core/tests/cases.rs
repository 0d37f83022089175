//! One situation each.

use super::*;

/// A worker of 100 bytes with a job leased to it.
pub(super) fn leased() -> (Bench, WorkerId, SessionId, JobId, AttemptId) {
    let mut bench = Bench::new();
    let worker = WorkerId::new();
    let session = bench.connect(worker, "mac", 100, &[]).unwrap();
    let job = bench.submit(Some("mine"), &[("large", 80), ("small", 40)]);
    let attempt = bench.live(job);
    bench.sent();
    (bench, worker, session, job, attempt)
}

#[test]
fn a_job_goes_to_a_worker_that_fits_and_ends_with_its_output_and_tag() {
    let mut bench = Bench::new();
    let job = bench.submit(Some("mine"), &[("large", 80)]);
    assert_eq!(bench.core.jobs[&job].reason, "no worker is connected");
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    let attempt = bench.live(job);
    let [Outgoing::Welcome { acks }, Outgoing::Assignment(assignment)] = &bench.sent()[..] else {
        panic!("the welcome comes before the assignment")
    };
    assert!(acks.is_empty());
    assert_eq!((assignment.attempt, assignment.epoch, assignment.reserved), (attempt, Epoch(1), Bytes(80)));
    let caveats = Caveats { cut_examples: 3, ..Caveats::default() };
    bench.report(session, attempt, started(Some(caveats))).unwrap();
    assert_eq!(bench.core.jobs[&job].variants[0].caveats, Some(caveats));
    bench.report(session, attempt, success("out")).unwrap();
    let output = manifest(Kind::Adapter, "out").digest();
    assert_eq!(bench.core.jobs[&job].state, State::Succeeded);
    assert_eq!(bench.core.jobs[&job].output(), Some(output));
    assert_eq!(bench.core.index.tagged("mine"), Some(output));
    assert_eq!(bench.core.index.get(&output).unwrap().job(), Some(job));
    assert_eq!(bench.sent(), [Outgoing::Ack { attempt, number: 1 }, Outgoing::Ack { attempt, number: 2 }]);
}

#[test]
fn an_adapter_does_not_take_the_tag_of_a_dataset_that_was_imported_meanwhile() {
    let (mut bench, _, session, job, attempt) = leased();
    let data = manifest(Kind::Dataset, "data");
    bench.apply(Command::Register { manifest: data.clone(), tags: vec!["mine".to_owned()], by: person() }).unwrap();
    bench.report(session, attempt, success("out")).unwrap();
    assert_eq!(bench.state(job), "succeeded");
    assert_eq!(bench.core.index.tagged("mine"), Some(data.digest()));
    assert_eq!(bench.core.jobs[&job].reason, "`mine` names a dataset by now, so the adapter has no tag");
}

#[test]
fn each_report_is_taken_once_and_in_order() {
    let (mut bench, _, session, _, attempt) = leased();
    let epoch = bench.core.attempts[&attempt].epoch;
    let progress = |number| report(number, progress(Bytes(7)));
    let reports = vec![progress(1), progress(1), progress(3), progress(2)];
    bench.apply(Command::Reports { session, attempt, epoch, reports }).unwrap();
    assert_eq!(bench.sent(), [Outgoing::Ack { attempt, number: 2 }]);
    let taken = bench.journal.iter().filter(|entry| matches!(entry.body, EventBody::Report(_))).count();
    assert_eq!(taken, 2);
    assert_eq!(bench.core.attempts[&attempt].peak, Bytes(7));
}

#[test]
fn a_result_whose_acknowledgement_was_lost_is_acknowledged_again() {
    let (mut bench, _, session, job, attempt) = leased();
    bench.report(session, attempt, success("out")).unwrap();
    let epoch = bench.core.attempts[&attempt].epoch;
    bench.sent();
    bench.apply(Command::Reports { session, attempt, epoch, reports: vec![report(1, success("other"))] }).unwrap();
    assert_eq!(bench.sent(), [Outgoing::Ack { attempt, number: 1 }]);
    assert_eq!(bench.core.jobs[&job].output(), Some(manifest(Kind::Adapter, "out").digest()));
    assert!(bench.core.index.get(&manifest(Kind::Adapter, "other").digest()).is_none());
}

#[test]
fn a_lost_connection_is_not_a_lost_lease() {
    let (mut bench, worker, session, job, attempt) = leased();
    bench.apply(Command::Disconnect { session }).unwrap();
    bench.advance(LEASE_MS - 1);
    assert_eq!(bench.live(job), attempt);
    let session = bench.connect(worker, "mac", 100, &[attempt]).unwrap();
    assert_eq!(bench.sent(), [Outgoing::Welcome { acks: vec![(attempt, 0)] }]);
    bench.advance(LEASE_MS - 1);
    bench.heartbeat(session, &[attempt]).unwrap();
    bench.advance(LEASE_MS - 1);
    assert_eq!(bench.live(job), attempt);
    bench.report(session, attempt, success("out")).unwrap();
    assert_eq!(bench.state(job), "succeeded");
}

#[test]
fn an_expired_lease_goes_to_another_worker_and_the_old_epoch_is_refused() {
    let (mut bench, worker, session, job, old) = leased();
    bench
        .report(session, old, ReportBody::Checkpoint { iter: 5, artifact: manifest(Kind::Checkpoint, "five") })
        .unwrap();
    bench.apply(Command::Disconnect { session }).unwrap();
    let other = bench.connect(WorkerId::new(), "other", 100, &[]).unwrap();
    bench.advance(LEASE_MS);
    assert_eq!(bench.state(job), "backoff");
    assert!(bench.core.jobs[&job].reason.contains("lost on mac"), "{}", bench.core.jobs[&job].reason);
    bench.sent();
    bench.wait_out_backoff(job);
    let new = bench.live(job);
    assert_ne!(new, old);
    let [Outgoing::Assignment(assignment)] = &bench.sent()[..] else { panic!() };
    assert_eq!(assignment.epoch, Epoch(2));
    assert_eq!(assignment.checkpoint, Some(manifest(Kind::Checkpoint, "five").digest()));

    let session = bench.connect(worker, "mac", 100, &[old]).unwrap();
    assert!(bench.sent().iter().any(|m| matches!(m, Outgoing::Stop { attempt, .. } if *attempt == old)));
    bench.report(session, old, success("late")).unwrap();
    assert!(matches!(&bench.sent()[..], [Outgoing::Stop { attempt, .. }] if *attempt == old));
    // Nor can the new epoch be used by who does not hold it.
    bench.report(session, new, success("stolen")).unwrap();
    assert_eq!(bench.live(job), new);
    bench.report(other, new, success("out")).unwrap();
    assert_eq!(bench.core.jobs[&job].output(), Some(manifest(Kind::Adapter, "out").digest()));
}

#[test]
fn a_worker_that_restarted_loses_its_attempt_at_once() {
    let (mut bench, worker, _, job, _) = leased();
    bench.connect(worker, "mac", 100, &[]).unwrap();
    assert_eq!(bench.state(job), "backoff");
    let sent = bench.sent();
    assert!(matches!(&sent[..], [Outgoing::Close { .. }, Outgoing::Welcome { .. }]), "{sent:?}");
}

#[test]
fn a_restarted_coordinator_gives_every_lease_its_full_length() {
    let (mut bench, worker, _, job, attempt) = leased();
    bench.advance(LEASE_MS - 1);
    bench.restart();
    bench.advance(LEASE_MS - 1);
    assert_eq!(bench.live(job), attempt);
    bench.connect(worker, "mac", 100, &[attempt]).unwrap();
    bench.advance(LEASE_MS - 1);
    assert_eq!(bench.live(job), attempt);
    bench.advance(1);
    assert_eq!(bench.state(job), "backoff");
}

#[test]
fn a_clock_that_was_set_back_does_not_stretch_a_backoff() {
    let (mut bench, _, session, job, attempt) = leased();
    bench.fail(session, attempt, Cure::Later);
    bench.now = Millis(1);
    bench.restart();
    bench.advance(retry::LONGEST_MS);
    assert_eq!(bench.state(job), "queued");
}

#[test]
fn a_name_belongs_to_one_connected_worker() {
    let (mut bench, _, session, _, _) = leased();
    let twin = WorkerId::new();
    assert_eq!(bench.connect(twin, "mac", 100, &[]), Err(Refusal::NameTaken("mac".to_owned())));
    bench.apply(Command::Disconnect { session }).unwrap();
    // The old installation still holds a lease, so it stays known.
    bench.connect(twin, "mac", 100, &[]).unwrap();
    assert_eq!(bench.core.workers.len(), 2);
}

#[test]
fn a_hello_that_was_overtaken_neither_replaces_the_session_nor_ends_its_attempt() {
    let (mut bench, worker, session, job, attempt) = leased();
    let machine = Machine { usable: Bytes(100), ..Machine::default() };
    let (secret, process, name) = (secret(worker), ProcessId(worker.0), "mac".to_owned());
    let late = Connect {
        session: SessionId(0),
        worker,
        secret,
        process,
        name,
        machine,
        held: Vec::new(),
        away: None,
        conditions: Conditions::default(),
        reboots: Vec::new(),
    };
    assert_eq!(bench.apply(Command::Connect(late)), Err(Refusal::NoSession));
    assert_eq!((bench.live(job), bench.sent()), (attempt, vec![]));
    bench.heartbeat(session, &[attempt]).unwrap();
}

#[test]
fn an_installation_that_was_set_up_anew_replaces_its_former_self() {
    let mut bench = Bench::new();
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    bench.apply(Command::Disconnect { session }).unwrap();
    let now = WorkerId::new();
    bench.connect(now, "mac", 100, &[]).unwrap();
    assert_eq!(bench.core.workers.keys().copied().collect::<Vec<_>>(), [now]);
    assert_eq!(bench.disk.rows().workers.len(), 1);
}

#[test]
fn cancel_stops_the_attempt_and_its_memory_is_free_once_it_is_gone() {
    let (mut bench, _, session, job, attempt) = leased();
    bench.apply(Command::Cancel { job, by: person() }).unwrap();
    assert_eq!(bench.state(job), "cancelled");
    assert!(matches!(&bench.sent()[..], [Outgoing::Stop { .. }]));
    let next = bench.submit(None, &[("small", 40)]);
    assert_eq!(bench.state(next), "queued");
    bench.heartbeat(session, &[attempt]).unwrap();
    assert_eq!(bench.state(next), "queued");
    bench.heartbeat(session, &[]).unwrap();
    assert_eq!(bench.state(next), "leased");
    bench.report(session, attempt, success("late")).unwrap();
    assert_eq!(bench.core.jobs[&job].output(), None);
    assert_eq!(bench.apply(Command::Cancel { job, by: person() }), Err(Refusal::Ended { id: job, state: "cancelled" }));
}

#[test]
fn what_cannot_be_helped_is_not_tried_again() {
    for kind in [Cure::Never, Cure::Never] {
        let (mut bench, _, session, job, attempt) = leased();
        bench.fail(session, attempt, kind);
        assert_eq!(bench.state(job), "failed");
        assert_eq!(bench.core.jobs[&job].reason, format!("{kind:?}"));
    }
}

#[test]
fn crashes_are_limited() {
    let (mut bench, _, session, job, _) = leased();
    for round in 1..=3 {
        let attempt = bench.live(job);
        bench.fail(session, attempt, Cure::FreshProcess);
        assert_eq!(bench.state(job), if round < 3 { "backoff" } else { "failed" });
        bench.wait_out_backoff(job);
    }
    assert_eq!(bench.core.jobs[&job].attempts.len(), 3);
}

#[test]
fn failures_that_pass_are_tried_ten_times_and_a_checkpoint_starts_the_count_again() {
    let (mut bench, _, session, job, _) = leased();
    for _ in 0..5 {
        let attempt = bench.live(job);
        bench.fail(session, attempt, Cure::Later);
        bench.wait_out_backoff(job);
    }
    let checkpoint = ReportBody::Checkpoint { iter: 1, artifact: manifest(Kind::Checkpoint, "one") };
    let attempt = bench.live(job);
    bench.report(session, attempt, checkpoint).unwrap();
    for _ in 0..10 {
        let attempt = bench.live(job);
        bench.fail(session, attempt, Cure::Later);
        bench.wait_out_backoff(job);
    }
    let attempt = bench.live(job);
    bench.fail(session, attempt, Cure::Later);
    assert_eq!(bench.state(job), "failed");
    assert!(bench.core.jobs[&job].reason.contains("11 times"), "{}", bench.core.jobs[&job].reason);
}

#[test]
fn running_out_of_memory_raises_the_plan_and_goes_to_the_next_or_a_larger_worker() {
    let (mut bench, _, session, job, attempt) = leased();
    bench.fail(session, attempt, Cure::MoreMemory);
    // 80 × 1.25 = 100 still fits; then 125 does not, and the small plan is next.
    let again = bench.live(job);
    assert_eq!(bench.core.attempts[&again].reserved, Bytes(100));
    bench.fail(session, again, Cure::MoreMemory);
    let small = bench.live(job);
    assert_eq!((bench.core.attempts[&small].variant, bench.core.attempts[&small].reserved), (1, Bytes(40)));
    for _ in 0..5 {
        let small = bench.live(job);
        bench.fail(session, small, Cure::MoreMemory);
    }
    assert_eq!(bench.state(job), "queued");
    assert!(bench.core.jobs[&job].reason.starts_with("too large for every worker"), "{}", bench.core.jobs[&job].reason);
    // The machine may have been short of memory for another reason: later jobs are not held to what this one now asks for.
    let key = FactorKey { method: "full".to_owned(), engine: "1".to_owned() };
    assert_eq!(bench.core.factors.factor(&key), 1.0);
    // A larger worker takes it up, with the plan that is preferred.
    bench.connect(WorkerId::new(), "studio", 1_000, &[]).unwrap();
    let large = bench.live(job);
    assert_eq!((bench.core.attempts[&large].variant, bench.core.attempts[&large].reserved), (0, Bytes(125)));
}

#[test]
fn a_checkpoint_of_one_plan_is_not_given_to_another() {
    let (mut bench, _, session, job, attempt) = leased();
    bench
        .report(session, attempt, ReportBody::Checkpoint { iter: 9, artifact: manifest(Kind::Checkpoint, "nine") })
        .unwrap();
    bench.fail(session, attempt, Cure::MoreMemory);
    let again = bench.live(job);
    bench.fail(session, again, Cure::MoreMemory);
    let Some(Outgoing::Assignment(assignment)) = bench.sent().pop() else { panic!() };
    assert_eq!((assignment.variant.as_str(), assignment.checkpoint), ("small", None));
}

#[test]
fn the_newest_checkpoint_wins() {
    let (mut bench, _, session, job, attempt) = leased();
    for iter in [4, 9, 6] {
        let artifact = manifest(Kind::Checkpoint, &iter.to_string());
        bench.report(session, attempt, ReportBody::Checkpoint { iter, artifact }).unwrap();
    }
    let resume = bench.core.jobs[&job].variants[0].resume.unwrap();
    assert_eq!((resume.iter, resume.checkpoint), (9, manifest(Kind::Checkpoint, "9").digest()));
}

/// A worker with another MLX refuses the checkpoint: what it saves then counts, although it is earlier.
#[test]
fn a_run_that_began_anew_goes_on_from_what_it_has_saved_since() {
    let (mut bench, _, session, job, attempt) = leased();
    let checkpoint = |iter: u64| {
        let manifest = manifest(Kind::Checkpoint, &iter.to_string());
        ReportBody::Checkpoint { iter, artifact: manifest }
    };
    let resume = |bench: &Bench| bench.core.jobs[&job].variants[0].resume.map(|resume| resume.iter);
    let started = |resumed_at| ReportBody::Started(Started { resumed_at, ..Started::default() });
    bench.report(session, attempt, checkpoint(9)).unwrap();
    bench.fail(session, attempt, Cure::Later);
    bench.wait_out_backoff(job);
    let attempt = bench.live(job);
    bench.report(session, attempt, started(9)).unwrap();
    assert_eq!(resume(&bench), Some(9), "it goes on");
    bench.fail(session, attempt, Cure::Later);
    bench.wait_out_backoff(job);
    let attempt = bench.live(job);
    bench.report(session, attempt, started(0)).unwrap();
    assert_eq!(resume(&bench), None);
    bench.report(session, attempt, checkpoint(2)).unwrap();
    assert_eq!(resume(&bench), Some(2));
}

#[test]
fn a_plan_too_large_for_all_known_workers_is_refused_with_both_sides_named() {
    let mut bench = Bench::new();
    bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    let refusal = bench.submit_as(JobId::new(), None, 0, &[("huge", 2000), ("big", 1000)]).unwrap_err().to_string();
    for part in ["huge needs 2.0 KiB", "big needs 1000 B", "mac offers 100 B"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert!(bench.core.jobs.is_empty() && bench.journal.is_empty());
}

#[test]
fn priority_goes_before_age_and_age_before_size() {
    let mut bench = Bench::new();
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    let running = bench.submit(None, &[("r", 10)]);
    let big = bench.submit(None, &[("big", 90)]);
    let small = bench.submit(None, &[("small", 10)]);
    let urgent = JobId::new();
    bench.submit_as(urgent, None, 5, &[("urgent", 10)]).unwrap();
    let mut order = Vec::new();
    for job in [running, urgent, big, small] {
        let attempt = bench.live(job);
        bench.report(session, attempt, success(&job.to_string())).unwrap();
        order.push(bench.state(job));
    }
    assert_eq!(order, ["succeeded"; 4]);
}

#[test]
fn a_draining_worker_gets_nothing_new_and_ends_what_it_has() {
    let (mut bench, _, session, job, attempt) = leased();
    bench.apply(Command::Drain { session }).unwrap();
    bench.report(session, attempt, success("out")).unwrap();
    assert_eq!(bench.state(job), "succeeded");
    let next = bench.submit(None, &[("small", 40)]);
    assert_eq!(bench.state(next), "queued");
}

#[test]
fn a_job_that_only_an_absent_worker_can_hold_says_so() {
    let mut bench = Bench::new();
    let session = bench.connect(WorkerId::new(), "studio", 1000, &[]).unwrap();
    bench.apply(Command::Disconnect { session }).unwrap();
    bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    let job = bench.submit(None, &[("big", 500)]);
    assert_eq!(bench.core.jobs[&job].reason, "big (500 B) fits studio, which is not connected");
}

#[test]
fn what_an_attempt_measured_raises_later_predictions() {
    let (mut bench, _, session, _, attempt) = leased();
    let done = ReportBody::Finished { peak: Bytes(88), outcome: Ok(made("out")) };
    bench.report(session, attempt, done).unwrap();
    let key = FactorKey { method: "full".to_owned(), engine: "1".to_owned() };
    assert_eq!(bench.core.factors.factor(&key), 1.1);
    bench.restart();
    assert_eq!(bench.core.factors.factor(&key), 1.1);

    let (mut bench, _, session, _, attempt) = leased();
    let failure = Failure::new(Cure::MoreMemory, "", "too much");
    bench.report(session, attempt, ReportBody::Finished { peak: Bytes(120), outcome: Err(failure) }).unwrap();
    assert_eq!(bench.core.factors.factor(&key), 1.5, "what was seen before memory ran out counts too");
}

#[test]
fn jobs_are_found_by_id_name_and_prefix() {
    let mut bench = Bench::new();
    let (a, b) = (bench.submit(Some("n"), &[("x", 1)]), bench.submit(Some("n"), &[("x", 1)]));
    let found = |reference: &str| bench.core.find_job(reference).map(|job| job.map(|job| job.id));
    let ids = [a.min(b), a.max(b)].map(|id| id.to_string()).to_vec();
    assert_eq!(found(&a.to_string()), Ok(Some(a)));
    assert_eq!(found("n"), Ok(Some(a.max(b))));
    assert_eq!(found(&a.to_string()[..35]), Ok(Some(a)));
    let ambiguous = Ambiguous { prefix: a.to_string()[..4].to_owned(), matches: ids };
    assert_eq!(found(&a.to_string()[..4]), Err(ambiguous.into()));
    assert_eq!(found("nothing"), Ok(None));
    assert_eq!(found(""), Ok(None));
}

#[test]
fn a_copied_folder_waits_until_the_other_process_is_gone() {
    let mut bench = Bench::new();
    let worker = WorkerId::new();
    let (there, copy) = (ProcessId(worker.0), ProcessId::new());
    let session = bench.connect(worker, "studio", 100, &[]).unwrap();
    let since = bench.now;
    let job = bench.submit(None, &[("r", 50)]);
    let attempt = bench.live(job);
    let hello =
        |bench: &mut Bench, process, held: &[_]| bench.connect_as(worker, secret(worker), process, "copy", 100, held);
    // As long as the other one speaks, for ever.
    for _ in 0..10 {
        bench.advance(LEASE_MS / 3);
        bench.heartbeat(session, &[attempt]).unwrap();
        let refused = hello(&mut bench, copy, &[]).unwrap_err();
        assert_eq!(refused, Refusal::OtherProcess { place: "studio".to_owned(), since, silence_ms: LEASE_MS });
    }
    let words = hello(&mut bench, copy, &[]).unwrap_err().to_string();
    for word in ["studio", "1970-01-01 00:16:40 UTC", "worker-id", "30 s"] {
        assert!(words.contains(word), "{words}");
    }
    // A coordinator that restarts does not know who lives: the run is kept for whoever has it.
    bench.restart();
    assert!(hello(&mut bench, copy, &[]).is_err());
    assert_eq!(bench.live(job), attempt);
    hello(&mut bench, there, &[attempt]).unwrap();
    assert_eq!(bench.live(job), attempt);
    // Half-open and silent for a lease: dead.
    bench.advance(LEASE_MS);
    hello(&mut bench, copy, &[]).unwrap();
    assert!(hello(&mut bench, there, &[]).is_err(), "now the other one waits");
}

#[test]
fn a_daemon_that_crashed_gets_in_at_once_when_its_connection_was_closed() {
    let mut bench = Bench::new();
    let worker = WorkerId::new();
    let session = bench.connect(worker, "mac", 100, &[]).unwrap();
    let job = bench.submit(None, &[("r", 50)]);
    bench.apply(Command::Disconnect { session }).unwrap();
    bench.connect_as(worker, secret(worker), ProcessId::new(), "mac", 100, &[]).unwrap();
    assert_eq!(bench.state(job), "backoff", "it came back without its run");
}

#[test]
fn an_id_belongs_to_its_installation_even_when_the_worker_s_row_is_gone() {
    let mut bench = Bench::new();
    let worker = WorkerId::new();
    let session = bench.connect(worker, "mac", 100, &[]).unwrap();
    bench.apply(Command::Disconnect { session }).unwrap();
    bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    assert!(!bench.core.workers.contains_key(&worker), "replaced by another installation of its name");
    bench.restart();
    let thief = bench.connect_as(worker, secret(WorkerId::new()), ProcessId::new(), "thief", 100, &[]);
    assert_eq!(thief, Err(Refusal::OtherInstallation(worker)));
}

#[test]
fn a_worker_whose_disk_has_no_room_is_not_offered_the_job_until_it_has() {
    let mut bench = Bench::new();
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    bench.heartbeat_with_disk(session, Some(Bytes(1000)));
    let job = JobId::new();
    let need = Some(Need { disk: Bytes(900), ..needs(80, Slot::Gpu) });
    let large = submit(job, None, 0, vec![Variant { need, ..variant("full", 80) }]);
    bench.apply(Command::Submit(vec![large])).unwrap();
    // 900 to write, and a base of 100 and a dataset of 10 to fetch.
    assert_eq!(bench.state(job), "queued");
    let reason = &bench.core.jobs[&job].reason;
    assert_eq!(reason, "mac has 1000 B of disk free, the job needs 900 B for what it writes and 110 B for its inputs");
    bench.heartbeat_with_disk(session, Some(Bytes(1010)));
    assert_eq!(bench.state(job), "leased");
    // Once they are there, inputs need no more room; a checkpoint to go on from does.
    let attempt = bench.live(job);
    bench.report(session, attempt, started(Some(Default::default()))).unwrap();
    let checkpoint = ReportBody::Checkpoint { iter: 1, artifact: manifest(Kind::Checkpoint, "one") };
    bench.report(session, attempt, checkpoint).unwrap();
    bench.heartbeat_with_disk(session, Some(Bytes(900)));
    bench.fail(session, attempt, Cure::Later);
    bench.wait_out_backoff(job);
    assert_eq!(bench.state(job), "queued", "{}", bench.core.jobs[&job].reason);
    bench.heartbeat_with_disk(session, Some(Bytes(901)));
    assert_eq!(bench.state(job), "leased");
}
