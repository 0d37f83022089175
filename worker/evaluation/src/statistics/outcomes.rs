//! What came of asking one model the tasks of one suite: all that statistics look at.

use super::Share;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Tasks of one suite. More is not a suite but a mistake.
pub const TASKS_MAX: usize = 10_000;

/// Samples of one task.
pub const SAMPLES_MAX: usize = 1_000;

/// Bytes of a task's id, or of a category's name.
const NAME_BYTES_MAX: usize = 200;

/// A task's name within its suite.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub String);

impl std::fmt::Display for TaskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What came of asking once. What brought no whole answer scores nothing and passes nothing, and is counted apart, because it
/// says as much of budgets, clocks and servers as of the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SampleOutcome {
    /// A whole answer.
    Answered {
        /// What the checks gave it.
        score: Share,
        /// Whether it passed; none where no check passes or fails.
        passed: Option<bool>,
    },
    /// The budget of tokens ended before the answer did.
    Cut,
    /// The time for it ended before the answer did.
    TimedOut,
    /// The server answered with an error, or not at all.
    ApiError,
}

impl SampleOutcome {
    /// What it counts in a mean.
    pub fn score(self) -> f64 {
        match self {
            SampleOutcome::Answered { score, .. } => score.get(),
            SampleOutcome::Cut | SampleOutcome::TimedOut | SampleOutcome::ApiError => 0.0,
        }
    }

    /// Whether it is known to have passed.
    pub fn has_passed(self) -> bool {
        matches!(self, SampleOutcome::Answered { passed: Some(true), .. })
    }
}

/// What came of one task: at least one sample, and either all whole answers pass or fail, or none does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawTask")]
pub struct TaskOutcomes {
    task: TaskId,
    category: String,
    samples: Vec<SampleOutcome>,
    /// Whether its checks are known to pass or fail, whatever became of its answers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_deciding_checks: bool,
}

/// What came of all tasks: at least one, each of its own name, in the order of categories and then of names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawOutcomes")]
pub struct Outcomes {
    tasks: Vec<TaskOutcomes>,
}

/// Why outcomes are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutcomesError {
    /// Names go to terminals and pages.
    #[error("{what} {name:?} is no name: write 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name {
        /// A task or a category.
        what: &'static str,
        /// As it was written.
        name: String,
    },
    /// There is nothing to take a mean of, or too much.
    #[error("task `{task}` has {samples} samples: there are 1 to {SAMPLES_MAX}")]
    Samples {
        /// Whose.
        task: TaskId,
        /// How many.
        samples: usize,
    },
    /// Passing is a matter of the task's checks.
    #[error(
        "task `{0}` has answers that pass or fail and answers that do neither: its checks are the same for all of them"
    )]
    Passing(TaskId),
    /// There is nothing to take a mean of, or too much.
    #[error("there are {0} tasks: a suite has 1 to {TASKS_MAX}")]
    Tasks(usize),
    /// Two tasks could not be told apart.
    #[error("task `{0}` is there twice: join its samples")]
    Twice(TaskId),
}

impl TaskOutcomes {
    /// The samples of one task.
    ///
    /// # Errors
    /// They are none, too many, or of two minds about whether the task passes and fails; or a name is none.
    pub fn new(
        task: TaskId,
        category: impl Into<String>,
        samples: Vec<SampleOutcome>,
    ) -> Result<TaskOutcomes, OutcomesError> {
        let category = category.into();
        for (what, name) in [("task", &task.0), ("category", &category)] {
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
                let name = name.chars().take(NAME_BYTES_MAX).collect();
                return Err(OutcomesError::Name { what, name });
            }
        }
        if samples.is_empty() || samples.len() > SAMPLES_MAX {
            return Err(OutcomesError::Samples { task, samples: samples.len() });
        }
        let decides: BTreeSet<bool> = samples.iter().filter_map(decides).collect();
        if decides.len() > 1 {
            return Err(OutcomesError::Passing(task));
        }
        Ok(TaskOutcomes { task, category, samples, has_deciding_checks: false })
    }

    /// The same of a task whose checks pass or fail, which its samples do not tell where none is a whole answer.
    #[must_use]
    pub fn deciding(self) -> TaskOutcomes {
        TaskOutcomes { has_deciding_checks: true, ..self }
    }

    /// Its name.
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// Its category.
    pub fn category(&self) -> &str {
        &self.category
    }

    /// What came of asking it, in the order of the seeds.
    pub fn samples(&self) -> &[SampleOutcome] {
        &self.samples
    }

    /// The mean score of its samples.
    pub fn mean(&self) -> f64 {
        self.samples.iter().map(|sample| sample.score()).sum::<f64>() / self.samples.len() as f64
    }

    /// How many samples passed.
    pub fn passed(&self) -> usize {
        self.samples.iter().filter(|sample| sample.has_passed()).count()
    }

    /// Whether its whole answers pass or fail; none where there is nothing to tell by.
    pub fn decides(&self) -> Option<bool> {
        self.samples.iter().find_map(decides).or(self.has_deciding_checks.then_some(true))
    }
}

