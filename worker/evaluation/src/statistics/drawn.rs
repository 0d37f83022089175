//! Outcomes that tests are given: of whatever form, and of two models over the same tasks.

use super::{Outcomes, SampleOutcome, Share, TaskId, TaskOutcomes};
use proptest::prelude::*;

/// A whole answer that passes or fails, with the score that goes with it.
pub(crate) fn answered(passed: bool) -> SampleOutcome {
    let score = if passed { Share::ALL } else { Share::NONE };
    SampleOutcome::Answered { score, passed: Some(passed) }
}

/// Outcomes of tasks that pass or fail: each category with its tasks' samples, where `+` passes, `-` fails, and `c`, `t` and
/// `e` are cut, out of time and an error.
pub(crate) fn written(categories: &[(&str, &[&str])]) -> Outcomes {
    let outcome = |sign: char| match sign {
        'c' => SampleOutcome::Cut,
        't' => SampleOutcome::TimedOut,
        'e' => SampleOutcome::ApiError,
        sign => answered(sign == '+'),
    };
    let tasks = categories.iter().flat_map(|(category, tasks)| {
        tasks.iter().enumerate().map(move |(n, signs)| {
            let task = TaskId(format!("{category}_{n:02}"));
            TaskOutcomes::new(task, *category, signs.chars().map(outcome).collect()).unwrap()
        })
    });
    Outcomes::new(tasks.collect()).unwrap()
}

/// One sample, of a task that passes and fails.
pub(crate) fn sample() -> impl Strategy<Value = SampleOutcome> {
    let answered = |score: u32| SampleOutcome::Answered {
        score: Share::new(f64::from(score) / 10.0).unwrap(),
        passed: Some(score >= 7),
    };
    prop_oneof![
        8 => (0..=10_u32).prop_map(answered),
        1 => Just(SampleOutcome::Cut),
        1 => prop_oneof![Just(SampleOutcome::TimedOut), Just(SampleOutcome::ApiError)],
    ]
}

/// Two models' outcomes of the same tasks, in one category to three.
pub(crate) fn two() -> impl Strategy<Value = (Outcomes, Outcomes)> {
    let samples = || prop::collection::vec(sample(), 1..4);
    prop::collection::vec((0..3_usize, samples(), samples()), 1..14).prop_map(|tasks| {
        let side = |which: usize| {
            let of = |(n, (category, a, b)): (usize, &(usize, Vec<SampleOutcome>, Vec<SampleOutcome>))| {
                let samples = if which == 0 { a } else { b };
                let category = ["coding", "bugfix", "tools"][*category];
                TaskOutcomes::new(TaskId(format!("t{n:02}")), category, samples.clone()).unwrap()
            };
            Outcomes::new(tasks.iter().enumerate().map(of).collect()).unwrap()
        };
        (side(0), side(1))
    })
}

/// The outcomes with some samples made whole answers that pass in full: by `which`, for every sample in turn.
pub(crate) fn raised(outcomes: &Outcomes, which: &[bool]) -> Outcomes {
    let mut which = which.iter().cycle();
    let mut raise = |sample: &SampleOutcome| {
        let is_raised = which.next().copied().unwrap_or_default();
        if is_raised { answered(true) } else { *sample }
    };
    let of = |task: &TaskOutcomes| {
        let samples = task.samples().iter().map(&mut raise).collect();
        TaskOutcomes::new(task.task().clone(), task.category(), samples).unwrap()
    };
    Outcomes::new(outcomes.tasks().iter().map(of).collect()).unwrap()
}
