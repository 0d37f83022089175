//! Jobs that read what others make.

use super::*;

/// A job that runs on a worker of 100 bytes, and one that reads what it makes.
fn pair() -> (Bench, SessionId, JobId, JobId) {
    let mut bench = Bench::new();
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    let source = bench.submit(Some("first"), &[("large", 80)]);
    let reader = bench.submit_reader(source).unwrap();
    (bench, session, source, reader)
}

#[test]
fn a_reader_waits_for_its_source_and_gets_what_that_has_made() {
    let (mut bench, session, source, reader) = pair();
    assert_eq!(bench.state(reader), "blocked");
    assert_eq!(bench.core.jobs[&reader].reason, "waits for what first (leased) makes");
    bench.restart();
    let attempt = bench.live(source);
    let session = bench.core.workers.values().next().and_then(|worker| worker.session).unwrap_or(session);
    assert!(bench.report(session, attempt, success("out")).is_err(), "the session ended with the restart");
    let worker = *bench.core.workers.keys().next().unwrap();
    let session = bench.connect(worker, "mac", 100, &[attempt]).unwrap();
    bench.sent();
    bench.report(session, attempt, success("out")).unwrap();
    let [Outgoing::Ack { .. }, Outgoing::Assignment(given)] = &bench.sent()[..] else { panic!("not given at once") };
    let made_digest = manifest(Kind::Adapter, "out").digest();
    assert_eq!((given.job, &given.inputs[..]), (reader, &[("base".to_owned(), made_digest)][..]));
    assert_eq!((given.slot, given.reserved), (Slot::Cpu, Bytes(30)), "the need was known when the input was");
}

#[test]
fn when_a_source_fails_all_that_need_it_end_and_say_why() {
    let (mut bench, session, source, reader) = pair();
    let next = bench.submit_reader(reader).unwrap();
    let attempt = bench.live(source);
    bench.fail(session, attempt, Cure::Never);
    assert_eq!((bench.state(source), bench.state(reader), bench.state(next)), ("failed", "failed", "failed"));
    assert_eq!(bench.core.jobs[&reader].reason, "it needs what first makes, which failed");
    assert!(bench.core.jobs[&next].reason.starts_with("it needs what "));
    let late = bench.submit_reader(source).unwrap_err();
    assert!(matches!(late, Refusal::NoOutput { state: "failed", .. }), "{late}");
    assert!(late.hint().unwrap().contains("vertigo rerun"));
}

#[test]
fn a_cancelled_source_cancels_its_readers_and_a_pipeline_is_cancelled_whole() {
    let (mut bench, _, source, reader) = pair();
    bench.apply(Command::Cancel { job: source, by: person() }).unwrap();
    assert_eq!((bench.state(source), bench.state(reader)), ("cancelled", "cancelled"));
    assert!(bench.core.jobs[&reader].reason.contains("first"), "{}", bench.core.jobs[&reader].reason);

    let (one, two) = (JobId::new(), JobId::new());
    let labelled = |id, variant| Submit {
        labels: [("pipeline".to_owned(), "p".to_owned())].into(),
        ..submit(id, None, 0, vec![variant])
    };
    let jobs = vec![labelled(one, variant("large", 80)), labelled(two, reader_of(one))];
    bench.apply(Command::Submit(jobs)).unwrap();
    let other = bench.submit(None, &[("other", 80)]);
    bench.apply(Command::CancelAll { label: "pipeline", value: "p".to_owned(), by: person() }).unwrap();
    assert_eq!((bench.state(one), bench.state(two)), ("cancelled", "cancelled"));
    assert_ne!(bench.state(other), "cancelled");
}

fn reader_of(source: JobId) -> Variant {
    super::reader("reader", source)
}

#[test]
fn jobs_of_a_call_are_queued_together_or_not_at_all() {
    let mut bench = Bench::new();
    let (first, second) = (JobId::new(), JobId::new());
    let backwards =
        vec![submit(second, None, 0, vec![reader_of(first)]), submit(first, None, 0, vec![variant("large", 80)])];
    assert_eq!(bench.apply(Command::Submit(backwards.clone())), Err(Refusal::NoJob(first)));
    assert!(bench.core.jobs.is_empty(), "a source comes before its reader");
    let forwards: Vec<_> = backwards.into_iter().rev().collect();
    bench.apply(Command::Submit(forwards.clone())).unwrap();
    bench.apply(Command::Submit(forwards)).unwrap();
    assert_eq!(bench.core.jobs.len(), 2, "the same call again changes nothing");
}

