//! Tokens of a model to what a person or a program reads: thought, text, calls of tools.
//!
//! Pure, and incremental: a token costs what it adds, not what was there before it. What comes out does not depend on where the tokens'
//! borders lie, and nothing is passed on that a later token could turn into something else: half a character, the beginning of a tag or
//! of a stop string, a call that is not whole.

mod call;
mod calls;
mod characters;
mod schema;
mod stops;
mod thought;

pub(crate) use call::{Call, Tools};
pub(crate) use thought::Tags;

use calls::{Calls, Found};
use characters::Characters;
use stops::Stops;
use thought::{Parted, Thought};

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Of the thought.
    Thought(String),
    /// Of the text.
    Text(String),
    /// A whole call of a tool.
    Call(Call),
}

/// An answer as it comes.
#[derive(Debug)]
pub(crate) struct Answer {
    characters: Characters,
    thought: Thought,
    stops: Stops,
    /// Where tools were given.
    calls: Option<Calls>,
    /// Bytes of text so far.
    bytes: usize,
}

/// How a model's answer is to be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// What begins and ends a thought.
    pub(crate) tags: Option<Tags>,
    /// Whether the prompt has opened the thought.
    pub(crate) is_within_thought: bool,
    /// Strings that end the answer, looked for after the thought.
    pub(crate) stops: Vec<String>,
    /// The tools that may be called.
    pub(crate) tools: Option<Tools>,
}

impl Answer {
    pub(crate) fn new(reading: Reading) -> Answer {
        Answer {
            characters: Characters::default(),
            thought: Thought::new(reading.tags, reading.is_within_thought),
            stops: Stops::new(reading.stops),
            calls: reading.tools.map(Calls::new),
            bytes: 0,
        }
    }

    /// What a token's bytes make certain.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Part> {
        let text = self.characters.push(bytes);
        self.bytes += text.len();
        let parted = self.thought.push(&text);
        let mut parts = Vec::new();
        self.add(parted, &mut parts);
        parts
    }

    /// What is left at the end. Half a character is left out.
    pub(crate) fn finish(&mut self) -> Vec<Part> {
        let parted = self.thought.finish();
        let mut parts = Vec::new();
        self.add(parted, &mut parts);
        let text = self.stops.finish();
        self.add_text(text, &mut parts);
        let rest = self.calls.as_mut().map(Calls::finish).unwrap_or_default();
        parts.extend(rest.into_iter().map(Part::from));
        parts
    }

    fn add(&mut self, parted: Parted, parts: &mut Vec<Part>) {
        if !parted.thought.is_empty() {
            parts.push(Part::Thought(parted.thought));
        }
        let text = self.stops.push(&parted.answer);
        self.add_text(text, parts);
    }

    fn add_text(&mut self, text: String, parts: &mut Vec<Part>) {
        match &mut self.calls {
            Some(calls) => parts.extend(calls.push(&text).into_iter().map(Part::from)),
            None if text.is_empty() => {}
            None => parts.push(Part::Text(text)),
        }
    }

    /// Whether a stop string has come: nothing more belongs to the answer.
    pub(crate) fn is_over(&self) -> bool {
        self.stops.is_over()
    }

    /// Whether the next token is thought.
    pub(crate) fn is_within_thought(&self) -> bool {
        self.thought.is_within()
    }

    /// Bytes of text so far, whatever became of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of text of which it is certain that no stop string takes them away.
    pub(crate) fn settled(&self) -> usize {
        self.bytes - self.stops.unsettled()
    }

    /// Calls so far that could not be read and were passed on as text.
    pub(crate) fn broken_calls(&self) -> u64 {
        self.calls.as_ref().map_or(0, Calls::broken)
    }
}

impl From<Found> for Part {
    fn from(found: Found) -> Part {
        match found {
            Found::Text(text) => Part::Text(text),
            Found::Call(call) => Part::Call(call),
        }
    }
}

/// Where in `text` the longest end begins that is a beginning of `mark`, but not all of it.
fn held_from(text: &str, mark: &str) -> usize {
    let longest = mark.len().saturating_sub(1).min(text.len());
    let starts = (text.len() - longest..text.len()).filter(|start| text.is_char_boundary(*start));
    starts.into_iter().find(|start| mark.starts_with(&text[*start..])).unwrap_or(text.len())
}

#[cfg(test)]
mod tests;
