//! What of a suite a dataset has: which tasks, in which rows.
//!
//! It is a fact of the dataset: a report of an evaluation says by it what the model saw.
//!
//! Promise: the same rows and suite give the same audit, whatever the order of the rows.

use crate::book::Book;
use crate::contamination::{How, Sought};
use crate::parallel;
use crate::row::Row;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use vertigo_evaluation::suite::Suite;

/// Rows of a task that are named; all are counted.
pub const ROWS_NAMED_MAX: usize = 100;

/// What a dataset has of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// The suite's name.
    pub suite: String,
    /// The digest of its content.
    pub digest: String,
    /// Tasks of the suite.
    pub tasks: u64,
    /// Rows that were looked at.
    pub rows: u64,
    /// Those that have a task.
    pub rows_found: u64,
    /// The tasks that are there, by id.
    pub found: BTreeMap<String, Task>,
    /// What each file has that has anything.
    pub files: BTreeMap<String, File>,
}

/// A task that is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Rows that have its whole question.
    pub prompt: u64,
    /// Rows that have at least half of it.
    pub near_prompt: u64,
    /// Rows whose answers share passages with what judges it.
    pub overlap: u64,
    /// Those rows, the plainest first, at most [`ROWS_NAMED_MAX`].
    pub rows: Vec<Found>,
}

/// A row that has a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// How.
    pub how: How,
    /// The file that it was read from.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// Its id.
    pub id: String,
}

/// What a file has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its rows that have a task.
    pub rows: u64,
    /// Tasks whose whole question is there.
    pub prompt: u64,
    /// Tasks of which at least half of the question is there, and not all.
    pub near_prompt: u64,
    /// Tasks of which only passages of what judges them are there.
    pub overlap: u64,
}

/// Of each suite.
pub fn audits<R: Borrow<Row> + Sync>(rows: &[R], suites: &[Suite], book: &Book) -> Vec<Audit> {
    suites.iter().map(|suite| audit(rows, suite, book)).collect()
}

/// What the rows have of the suite; the book says where they come from.
pub fn audit<R: Borrow<Row> + Sync>(rows: &[R], suite: &Suite, book: &Book) -> Audit {
    let sought = Sought::of(suite);
    let looked = parallel::map(rows, |row| sought.look(&row.borrow().body));
    let mut audit = Audit {
        suite: suite.about.name.clone(),
        digest: suite.digest().to_string(),
        tasks: suite.tasks.len() as u64,
        rows: rows.len() as u64,
        rows_found: 0,
        found: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    let mut of_files: BTreeMap<(&str, &str), How> = BTreeMap::new();
    let rows = rows.iter().map(Borrow::borrow);
    for (row, tasks) in rows.zip(looked).filter(|(_, tasks)| !tasks.is_empty()) {
        let origin = &book.of(row).origin;
        audit.rows_found += 1;
        audit.files.entry(origin.file.to_string()).or_default().rows += 1;
        let id = row.body.id().to_string();
        for (name, how) in tasks {
            let task = audit.found.entry(name.to_owned()).or_default();
            *task.count(how) += 1;
            task.rows.push(Found { how, file: origin.file.to_string(), line: origin.line, id: id.clone() });
            of_files.entry((&origin.file, name)).and_modify(|kept| *kept = how.min(*kept)).or_insert(how);
        }
    }
    for ((file, _), how) in of_files {
        let file = audit.files.entry(file.to_owned()).or_default();
        *match how {
            How::Prompt => &mut file.prompt,
            How::NearPrompt => &mut file.near_prompt,
            How::Overlap => &mut file.overlap,
        } += 1;
    }
    for task in audit.found.values_mut() {
        task.rows.sort();
        task.rows.truncate(ROWS_NAMED_MAX);
    }
    audit
}

impl Task {
    fn count(&mut self, how: How) -> &mut u64 {
        match how {
            How::Prompt => &mut self.prompt,
            How::NearPrompt => &mut self.near_prompt,
            How::Overlap => &mut self.overlap,
        }
    }
}

impl Audit {
    /// Whether the dataset has nothing of the suite.
    pub fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// The tasks that are there, each in the plainest way.
    pub fn tasks_found(&self, how: How) -> BTreeSet<&str> {
        let is_so = |task: &&Task| match how {
            How::Prompt => task.prompt > 0,
            How::NearPrompt => task.prompt == 0 && task.near_prompt > 0,
            How::Overlap => task.prompt == 0 && task.near_prompt == 0,
        };
        self.found.iter().filter(|(_, task)| is_so(task)).map(|(name, _)| name.as_str()).collect()
    }
}
