//! Rows that are the same again, as the pipeline finds them: `dedup: pipeline`.
//!
//! In the order of files and lines: rows with fewer than two messages, without an answer or with a [score](pipeline_quality) below
//! [`SCORE_MIN`] are left out; then those whose messages all begin like those of an earlier row; then those of whose runs of
//! [`RUN_WORDS`] words, in all answers together, more than [`JACCARD_MAX`] are a kept row's. What stays is sorted by its score.
//!
//! Promise: the pipeline's verdict for every row, to the last bit of its floats, though every row is compared only with those that it may
//! be like. Tool calls are not looked at, as there: rows that differ by those alone are the same.

use super::join::{Sets, like_earlier};
use crate::book::{Book, Effect};
use crate::quality::{pipeline_quality, words};
use crate::row::{Role, Row};
use crate::rule::{Rule, Stage};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use vertigo::id::Digest;

/// Fewer messages than two.
pub const PIPELINE_TOO_FEW_MESSAGES: Rule =
    Rule::new(Stage::Duplicates, "pipeline_too_few_messages", "it has fewer messages than two");

/// No answer to learn from.
pub const PIPELINE_NO_ASSISTANT: Rule =
    Rule::new(Stage::Duplicates, "pipeline_no_assistant", "the model says nothing in it");

/// A score that is too low.
pub const PIPELINE_BELOW_THRESHOLD: Rule =
    Rule::new(Stage::Duplicates, "pipeline_below_threshold", "the pipeline's score of it is less than 0.3");

/// All messages begin as an earlier row's.
pub const PIPELINE_EXACT_DUPLICATE: Rule = Rule::new(
    Stage::Duplicates,
    "pipeline_exact_duplicate",
    "the first 500 characters of each message are those of an earlier row",
);

/// The answers are nearly an earlier row's.
pub const PIPELINE_NEAR_DUPLICATE: Rule = Rule::new(
    Stage::Duplicates,
    "pipeline_near_duplicate",
    "more than 0.7 of its and an earlier row's runs of three words are in both",
);

/// The least score of a row that stays.
pub const SCORE_MIN: f64 = 0.3;

/// The greatest likeness of two rows that both stay.
pub const JACCARD_MAX: f64 = 0.7;

/// The words of a run.
pub const RUN_WORDS: usize = 3;

/// The fewest messages of a row that stays.
const MESSAGES_MIN: usize = 2;

/// How much of a message is compared, once each white space in it is one space.
const COMPARED_CHARS: usize = 500;

/// What becomes of a row. Others are named by their place among the rows that were given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It stays.
    Kept,
    /// It has too few messages.
    TooFewMessages,
    /// It has no answer.
    NoAssistant,
    /// This score is too low.
    BelowThreshold(f64),
    /// It begins as that row.
    ExactDuplicate(usize),
    /// Its answers are that row's, by so much.
    NearDuplicate(usize, f64),
}

impl Verdict {
    /// The pipeline's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Kept => "kept",
            Verdict::TooFewMessages => "too_few_messages",
            Verdict::NoAssistant => "no_assistant",
            Verdict::BelowThreshold(_) => "below_threshold",
            Verdict::ExactDuplicate(_) => "exact_duplicate",
            Verdict::NearDuplicate(..) => "near_duplicate",
        }
    }
}

