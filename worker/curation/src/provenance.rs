//! `provenance.jsonl`: a line for every line that was read, with what befell it and where it is now.
//!
//! Promise: every input row stands in it exactly once, in the order of files and lines. No line of it holds what a row says.

use crate::book::{Book, Effect, Entry, Rights, Side};
use crate::duplicates::clusters::Clusters;
use crate::row::RowId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The file's name in a curated dataset.
pub const FILE: &str = "provenance.jsonl";

/// What is known of a line that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The id of the row as it was read; `null` of a line that is no row.
    pub id: Option<String>,
    /// The file that it was read from.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// What is known of its rights.
    pub rights: Rights,
    /// All rules that touched it, in their order.
    pub touched: Vec<Touched>,
    /// Where it is now; `null` where it was left out.
    pub side: Option<Side>,
    /// The rows that say the same as it: the smallest id among them. None where no row is like it, or nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The ids of the rows that were made of it, where they are not the row as it was read: what was repaired, redacted or split.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<String>,
}

/// A rule that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Touched {
    /// The stage.
    pub stage: String,
    /// The rule's name.
    pub rule: String,
    /// What it did.
    pub effect: Effect,
    /// What exactly.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Line {
    fn of(entry: &Entry, cluster: Option<RowId>, made: &[RowId]) -> Line {
        let Entry { origin, id, rights, touched, side } = entry;
        let touched = touched.iter().map(|touch| Touched {
            stage: touch.rule.stage.as_str().to_owned(),
            rule: touch.rule.name.to_owned(),
            effect: touch.effect,
            detail: touch.detail.to_string(),
        });
        let is_as_read = matches!(made, [one] if Some(one) == id.as_ref());
        Line {
            id: id.map(|id| id.to_string()),
            file: origin.file.to_string(),
            line: origin.line,
            rights: rights.clone(),
            touched: touched.collect(),
            side: *side,
            cluster: cluster.map(|id| id.to_string()),
            made: if is_as_read { Vec::new() } else { made.iter().map(RowId::to_string).collect() },
        }
    }

    /// The ids of the rows in the dataset that were made of it.
    pub fn rows(&self) -> impl Iterator<Item = &str> {
        let as_read = self.id.as_deref().filter(|_| self.side.is_some() && self.made.is_empty());
        as_read.into_iter().chain(self.made.iter().map(String::as_str))
    }

    /// The rule that ended it.
    pub fn end(&self) -> Option<&Touched> {
        self.touched.last().filter(|touched| touched.effect.ends())
    }
}

/// Writes the book. `made` are the rows in the dataset by the entry that each was made of, `clusters` those that say the same.
///
/// # Errors
/// The writer's.
pub fn write(
    book: &Book,
    clusters: &Clusters,
    made: &BTreeMap<u32, Vec<RowId>>,
    out: &mut impl Write,
) -> io::Result<()> {
    for (entry, number) in book.entries.iter().zip(0u32..) {
        let made = made.get(&number).map_or(&[][..], Vec::as_slice);
        serde_json::to_writer(&mut *out, &Line::of(entry, clusters.of(number), made))?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
