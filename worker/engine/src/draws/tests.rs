//! What is drawn how often, and what together.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn weights(of: &[f64]) -> Vec<Weight> {
    of.iter().map(|weight| Weight::new(*weight).unwrap()).collect()
}

/// Weights as datasets have them: few different ones, or one for each row; small, large and whole ones.
fn drawn_weights() -> impl Strategy<Value = Vec<f64>> {
    let few = prop::collection::vec(prop::sample::select(vec![0.01, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 7.3]), 1..60);
    let own = prop::collection::vec(prop_oneof![4 => 0.05f64..3.0, 1 => 1e-4f64..0.05, 1 => 3.0f64..=100.0], 1..60);
    let whole = prop::collection::vec((1u32..=5).prop_map(f64::from), 1..60);
    prop_oneof![few, own, whole]
}

fn totals(draws: &Draws, passes: u64) -> Vec<u64> {
    let mut totals = vec![0; draws.lessons.len()];
    for pass in 0..passes {
        totals.iter_mut().zip(draws.within(pass)).for_each(|(total, count)| *total += count as u64);
    }
    totals
}

proptest! {
    #[test]
    fn a_lesson_is_drawn_as_often_as_its_weight_says_after_any_number_of_passes(
        of in drawn_weights(), seed: u64, passes in 1u64..60,
    ) {
        let draws = Draws::new(&weights(&of), seed);
        for (total, weight) in totals(&draws, passes).into_iter().zip(&of) {
            let due = passes as f64 * weight;
            prop_assert!((total as f64 - due).abs() < 1.0 + 1e-9, "{} draws in {} passes of weight {}", total, passes, weight);
        }
    }

    #[test]
    fn every_lesson_is_drawn_within_the_passes_that_its_weight_takes(of in drawn_weights(), seed: u64, from in 0u64..1000) {
        for due in &Draws::new(&weights(&of), seed).lessons {
            let next = due.next(from);
            let takes = (1.0 / (due.each_pass as f64 / ONE as f64)).ceil() as u64;
            prop_assert!(next >= from && next < from + takes.max(1), "from {} on at {}, and {} are enough", from, next, takes);
            prop_assert!(due.within(next) > 0);
            prop_assert!((from..next).all(|pass| due.within(pass) == 0));
        }
    }

    #[test]
    fn a_passs_draws_do_not_depend_on_what_was_asked_before(of in drawn_weights(), seed: u64, pass: u64) {
        let of = weights(&of);
        let draws = Draws::new(&of, seed);
        let one: Vec<_> = draws.within(pass).collect();
        draws.batches(3, 4);
        prop_assert_eq!(&one, &draws.within(pass).collect::<Vec<_>>());
        prop_assert_eq!(&one, &Draws::new(&of, seed).within(pass).collect::<Vec<_>>());
    }

    #[test]
    fn where_all_weights_are_1_each_comes_once_and_neighbours_go_together(
        lessons in 0usize..60, seed: u64, pass: u64, size in 1usize..9,
    ) {
        let draws = Draws::new(&vec![Weight::ONE; lessons], seed);
        prop_assert_eq!(draws.weighted(), 0);
        let expected: Vec<Vec<usize>> =
            (0..lessons).collect::<Vec<_>>().chunks(size).map(<[usize]>::to_vec).collect();
        prop_assert_eq!(dealt(draws.within(pass), size), expected);
    }

    #[test]
    fn a_pass_draws_the_sum_of_the_weights_or_nearly(
        (few, many) in (0.05f64..1.0, 1.0f64..3.0), lessons in 1usize..400, seed: u64, pass in 0u64..1000,
    ) {
        let of: Vec<f64> = (0..lessons).map(|n| if n % 3 == 0 { few } else { many }).collect();
        let drawn: usize = Draws::new(&weights(&of), seed).within(pass).sum();
        let off = (drawn as f64 - of.iter().sum::<f64>()).abs();
        // Rows that go by chance would be some √lessons / 2 off, and at times three times that.
        prop_assert!(off <= 2.0 + (lessons as f64).log2(), "{} lessons: {} off", lessons, off);
    }

    #[test]
    fn what_is_drawn_is_dealt_in_full_batches_of_like_length(
        counts in prop::collection::vec(0usize..6, 0..60), size in 1usize..9,
    ) {
        let batches = dealt(counts.iter().copied(), size);
        let mut seen = vec![0; counts.len()];
        batches.iter().flatten().for_each(|lesson| seen[*lesson] += 1);
        prop_assert_eq!(&seen, &counts);
        let drawn: usize = counts.iter().sum();
        prop_assert_eq!(batches.len(), drawn.div_ceil(size));
        prop_assert!(batches.iter().all(|batch| !batch.is_empty() && batch.len() <= size && batch.is_sorted()));
        // A neighbourhood is as many batches as its most drawn lesson has draws, and the last batches are those of one at the most.
        let before_the_last = batches.len().saturating_sub(5);
        for batch in &batches[..before_the_last] {
            prop_assert_eq!(batch.len(), size);
            prop_assert_eq!(batch.iter().collect::<BTreeSet<_>>().len(), size, "{:?} has a lesson twice", batch);
            let between: usize = counts[batch[0]..=batch[size - 1]].iter().sum();
            prop_assert!(between <= 5 * size + 10, "{:?} is spread over {} draws", batch, between);
        }
    }

    #[test]
    fn batches_are_counted_as_they_are_dealt(of in drawn_weights(), seed: u64, passes in 0u64..30, size in 1usize..9) {
        let draws = Draws::new(&weights(&of), seed);
        let dealt: usize = (0..passes).map(|pass| dealt(draws.within(pass), size).len()).sum();
        prop_assert_eq!(draws.batches(passes, size), dealt as u64);
    }
}

