//! How often a row is drawn.
//!
//! Rows are grouped by the value of a fact. A row's given weight is its group's, 1 where none is given. What is made of it is
//! `weight = min(c · given, repeats_max)`, with the one `c` by which the mean of all weights is 1: in as many draws as there are rows a row
//! is drawn `weight` times on average, and never more than `repeats_max` times. What a cap takes from one group goes to those below it, in
//! the ratio of their given weights. Weights are rounded to [`DIGITS`] digits, and none is less than the last of them.
//!
//! Promise: the weights of a group's rows are equal, and depend on the counts of the groups and the given weights alone.

use crate::row::Row;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Digits behind the point.
pub const DIGITS: i32 = 6;

/// Bytes of a group's name. Values that begin with so many alike are one group.
pub const NAME_BYTES_MAX: usize = 256;

/// The group of rows that do not say.
pub const UNKNOWN: &str = "unknown";

/// How the rows of a side are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed {
    /// A weight for each row, in the rows' order.
    pub weights: Vec<f64>,
    /// Of each group.
    pub groups: BTreeMap<String, Group>,
    /// Values with a given weight that no row has.
    pub unused: Vec<String>,
}

/// Rows with the same value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How many they are.
    pub rows: u64,
    /// The weight that was given.
    pub given: f64,
    /// How often each is drawn in as many draws as there are rows of all groups.
    pub weight: f64,
    /// Their share of all draws, from 0 to 1.
    pub share: f64,
}

/// The value of a row's fact as a group's name. Dots lead into objects: `provenance.task_family`.
pub fn group<'a>(row: &'a Row, by: &str) -> std::borrow::Cow<'a, str> {
    match row.fact(by) {
        None | Some(Value::Null) => UNKNOWN.into(),
        Some(Value::String(text)) => name_of(text),
        Some(other) => name_of(&other.to_string()).into_owned().into(),
    }
}

/// A group's name as it may stand in a report: without secrets, and not without end.
fn name_of(text: &str) -> std::borrow::Cow<'_, str> {
    let beginning = &text[..text.floor_char_boundary(NAME_BYTES_MAX)];
    crate::secrets::redacted(beginning).map_or(beginning.into(), Into::into)
}

/// The weights of a side's rows. `given` are above 0 and finite.
pub fn weigh(rows: &[Row], by: &str, given: &BTreeMap<String, f64>, repeats_max: u32) -> Mixed {
    let names: Vec<_> = rows.iter().map(|row| group(row, by)).collect();
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for name in &names {
        let new = || Group { rows: 0, given: given.get(&**name).copied().unwrap_or(1.0), weight: 1.0, share: 0.0 };
        match groups.get_mut(&**name) {
            Some(group) => group.rows += 1,
            None => drop(groups.insert(name.to_string(), Group { rows: 1, ..new() })),
        }
    }
    let cap = f64::from(repeats_max.max(1));
    let times = times(groups.values(), cap);
    for group in groups.values_mut() {
        let last = 10f64.powi(DIGITS);
        group.weight = ((times * group.given).min(cap) * last).round().max(1.0) / last;
    }
    let all: f64 = groups.values().map(|group| group.weight * group.rows as f64).sum();
    groups.values_mut().for_each(|group| group.share = group.weight * group.rows as f64 / all);
    let weights = names.iter().map(|name| groups.get(&**name).map_or(1.0, |group| group.weight)).collect();
    let there: BTreeSet<&String> = groups.keys().collect();
    let unused = given.keys().filter(|value| !there.contains(value)).cloned().collect();
    Mixed { weights, groups, unused }
}

/// What given weights are multiplied with so that the mean of all weights is 1, those above the cap cut down to it.
fn times<'a>(groups: impl Iterator<Item = &'a Group>, cap: f64) -> f64 {
    let mut by_weight: Vec<(f64, f64)> = groups.map(|group| (group.given, group.rows as f64)).collect();
    by_weight.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut draws: f64 = by_weight.iter().map(|(_, rows)| rows).sum();
    let mut weighed: f64 = by_weight.iter().map(|(given, rows)| given * rows).sum();
    let mut times = draws / weighed;
    // The heaviest groups meet the cap first; what they leave is drawn from the others.
    for (given, rows) in by_weight {
        times = draws / weighed;
        if times * given <= cap {
            return times;
        }
        draws -= cap * rows;
        weighed -= given * rows;
    }
    times
}

#[cfg(test)]
mod tests;
