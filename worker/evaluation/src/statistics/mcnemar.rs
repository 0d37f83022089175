//! Pass or fail of the same tasks by two models.

use super::chance::{binomial_at_most, binomial_exactly};
use super::{Outcomes, TaskOutcomes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many tasks one of two models alone passed. Those that both passed, or neither, say nothing about which is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discordant {
    /// Tasks that the first alone passed.
    pub first: u64,
    /// Tasks that the second alone passed.
    pub second: u64,
}

impl Discordant {
    /// The chance of so uneven a count, or a more uneven one, where both models are as likely to win a task that one alone
    /// passes: McNemar's test (1947) in its exact form, two-sided.
    pub fn exact(self) -> f64 {
        let (fewer, all) = (self.first.min(self.second), self.first + self.second);
        (2.0 * binomial_at_most(fewer, all, 0.5)).min(1.0)
    }

    /// The same with half of the count's own chance left out (Lancaster 1961; Fagerland, Lydersen and Laake 2013): nearer to
    /// the level that is asked for than the exact form, which is too careful with few tasks, and not certain to stay below it.
    pub fn mid_p(self) -> f64 {
        let (fewer, all) = (self.first.min(self.second), self.first + self.second);
        let both = 2.0 * binomial_at_most(fewer, all, 0.5) - binomial_exactly(fewer, all, 0.5);
        both.clamp(0.0, 1.0)
    }

    /// The same the other way round.
    #[must_use]
    pub fn turned(self) -> Discordant {
        Discordant { first: self.second, second: self.first }
    }
}

/// The tasks that one of two models alone passed, where any task of both passes or fails. A model passes a task when more than
/// half of its samples pass. Tasks that one of them was not asked are left out.
pub fn discordant(first: &Outcomes, second: &Outcomes) -> Option<Discordant> {
    let of = |outcomes: &Outcomes| -> BTreeMap<_, bool> {
        let passed = |task: &TaskOutcomes| 2 * task.passed() > task.samples().len();
        outcomes.tasks().iter().map(|task| (task.task().clone(), passed(task))).collect()
    };
    let decides = |outcomes: &Outcomes| outcomes.tasks().iter().any(|task| task.decides() == Some(true));
    if !decides(first) && !decides(second) {
        return None;
    }
    let others = of(second);
    let both = of(first).into_iter().filter_map(|(task, passed)| Some((passed, *others.get(&task)?)));
    Some(both.fold(Discordant::default(), |count, (first, second)| Discordant {
        first: count.first + u64::from(first && !second),
        second: count.second + u64::from(second && !first),
    }))
}
