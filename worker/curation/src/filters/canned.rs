//! Thoughts from a can: templates that a program filled in. They are known by what they share: most of their words stand, four in a row,
//! in many other rows' thoughts.
//!
//! Promise: what is seen does not depend on the order of rows, nor on how often the same row is there.

use super::speech::{self, Turn};
use crate::row::Row;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Words in a row that are compared. Fewer are a turn of speech.
const WORDS: usize = 4;

/// Different rows that must think the same words before these are a template.
const ROWS_MIN: usize = 8;

/// What of a row's thoughts must be of templates, in percent. Thoughts that somebody had are below 40 in the pipeline's data, and its
/// programs' at 50 and more.
const SHARE_MIN_PERCENT: usize = 50;

/// Words of a thought, below which it says what there is to say and not more: `Conceptual question. No tool needed.`
const WORDS_MIN: usize = 8;

/// Words of a row's thoughts that are looked at. Templates are short.
const WORDS_MAX: usize = 96;

/// What is thought in many rows.
#[derive(Default)]
pub(super) struct Canned(HashSet<u64>);

impl Canned {
    /// Reads all rows' thoughts.
    pub(super) fn learn(rows: &[Row]) -> Canned {
        let mut all: Vec<u64> = Vec::new();
        let mut known = HashSet::new();
        for row in rows {
            let words = words(&speech::turns(&row.body));
            if words.len() < WORDS || !known.insert(row.body.id()) {
                continue;
            }
            let start = all.len();
            all.extend(runs(&words));
            // A row counts once, however often it thinks the same.
            all[start..].sort_unstable();
            let mut last = None;
            let mut end = start;
            for at in start..all.len() {
                if last != Some(all[at]) {
                    last = Some(all[at]);
                    all[end] = all[at];
                    end += 1;
                }
            }
            all.truncate(end);
        }
        all.sort_unstable();
        let many = all.chunk_by(|a, b| a == b).filter(|same| same.len() >= ROWS_MIN).map(|same| same[0]);
        Canned(many.collect())
    }

    pub(super) fn seen(&self, turns: &[Turn<'_>]) -> Option<String> {
        let words = words(turns);
        let mut is_shared = vec![false; words.len()];
        for (at, run) in runs(&words).enumerate() {
            if self.0.contains(&run) {
                is_shared[at..at + WORDS].fill(true);
            }
        }
        let shared = is_shared.iter().filter(|shared| **shared).count();
        let is_canned = words.len() >= WORDS_MIN && shared * 100 >= words.len() * SHARE_MIN_PERCENT;
        is_canned.then(|| format!("{shared} of {} words", words.len()))
    }
}

fn words(turns: &[Turn<'_>]) -> Vec<String> {
    let thoughts = turns.iter().flat_map(|turn| &turn.thoughts);
    let words = thoughts.flat_map(|thought| thought.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).take(WORDS_MAX).collect()
}

/// Every run of words as a number. The hasher's keys are fixed, so that it is the same everywhere.
fn runs(words: &[String]) -> impl Iterator<Item = u64> {
    words.windows(WORDS).map(|run| {
        let mut hasher = DefaultHasher::new();
        run.hash(&mut hasher);
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Body, Message, Role};

    fn row(thought: &str) -> Row {
        let messages = vec![Message::new(Role::Assistant, format!("<think>{thought}</think>Yes."))];
        Row { entry: 0, body: Body::Chat { messages, tools: None }, facts: serde_json::Map::new() }
    }

    fn canned(rows: &[Row]) -> Vec<bool> {
        let canned = Canned::learn(rows);
        rows.iter().map(|row| canned.seen(&speech::turns(&row.body)).is_some()).collect()
    }

    #[test]
    fn a_template_is_known_by_how_many_rows_it_fills() {
        let template = |n: usize| row(&format!("The user is asking about Thing{n}. Let me explain it with code."));
        let mut rows: Vec<Row> = (0..ROWS_MIN).map(template).collect();
        rows.push(row("The event fires once per touching part, so that the damage has to be debounced per character."));
        let mut expected = vec![true; ROWS_MIN];
        expected.push(false);
        assert_eq!(canned(&rows), expected);
        rows.rotate_left(3);
        expected.rotate_left(3);
        assert_eq!(canned(&rows), expected);
        // One row fewer, and it may be anybody's way to speak.
        let fewer: Vec<Row> = (1..ROWS_MIN).map(template).collect();
        assert_eq!(canned(&fewer), [false; ROWS_MIN - 1]);
    }

    #[test]
    fn the_same_row_again_is_no_template() {
        let rows = vec![row("The spring is damped critically so that it never overshoots its target."); 20];
        assert_eq!(canned(&rows), [false; 20]);
    }
}