fn decides(sample: &SampleOutcome) -> Option<bool> {
    match sample {
        SampleOutcome::Answered { passed, .. } => Some(passed.is_some()),
        SampleOutcome::Cut | SampleOutcome::TimedOut | SampleOutcome::ApiError => None,
    }
}

impl Outcomes {
    /// The outcomes of a suite's tasks, in whatever order.
    ///
    /// # Errors
    /// There are none, too many, or two of one name.
    pub fn new(mut tasks: Vec<TaskOutcomes>) -> Result<Outcomes, OutcomesError> {
        if tasks.is_empty() || tasks.len() > TASKS_MAX {
            return Err(OutcomesError::Tasks(tasks.len()));
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = tasks.iter().find(|task| !names.insert(task.task())) {
            return Err(OutcomesError::Twice(twice.task().clone()));
        }
        tasks.sort_by(|a, b| (a.category(), a.task()).cmp(&(b.category(), b.task())));
        Ok(Outcomes { tasks })
    }

    /// The tasks, in the order of categories and then of names.
    pub fn tasks(&self) -> &[TaskOutcomes] {
        &self.tasks
    }

    /// The categories, each with its tasks.
    pub fn categories(&self) -> impl Iterator<Item = (&str, &[TaskOutcomes])> {
        self.tasks.chunk_by(|a, b| a.category() == b.category()).map(|tasks| (tasks[0].category(), tasks))
    }

    /// The tasks that pass or fail. One without a whole answer is one of them where any other task is.
    pub fn deciding(&self) -> Vec<&TaskOutcomes> {
        let any = self.tasks.iter().any(|task| task.decides() == Some(true));
        self.tasks.iter().filter(|task| task.decides().unwrap_or(any)).collect()
    }

    /// The outcomes of the tasks that `keep` keeps; none where it keeps none.
    pub fn only(&self, keep: impl Fn(&TaskId) -> bool) -> Option<Outcomes> {
        let tasks: Vec<TaskOutcomes> = self.tasks.iter().filter(|task| keep(task.task())).cloned().collect();
        (!tasks.is_empty()).then_some(Outcomes { tasks })
    }

    /// The fewest samples that a task has.
    pub fn samples(&self) -> usize {
        self.tasks.iter().map(|task| task.samples.len()).min().unwrap_or_default()
    }
}

/// A task's outcomes as they are written, before they were looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTask {
    task: TaskId,
    category: String,
    samples: Vec<SampleOutcome>,
    #[serde(default)]
    has_deciding_checks: bool,
}

impl TryFrom<RawTask> for TaskOutcomes {
    type Error = OutcomesError;

    fn try_from(raw: RawTask) -> Result<TaskOutcomes, OutcomesError> {
        let has_deciding_checks = raw.has_deciding_checks;
        Ok(TaskOutcomes { has_deciding_checks, ..TaskOutcomes::new(raw.task, raw.category, raw.samples)? })
    }
}

/// Outcomes as they are written, before they were looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutcomes {
    tasks: Vec<TaskOutcomes>,
}

impl TryFrom<RawOutcomes> for Outcomes {
    type Error = OutcomesError;

    fn try_from(raw: RawOutcomes) -> Result<Outcomes, OutcomesError> {
        Outcomes::new(raw.tasks)
    }
}
