//! What an eval came to: every answer with its verdicts, and what they say of the model.
//!
//! A report is a fold over the lines of `answers.jsonl` ([`lines`]), so that an eval which was killed anywhere goes on with the
//! rest. Beside the model's figures stand what nonsense scores and which tasks the training data has: figures that say how much
//! to believe.
//!
//! Promise: the same lines in any order give the same bytes. Times are in none of them ([`Times`] has those).

mod counted;
mod facts;
mod figures;
mod fold;
mod lines;
mod roblox;
mod times;

pub use counted::{CountError, Counted, alongside, facts_alongside};
pub use facts::{FORMAT, Facts, Model, Sampling};
pub use figures::{Figure, Figures};
pub use fold::ReportError;
pub use lines::{
    AnswerLine, FILE_BYTES_MAX, Kept, LINE_BYTES_MAX, Line, LinesError, NonsenseLine, PromptLine, Time, Tokens, Torn,
    VerdictsLine,
};
pub use roblox::{RobloxAnswer, RobloxAsked, RobloxJob, RobloxLine, RobloxReport, RobloxSaid, RobloxTally, RobloxTask};
pub use times::Times;

use crate::answer::{Answer, Ending};
use crate::contamination::Contamination;
use crate::nonsense::Nonsense;
use crate::prompt::Prompt;
use crate::score::{Score, Verdict};
use crate::suite::{CheckName, Suite};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vertigo::id::Digest;

/// What an eval came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of what it is.
    pub facts: Facts,
    /// Which of the suite's checks only match patterns, by what each is.
    pub pattern_matches: BTreeMap<CheckName, String>,
    /// Of all tasks.
    pub overall: Tally,
    /// Of the tasks of each category.
    pub categories: BTreeMap<String, Tally>,
    /// The figures of the pipeline's benchmark, where the suite has its scorer.
    pub benchmark_v2: Option<BenchmarkV2>,
    /// What answers score that answer nothing.
    pub nonsense: Vec<NonsenseScore>,
    /// What of the suite the training data has; `None` where nobody knows the data.
    pub contamination: Option<Contaminated>,
    /// How many answers are still to come.
    pub missing: u32,
    /// What a real Roblox said of the answers, where it was asked. It is in no other figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roblox: Option<RobloxReport>,
    /// Every task with its answers.
    pub tasks: Vec<TaskReport>,
}

/// What the answers to some tasks come to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Tasks with an answer that counts.
    pub tasks: u32,
    /// Answers.
    pub answers: u32,
    /// The mean over tasks of the mean over their answers that count, from 0 to 1; `None` where none does. An answer whose deciding
    /// checks say nothing, because the room lacks something or a check failed itself, does not.
    pub score: Option<f64>,
    /// Answers that hold all checks that decide.
    pub passed: u32,
    /// Answers that do or do not: the rest have no check that decides, or one that says nothing.
    pub decided: u32,
    /// How answers ended.
    pub endings: BTreeMap<Ending, u32>,
    /// Answers with a check that the room lacks something for. Not held against the model.
    pub unsupported: u32,
    /// Answers with a check that failed itself. Not held against the model.
    pub broken: u32,
    /// Answers that no check has looked at yet.
    pub unjudged: u32,
}

/// The pipeline's own figures: means in per cent, with one decimal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkV2 {
    /// The mean over all answers.
    pub overall: f64,
    /// The mean over those of each category.
    pub categories: BTreeMap<String, f64>,
}

/// What one kind of nonsense scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NonsenseScore {
    /// Which kind.
    pub kind: Nonsense,
    /// Tasks that were asked about it.
    pub tasks: u32,
    /// Its mean over them.
    pub score: Option<f64>,
    /// The tasks that it passes as a whole.
    pub passes: Vec<String>,
    /// The checks that it passes, or scores at least a half in, on half of their tasks or more: they say little of a model. In
    /// red.
    pub red: Vec<CheckName>,
    /// Its mean in each check.
    pub checks: BTreeMap<CheckName, f64>,
}

impl NonsenseScore {
    /// Whether a person has to be warned of the figures beside it.
    pub fn is_alarming(&self) -> bool {
        !self.passes.is_empty() || !self.red.is_empty()
    }
}

/// What of the suite the training data has, and what the model scores with and without that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contaminated {
    /// What was found.
    #[serde(flatten)]
    pub contamination: Contamination,
    /// Of the tasks that were found.
    pub inside: Tally,
    /// Of all others.
    pub outside: Tally,
}

/// A task with its answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task.
    pub task: String,
    /// What it is about.
    pub category: String,
    /// From 1 to 5, as its author finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<u8>,
    /// What was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// What its answers come to.
    pub tally: Tally,
    /// The answers, by sample.
    pub answers: Vec<AnswerReport>,
}

/// An answer with its verdicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerReport {
    /// Which of the answers to the task, from 0.
    pub sample: u32,
    /// What it was drawn by.
    pub seed: u64,
    /// Which prompt was sent.
    pub prompt: Digest,
    /// Its tokens.
    pub tokens: Tokens,
    /// What came.
    pub answer: Answer,
    /// What the verdicts come to; `None` before there are any.
    pub score: Option<Score>,
    /// What each check says.
    pub verdicts: Vec<Verdict>,
}

impl Report {
    /// The report of what an eval has so far.
    ///
    /// # Errors
    /// Where the lines are not of this suite.
    pub fn of(
        suite: &Suite,
        facts: &Facts,
        kept: &Kept,
        contamination: Option<&Contamination>,
    ) -> Result<Report, ReportError> {
        fold::report(suite, facts, kept, contamination)
    }

    /// The report as it is kept: JSON, the same bytes for the same report.
    pub fn to_text(&self) -> String {
        lines::text_of(self) + "\n"
    }

    /// Reads a report.
    ///
    /// # Errors
    /// Where it is none, or of a later format.
    pub fn parse(text: &str) -> Result<Report, ReportError> {
        fold::parse(text)
    }
}

#[cfg(test)]
mod tests;
