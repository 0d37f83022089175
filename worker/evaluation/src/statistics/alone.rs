//! How sure a model's own score is, beside no other.

use super::{Bootstrap, Interval, Outcomes, Pairs, Resampling, SampleOutcome, Share, TaskOutcomes, means, wilson};

/// Where a model's mean score lies: BCa, at 95 %. It is the paired bootstrap beside a model that scores nothing in every task, which
/// adds no chance of its own. Where all tasks have the same score, draws of them tell nothing of tasks that were not asked: it is then
/// Wilson's interval over the tasks, which is right for scores of 0 and 1 and wider than need be for others.
pub fn score_interval(outcomes: &Outcomes, how: Resampling) -> Interval {
    let nothing = |task: &TaskOutcomes| {
        // A task that is there has a name and a sample, and so has this one.
        TaskOutcomes::new(task.task().clone(), task.category(), vec![SampleOutcome::Cut]).ok()
    };
    let beside = Outcomes::new(outcomes.tasks().iter().filter_map(nothing).collect());
    let pairs = beside.ok().and_then(|beside| Pairs::of(outcomes, &beside).ok());
    let unknown = Interval { low: 0.0, high: 1.0, level: Share::LEVEL };
    let drawn = pairs.map_or(unknown, |pairs| Bootstrap::of(&pairs, how).bca(Share::LEVEL));
    match Share::new(means(outcomes).score.clamp(0.0, 1.0)) {
        Ok(score) if drawn.is_a_point() => wilson(score, outcomes.tasks().len() as u64, Share::LEVEL),
        _ => drawn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::drawn::{two, written};
    use crate::statistics::means;
    use proptest::prelude::*;

    #[test]
    fn tasks_that_differ_make_an_interval_around_the_mean_and_tasks_that_do_not_one_of_how_many_they_are() {
        let how = Resampling { draws: 1_000, seed: 1 };
        let mixed = written(&[("coding", &["+", "-", "+", "+", "-", "+", "-", "+"])]);
        let interval = score_interval(&mixed, how);
        assert!(interval.low < 0.5 && interval.high > 0.75 && interval.holds(means(&mixed).score), "{interval:?}");
        let z2 = 1.959963984540054_f64.powi(2);
        for tasks in [1_usize, 8, 30] {
            let all = |sign: &str| score_interval(&written(&[("coding", &vec![sign; tasks])]), how);
            let (passing, failing) = (all("++"), all("--"));
            let far = z2 / (tasks as f64 + z2);
            assert!((passing.low - (1.0 - far)).abs() < 1e-9 && passing.high == 1.0, "{tasks}: {passing:?}");
            assert!((failing.high - far).abs() < 1e-9 && failing.low == 0.0, "{tasks}: {failing:?}");
        }
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
