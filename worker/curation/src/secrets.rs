//! Secrets and personal data: keys, cookies, tokens, addresses, wherever a row has text.
//!
//! Promise: what is found is told by its kind and place, and never quoted. Where it is redacted, a word for its kind stands in its place
//! and nothing of it is left; what is redacted once has nothing more to redact. The time is linear in the text: every pattern is one that
//! a finite automaton reads.

mod kinds;

use crate::book::{Book, Effect};
use crate::config::Secrets;
use crate::row::{Body, Message, Row};
use crate::rule::{Rule, Stage};
pub use kinds::Kind;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Keys, cookies, tokens.
pub const SECRET: Rule = Rule::new(Stage::Filters, "secret", "it has a key, a token or a cookie in it");
/// Addresses.
pub const PERSONAL_DATA: Rule = Rule::new(Stage::Filters, "personal_data", "it has somebody's e-mail address in it");

/// Looks through all rows, and gives those that go on.
pub fn apply(rows: Vec<Row>, act: Secrets, book: &mut Book) -> Vec<Row> {
    let mut rows = rows;
    rows.retain_mut(|row| {
        let found = match act {
            Secrets::Redact => redact(&mut row.body),
            Secrets::Drop | Secrets::Note => redact(&mut row.body.clone()),
        };
        let effect = match act {
            Secrets::Redact => Effect::Repaired,
            Secrets::Drop => Effect::Dropped,
            Secrets::Note => Effect::Noted,
        };
        for (rule, is_of) in [(SECRET, true), (PERSONAL_DATA, false)] {
            let places = found.iter().filter(|((kind, _), _)| kind.is_secret() == is_of);
            let detail: Vec<String> = places.map(|((kind, place), times)| said(*kind, place, *times)).collect();
            if !detail.is_empty() {
                book.touch(row.entry, rule, effect, cut(&detail));
                if effect.ends() {
                    return false;
                }
            }
        }
        true
    });
    rows
}

/// Places that are named.
const PLACES_MAX: usize = 8;

fn cut(places: &[String]) -> String {
    let more = places.len().saturating_sub(PLACES_MAX);
    let named = places[..places.len() - more].join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

fn said(kind: Kind, place: &Place, times: usize) -> String {
    let times = if times == 1 { String::new() } else { format!("{times} times ") };
    match place {
        Place::Turn(turn) => format!("{times}{} in turn {turn}", kind.as_str()),
        Place::Tools => format!("{times}{} in its tools", kind.as_str()),
        Place::Text => format!("{times}{}", kind.as_str()),
    }
}

/// Where in a row something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a turn, from 1: its content, its thought, its calls.
    Turn(usize),
    /// In the tools that may be called.
    Tools,
    /// In a row that is a text.
    Text,
}

/// How often what was found where.
pub type Found = BTreeMap<(Kind, Place), usize>;

/// Writes a word in the place of everything that is secret, and says what there was.
pub fn redact(body: &mut Body) -> Found {
    let mut found = Found::new();
    match body {
        Body::Text(text) => redact_string(text, Place::Text, &mut found),
        Body::Chat { messages, tools } => {
            for (at, message) in messages.iter_mut().enumerate() {
                redact_message(message, Place::Turn(at + 1), &mut found);
            }
            for tool in tools.iter_mut().flatten() {
                redact_value(tool, Place::Tools, &mut found);
            }
        }
    }
    found
}

/// The text with a word in the place of everything that is secret, where there is such a thing.
pub fn redacted(text: &str) -> Option<String> {
    let mut text = text.to_owned();
    let mut found = Found::new();
    redact_string(&mut text, Place::Text, &mut found);
    (!found.is_empty()).then_some(text)
}

fn redact_message(message: &mut Message, place: Place, found: &mut Found) {
    let Message { role: _, content, thought, calls, answers, name } = message;
    for text in content.iter_mut().chain(thought) {
        redact_string(text, place, found);
    }
    for call in calls {
        redact_map(&mut call.arguments, place, found);
        redact_box(&mut call.name, place, found);
        call.id.iter_mut().for_each(|id| redact_box(id, place, found));
    }
    for short in answers.iter_mut().chain(name) {
        redact_box(short, place, found);
    }
}

fn redact_box(text: &mut Box<str>, place: Place, found: &mut Found) {
    let mut redacted = String::from(&**text);
    redact_string(&mut redacted, place, found);
    if *redacted != **text {
        *text = redacted.into();
    }
}

/// Values are no deeper than `read` lets them be.
fn redact_value(value: &mut Value, place: Place, found: &mut Found) {
    match value {
        Value::String(text) => redact_string(text, place, found),
        Value::Array(items) => items.iter_mut().for_each(|item| redact_value(item, place, found)),
        Value::Object(fields) => redact_map(fields, place, found),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn redact_map(fields: &mut Map<String, Value>, place: Place, found: &mut Found) {
    if fields.keys().any(|key| kinds::has_any(key)) {
        // Of keys that become the same word the last one's value is kept.
        *fields = std::mem::take(fields)
            .into_iter()
            .map(|(mut key, value)| {
                redact_string(&mut key, place, found);
                (key, value)
            })
            .collect();
    }
    fields.values_mut().for_each(|value| redact_value(value, place, found));
}

fn redact_string(text: &mut String, place: Place, found: &mut Found) {
    kinds::redact(text, |kind| *found.entry((kind, place)).or_default() += 1);
}

#[cfg(test)]
mod tests;
