//! Rights by licence: how many rows, who has to be named.

use super::owed::{Owed, owed};
use crate::book::Book;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rows of one licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct License {
    /// The licence; `None` of rows that say none.
    pub license: Option<Box<str>>,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that are in the result.
    pub kept: u64,
    /// Rows that wait for somebody to say why they may be used.
    pub quarantined: u64,
    /// Rows whose licence or basis a person gave, with a reason.
    pub assumed: u64,
    /// Rows that are in the result, by the basis of their use; the empty one of rows that say none.
    pub bases: BTreeMap<Box<str>, u64>,
    /// What is owed for those that are in the result.
    pub owed: Owed,
    /// How that is done.
    pub how: String,
    /// Rows that are in the result, by who has to be named for them.
    pub attributions: BTreeMap<Box<str>, u64>,
    /// Rows in the result of which nobody knows who has to be named.
    pub nameless: u64,
}

/// The rights in all that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RightsReport {
    /// By licence, those that say none first.
    pub licenses: Vec<License>,
}

/// Counts the rights of all rows, as the book stands.
pub fn report(book: &Book) -> RightsReport {
    let mut licenses: BTreeMap<Option<Box<str>>, License> = BTreeMap::new();
    // What was no row has no rights.
    for entry in book.entries.iter().filter(|entry| entry.id.is_some()) {
        let rights = &entry.rights;
        let license = licenses.entry(rights.license.clone()).or_insert_with(|| empty(rights.license.clone()));
        license.rows += 1;
        license.assumed += u64::from(rights.assumed.is_some());
        match entry.end() {
            Some(end) => license.quarantined += u64::from(end.effect == crate::book::Effect::Quarantined),
            None => {
                license.kept += 1;
                *license.bases.entry(rights.basis.clone().unwrap_or_default()).or_default() += 1;
                match &rights.attribution {
                    _ if license.owed == Owed::Nothing => {}
                    Some(name) => *license.attributions.entry(name.clone()).or_default() += 1,
                    None => license.nameless += 1,
                }
            }
        }
    }
    RightsReport { licenses: licenses.into_values().collect() }
}

fn empty(license: Option<Box<str>>) -> License {
    let (owed, how) = license.as_deref().map_or((Owed::Unknown, "find out who made them, and what they allow"), owed);
    License {
        license,
        rows: 0,
        kept: 0,
        quarantined: 0,
        assumed: 0,
        bases: BTreeMap::new(),
        owed,
        how: how.to_owned(),
        attributions: BTreeMap::new(),
        nameless: 0,
    }
}
