//! What a curation found, as one value: what `report.json` holds, the page shows and the command line prints.
//!
//! Promise: the same curation gives the same report, byte for byte. No secret stands in it.

pub mod funnel;
pub(crate) mod glimpse;

use crate::audit::Audit;
use crate::leak::Leak;
use crate::lengths::Histogram;
use crate::rights;
pub use funnel::{Applied, Example, Passage};
use serde::{Deserialize, Serialize};

/// The file's name in a curated dataset.
pub const FILE: &str = "report.json";

/// The version of this form.
pub const VERSION: u32 = 1;

/// What a curation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The digest of the config's text.
    pub config_digest: String,
    /// Files that were read, by name.
    pub files: Vec<File>,
    /// What each stage did.
    pub funnel: Vec<Passage>,
    /// What the dataset has.
    pub sides: Sides,
    /// How the rows of the training side are drawn, in words.
    pub mix: String,
    /// By category, the most read first.
    pub categories: Vec<Category>,
    /// By licence.
    pub rights: rights::Report,
    /// Tokens of the rows that are left; `None` where no base was given to count them.
    pub lengths: Option<Histogram>,
    /// What the dataset still has of the suites that it was held against.
    pub audits: Vec<Audit>,
    /// Whether a side knows what is on another.
    pub leak: Leak,
    /// What a person has to know before training on it.
    pub remarks: Vec<String>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Lines that are not blank.
    pub rows: u64,
    /// Those of them that the dataset has.
    pub kept: u64,
}

/// Rows of each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sides {
    /// To train on.
    pub train: u64,
    /// To validate with.
    pub valid: u64,
    /// Held back.
    pub test: u64,
}

impl Sides {
    /// Rows in all.
    pub fn total(self) -> u64 {
        self.train + self.valid + self.test
    }
}

/// A category of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// As the rows call it; empty where they do not say.
    pub name: String,
    /// Rows that were read.
    pub read: u64,
    /// Rows to train on.
    pub train: u64,
    /// Their share of what is drawn in training, from 0 to 1.
    pub drawn: f64,
}

impl Report {
    /// As a file.
    pub fn to_json(&self) -> String {
        // A report is maps with string keys, strings and finite numbers.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
