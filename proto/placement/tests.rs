use super::*;
use proptest::prelude::*;

fn need(name: &str, gib: u64) -> Need {
    Need { name: name.to_owned(), peak: Bytes::gib(gib), disk: Bytes::ZERO, slot: Slot::Gpu }
}

fn worker(name: &str, usable: u64) -> Candidate<'static> {
    let (reserved, held) = (Bytes::ZERO, Bytes::ZERO);
    let (disk_free, to_fetch) = (None, Vec::new());
    Candidate {
        name: name.to_owned(),
        usable: Bytes::gib(usable),
        reserved,
        withheld: Bytes::ZERO,
        shut: vec![(Slot::Service, Shut::NoSlot)],
        held,
        disk_free,
        to_fetch,
    }
}

fn on(placement: &Placement) -> (usize, usize, &str) {
    match placement {
        Placement::On { variant, worker, reason } => (*variant, *worker, reason),
        Placement::Wait { reason } => panic!("waits: {reason}"),
    }
}

fn waits(needs: &[Need], workers: &[Candidate]) -> String {
    match place(needs, workers) {
        Placement::Wait { reason } => reason,
        placed => panic!("{placed:?}"),
    }
}

#[test]
fn the_miniature_of_the_real_decision() {
    let needs = [need("9b", 60), need("4b", 7)];
    let fleet = [worker("abraham", 128), worker("m5", 36)];
    let both = place(&needs, &fleet);
    assert_eq!(on(&both), (0, 0, "9b needs 60.0 GiB and fits abraham, which has 128 GiB free"));
    let mut busy = fleet.clone();
    busy[0].shut = vec![(Slot::Gpu, Shut::Busy)];
    let small = place(&needs, &busy);
    assert_eq!(
        on(&small),
        (
            1,
            1,
            "4b needs 7.0 GiB and fits m5, which has 36.0 GiB free; 9b, preferred, needs 60.0 GiB and fits no free worker"
        )
    );
    let alone = place(&needs[1..], &fleet);
    assert_eq!(on(&alone), (0, 1, "4b needs 7.0 GiB and fits m5, which has 36.0 GiB free; the tightest fit of 2"));
}

#[test]
fn of_equally_tight_workers_the_one_with_the_inputs_then_the_first_by_name() {
    let mut fleet = [worker("c", 36), worker("b", 36), worker("a", 36)];
    assert_eq!(on(&place(&[need("4b", 7)], &fleet)).1, 2);
    fleet[1].held = Bytes::gib(2);
    assert_eq!(on(&place(&[need("4b", 7)], &fleet)).1, 1);
}

#[test]
fn who_waits_is_told_for_what() {
    let needs = [need("9b", 60), need("4b", 30)];
    assert_eq!(waits(&needs, &[]), "no worker is connected");
    assert_eq!(waits(&[], &[worker("m5", 36)]), "the job has no variant");
    assert_eq!(
        waits(&needs, &[worker("m5", 24), worker("air", 8)]),
        "too large for every worker: m5 offers the most, 24.0 GiB, and the smallest variant, 4b, needs 30.0 GiB"
    );
    let mut m5 = worker("m5", 36);
    m5.shut = vec![(Slot::Gpu, Shut::Busy)];
    assert_eq!(waits(&needs, &[m5.clone(), worker("air", 8)]), "4b (30.0 GiB) fits m5, but m5 is busy");
    m5.shut = vec![(Slot::Cpu, Shut::Busy)];
    m5.reserved = Bytes::gib(20);
    assert_eq!(waits(&needs, &[m5]), "4b (30.0 GiB) fits m5, but 20.0 GiB of its 36.0 GiB are reserved");
}

