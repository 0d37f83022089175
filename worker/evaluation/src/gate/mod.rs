//! What a model must show before a tag moves to it.
//!
//! Promises: a decision is a function of the gate, what is known of the candidate, and what is known of the model that the tag
//! is at; every rule says whether it held and why, also where another one did not; a gate that holds for a report holds for a
//! better one of the same tasks; one that asks for more than its tasks and samples can show refuses, and says how many are
//! missing; a rule whose facts are absent does not hold; no rule holds the more for answers that the room could not judge
//! ([`Role`]).

mod facts;
mod file;
mod judge;
mod preset;
#[cfg(test)]
mod tests;

pub use facts::{Facts, Role};
pub use file::{EXAMPLE, GateError};
pub use judge::{Decision, Reason, judge};
pub use preset::{VERTIGO_V2, vertigo_v2};

use crate::statistics::{Share, Spread};
use std::collections::BTreeMap;

/// The rules of a gate. All of them must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// How often a difference that is there has to be found.
    pub power: Share,
    /// How much two models are assumed to differ from task to task, before they were run.
    pub spread: Spread,
    /// The rules by the suite's name, of one suite at least.
    pub suites: BTreeMap<String, SuiteRules>,
}

/// The rules about one suite. Scores and differences are in points of 100.
#[derive(Debug, Clone, PartialEq)]
pub struct SuiteRules {
    /// The check whose outcomes count; none: the answers' scores, of all checks together.
    pub check: Option<String>,
    /// How scores become figures.
    pub figures: Figures,
    /// How much better than the tag's model.
    pub better: Option<Better>,
    /// No category worse than the tag's model by more than this.
    pub categories: Option<NoWorse>,
    /// Scores that have to be reached, whatever the tag's model has.
    pub floors: Floors,
    /// What part of the training data may be in the tasks.
    pub contamination: Option<Contamination>,
    /// What an answer of nonsense, an echo first of all, has to score below.
    pub echo: Option<f64>,
    /// How many samples may have ended without an answer.
    pub endings: EndingsMost,
}

/// How scores become figures in points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figures {
    /// As they are.
    Exact,
    /// Rounded to a tenth before they are compared, as the pipeline's reports have them.
    Tenths,
}

/// How much better than the tag's model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Better {
    /// The figure is higher, by whatever.
    Seen,
    /// It is likely that it is.
    Likely {
        /// By more than so many points.
        by: f64,
        /// With this probability at least.
        probability: Share,
        /// The true improvement, in points, that the gate must be able to find; more than `by`.
        expects: f64,
    },
}

/// How much worse a category may be than the tag's model's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoWorse {
    /// Points, above 0: no number of tasks shows that nothing is lost at all.
    pub by: f64,
    /// With this probability at least.
    pub probability: Share,
}

/// Scores that have to be reached, in points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Floors {
    /// Over all tasks.
    pub overall: Option<f64>,
    /// In categories.
    pub categories: BTreeMap<String, f64>,
    /// Whether a category that the suite does not have is passed over, as the pipeline did. Otherwise its floor does not hold.
    pub skips_absent: bool,
}

/// What part of the tasks may be in the training data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contamination {
    /// Per cent of tasks, at most.
    pub most: Option<f64>,
    /// Whether scores are taken without these tasks.
    pub without: bool,
}

/// Per cent of samples that may have ended so, at most.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EndingsMost {
    /// Cut by the budget of tokens.
    pub cut: Option<f64>,
    /// Out of time.
    pub timed_out: Option<f64>,
    /// Errors of an API.
    pub api_errors: Option<f64>,
    /// Whole answers that asked for what the room has not.
    pub unsupported: Option<f64>,
}
