//! Rules: what may happen to a row, by name.
//!
//! A stage declares its rules as constants beside the code that applies them, so that a name in a report leads to the line that did it.

use serde::{Deserialize, Serialize, Serializer};

/// The stages, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Lines become rows.
    Read,
    /// Who allowed it.
    Rights,
    /// The pipeline's tiers.
    Tiers,
    /// What an honest reader would take out, secrets among it.
    Filters,
    /// Scores below what the config asks for.
    Quality,
    /// The same thing again.
    Duplicates,
    /// What a suite asks.
    Contamination,
    /// Longer than a run can learn.
    Lengths,
    /// Sides, and how often a row is drawn.
    Split,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Stage; 9] = [
        Stage::Read,
        Stage::Rights,
        Stage::Tiers,
        Stage::Filters,
        Stage::Quality,
        Stage::Duplicates,
        Stage::Contamination,
        Stage::Lengths,
        Stage::Split,
    ];

    /// Its name, as people and programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Rights => "rights",
            Stage::Tiers => "tiers",
            Stage::Filters => "filters",
            Stage::Quality => "quality",
            Stage::Duplicates => "duplicates",
            Stage::Contamination => "contamination",
            Stage::Lengths => "lengths",
            Stage::Split => "split",
        }
    }
}

/// What may happen to a row. Two rules are the same where stage and name are.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The stage that applies it.
    pub stage: Stage,
    /// Its name: small letters and underscores, unlike any other's.
    pub name: &'static str,
    /// What it means, in one plain sentence without an end, as it stands in a report: `a code fence is opened and never closed`.
    pub says: &'static str,
}

impl Rule {
    /// A rule.
    pub const fn new(stage: Stage, name: &'static str, says: &'static str) -> Rule {
        Rule { stage, name, says }
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        (self.stage, self.name) == (other.stage, other.name)
    }
}

impl Eq for Rule {}

impl PartialOrd for Rule {
    fn partial_cmp(&self, other: &Rule) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rule {
    fn cmp(&self, other: &Rule) -> std::cmp::Ordering {
        (self.stage, self.name).cmp(&(other.stage, other.name))
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}