#[test]
fn a_worker_without_room_on_its_disk_is_passed_over_and_named() {
    let full = Need { disk: Bytes::gib(9), ..need("4b-full", 20) };
    let disk = |name: &str, usable, free| Candidate { disk_free: Some(Bytes::gib(free)), ..worker(name, usable) };
    let (small, large) = (disk("mac-36gb", 36, 3), disk("mac-128gb", 128, 500));
    assert_eq!(on(&place(std::slice::from_ref(&full), &[small.clone(), large.clone()])).1, 1);
    let alone = [small.clone()];
    assert_eq!(
        waits(std::slice::from_ref(&full), &alone),
        "mac-36gb has 3.0 GiB of disk free, the job needs 9.0 GiB for what it writes"
    );
    // The preferred one has no room, the other one has.
    let both = [full.clone(), Need { disk: Bytes::gib(1), ..need("4b-qlora", 4) }];
    let told = place(&both, &alone);
    assert_eq!(
        on(&told),
        (
            1,
            0,
            "4b-qlora needs 4.0 GiB and fits mac-36gb, which has 36.0 GiB free; 4b-full, preferred, fits no free worker: mac-36gb \
             has 3.0 GiB of disk free, the job needs 9.0 GiB for what it writes"
        )
    );
    // Inputs that are to be fetched need room as well.
    let fetches = Candidate { to_fetch: vec![Bytes::gib(492)], ..large.clone() };
    assert_eq!(
        waits(std::slice::from_ref(&full), &[fetches]),
        "mac-128gb has 500 GiB of disk free, the job needs 9.0 GiB for what it writes and 492 GiB for its inputs"
    );
    // One that is busy and has room is waited for.
    let busy = Candidate { shut: vec![(Slot::Gpu, Shut::Busy)], ..large };
    assert_eq!(
        waits(std::slice::from_ref(&full), &[small.clone(), busy.clone()]),
        "4b-full (20.0 GiB) fits mac-128gb, but mac-128gb is busy"
    );
    let away = Candidate { shut: vec![(Slot::Gpu, Shut::Away("it runs on battery"))], ..busy };
    assert_eq!(
        waits(&[full], &[small, away]),
        "4b-full (20.0 GiB) fits mac-128gb, which is kept away: it runs on battery"
    );
}

fn slot() -> impl Strategy<Value = Slot> {
    prop::sample::select(vec![Slot::Gpu, Slot::Cpu])
}

const HELD: Shut<'static> = Shut::Held { by: Some("ann"), since: Millis(1_795_879_259_000), reason: "a new disk" };

/// Every reason, with the words that belong to it alone.
const ALL: [(Shut<'static>, &str); 9] = [
    (Shut::NoSlot, "has no slot for its GPU"),
    (HELD, "which is held by ann since 2026-11-28 15:20 UTC: a new disk; `vertigo resume m5` ends it"),
    (
        Shut::Held { by: None, since: Millis(0), reason: "" },
        "held since 1970-01-01 00:00 UTC; `vertigo resume m5` ends it",
    ),
    (Shut::Drains, "which drains: it is about to go"),
    (Shut::Away("its lid is closed"), "which is kept away: its lid is closed"),
    (Shut::FailedIt, "which failed it before; it waits for another machine"),
    (Shut::Stops, "but m5 still ends what it was told to stop"),
    (Shut::Busy, "but m5 is busy"),
    (Shut::Kept, "but m5 is kept for a job that goes before"),
];

#[test]
fn each_reason_is_said_as_what_it_is_and_one_that_passes_by_itself_before_one_that_does_not() {
    let need = [need("4b", 30)];
    let shut = |name: &str, usable, shut| Candidate { shut: vec![(Slot::Gpu, shut)], ..worker(name, usable) };
    for (why, words) in ALL {
        assert!(waits(&need, &[shut("m5", 36, why)]).ends_with(words), "{words}");
        // A tighter one that passes by itself, and a larger one: whichever it is, what passes is waited for.
        let both = [shut("m5", 36, why), shut("studio", 128, Shut::Busy)];
        let told = waits(&need, &both);
        let passes = Shut::rank(Some(why)) == 0;
        assert_eq!(told.contains("studio is busy"), !passes, "{told}");
        let last = [shut("m5", 36, Shut::FailedIt), shut("studio", 128, why)];
        let told = waits(&need, &last);
        assert_eq!(told.contains("studio"), why != Shut::FailedIt, "{told}");
    }
}

fn shut() -> impl Strategy<Value = Shut<'static>> {
    prop::sample::select(ALL.map(|(shut, _)| shut).to_vec())
}

fn needs() -> impl Strategy<Value = Vec<Need>> {
    let one = (0u64..40, 0u64..6, slot()).prop_map(|(gib, disk, slot)| Need {
        disk: Bytes::gib(disk),
        slot,
        ..need("r", gib)
    });
    prop::collection::vec(one, 0..5)
}

