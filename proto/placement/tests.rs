use super::*;
use proptest::prelude::*;

fn need(recipe: &str, gib: u64) -> Need {
    Need { recipe: recipe.to_owned(), peak: Bytes::gib(gib) }
}

fn worker(name: &str, usable: u64) -> Candidate {
    let (reserved, held) = (Bytes::ZERO, Bytes::ZERO);
    Candidate { name: name.to_owned(), usable: Bytes::gib(usable), reserved, available: true, held }
}

fn on(placement: &Placement) -> (usize, usize, &str) {
    match placement {
        Placement::On { plan, worker, reason } => (*plan, *worker, reason),
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
    busy[0].available = false;
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
    assert_eq!(waits(&[], &[worker("m5", 36)]), "the job has no plan");
    assert_eq!(
        waits(&needs, &[worker("m5", 24), worker("air", 8)]),
        "too large for every worker: m5 offers the most, 24.0 GiB, and the smallest plan, 4b, needs 30.0 GiB"
    );
    let mut m5 = worker("m5", 36);
    m5.available = false;
    assert_eq!(waits(&needs, &[m5.clone(), worker("air", 8)]), "4b (30.0 GiB) fits m5, but m5 is busy");
    m5.available = true;
    m5.reserved = Bytes::gib(20);
    assert_eq!(waits(&needs, &[m5]), "4b (30.0 GiB) fits m5, but 20.0 GiB of its 36.0 GiB are reserved");
}

fn needs() -> impl Strategy<Value = Vec<Need>> {
    prop::collection::vec((0u64..40).prop_map(|gib| need("r", gib)), 0..5)
}

/// Few different sizes, so that ties happen; names are unique, as in the fleet.
fn workers() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (0u64..40, 0u64..40, any::<bool>(), 0u64..3);
    prop::collection::vec(one, 0..7).prop_map(|all| {
        let candidate = |(n, (usable, reserved, available, held)): (usize, (u64, u64, bool, u64))| Candidate {
            reserved: Bytes::gib(reserved),
            available,
            held: Bytes::gib(held),
            ..worker(&format!("w{n}"), usable)
        };
        all.into_iter().enumerate().map(candidate).collect()
    })
}

fn fits(need: &Need, worker: &Candidate) -> bool {
    worker.available && need.peak + worker.reserved <= worker.usable.max(worker.reserved)
}

proptest! {
    #[test]
    fn what_is_placed_fits_is_preferred_and_is_tightest(needs in needs(), workers in workers()) {
        match place(&needs, &workers) {
            Placement::On { plan, worker: index, .. } => {
                let (need, chosen) = (&needs[plan], &workers[index]);
                prop_assert!(fits(need, chosen));
                prop_assert!(needs[..plan].iter().all(|earlier| !workers.iter().any(|worker| fits(earlier, worker))));
                for other in workers.iter().filter(|worker| fits(need, worker)) {
                    prop_assert!(chosen.free() <= other.free());
                    prop_assert!(chosen.free() < other.free() || chosen.held >= other.held);
                }
            }
            Placement::Wait { reason } => {
                prop_assert!(!needs.iter().any(|need| workers.iter().any(|worker| fits(need, worker))));
                prop_assert!(!reason.is_empty() && !reason.contains('\n'));
                let hopeless = needs.iter().all(|need| workers.iter().all(|worker| need.peak > worker.usable));
                let told = reason.starts_with("too large") || reason.starts_with("no worker") || reason.ends_with("no plan");
                prop_assert_eq!(hopeless, told, "{}", reason);
            }
        }
    }

    #[test]
    fn the_order_of_workers_changes_nothing((workers, shuffled) in workers().prop_flat_map(|w| (Just(w.clone()), Just(w).prop_shuffle())), needs in needs()) {
        let by_name = |placement: Placement, workers: &[Candidate]| match placement {
            Placement::On { plan, worker, reason } => (Some((plan, workers[worker].name.clone())), reason),
            Placement::Wait { reason } => (None, reason),
        };
        prop_assert_eq!(by_name(place(&needs, &workers), &workers), by_name(place(&needs, &shuffled), &shuffled));
    }
}
