//! Whether a side knows what is on another.
//!
//! It takes sides as they are, whoever made them, so that the pipeline's own mixes are measured by it too. Three things are counted, each
//! by itself: rows that are equal; rows whose conversation up to the last answer is equal, word by word and without the system's turn; rows
//! that share as many of their [`shingles`](crate::duplicates::shingles) as the threshold says. A row that is there several times counts
//! as often as it is there.
//!
//! Promise: what is counted is exact: no chance is in it, and nothing of how rows were found to be alike before.

use crate::book::Side;
use crate::duplicates::join;
use crate::duplicates::shingles::push_message;
use crate::parallel;
use crate::row::{Body, Role, RowId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::hash::Hash;
use vertigo_evaluation::contamination::mixed;

/// How much rows may share across sides, where a curation does not ask for less: below it.
pub const JACCARD: f64 = 0.8;

/// Rows of each kind that are named.
pub const EXAMPLES_MAX: usize = 10;

/// The threshold of a curation whose near duplicates share `near`.
pub fn threshold(near: Option<f64>) -> f64 {
    near.map_or(JACCARD, |near| near.min(JACCARD))
}

/// The rows of each side.
#[derive(Debug, Clone, Default)]
pub struct Plain<'a> {
    /// Trained on.
    pub train: Vec<&'a Body>,
    /// Validated with.
    pub valid: Vec<&'a Body>,
    /// Held back.
    pub test: Vec<&'a Body>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leak {
    /// From which Jaccard index on rows are near.
    pub threshold: f64,
    /// Of each pair of sides.
    pub crossings: Vec<Crossing>,
    /// Some of what was found, at most [`EXAMPLES_MAX`] of each kind.
    pub examples: Vec<Example>,
}

/// Rows of one side that another one knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crossing {
    /// The side whose rows are looked for.
    pub of: Side,
    /// The side that they are looked for on.
    pub on: Side,
    /// How many rows are looked for.
    pub rows: u64,
    /// Those that are there.
    pub equal: u64,
    /// Those whose conversation up to the last answer is there.
    pub prompts: u64,
    /// Those that are near one that is there, equal ones among them.
    pub near: u64,
}

/// How one row knows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// They are equal.
    Equal,
    /// They are equal up to the last answer.
    Prompt,
    /// They share as much as the threshold says.
    Near,
}

/// A row that another side knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// How.
    pub kind: Kind,
    /// The row's side.
    pub of: Side,
    /// The row.
    pub row: String,
    /// The other side.
    pub on: Side,
    /// The row there.
    pub like: String,
    /// How much they share, of near rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jaccard: Option<f64>,
}

impl Leak {
    /// Looks for it.
    pub fn of(sides: &Plain, threshold: f64) -> Leak {
        let [train, valid, test] = [&sides.train, &sides.valid, &sides.test].map(|bodies| Known::of(bodies));
        let mut leak = Leak { threshold, crossings: Vec::new(), examples: Vec::new() };
        leak.cross((Side::Valid, &valid), (Side::Train, &train));
        leak.cross((Side::Test, &test), (Side::Train, &train));
        leak.cross((Side::Test, &test), (Side::Valid, &valid));
        leak
    }

    /// Whether nothing was found.
    pub fn is_none(&self) -> bool {
        self.crossings.iter().all(|it| it.equal == 0 && it.prompts == 0 && it.near == 0)
    }

    /// What was found, in words.
    pub(crate) fn said(&self) -> String {
        let found = self.crossings.iter().filter(|it| it.equal + it.prompts + it.near > 0).map(|it| {
            let (of, on) = (it.of.as_str(), it.on.as_str());
            format!(
                "of {} rows of {of} {} are in {on} too, {} have their prompt there and {} are near one there",
                it.rows, it.equal, it.prompts, it.near
            )
        });
        found.collect::<Vec<_>>().join("; ")
    }

