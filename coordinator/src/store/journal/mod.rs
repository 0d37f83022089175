//! The journal's own format: how an event is kept for as long as its job is.
//!
//! JSON, one object an event, with the format's number first. It is ours alone: the protocol may change without it, and a change of it
//! is noticed by the golden file of each number (`format-2.jsonl`), which every later version goes on reading. What an event has besides
//! its body (position, job, time, epoch) is the database's, in whatever form that has for numbers and ids.
//!
//! To change it: count [`FORMAT`] up, keep a reader of the old number in [`decode`], and add a golden file beside the old one.

use crate::core::EventBody;
use serde::{Deserialize, Serialize};

/// The number of the format that is written.
pub(super) const FORMAT: u32 = 2;

/// What is wrong with an event that was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    /// A later version wrote it.
    #[error("it is written in format {found}, and this version reads up to {FORMAT}: run a newer vertigo-coordinator")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It is no event.
    #[error("{0}")]
    Unreadable(String),
}

#[derive(Serialize, Deserialize)]
struct Line<B> {
    v: u32,
    event: B,
}

/// The part of a line that every format has.
#[derive(Deserialize)]
struct Number {
    v: u32,
}

/// An event's body as it is kept.
pub(super) fn encode(body: &EventBody) -> String {
    let line = Line { v: FORMAT, event: body };
    serde_json::to_string(&line).expect("numbers, strings and lists of them have a JSON form")
}

/// Reads what [`encode`] wrote, in this version or an earlier one.
///
/// # Errors
/// A later version wrote it, or nothing of ours did.
pub(super) fn decode(text: &str) -> Result<EventBody, FormatError> {
    let unreadable = |error: serde_json::Error| FormatError::Unreadable(error.to_string());
    match serde_json::from_str::<Line<EventBody>>(text) {
        // Format 1 is format 2 without the name of whoever asked for a state, which is nobody's then.
        Ok(Line { v: 1 | FORMAT, event }) => Ok(event),
        // What a later format has changed may read as this one or not.
        Ok(Line { v: found, .. }) => Err(FormatError::Newer { found }),
        Err(error) => match serde_json::from_str::<Number>(text).map_err(unreadable)? {
            Number { v: found } if found > FORMAT => Err(FormatError::Newer { found }),
            Number { .. } => Err(unreadable(error)),
        },
    }
}

#[cfg(test)]
pub(super) mod tests;
