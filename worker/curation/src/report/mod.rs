//! What a curation found, as one value: what `report.json` holds, the page shows and the command line prints.
//!
//! Promise: the same curation gives the same report, byte for byte. No secret stands in it.

pub mod funnel;
pub(crate) mod glimpse;

use crate::audit::{Audit, audits};
use crate::book::{Book, Side};
use crate::leak::Leak;
use crate::lengths::LengthsReport;
use crate::made::{Made, Sides};
use crate::mix;
use crate::rights::{RightsReport, report as rights_of};
use crate::row::Row;
pub use funnel::{Applied, Example, Passage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vertigo_evaluation::suite::Suite;

/// The file's name in a curated dataset.
pub const FILE: &str = "report.json";

/// The version of this form.
pub const VERSION: u32 = 1;

/// What a curation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// Files that were read, by name.
    pub files: Vec<File>,
    /// What each stage did.
    pub funnel: Vec<Passage>,
    /// What the dataset has.
    pub sides: Sides,
    /// How the rows of the training side are drawn, in words.
    pub mix: String,
    /// The fact by which `categories` are told: what the mix goes by, or `category`.
    pub by: String,
    /// By that fact, the most read first.
    pub categories: Vec<Category>,
    /// By licence.
    pub rights: RightsReport,
    /// Tokens of the rows, by the base's own tokenizer; `None` where no base was given to count them.
    pub lengths: Option<LengthsReport>,
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

/// What a report is told besides the book and what was made.
pub(crate) struct Telling<'t> {
    /// The files' names.
    pub(crate) names: Vec<String>,
    /// The fact that rows are counted by.
    pub(crate) by: String,
    /// How many rows were read of each value of it.
    pub(crate) categories: BTreeMap<String, u64>,
    /// How the row of an entry begins.
    pub(crate) begins: &'t dyn Fn(u32) -> String,
    /// What the dataset is held against.
    pub(crate) suites: &'t [Suite],
    /// The lengths of what is left.
    pub(crate) lengths: Option<LengthsReport>,
    /// How the training side is drawn.
    pub(crate) mix: String,
    /// What was found across sides.
    pub(crate) leak: Leak,
    /// What else a person has to know.
    pub(crate) remarks: Vec<String>,
}

impl Report {
    /// The report of a curation.
    pub(crate) fn of(book: &Book, made: &Made, telling: Telling<'_>) -> Report {
        let Telling { names, by, categories, begins, suites, lengths, mix, leak, mut remarks } = telling;
        let rows: Vec<&Row> = made.all().map(|(_, placed)| &placed.row).collect();
        let audits = audits(&rows, suites, book);
        if !leak.is_none() {
            remarks.insert(0, format!("This mix leaks, as the pipeline's does: {}.", leak.said()));
        }
        remarks.extend(audits.iter().filter(|audit| !audit.is_clean()).map(contaminated));
        Report {
            version: VERSION,
            files: files(names, book),
            funnel: funnel::funnel(book, begins),
            sides: made.counts(),
            mix,
            categories: shares(categories, made, &by),
            by,
            rights: rights_of(book),
            lengths,
            audits,
            leak,
            remarks,
        }
    }

    /// As a file.
    pub fn to_json(&self) -> String {
        // A report is maps with string keys, strings and finite numbers.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

fn contaminated(audit: &Audit) -> String {
    let (tasks, rows) = (audit.found.len(), audit.rows_found);
    format!("The dataset has {tasks} of the {} tasks of suite {} in {rows} rows.", audit.tasks, audit.suite)
}

/// The files with what became of their rows. One without rows is named too.
fn files(names: Vec<String>, book: &Book) -> Vec<File> {
    let mut files: BTreeMap<String, (u64, u64)> = names.into_iter().map(|name| (name, (0, 0))).collect();
    for entry in &book.entries {
        if let Some((rows, kept)) = files.get_mut(&*entry.origin.file) {
            *rows += 1;
            *kept += u64::from(entry.side.is_some());
        }
    }
    files.into_iter().map(|(name, (rows, kept))| File { name, rows, kept }).collect()
}

/// Each category with its share of what is drawn.
fn shares(read: BTreeMap<String, u64>, made: &Made, by: &str) -> Vec<Category> {
    let mut drawn: BTreeMap<String, (u64, f64)> = BTreeMap::new();
    for placed in made.side(Side::Train) {
        let (rows, weight) = drawn.entry(mix::group(&placed.row, by).into_owned()).or_default();
        *rows += 1;
        *weight += placed.weight;
    }
    let all: f64 = drawn.values().map(|(_, weight)| weight).sum();
    let mut categories: Vec<Category> = read
        .into_iter()
        .map(|(name, read)| {
            let (train, weight) = drawn.get(&name).copied().unwrap_or_default();
            // To as many digits as floats of different orders of adding agree on.
            let drawn = if all > 0.0 { (weight / all * 1e6).round() / 1e6 } else { 0.0 };
            Category { name, read, train, drawn }
        })
        .collect();
    categories.sort_by(|a, b| b.read.cmp(&a.read).then_with(|| a.name.cmp(&b.name)));
    categories
}