    fn cross(&mut self, (of, rows): (Side, &Known), (on, others): (Side, &Known)) {
        let equal = same(rows, others, |(id, _)| Some(*id));
        let prompts = same(rows, others, |(_, prompt)| *prompt);
        let near = join::like(rows.bodies, others.bodies, self.threshold);
        let count = |found: usize| found as u64;
        self.crossings.push(Crossing {
            of,
            on,
            rows: count(rows.bodies.len()),
            equal: count(equal.iter().flatten().count()),
            prompts: count(prompts.iter().flatten().count()),
            near: count(near.iter().flatten().count()),
        });
        let mut show = |kind: Kind, row: usize, other: u32, jaccard: Option<f64>| {
            if self.examples.iter().filter(|example| example.kind == kind).count() < EXAMPLES_MAX {
                let (row, like) = (rows.keys[row].0.to_string(), others.keys[other as usize].0.to_string());
                self.examples.push(Example { kind, of, row, on, like, jaccard });
            }
        };
        for row in 0..rows.bodies.len() {
            // Each row shows the plainest of what was found of it.
            match (equal[row], prompts[row], near[row]) {
                (Some(other), ..) => show(Kind::Equal, row, other, None),
                (None, Some(other), _) => show(Kind::Prompt, row, other, None),
                (None, None, Some(like)) => show(Kind::Near, row, like.other, Some(like.jaccard)),
                (None, None, None) => {}
            }
        }
    }
}

/// A row's id, and its conversation up to the last answer.
type Keys = (RowId, Option<Words>);

/// A side's rows, with what they are known by.
struct Known<'a> {
    bodies: &'a [&'a Body],
    keys: Vec<Keys>,
}

impl<'a> Known<'a> {
    fn of(bodies: &'a [&'a Body]) -> Known<'a> {
        Known { bodies, keys: parallel::map(bodies, |body| (body.id(), prompt(body))) }
    }
}

/// For each row the first other one with the same key.
fn same<K: Hash + Eq>(rows: &Known, others: &Known, key: impl Fn(&Keys) -> Option<K>) -> Vec<Option<u32>> {
    let mut places: HashMap<K, u32> = HashMap::new();
    for (keys, place) in others.keys.iter().zip(0u32..) {
        if let Some(key) = key(keys) {
            places.entry(key).or_insert(place);
        }
    }
    rows.keys.iter().map(|keys| places.get(&key(keys)?).copied()).collect()
}

/// Words in their order, as two numbers: no two texts of any dataset share both by chance.
pub(crate) type Words = (u64, u64);

/// The conversation up to its last answer, as its words; `None` of what has no answer, or nothing before it. What has no words, such as a
/// picture of a hand, is compared as it is.
pub(crate) fn prompt(body: &Body) -> Option<Words> {
    let messages = body.messages();
    let last = messages.iter().rposition(|message| message.role == Role::Assistant)?;
    let (mut all, mut words) = ((1u64, 2u64), Vec::new());
    let mut is_asked = false;
    for message in messages[..last].iter().filter(|message| message.role != Role::System) {
        words.clear();
        words.push(message.role as u64);
        push_message(message, &mut words);
        if words.len() == 1 {
            words.push(wordless(message.text()));
        }
        is_asked = true;
        for word in &words {
            all = (mixed(all.0.rotate_left(23) ^ *word), mixed(all.1.rotate_left(31) ^ *word));
        }
    }
    is_asked.then_some(all)
}

/// What stands for a text that has no words.
pub(crate) fn wordless(text: &str) -> u64 {
    text.trim().bytes().fold(3, |hash, byte| mixed(hash.rotate_left(23) ^ u64::from(byte)))
}

/// The rows of `rows` that are near one of `others`, by their places: what a split may not part.
pub(crate) fn near(rows: &[&Body], others: &[&Body], threshold: f64) -> Vec<(u32, u32)> {
    let found = join::like(rows, others, threshold).into_iter().zip(0u32..);
    found.filter_map(|(like, row)| Some((row, like?.other))).collect()
}

#[cfg(test)]
mod tests;
