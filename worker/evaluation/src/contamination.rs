//! Which of a suite's tasks a model's training data contains.
//!
//! Texts are compared by their words, in small letters and without punctuation, so that a changed comma hides nothing. A task is
//! **exact** where one message of an example has the whole question, and **near** where an example has at least half of the
//! question's or of the reference's runs of [`RUN_WORDS`] words. Questions shorter than such a run are only ever exact, and only
//! where a message is nothing else.
//!
//! Promise: what is found does not depend on the order of the examples. The time grows with the examples' words alone: each run
//! of words is looked up once, for all tasks together.

use crate::suite::Suite;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

mod overlap;
mod words;

pub use overlap::{PASSAGE_WORDS, Passages};
pub use words::{mixed, push_words, words};

/// Words of a run. Eight words in a row are seldom the same by chance.
pub const RUN_WORDS: usize = 8;

/// The share of a text's runs from which on an example is near it.
pub const NEAR_SHARE: f64 = 0.5;

/// Which text of a task an example has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What the person asks.
    Question,
    /// The reference.
    Reference,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// All of it, in one piece.
    Exact,
    /// At least half of its runs of words.
    Near,
}

/// Where a task was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// How much.
    pub likeness: Likeness,
    /// Of which of its texts.
    pub part: Part,
    /// The share of its runs of words, from 0 to 1.
    pub share: f64,
    /// The data that has it: a file's or a dataset's name.
    pub source: String,
    /// The example in it, from 1.
    pub line: u32,
}

/// A task of which one example has a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit<'a> {
    /// The task's id.
    pub task: &'a str,
    /// Which of its texts.
    pub part: Part,
    /// How much of it.
    pub likeness: Likeness,
    /// The share of its runs of words, from 0 to 1.
    pub share: f64,
}

/// What was found in training data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Contamination {
    /// How many examples were looked at.
    pub examples: u64,
    /// The tasks that were found, each where it was found most of.
    pub found: BTreeMap<String, Found>,
}

/// A suite's texts, ready to be looked for.
#[derive(Debug)]
pub struct Index {
    texts: Vec<Text>,
    /// The texts that have a run of words, by the run's hash.
    runs: HashMap<u64, Vec<u32>>,
    /// The texts that are shorter than a run, by the hash of all their words.
    short: HashMap<u64, Vec<u32>>,
}

#[derive(Debug)]
struct Text {
    task: String,
    part: Part,
    words: Vec<u64>,
    /// Different runs of words in it.
    runs: usize,
}

impl Index {
    /// The questions and references of a suite's tasks.
    pub fn of(suite: &Suite) -> Index {
        let mut index = Index { texts: Vec::new(), runs: HashMap::new(), short: HashMap::new() };
        for task in &suite.tasks {
            index.add(&task.id, Part::Question, &task.asked());
            if let Some(reference) = &task.reference {
                index.add(&task.id, Part::Reference, &reference.text);
            }
        }
        index
    }

    fn add(&mut self, task: &str, part: Part, text: &str) {
        let words = words(text);
        // A suite has at most 10,000 tasks.
        let at = self.texts.len() as u32;
        let runs: HashSet<u64> = runs(&words).collect();
        if runs.is_empty() {
            if words.is_empty() || part == Part::Reference {
                return;
            }
            self.short.entry(run(&words)).or_default().push(at);
        }
        for run in &runs {
            self.runs.entry(*run).or_default().push(at);
        }
        self.texts.push(Text { task: task.to_owned(), part, words, runs: runs.len() });
    }

    /// Looks for the suite's texts in an example, the `line`th of `source`, and keeps what is found.
    pub fn look(&self, source: &str, line: u32, messages: &[String], contamination: &mut Contamination) {
        contamination.examples += 1;
        let messages: Vec<Vec<u64>> = messages.iter().map(|message| words(message)).collect();
        for Hit { task, part, likeness, share } in self.hits(&messages) {
            keep(&mut contamination.found, task, Found { likeness, part, share, source: source.to_owned(), line });
        }
    }

