//! What of a row is compared with others: its words, three in a row.
//!
//! All turns but the system's are looked at, with thoughts and the names and arguments of calls, and all of a text. What many rows share
//! without saying anything alike, the system prompt and the tools on offer, is left out. Capital letters, spaces and marks make no
//! difference. A row of one or two words has one shingle, one without a word none: it is like no other.

use crate::row::{Body, Message, Role};
use serde_json::Value;
use std::collections::HashMap;
use vertigo_evaluation::contamination::{mixed, push_words};

/// Words of a shingle.
pub const SHINGLE_WORDS: usize = 3;

/// The different shingles of a row, as numbers in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shingles(Vec<u64>);

impl Shingles {
    /// Those of a row.
    pub fn of(body: &Body) -> Shingles {
        let mut shingles = Vec::new();
        push(body, &mut Vec::new(), &mut shingles);
        shingles.sort_unstable();
        shingles.dedup();
        Shingles(shingles)
    }

    /// In their order.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// How much of both is shared: what both have of what either has, from 0 to 1.
    pub fn jaccard(&self, other: &Shingles) -> f64 {
        let (a, b) = (&self.0, &other.0);
        let (mut i, mut j, mut both) = (0, 0, 0usize);
        while i < a.len() && j < b.len() {
            // Without a branch that the processor would have to guess.
            both += usize::from(a[i] == b[j]);
            let (left, right) = (a[i], b[j]);
            i += usize::from(left <= right);
            j += usize::from(right <= left);
        }
        let either = a.len() + b.len() - both;
        if either == 0 { 0.0 } else { both as f64 / either as f64 }
    }
}

/// Puts the shingles of a row, some of them several times, behind those that are there; `words` is room to work in.
pub(crate) fn push(body: &Body, words: &mut Vec<u64>, shingles: &mut Vec<u64>) {
    words.clear();
    if let Body::Text(text) = body {
        push_words(text, words);
    }
    for message in body.messages().iter().filter(|message| message.role != Role::System) {
        push_message(message, words);
    }
    let hash = |words: &[u64]| words.iter().fold(words.len() as u64, |hash, word| mixed(hash.rotate_left(23) ^ *word));
    if words.len() < SHINGLE_WORDS {
        shingles.extend((!words.is_empty()).then(|| hash(words)));
    } else {
        shingles.extend(words.windows(SHINGLE_WORDS).map(hash));
    }
}

/// The words of a turn: what is said, thought and called.
pub(crate) fn push_message(message: &Message, words: &mut Vec<u64>) {
    push_words(message.text(), words);
    push_words(message.thought.as_deref().unwrap_or_default(), words);
    for call in &message.calls {
        push_words(&call.name, words);
        push_fields(call.arguments.iter(), words);
    }
}

fn push_fields<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>, words: &mut Vec<u64>) {
    // The order in which arguments were written is no part of a row.
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by_key(|(key, _)| *key);
    for (key, value) in fields {
        push_words(key, words);
        push_value(value, words);
    }
}

fn push_value(value: &Value, words: &mut Vec<u64>) {
    match value {
        Value::Null => {}
        Value::String(text) => push_words(text, words),
        Value::Bool(_) | Value::Number(_) => push_words(&value.to_string(), words),
        Value::Array(items) => items.iter().for_each(|item| push_value(item, words)),
        Value::Object(fields) => push_fields(fields.iter(), words),
    }
}

/// Shingles that are kept between comparisons; more are made anew when they are asked for.
const KEPT_SHINGLES_MAX: usize = 4 << 20;

/// The shingles of rows by their place, the last ones asked for kept.
pub(crate) struct Kept<'a> {
    bodies: &'a [&'a Body],
    made: HashMap<u32, Shingles>,
    held: usize,
}

impl<'a> Kept<'a> {
    pub(crate) fn new(bodies: &'a [&'a Body]) -> Kept<'a> {
        Kept { bodies, made: HashMap::new(), held: 0 }
    }

    /// A row's.
    pub(crate) fn of(&mut self, row: u32) -> &Shingles {
        self.make_room();
        self.make(row);
        &self.made[&row]
    }

    /// How much two rows share.
    pub(crate) fn jaccard(&mut self, one: u32, other: u32) -> f64 {
        self.make_room();
        self.make(one);
        self.make(other);
        self.made[&one].jaccard(&self.made[&other])
    }

    fn make_room(&mut self) {
        if self.held > KEPT_SHINGLES_MAX {
            self.made.clear();
            self.held = 0;
        }
    }

    fn make(&mut self, row: u32) {
        if !self.made.contains_key(&row) {
            let shingles = Shingles::of(self.bodies[row as usize]);
            self.held += shingles.0.len();
            self.made.insert(row, shingles);
        }
    }
}
