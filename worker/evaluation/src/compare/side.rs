//! What is compared: a model's outcomes, with all that has to be the same for two of them to be compared.

use crate::statistics::{Outcomes, Pairs, TaskId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How a suite was asked, by name: the rule of seeds, the temperature, the budget of tokens. Two models are compared where all
/// of it is the same.
pub type Conditions = BTreeMap<String, String>;

/// Bytes of a name, a digest or a condition.
const TEXT_BYTES_MAX: usize = 1_000;

/// Conditions of one side.
const CONDITIONS_MAX: usize = 100;

/// Tasks that a refusal names; of more it says how many.
const NAMED_MAX: usize = 5;

/// One model's outcomes of one suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// The model as people call it.
    pub model: String,
    /// The suite's name.
    pub suite: String,
    /// The suite's digest: two suites of one name may differ.
    pub digest: String,
    /// How it was asked.
    pub conditions: Conditions,
    /// What came of it.
    pub outcomes: Outcomes,
}

/// What of a side cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SideError(String);

impl Side {
    /// The side, once its texts are fit to be shown.
    ///
    /// # Errors
    /// A text is empty, too long or has control characters; there are too many conditions.
    pub fn checked(self) -> Result<Side, SideError> {
        if self.conditions.len() > CONDITIONS_MAX {
            let conditions = self.conditions.len();
            return Err(SideError(format!("there are {conditions} conditions: at most {CONDITIONS_MAX} are read")));
        }
        let named = [("model", &self.model), ("suite", &self.suite), ("digest", &self.digest)];
        let conditions = self.conditions.iter().flat_map(|(name, value)| [("condition", name), ("condition", value)]);
        for (what, text) in named.into_iter().chain(conditions) {
            if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                let text: String = text.chars().take(40).collect();
                return Err(SideError(format!(
                    "{what} {text:?} cannot be shown: write 1 to {TEXT_BYTES_MAX} bytes without control characters"
                )));
            }
        }
        Ok(self)
    }
}

/// One way in which two models were not asked alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unlike {
    /// Different suites, by their names.
    Suite(String, String),
    /// One name, but different digests of the suite.
    Digest(String, String),
    /// A condition that differs, by its name, with either value; none where a side does not have it.
    Condition(String, Option<String>, Option<String>),
    /// Tasks that only the first was asked.
    OnlyFirst(Vec<TaskId>),
    /// Tasks that only the second was asked.
    OnlySecond(Vec<TaskId>),
    /// Tasks that stand in different categories.
    Moved(Vec<TaskId>),
}

impl fmt::Display for Unlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |tasks: &[TaskId]| {
            let shown: Vec<String> = tasks.iter().take(NAMED_MAX).map(|task| format!("`{task}`")).collect();
            let more = tasks.len().saturating_sub(NAMED_MAX);
            shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
        };
        let value = |value: &Option<String>| value.as_ref().map_or("not said".to_owned(), |value| format!("`{value}`"));
        match self {
            Unlike::Suite(first, second) => write!(f, "suite is `{first}` and `{second}`"),
            Unlike::Digest(first, second) => write!(f, "digest of the suite is `{first}` and `{second}`"),
            Unlike::Condition(name, first, second) => write!(f, "`{name}` is {} and {}", value(first), value(second)),
            Unlike::OnlyFirst(tasks) => write!(f, "only the first was asked {}", named(tasks)),
            Unlike::OnlySecond(tasks) => write!(f, "only the second was asked {}", named(tasks)),
            Unlike::Moved(tasks) => write!(f, "in different categories: {}", named(tasks)),
        }
    }
}

/// Why there is no comparison.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// One model is not compared, and too many make too many pairs.
    #[error("{0} reports: compare 2 to {max}", max = super::SIDES_MAX)]
    Sides(usize),
    /// They were not asked alike.
    #[error("`{first}` and `{second}` were not asked alike: {}; run both on the same suite in the same way",
        unlike.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unlike {
        /// The one model.
        first: String,
        /// The other.
        second: String,
        /// In what, at least one.
        unlike: Vec<Unlike>,
    },
}

/// The pairs of two sides that were asked alike.
///
/// # Errors
/// All ways in which they were not.
pub fn alike(first: &Side, second: &Side) -> Result<Pairs, CompareError> {
    let mut unlike = Vec::new();
    if first.suite != second.suite {
        unlike.push(Unlike::Suite(first.suite.clone(), second.suite.clone()));
    } else if first.digest != second.digest {
        unlike.push(Unlike::Digest(first.digest.clone(), second.digest.clone()));
    }
    let names: BTreeSet<&String> = first.conditions.keys().chain(second.conditions.keys()).collect();
    for name in names {
        let (one, other) = (first.conditions.get(name), second.conditions.get(name));
        if one != other {
            unlike.push(Unlike::Condition(name.clone(), one.cloned(), other.cloned()));
        }
    }
    let pairs = Pairs::of(&first.outcomes, &second.outcomes);
    if let Err(unpaired) = &pairs {
        let lists = [
            (&unpaired.first, Unlike::OnlyFirst as fn(Vec<TaskId>) -> Unlike),
            (&unpaired.second, Unlike::OnlySecond),
            (&unpaired.moved, Unlike::Moved),
        ];
        unlike.extend(lists.into_iter().filter(|(tasks, _)| !tasks.is_empty()).map(|(tasks, of)| of(tasks.clone())));
    }
    match pairs {
        Ok(pairs) if unlike.is_empty() => Ok(pairs),
        _ => Err(CompareError::Unlike { first: first.model.clone(), second: second.model.clone(), unlike }),
    }
}