    /// Which of the suite's texts one example has; its messages are given as their [`words`].
    pub fn hits(&self, messages: &[Vec<u64>]) -> Vec<Hit<'_>> {
        let mut seen: BTreeMap<u32, HashSet<u64>> = BTreeMap::new();
        for words in messages {
            for run in runs(words) {
                for text in self.runs.get(&run).into_iter().flatten() {
                    seen.entry(*text).or_default().insert(run);
                }
            }
            if let Some(texts) = self.short.get(&run(words)).filter(|_| words.len() < RUN_WORDS) {
                seen.extend(texts.iter().map(|text| (*text, HashSet::new())));
            }
        }
        let mut hits = Vec::new();
        for (text, seen) in seen {
            let text = &self.texts[text as usize];
            let share = if text.runs == 0 { 1.0 } else { seen.len() as f64 / text.runs as f64 };
            let is_exact = share >= 1.0 && messages.iter().any(|message| has(message, &text.words));
            if is_exact || share >= NEAR_SHARE && text.runs > 0 {
                let likeness = if is_exact { Likeness::Exact } else { Likeness::Near };
                hits.push(Hit { task: &text.task, part: text.part, likeness, share });
            }
        }
        hits
    }
}

/// Of two places the one that has more of the task, and of equal ones the first by name.
fn keep(all: &mut BTreeMap<String, Found>, task: &str, found: Found) {
    fn rank(found: &Found) -> (Likeness, Part, std::cmp::Reverse<u64>, &str, u32) {
        // Shares are from 0 to 1, where the bits of floats have their order.
        (found.likeness, found.part, std::cmp::Reverse(found.share.to_bits()), &found.source, found.line)
    }
    match all.get_mut(task) {
        Some(kept) if rank(kept) <= rank(&found) => {}
        Some(kept) => *kept = found,
        None => drop(all.insert(task.to_owned(), found)),
    }
}

/// The texts of a training example: its messages with the arguments of their calls, or the fields of a text without turns.
pub fn texts(example: &Value) -> Vec<String> {
    fn all(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::String(text) => out.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| all(item, out)),
            Value::Object(map) => map.values().for_each(|value| all(value, out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    for message in example["messages"].as_array().into_iter().flatten() {
        all(&message["content"], &mut out);
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            all(&call["function"]["arguments"], &mut out);
        }
    }
    for key in ["text", "prompt", "completion"] {
        all(&example[key], &mut out);
    }
    out
}

/// Spreads a word's hash over what comes before it.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// The hash of words in their order.
fn run(words: &[u64]) -> u64 {
    words.iter().fold(0, |hash: u64, word| hash.wrapping_mul(SPREAD).wrapping_add(*word))
}

/// The hashes of all runs of [`RUN_WORDS`] words.
fn runs(words: &[u64]) -> impl Iterator<Item = u64> {
    run_hashes(words, RUN_WORDS)
}

/// The hashes of all runs of so many words, each from the one before it.
fn run_hashes(words: &[u64], length: usize) -> impl Iterator<Item = u64> {
    let first = words.get(..length).map(run);
    // What the oldest word of a run was multiplied with.
    let oldest = (1..length).fold(1u64, |power, _| power.wrapping_mul(SPREAD));
    let pairs = words.iter().zip(words.iter().skip(length));
    let rest = pairs.scan(first.unwrap_or_default(), move |hash, (gone, new)| {
        *hash = hash.wrapping_sub(gone.wrapping_mul(oldest)).wrapping_mul(SPREAD).wrapping_add(*new);
        Some(*hash)
    });
    first.into_iter().chain(rest)
}

/// Whether the words are there in one piece; of fewer than a run, whether they are all there is.
fn has(message: &[u64], words: &[u64]) -> bool {
    if words.len() < RUN_WORDS { message == words } else { message.windows(words.len()).any(|window| window == words) }
}

#[cfg(test)]
mod tests;
