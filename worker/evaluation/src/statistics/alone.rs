//! How sure a model's own score is, beside no other.

use super::{Bootstrap, Interval, Outcomes, Pairs, Resampling, SampleOutcome, Share, TaskOutcomes};

/// Where a model's mean score lies: BCa, at 95 %. It is the paired bootstrap beside a model that scores nothing in every task, which
/// adds no chance of its own.
pub fn score_interval(outcomes: &Outcomes, how: Resampling) -> Interval {
    let nothing = |task: &TaskOutcomes| {
        // A task that is there has a name and a sample, and so has this one.
        TaskOutcomes::new(task.task().clone(), task.category(), vec![SampleOutcome::Cut]).ok()
    };
    let beside = Outcomes::new(outcomes.tasks().iter().filter_map(nothing).collect());
    let pairs = beside.ok().and_then(|beside| Pairs::of(outcomes, &beside).ok());
    match pairs {
        Some(pairs) => Bootstrap::of(&pairs, how).bca(Share::LEVEL),
        None => Interval { low: 0.0, high: 1.0, level: Share::LEVEL },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::drawn::{two, written};
    use crate::statistics::means;
    use proptest::prelude::*;

    #[test]
    fn tasks_that_differ_make_an_interval_around_the_mean_and_tasks_that_do_not_a_point() {
        let how = Resampling { draws: 1_000, seed: 1 };
        let mixed = written(&[("coding", &["+", "-", "+", "+", "-", "+", "-", "+"])]);
        let interval = score_interval(&mixed, how);
        assert!(interval.low < 0.5 && interval.high > 0.75 && interval.holds(means(&mixed).score), "{interval:?}");
        let alike = score_interval(&written(&[("coding", &["+"; 8])]), how);
        assert_eq!((alike.low, alike.high), (1.0, 1.0));
    }

    proptest! {
        #[test]
        fn the_interval_of_a_score_lies_where_scores_do((outcomes, _) in two(), seed: u64) {
            let interval = score_interval(&outcomes, Resampling { draws: 60, seed });
            let is_ordered = interval.low <= interval.high;
            prop_assert!(0.0 <= interval.low && is_ordered && interval.high <= 1.0, "{:?}", interval);
        }
    }
}
