//! Means over tasks, and what was counted apart.

use super::{Interval, Outcomes, SampleOutcome, Share, TaskOutcomes, wilson};
use serde::{Deserialize, Serialize};

/// How many samples ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endings {
    /// Whole answers.
    pub answered: u64,
    /// Answers that the budget of tokens cut.
    pub cut: u64,
    /// Answers that took too long.
    pub timed_out: u64,
    /// Errors of an API.
    pub api_errors: u64,
}

impl Endings {
    /// The endings of all samples of some tasks.
    pub fn of(tasks: &[TaskOutcomes]) -> Endings {
        let mut endings = Endings::default();
        for sample in tasks.iter().flat_map(TaskOutcomes::samples) {
            *match sample {
                SampleOutcome::Answered { .. } => &mut endings.answered,
                SampleOutcome::Cut => &mut endings.cut,
                SampleOutcome::TimedOut => &mut endings.timed_out,
                SampleOutcome::ApiError => &mut endings.api_errors,
            } += 1;
        }
        endings
    }

    /// All samples.
    pub fn samples(&self) -> u64 {
        self.answered + self.cut + self.timed_out + self.api_errors
    }
}

/// What some tasks came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Means {
    /// How many tasks.
    pub tasks: u64,
    /// The mean over tasks of the mean over a task's samples.
    pub score: f64,
    /// The mean over tasks of the share of samples that passed, with Wilson's interval at 95 %, over the tasks that pass or
    /// fail; none where none does.
    pub passed: Option<(f64, Interval)>,
    /// How the samples ended.
    pub endings: Endings,
}

/// What all tasks came to.
pub fn means(outcomes: &Outcomes) -> Means {
    means_of(outcomes.tasks(), &outcomes.deciding())
}

/// What the tasks of each category came to, in the order of the categories' names.
pub fn category_means(outcomes: &Outcomes) -> Vec<(String, Means)> {
    let deciding = outcomes.deciding();
    let of = |category: &str, tasks| {
        let here: Vec<&TaskOutcomes> = deciding.iter().copied().filter(|task| task.category() == category).collect();
        (category.to_owned(), means_of(tasks, &here))
    };
    outcomes.categories().map(|(category, tasks)| of(category, tasks)).collect()
}

fn means_of(tasks: &[TaskOutcomes], deciding: &[&TaskOutcomes]) -> Means {
    let score = tasks.iter().map(TaskOutcomes::mean).sum::<f64>() / tasks.len() as f64;
    let rate = |task: &&TaskOutcomes| task.passed() as f64 / task.samples().len() as f64;
    let passed = (!deciding.is_empty()).then(|| {
        // A mean of rates leaves 0 to 1 by no more than rounding.
        let mean = (deciding.iter().map(rate).sum::<f64>() / deciding.len() as f64).clamp(0.0, 1.0);
        let rate = Share::new(mean).unwrap_or(Share::NONE);
        (mean, wilson(rate, deciding.len() as u64, Share::LEVEL))
    });
    Means { tasks: tasks.len() as u64, score, passed, endings: Endings::of(tasks) }
}