#[test]
fn what_turns_out_to_be_impossible_fails_with_its_reason_and_takes_no_worker() {
    let (mut bench, session, source, _) = pair();
    let id = JobId::new();
    bench.apply(Command::Submit(vec![submit(id, None, 0, vec![super::reader("impossible", source)])])).unwrap();
    let attempt = bench.live(source);
    bench.report(session, attempt, success("out")).unwrap();
    assert_eq!((bench.state(id), bench.core.jobs[&id].reason.as_str()), ("failed", "impossible: it cannot be done"));
    assert!(bench.core.jobs[&id].attempts.is_empty());
}

#[test]
fn a_worker_that_sends_other_outputs_than_its_kind_makes_is_not_believed() {
    let (mut bench, session, source, _) = pair();
    let attempt = bench.live(source);
    let wrong = Made { outputs: vec![("model".to_owned(), manifest(Kind::Model, "out"))], remark: String::new() };
    bench.report(session, attempt, ReportBody::Finished { peak: Bytes(1), outcome: Ok(wrong) }).unwrap();
    assert_eq!(bench.state(source), "backoff");
    let reason = &bench.core.jobs[&source].reason;
    assert!(reason.contains("[model (model)]") && reason.contains("[adapter (adapter), best (adapter)]"), "{reason}");
}

#[test]
fn a_remark_is_the_reason_of_a_success() {
    let (mut bench, session, source, _) = pair();
    let attempt = bench.live(source);
    let outcome = Ok(Made { remark: "it lost what it had learned".to_owned(), ..made("out") });
    bench.report(session, attempt, ReportBody::Finished { peak: Bytes(1), outcome }).unwrap();
    assert_eq!(
        (bench.state(source), bench.core.jobs[&source].reason.as_str()),
        ("succeeded", "it lost what it had learned")
    );
}

#[test]
fn a_cpu_attempt_runs_beside_a_gpu_attempt_within_the_memory_and_large_jobs_are_not_starved() {
    let mut bench = Bench::new();
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    let on = |slot, peak| Variant { need: Some(needs(peak, slot)), ..variant("r", 0) };
    let mut queue = |slot, peak| {
        let id = JobId::new();
        bench.apply(Command::Submit(vec![submit(id, None, 0, vec![on(slot, peak)])])).unwrap();
        id
    };
    let (train, fuse, second) = (queue(Slot::Gpu, 60), queue(Slot::Cpu, 30), queue(Slot::Gpu, 90));
    let small = queue(Slot::Cpu, 5);
    assert_eq!((bench.state(train), bench.state(fuse), bench.state(second)), ("leased", "leased", "queued"));
    assert_eq!(
        bench.state(small),
        "leased",
        "the second training run waits for the GPU, so nobody is kept from the CPU"
    );
    let (attempt, after) = (bench.live(train), bench.live(small));
    bench.report(session, attempt, success("out")).unwrap();
    assert_eq!(bench.state(second), "queued", "65 of 100 are free, and it needs 90");
    bench.report(session, after, success("small")).unwrap();
    let id = JobId::new();
    bench.apply(Command::Submit(vec![submit(id, None, 0, vec![on(Slot::Cpu, 5)])])).unwrap();
    assert_eq!(bench.state(id), "queued", "it would keep the older job from its memory");
    let attempt = bench.live(fuse);
    bench.report(session, attempt, success("fused")).unwrap();
    assert_eq!((bench.state(second), bench.state(id)), ("leased", "leased"));
}

#[test]
fn a_machine_that_failed_a_job_comes_last_for_it() {
    let mut bench = Bench::new();
    let small = bench.connect(WorkerId::new(), "small", 100, &[]).unwrap();
    let job = bench.submit(None, &[("large", 80)]);
    let attempt = bench.live(job);
    bench.fail(small, attempt, Cure::AnotherMachine);
    bench.wait_out_backoff(job);
    assert_eq!(bench.state(job), "leased", "there is no other");
    let attempt = bench.live(job);
    bench.connect(WorkerId::new(), "large", 200, &[]).unwrap();
    bench.fail(small, attempt, Cure::AnotherMachine);
    bench.wait_out_backoff(job);
    assert_eq!(bench.core.attempts[&bench.live(job)].worker_name, "large");
}
