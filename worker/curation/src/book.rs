//! The book: every line that was read, and what befell it.
//!
//! Promise: an entry is made once, when its line is read, and ends once. What ended is not touched again.

use crate::row::{Origin, Row, RowId};
use crate::rule::Rule;
use serde::{Deserialize, Serialize};

/// What a rule did to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is no row at all.
    Rejected,
    /// Nobody may use it until somebody says why they may.
    Quarantined,
    /// It is left out.
    Dropped,
    /// It was changed, and goes on.
    Repaired,
    /// It was seen, and goes on as it was.
    Noted,
}

impl Effect {
    /// Whether the row ends here.
    pub fn ends(self) -> bool {
        matches!(self, Effect::Rejected | Effect::Quarantined | Effect::Dropped)
    }
}

/// A rule that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// Which.
    pub rule: Rule,
    /// What it did.
    pub effect: Effect,
    /// What exactly: a place, a figure, another row. May be empty. It never has a secret in it.
    pub detail: Box<str>,
}

/// Where a row is found in what was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Trained on.
    Train,
    /// Validated with.
    Valid,
    /// Held back.
    Test,
}

impl Side {
    /// All sides.
    pub const ALL: [Side; 3] = [Side::Train, Side::Valid, Side::Test];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Train => "train",
            Side::Valid => "valid",
            Side::Test => "test",
        }
    }

    /// The file of its rows in a dataset.
    pub fn file(self) -> &'static str {
        match self {
            Side::Train => "train.jsonl",
            Side::Valid => "valid.jsonl",
            Side::Test => "test.jsonl",
        }
    }
}

/// What is known of the rights in a row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rights {
    /// The licence, as SPDX writes it where it is one.
    pub license: Option<Box<str>>,
    /// On what grounds it may be used: `open_source`, `generated` and so on.
    pub basis: Option<Box<str>>,
    /// Who has to be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<Box<str>>,
    /// Why a person says so, where the line itself does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<Box<str>>,
}

/// A line that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub origin: Origin,
    /// What names the row as it was read; `None` of a line that is none.
    pub id: Option<RowId>,
    /// What is known of its rights.
    pub rights: Rights,
    /// All rules that touched it, in their order.
    pub touched: Vec<Touch>,
    /// Where it is; `None` where it was left out.
    pub side: Option<Side>,
}

/// Every line that was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Book {
    /// In the order of files and lines.
    pub entries: Vec<Entry>,
}

impl Book {
    /// Enters a line, and gives its number.
    pub fn enter(&mut self, origin: Origin) -> u32 {
        let entry = Entry { origin, id: None, rights: Rights::default(), touched: Vec::new(), side: None };
        self.entries.push(entry);
        // Lines beyond `read`'s bound are refused long before.
        (self.entries.len() - 1) as u32
    }

    /// The entry of a row.
    pub fn of(&self, row: &Row) -> &Entry {
        &self.entries[row.entry as usize]
    }

    /// The entry of this number.
    pub fn entry_mut(&mut self, entry: u32) -> &mut Entry {
        &mut self.entries[entry as usize]
    }

    /// Notes what a rule did.
    pub fn touch(&mut self, entry: u32, rule: Rule, effect: Effect, detail: impl Into<Box<str>>) {
        let touched = &mut self.entry_mut(entry).touched;
        debug_assert!(touched.last().is_none_or(|last| !last.effect.ends()), "what ended is touched again");
        touched.push(Touch { rule, effect, detail: detail.into() });
    }
}

impl Entry {
    /// The rule that ended it.
    pub fn end(&self) -> Option<&Touch> {
        self.touched.last().filter(|touch| touch.effect.ends())
    }
}
