//! What a job is said to wait for: each state of the one worker that could take it.

use super::*;
use crate::core::worker::Reservation;

const MAC: &str = "mac";

/// A worker that is busy with one job, and another job that waits for it.
fn stage() -> (Bench, WorkerId, JobId) {
    let mut bench = Bench { twin: None, ..Bench::new() };
    let mac = WorkerId::new();
    bench.connect(mac, MAC, 100, &[]).unwrap();
    let first = bench.submit(None, &[("first", 80)]);
    bench.live(first);
    let waits = bench.submit(None, &[("next", 60)]);
    (bench, mac, waits)
}

fn reason(bench: &Bench, job: JobId) -> String {
    Reasons::new(&bench.core).of(&bench.core.jobs[&job])
}

/// What is said once the worker was changed like this.
fn told(change: impl FnOnce(&mut Worker)) -> String {
    let (mut bench, mac, waits) = stage();
    bench.core.workers.change(mac, change).unwrap();
    reason(&bench, waits)
}

fn held(by: HeldBy, reason: &str) -> Option<Hold> {
    Some(Hold { by, since: Millis(1_795_879_259_000), reason: reason.to_owned() })
}

#[test]
fn whatever_the_worker_does_is_what_the_job_is_said_to_wait_for() {
    type Case = (fn(&mut Worker), &'static str);
    let cases: [Case; 17] = [
        (|_| {}, "next (60 B) fits mac, but mac is busy"),
        (
            |mac| mac.hold = held(HeldBy::Person(person()), "a new disk"),
            "which is held by laptop since 2026-11-28 15:20 UTC: a new disk; `vertigo resume mac` ends it",
        ),
        (
            |mac| mac.hold = held(HeldBy::Person(person()), ""),
            "which is held by laptop since 2026-11-28 15:20 UTC; `vertigo resume mac` ends it",
        ),
        (
            |mac| mac.hold = held(HeldBy::Coordinator, "2 kernel panics within a day: look at the machine first"),
            "which is held since 2026-11-28 15:20 UTC: 2 kernel panics within a day: look at the machine first; \
             `vertigo resume mac` ends it",
        ),
        (
            |mac| mac.cools_until = Some(Millis(1_795_880_159_000)),
            "which is held since 2026-11-28 15:20 UTC: its kernel panicked, and its GPU cools down for a quarter of an hour; \
             `vertigo resume mac` ends it",
        ),
        (|mac| mac.draining = true, "fits mac, which drains: it is about to go"),
        (|mac| mac.away = Some("its lid is closed".to_owned()), "fits mac, which is kept away: its lid is closed"),
        (|mac| mac.session = None, "fits mac, which is not connected"),
        (|mac| mac.machine.gpu_slots = 0, "fits mac, which has no slot for its GPU"),
        (|mac| mac.machine.gpu_slots = 2, "fits mac, but 80 B of its 100 B are reserved"),
        (
            |mac| {
                mac.leases.clear();
                mac.stopping.insert(AttemptId::new());
            },
            "but mac still ends what it was told to stop",
        ),
        (
            |mac| mac.machine.disk_free = Some(Bytes(5)),
            "mac has 5 B of disk free, the job needs 0 B for what it writes and 110 B for its inputs",
        ),
        (
            |mac| mac.machine.usable = Bytes(50),
            "too large for every worker: mac offers the most, 50 B, and the smallest variant, next, needs 60 B",
        ),
        // Of several, the one that a person ends is said first.
        (
            |mac| {
                (mac.hold, mac.draining, mac.away) =
                    (held(HeldBy::Coordinator, ""), true, Some("it is hot".to_owned()));
            },
            "which is held since 2026-11-28 15:20 UTC; `vertigo resume mac` ends it",
        ),
        (|mac| (mac.draining, mac.away) = (true, Some("it is hot".to_owned())), "which drains: it is about to go"),
        // What holds it for its GPU alone does not say so of the processor, whose slots are taken.
        (
            |mac| {
                mac.hold = held(HeldBy::Coordinator, "");
                mac.machine.gpu_slots = 0;
            },
            "which has no slot for its GPU",
        ),
        (
            |mac| {
                let cpu = Reservation { slot: Slot::Cpu, memory: Bytes(1) };
                mac.leases.insert(AttemptId::new(), cpu);
            },
            "but mac is busy",
        ),
    ];
    for (change, words) in cases {
        let told = told(change);
        assert!(told.ends_with(words), "{words}: {told}");
    }
}

#[test]
fn a_worker_that_is_kept_for_another_job_is_said_to_be() {
    let (mut bench, mac, waits) = stage();
    bench.core.workers.change(mac, |mac| mac.machine.gpu_slots = 2);
    let before = bench.core.jobs.values().map(|job| job.rank()).min().unwrap();
    bench.core.workers.keep(mac, before);
    assert_eq!(reason(&bench, waits), "next (60 B) fits mac, but mac is kept for a job that goes before");
}

#[test]
fn what_passes_by_itself_is_waited_for_and_where_nothing_does_the_person_who_can_end_it_is_told() {
    let mut bench = Bench::new();
    let [mac, studio] = [(MAC, 100), ("studio", 200)].map(|(name, usable)| {
        let id = WorkerId::new();
        (id, bench.connect(id, name, usable, &[]).unwrap())
    });
    let first = bench.submit(None, &[("first", 150)]);
    bench.live(first);
    let hold = |worker| Command::Hold { worker, by: person(), reason: "a new disk".to_owned() };
    bench.apply(hold(mac.0)).unwrap();
    let waits = bench.submit(None, &[("next", 60)]);
    assert_eq!(bench.core.jobs[&waits].reason, "next (60 B) fits studio, but studio is busy");
    bench.apply(hold(studio.0)).unwrap();
    // Whoever follows the job reads it, and the command.
    let told = bench.core.jobs[&waits].reason.clone();
    assert!(
        told.contains("fits mac, which is held by laptop") && told.ends_with("`vertigo resume mac` ends it"),
        "{told}"
    );
    bench.apply(Command::Resume { worker: mac.0, by: person() }).unwrap();
    let attempt = bench.live(waits);
    // It fails there, and is left to the other one, which takes such jobs and is busy.
    bench.apply(Command::Resume { worker: studio.0, by: person() }).unwrap();
    bench.fail(mac.1, attempt, Cure::AnotherMachine);
    bench.wait_out_backoff(waits);
    assert_eq!(bench.core.jobs[&waits].reason, "next (60 B) fits studio, but studio is busy");
    // Nobody else would take it now: it goes back to where it failed.
    bench.apply(hold(studio.0)).unwrap();
    assert_eq!(bench.core.attempts[&bench.live(waits)].worker, mac.0);
}

#[test]
fn one_that_failed_it_is_said_to_have_where_no_other_has_room_on_its_disk() {
    let mut bench = Bench::new();
    let [mac, studio] = [(MAC, 100), ("studio", 200)].map(|(name, usable)| {
        let id = WorkerId::new();
        bench.connect(id, name, usable, &[]).unwrap()
    });
    let job = bench.submit(None, &[("next", 60)]);
    let attempt = bench.live(job);
    bench.heartbeat_with_disk(studio, Some(Bytes(5)));
    bench.fail(mac, attempt, Cure::AnotherMachine);
    bench.wait_out_backoff(job);
    assert_eq!(
        bench.core.jobs[&job].reason,
        "next (60 B) fits mac, which failed it before; it waits for another machine"
    );
}
