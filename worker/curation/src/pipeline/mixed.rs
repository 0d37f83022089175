//! What both of the pipeline's mixes do once it is said how often each row comes: conversations become rows, which are shuffled and split.
//!
//! Rows are split after they were copied and cut, so copies of one row, and the beginnings of one conversation, fall on several sides: that
//! leak is the pipeline's, and the caller's leak check says it aloud.

use crate::row::{Body, Message, Role, Row};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::HashSet;
use thiserror::Error;

/// How many rows a mix makes at most. Copies are rows here: a category of one row beside one of a million would be copied for ever.
pub const MIXED_ROWS_MAX: usize = 1_000_000;

/// How many turns the rows of all conversations have together, at most: a conversation is written once for each of its answers.
const MIXED_TURNS_MAX: usize = 5_000_000;

/// What of all rows is trained on and validated with, in tenths; the rest is held back.
const TRAIN_TENTHS: f64 = 0.8;
const VALID_TENTHS: f64 = 0.1;

/// Rows on their sides. The same row may be there many times, and on several sides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mixed {
    /// Trained on.
    pub train: Vec<Row>,
    /// Validated with.
    pub valid: Vec<Row>,
    /// Held back.
    pub test: Vec<Row>,
    /// The families that had no row, whereupon the balanced mix was made in place of the one asked for.
    pub fell_back: Vec<&'static str>,
}

/// Why there is no mix.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MixError {
    /// It would be too large.
    #[error(
        "the pipeline's mix of these {rows} rows would copy them to {mixed} or more, and {MIXED_ROWS_MAX} are taken: give fewer rows or \
         categories, or mix by weights"
    )]
    TooMany {
        /// The rows that were given.
        rows: usize,
        /// The rows that would be made.
        mixed: usize,
    },
    /// Its conversations are too long.
    #[error(
        "the pipeline's mix makes a row of every answer with all that was said before it: {turns} turns here, and {MIXED_TURNS_MAX} are \
         taken; split long conversations, or mix by weights"
    )]
    TooManyTurns {
        /// The turns that would be written.
        turns: usize,
    },
}

/// How many turns the rows of a conversation have together, at most.
fn turns_of_rows(row: &Row) -> usize {
    let answers = row.body.messages().iter().zip(1usize..).filter(|(message, _)| message.role == Role::Assistant);
    answers.map(|(_, turns)| turns).sum()
}

/// That a mix of so many examples is small enough.
pub(super) fn fits(rows: usize, mixed: usize) -> Result<(), MixError> {
    if mixed > MIXED_ROWS_MAX { Err(MixError::TooMany { rows, mixed }) } else { Ok(()) }
}

/// The random numbers of a mix.
pub(super) fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The examples that were picked, by their places among `rows`, as rows on their sides.
pub(super) fn split(rows: &[Row], picked: &[usize], random: &mut ChaCha8Rng) -> Result<Mixed, MixError> {
    // What will be there is counted first, and made only as what it is.
    let turns: usize = rows.iter().map(turns_of_rows).sum();
    if turns > MIXED_TURNS_MAX {
        return Err(MixError::TooManyTurns { turns });
    }
    let parts: Vec<Vec<Row>> = rows.iter().map(to_rows).collect();
    let total = picked.iter().map(|row| parts[*row].len()).sum();
    fits(rows.len(), total)?;
    let mut all: Vec<Row> = picked.iter().flat_map(|row| parts[*row].iter().cloned()).collect();
    all.shuffle(random);
    let test = all.split_off((total as f64 * (TRAIN_TENTHS + VALID_TENTHS)) as usize);
    let valid = all.split_off((total as f64 * TRAIN_TENTHS) as usize);
    Ok(Mixed { train: all, valid, test, fell_back: Vec::new() })
}

/// A conversation as the pipeline trains on it. One in which tools are called becomes a row for each answer, with all that was said before
/// it, and offers the tools that are called alone; any other stays whole, without tools.
pub(super) fn to_rows(row: &Row) -> Vec<Row> {
    let Body::Chat { messages, tools } = &row.body else { return vec![row.clone()] };
    let messages: Vec<Message> = messages.iter().map(bare).collect();
    let with = |messages: &[Message], tools: Option<&Vec<Value>>| Row {
        body: Body::Chat { messages: messages.to_vec(), tools: tools.cloned() },
        ..row.clone()
    };
    let called: HashSet<&str> = messages.iter().flat_map(|message| &message.calls).map(|call| &*call.name).collect();
    let is_called = |tool: &&Value| tool["function"]["name"].as_str().is_some_and(|name| called.contains(name));
    let offered: Vec<Value> = tools.iter().flatten().filter(is_called).cloned().collect();
    if offered.is_empty() {
        return vec![with(&messages, None)];
    }
    let answers = messages.iter().enumerate().filter(|(_, message)| message.role == Role::Assistant);
    answers.map(|(at, _)| with(&messages[..=at], Some(&offered))).collect()
}

/// A message without what the pipeline does not train on.
fn bare(message: &Message) -> Message {
    Message { thought: None, name: None, ..message.clone() }
}

#[cfg(test)]
mod tests;
