//! A report's scores with how sure they are.

use super::{CountError, Report};
use crate::statistics::{Interval, Means, Outcomes, Resampling, category_means, means, score_interval};
use serde::Serialize;

/// What a model came to in some tasks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Its means, with Wilson's interval of passing.
    #[serde(flatten)]
    pub means: Means,
    /// Where its score lies, by bootstrap over tasks.
    pub score_interval: Interval,
}

/// What a model came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// In all tasks that count.
    pub overall: Figure,
    /// In each category, by name.
    pub categories: Vec<(String, Figure)>,
    /// Tasks without an answer that counts.
    pub left_out: Vec<String>,
}

impl Figures {
    /// The figures of a report.
    ///
    /// # Errors
    /// The eval has not ended, or nothing counts.
    pub fn of(report: &Report, how: Resampling) -> Result<Figures, CountError> {
        let counted = report.counted()?;
        let figure =
            |means: Means, outcomes: &Outcomes| Figure { means, score_interval: score_interval(outcomes, how) };
        let of_category = |(name, means): (String, Means)| {
            let tasks = counted.outcomes.categories().find(|(category, _)| *category == name)?.1;
            // A category that is there has tasks.
            let outcomes = Outcomes::new(tasks.to_vec()).ok()?;
            let figure = figure(means, &outcomes);
            Some((name, figure))
        };
        Ok(Figures {
            overall: figure(means(&counted.outcomes), &counted.outcomes),
            categories: category_means(&counted.outcomes).into_iter().filter_map(of_category).collect(),
            left_out: counted.left_out.into_iter().map(|task| task.0).collect(),
        })
    }
}
