//! Stage Lengths: how many tokens a row has, and what is done with rows that have too many.
//!
//! Promise: tokens are counted as a run would count them, by the base's own tokenizer and template, tools included. What is taken apart is
//! taken apart between turns, as a run would do it: every part begins with the system's turns and a question, and ends with an answer.

mod histogram;

pub use histogram::{Bucket, Cut, Histogram};

use crate::book::{Book, Effect};
use crate::config::{Lengths, Overlength};
use crate::read;
use crate::row::{Body, Origin, Row};
use crate::rule::{Rule, Stage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vertigo_model::dataset::Example;
use vertigo_text::{ChatTokenizer, apart};

/// Nobody could learn it whole.
pub const TOO_MANY_TOKENS: Rule =
    Rule::new(Stage::Lengths, "too_many_tokens", "it has more tokens than the config lets a row have");
/// It is several rows now.
pub const TAKEN_APART: Rule =
    Rule::new(Stage::Lengths, "taken_apart", "it had too many tokens and was taken apart between its turns");
/// No run could read it.
pub const TEMPLATE_REFUSES: Rule = Rule::new(Stage::Lengths, "template_refuses", "the base's chat template refuses it");

/// Bytes of a template's complaint that are kept.
const COMPLAINT_BYTES_MAX: usize = 200;

/// Why rows could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum LengthsError {
    /// Tokens are a base's.
    #[error(
        "`lengths.tokens_max` counts tokens, and there is no base whose tokens they could be; name one, or leave the key out"
    )]
    NoBase,
    /// A row is longer than somebody was ready for.
    #[error("{first} has {tokens} tokens, and `lengths.tokens_max` is {tokens_max}{}; write `overlength: drop` or `split`, or more tokens",
            if *more == 0 { String::new() } else { format!(" ({more} more rows are too long)") })]
    TooLong {
        /// The first of them.
        first: Origin,
        /// What it has.
        tokens: usize,
        /// What it may have.
        tokens_max: u32,
        /// How many there are besides.
        more: usize,
    },
}

/// How long rows are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthsReport {
    /// As they came.
    pub before: Histogram,
    /// As they go on.
    pub after: Histogram,
}

/// Measures all rows and gives those that go on. Without a base nobody measures, and there is no report.
///
/// # Errors
/// [`LengthsError`].
pub fn apply(
    rows: Vec<Row>,
    lengths: &Lengths,
    tokenizer: Option<&ChatTokenizer>,
    book: &mut Book,
) -> Result<(Vec<Row>, Option<LengthsReport>), LengthsError> {
    let Some(tokenizer) = tokenizer else {
        return if lengths.tokens_max.is_some() { Err(LengthsError::NoBase) } else { Ok((rows, None)) };
    };
    let most = lengths.tokens_max.map_or(usize::MAX, |most| most as usize);
    let (mut before, mut after, mut left) = (Vec::new(), Vec::new(), Vec::new());
    let mut too_long: Vec<(Origin, usize)> = Vec::new();
    for row in rows {
        let tokens = match tokens(tokenizer, &row.body) {
            Ok(tokens) => tokens,
            Err(complaint) => {
                book.touch(row.entry, TEMPLATE_REFUSES, Effect::Dropped, complaint);
                continue;
            }
        };
        before.push(tokens);
        if tokens <= most {
            after.push(tokens);
            left.push(row);
            continue;
        }
        let detail = format!("{tokens} tokens, {most} allowed");
        match lengths.overlength {
            Overlength::Error => too_long.push((book.of(&row).origin.clone(), tokens)),
            Overlength::Drop => book.touch(row.entry, TOO_MANY_TOKENS, Effect::Dropped, detail),
            Overlength::Split => {
                let parts = parts(tokenizer, &row.body, most);
                if parts.fit.is_empty() {
                    book.touch(
                        row.entry,
                        TOO_MANY_TOKENS,
                        Effect::Dropped,
                        format!("{detail}; no question fits with its answer"),
                    );
                    continue;
                }
                book.touch(row.entry, TAKEN_APART, Effect::Repaired, format!("{detail}: {}", parts.said()));
                for (body, tokens) in parts.fit {
                    after.push(tokens);
                    left.push(Row { entry: row.entry, body, facts: row.facts.clone() });
                }
            }
        }
    }
    match too_long.first() {
        Some((first, tokens)) => {
            let tokens_max = lengths.tokens_max.unwrap_or(u32::MAX);
            Err(LengthsError::TooLong { first: first.clone(), tokens: *tokens, tokens_max, more: too_long.len() - 1 })
        }
        None => Ok((left, Some(LengthsReport { before: Histogram::of(before), after: Histogram::of(after) }))),
    }
}

/// What a run reads of a row.
fn example(body: &Body) -> Example {
    match body {
        Body::Text(text) => Example::Text(text.clone()),
        Body::Chat { .. } => {
            let mut value = body.to_value();
            let tools = value.get_mut("tools").map(Value::take);
            Example::Chat { messages: messages(&mut value), tools }
        }
    }
}

fn messages(value: &mut Value) -> Vec<Value> {
    match value["messages"].take() {
        Value::Array(messages) => messages,
        // A conversation's messages are a list.
        _ => Vec::new(),
    }
}

/// How many tokens a row has, or what the template says against it.
pub fn tokens(tokenizer: &ChatTokenizer, body: &Body) -> Result<usize, String> {
    match tokenizer.tokenize(&example(body), false) {
        Ok(tokens) => Ok(tokens.ids.len()),
        Err(error) => {
            // Templates quote what they refuse.
            let said = error.to_string();
            let said = crate::secrets::redacted(&said).unwrap_or(said);
            Err(said[..said.floor_char_boundary(COMPLAINT_BYTES_MAX)].to_owned())
        }
    }
}

/// What became of a row that was taken apart.
struct Parts {
    fit: Vec<(Body, usize)>,
    left_out: usize,
}

impl Parts {
    fn said(&self) -> String {
        let parts = format!("{} rows", self.fit.len());
        if self.left_out == 0 { parts } else { format!("{parts}; {} answers too long for any", self.left_out) }
    }
}

fn parts(tokenizer: &ChatTokenizer, body: &Body, most: usize) -> Parts {
    let mut value = body.to_value();
    let tools = value.get("tools").cloned();
    let whole = |messages: &[Value]| {
        let mut value = json!({ "messages": messages });
        if let Some(tools) = &tools {
            value["tools"] = tools.clone();
        }
        value
    };
    // A part is measured as it will be: without what stands after its last answer.
    let measured = |messages: &[Value]| {
        let body = read::body(whole(messages))?;
        let tokens = tokens(tokenizer, &body).ok()?;
        (tokens <= most).then_some((body, tokens))
    };
    let found = apart(&messages(&mut value), |messages| measured(messages).is_some());
    let fit = found.pieces.iter().filter_map(|messages| measured(messages)).collect();
    Parts { fit, left_out: found.left_out }
}

#[cfg(test)]
mod tests;