#[test]
fn seeds_draw_other_lessons_of_the_same_weights() {
    let of = weights(&[0.5; 40]);
    let first = |seed| Draws::new(&of, seed).within(0).collect::<Vec<_>>();
    assert_eq!(first(1), first(1));
    assert!((2..6).any(|seed| first(seed) != first(1)));
    // Over many seeds a lesson of weight 0.3 comes in the first pass in 3 of 10.
    let of = weights(&[0.3]);
    let drawn: usize = (0..1000).map(|seed| Draws::new(&of, seed).within(0).sum::<usize>()).sum();
    assert!((240..=360).contains(&drawn), "{drawn}");
}

#[test]
fn a_lesson_of_much_weight_does_not_fill_a_batch() {
    let counts = [1, 1, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    let batches = dealt(counts.into_iter(), 4);
    assert_eq!(batches[0], [0, 2, 5, 9]);
    assert!(batches[..4].iter().all(|batch| batch.iter().filter(|lesson| **lesson == 2).count() == 1), "{batches:?}");
    assert_eq!(batches[4], [13, 14, 15, 16], "those that come after it go together as ever");
    assert_eq!(dealt([9].into_iter(), 4), [[0, 0, 0], [0, 0, 0], [0, 0, 0]], "there are no others");
}

#[test]
fn the_least_weight_and_the_longest_run_have_an_end() {
    let least = Draws::new(&weights(&[f64::MIN_POSITIVE]), 3);
    let next = least.next(0);
    assert!((1..1 << FRACTION_BITS).contains(&next), "{next}");
    assert_eq!(least.within(next).sum::<usize>(), 1);
    assert_eq!(least.batches(u64::from(u32::MAX), 4), 0);

    let most = Draws::new(&weights(&[100.0, 99.5]), 3);
    assert!(most.within(u64::MAX).sum::<usize>() <= 200);
    assert_eq!(most.batches(u64::MAX, 1), u64::MAX);
    let long = most.batches(1_000_000, 1);
    assert!((199_499_000..=199_501_000).contains(&long), "{long}");
    assert_eq!(Draws::new(&[], 3).batches(5, 4), 0);
}