/// Few different sizes, so that ties happen; names are unique, as in the fleet.
fn workers() -> impl Strategy<Value = Vec<Candidate<'static>>> {
    let disk = (prop::option::of(0u64..8), prop::collection::vec(0u64..3, 0..5));
    let one = (0u64..40, 0u64..40, prop::collection::vec((slot(), shut()), 0..3), 0u64..3, disk);
    let one = one.prop_map(|(usable, reserved, shut, held, (free, fetch))| Candidate {
        reserved: Bytes::gib(reserved),
        shut,
        held: Bytes::gib(held),
        disk_free: free.map(Bytes::gib),
        to_fetch: fetch.into_iter().map(Bytes::gib).collect(),
        ..worker("", usable)
    });
    let named = |(n, worker)| Candidate { name: format!("w{n}"), ..worker };
    prop::collection::vec(one, 0..7).prop_map(move |all| all.into_iter().enumerate().map(named).collect())
}

fn room(variant: usize, need: &Need, worker: &Candidate<'_>) -> bool {
    let fetch = worker.to_fetch.get(variant).copied().unwrap_or_default();
    worker.disk_free.is_none_or(|free| free >= need.disk + fetch)
}

fn fits(variant: usize, need: &Need, worker: &Candidate<'_>) -> bool {
    worker.shut.iter().all(|(slot, _)| *slot != need.slot)
        && need.peak + worker.reserved <= worker.usable.max(worker.reserved)
        && room(variant, need, worker)
}

proptest! {
    #[test]
    fn what_is_placed_fits_is_preferred_and_is_tightest(needs in needs(), workers in workers()) {
        match place(&needs, &workers) {
            Placement::On { variant, worker: index, .. } => {
                let (need, chosen) = (&needs[variant], &workers[index]);
                prop_assert!(fits(variant, need, chosen));
                for (earlier, need) in needs[..variant].iter().enumerate() {
                    prop_assert!(!workers.iter().any(|worker| fits(earlier, need, worker)));
                }
                for other in workers.iter().filter(|worker| fits(variant, need, worker)) {
                    prop_assert!(chosen.free() <= other.free());
                    prop_assert!(chosen.free() < other.free() || chosen.held >= other.held);
                }
            }
            Placement::Wait { reason } => {
                let fit = |(variant, need): (usize, &Need)| workers.iter().any(|worker| fits(variant, need, worker));
                prop_assert!(!needs.iter().enumerate().any(fit));
                prop_assert!(!reason.is_empty() && !reason.contains('\n'));
                let hopeless = needs.iter().all(|need| workers.iter().all(|worker| need.peak > worker.usable));
                let told = reason.starts_with("too large") || reason.starts_with("no worker") || reason.ends_with("no variant");
                prop_assert_eq!(hopeless, told, "{}", reason);
                // Whoever waits for room on a disk is told so, and nobody else.
                let smallest = needs.iter().enumerate().min_by_key(|(_, need)| need.peak);
                let full = smallest.is_some_and(|(variant, need)| {
                    !workers.iter().any(|worker| need.peak <= worker.usable && room(variant, need, worker))
                });
                prop_assert_eq!(full && !hopeless, reason.contains("of disk free"), "{}", reason);
            }
        }
    }

    #[test]
    fn a_worker_that_does_not_say_what_its_disk_has_is_refused_nothing(needs in needs(), workers in workers()) {
        let silent: Vec<_> = workers.iter().map(|w| Candidate { disk_free: None, ..w.clone() }).collect();
        let free: Vec<_> = needs.iter().map(|need| Need { disk: Bytes::ZERO, ..need.clone() }).collect();
        prop_assert_eq!(place(&needs, &silent), place(&free, &silent));
    }

    #[test]
    fn the_order_of_workers_changes_nothing((workers, shuffled) in workers().prop_flat_map(|w| (Just(w.clone()), Just(w).prop_shuffle())), needs in needs()) {
        let by_name = |placement: Placement, workers: &[Candidate<'_>]| match placement {
            Placement::On { variant, worker, reason } => (Some((variant, workers[worker].name.clone())), reason),
            Placement::Wait { reason } => (None, reason),
        };
        prop_assert_eq!(by_name(place(&needs, &workers), &workers), by_name(place(&needs, &shuffled), &shuffled));
    }
}
