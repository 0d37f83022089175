//! The verdict of a check, and what a task's verdicts come to.

use crate::room::{Finding, Run};
use crate::suite::CheckName;
use serde::{Deserialize, Serialize};

/// How an answer stands with a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// The check gives a score and no pass.
    Scored,
    /// The room lacks what the answer uses: counted apart.
    Unsupported,
    /// The check itself failed: counted apart, and for the suite's author to mend.
    Broken,
}

/// What a check says of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which check.
    pub check: CheckName,
    /// How the answer stands.
    pub standing: Standing,
    /// From 0 to 1.
    pub score: f64,
    /// What the check counts beside the task's others.
    pub weight: f64,
    /// Whether the answer must hold it to pass.
    pub decides: bool,
    /// What a person wants to know of it, one thing a line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What an analysis found, for lint and types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What came of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// The dimensions of a scorer that is kept from the pipeline, as it names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<serde_json::Value>,
}

/// What an answer's verdicts come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The mean of the verdicts that count, by weight, from 0 to 1; `None` where none does.
    pub score: Option<f64>,
    /// Whether it holds all checks that decide; `None` where none does, or where one of them says nothing and no other fails.
    pub passed: Option<bool>,
}

impl Score {
    /// Of a task's verdicts. One that says nothing (unsupported, broken) counts neither for nor against.
    pub fn of(verdicts: &[Verdict]) -> Score {
        let says = |verdict: &&Verdict| !matches!(verdict.standing, Standing::Unsupported | Standing::Broken);
        let (mut sum, mut weights) = (0.0, 0.0);
        for verdict in verdicts.iter().filter(says) {
            sum += verdict.score * verdict.weight;
            weights += verdict.weight;
        }
        let deciding = || verdicts.iter().filter(|verdict| verdict.decides);
        let passed = if deciding().any(|verdict| verdict.standing == Standing::Failed) {
            Some(false)
        } else if deciding().all(|verdict| verdict.standing == Standing::Passed) && deciding().next().is_some() {
            Some(true)
        } else {
            None
        };
        Score { score: (weights > 0.0).then(|| (sum / weights).clamp(0.0, 1.0)), passed }
    }
}