/// The rows that stay, the best first; equally good ones in their order.
pub fn apply(rows: Vec<Row>, book: &mut Book) -> Vec<Row> {
    let mut scores = Vec::with_capacity(rows.len());
    let verdicts = judged(&rows, &mut scores);
    let place = |book: &Book, row: usize| book.of(&rows[row]).origin.to_string();
    for (row, verdict) in rows.iter().zip(&verdicts) {
        let (rule, detail) = match *verdict {
            Verdict::Kept => continue,
            Verdict::TooFewMessages => (PIPELINE_TOO_FEW_MESSAGES, String::new()),
            Verdict::NoAssistant => (PIPELINE_NO_ASSISTANT, String::new()),
            Verdict::BelowThreshold(score) => (PIPELINE_BELOW_THRESHOLD, format!("{score:.3}")),
            Verdict::ExactDuplicate(other) => (PIPELINE_EXACT_DUPLICATE, place(book, other)),
            Verdict::NearDuplicate(other, jaccard) => {
                (PIPELINE_NEAR_DUPLICATE, format!("{jaccard:.3} like {}", place(book, other)))
            }
        };
        book.touch(row.entry, rule, Effect::Dropped, detail);
    }
    let kept = rows.into_iter().zip(verdicts).zip(scores);
    let mut kept: Vec<(Row, f64)> =
        kept.filter(|((_, verdict), _)| *verdict == Verdict::Kept).map(|((row, _), score)| (row, score)).collect();
    kept.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    kept.into_iter().map(|(row, _)| row).collect()
}

/// What becomes of each row.
pub fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    judged(rows, &mut Vec::with_capacity(rows.len()))
}

/// The same, with the score of each row.
fn judged(rows: &[Row], scores: &mut Vec<f64>) -> Vec<Verdict> {
    let mut beginnings = HashMap::new();
    let mut verdicts = Vec::with_capacity(rows.len());
    let mut runs = Runs::default();
    // The rows whose runs of words are compared.
    let mut compared = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let score = pipeline_quality(row);
        scores.push(score);
        let messages = row.body.messages();
        verdicts.push(if messages.len() < MESSAGES_MIN {
            Verdict::TooFewMessages
        } else if !messages.iter().any(|message| message.role == Role::Assistant) {
            Verdict::NoAssistant
        } else if score < SCORE_MIN {
            Verdict::BelowThreshold(score)
        } else {
            match beginnings.entry(beginning(row)) {
                Entry::Occupied(first) => Verdict::ExactDuplicate(*first.get()),
                Entry::Vacant(place) => {
                    place.insert(number);
                    runs.add(row);
                    compared.push(number);
                    Verdict::Kept
                }
            }
        });
    }
    for (number, like) in compared.iter().zip(like_earlier(runs.sets, JACCARD_MAX)) {
        if let Some(like) = like {
            verdicts[*number] = Verdict::NearDuplicate(compared[like.set as usize], like.jaccard);
        }
    }
    verdicts
}

/// What is equal where all messages begin alike, however white space is written.
fn beginning(row: &Row) -> Digest {
    let mut text = String::new();
    for (n, message) in row.body.messages().iter().enumerate() {
        if n > 0 {
            text.push('|');
        }
        let mut left = COMPARED_CHARS;
        for (n, word) in words(message.text()).enumerate() {
            if n > 0 && left > 0 {
                text.push(' ');
                left -= 1;
            }
            if left == 0 {
                break;
            }
            let end = word.char_indices().nth(left).map_or(word.len(), |(end, _)| end);
            text.push_str(&word[..end]);
            left -= word[..end].chars().count();
        }
    }
    Digest::of(text.as_bytes())
}

/// The runs of words of many rows, each by a number.
#[derive(Default)]
struct Runs<'a> {
    words: HashMap<&'a str, u32>,
    runs: HashMap<[u32; RUN_WORDS], u32>,
    sets: Sets,
    /// Those of one row, while it is read.
    set: Vec<u32>,
}

impl<'a> Runs<'a> {
    fn add(&mut self, row: &'a Row) {
        let mut last = [0; RUN_WORDS];
        // Runs go from one answer on to the next.
        for (n, word) in row.body.answers().flat_map(words).enumerate() {
            let next = self.words.len() as u32;
            last.rotate_left(1);
            last[RUN_WORDS - 1] = *self.words.entry(word).or_insert(next);
            if n + 1 >= RUN_WORDS {
                let next = self.runs.len() as u32;
                self.set.push(*self.runs.entry(last).or_insert(next));
            }
        }
        self.sets.push(&mut self.set);
    }
}

#[cfg(test)]
mod tests;
