//! Reports beside one another: which model is better, and how sure that is.

use crate::error::{CliError, Result};
use crate::render::output::{Output, wrap};
use crate::render::safe;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vertigo_evaluation::compare::{Comparison, Side, compare, said};
use vertigo_evaluation::report::{Report, alongside};
use vertigo_evaluation::statistics::{Resampling, TaskId};

/// A comparison, and the tasks that it leaves out because a model could not be judged in them.
#[derive(Debug)]
pub(crate) struct Compared {
    comparison: Comparison,
    left_out: BTreeSet<TaskId>,
}

/// Compares models by their reports of one suite, each by the name that a person knows it by.
///
/// # Errors
/// They were not asked alike, or nothing of one counts.
pub(crate) fn compared(reports: &[(&str, &Report)]) -> Result<Compared> {
    let mut left_out = BTreeSet::new();
    let mut sides: Vec<Side> = Vec::new();
    for (name, report) in reports {
        let (side, out) = report.side(name).map_err(|e| CliError::refused(format!("report `{name}`: {e}")))?;
        left_out.extend(out);
        sides.push(side);
    }
    let digest = sides.first().map(|side| side.digest.clone()).unwrap_or_default();
    left_out.extend(alongside(&mut sides, &digest));
    let comparison = compare(&sides, Resampling::default()).map_err(|e| {
        CliError::refused(e).hint("ask them alike: vertigo eval A B --suite SUITE, with the same options for all")
    })?;
    Ok(Compared { comparison, left_out })
}

impl Compared {
    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        json!({"comparison": self.comparison, "left_out": self.left_out})
    }

    /// In lines of at most 80 columns.
    pub(crate) fn render(&self) -> String {
        let text = safe::text(&said(&self.comparison)).into_owned();
        if self.left_out.is_empty() {
            return text;
        }
        let tasks: Vec<&str> = self.left_out.iter().map(|task| task.0.as_str()).collect();
        let why = "Left out, because not every model's answers could be judged in them";
        format!("{text}\n{}", wrap(&format!("{why}: {}.", tasks.join(", ")), 0))
    }

    /// As the result of a command.
    pub(crate) fn show(&self, output: Output) {
        output.show(|| self.json(), || self.render());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::report::tests::report;

    #[test]
    fn reports_are_compared_by_the_names_that_they_were_asked_for_by() {
        let report = report();
        let compared = compared(&[("tutor", &report), ("base", &report)]).unwrap();
        let text = compared.render();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("It is not sure which is better, tutor or base"), "{text}");
        assert_eq!(compared.json()["comparison"]["standings"][1]["model"], "base");
    }

    #[test]
    fn reports_that_were_not_asked_alike_say_in_what() {
        let (one, mut other) = (report(), report());
        other.facts.sampling.temperature = 1.5;
        let error = compared(&[("tutor", &one), ("base", &other)]).unwrap_err();
        assert!(error.message.contains("`temperature` is `0.7` and `1.5`"), "{}", error.message);
        assert!(error.hint.unwrap().contains("vertigo eval"));
        other.missing = 4;
        let error = compared(&[("tutor", &one), ("base", &other)]).unwrap_err();
        assert!(error.message.contains("report `base`: 4 answers are still to come"), "{}", error.message);
    }
}
