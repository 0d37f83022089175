//! Stage Read: lines become rows.
//!
//! Promise: every line that is not blank is entered in the book once, in the order of files' names and lines, however the files are given.
//! What is no row is rejected by a named rule, and what is one after all is repaired by one; no line crashes, and none is held in memory
//! that is longer than [`LINE_BYTES_MAX`]. A row keeps every field that training does not read, as a fact.

mod json;
mod message;
mod shape;

use crate::book::{Book, Effect};
use crate::row::{Body, Origin, Row};
use crate::rule::{Rule, Stage};
use crate::secrets;
use json::Broken;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

/// Bytes of a line. The longest conversations have a hundredth of it.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Lines that are not blank, over all files.
pub const ROWS_MAX: usize = 16_000_000;

/// The line is not text.
pub const NOT_UTF8: Rule = Rule::new(Stage::Read, "not_utf8", "the line is not UTF-8");
/// Nobody holds such a line.
pub const TOO_LONG: Rule = Rule::new(Stage::Read, "too_long", "the line is longer than 16 MiB");
/// The line is not JSON.
pub const NOT_JSON: Rule = Rule::new(Stage::Read, "not_json", "the line is not JSON");
/// Readers disagree about which of them counts.
pub const DUPLICATE_KEY: Rule = Rule::new(Stage::Read, "duplicate_key", "an object has the same key twice");
/// Other readers would refuse it.
pub const TOO_DEEP: Rule =
    Rule::new(Stage::Read, "too_deep", "lists and objects stand in one another more than 64 deep");
/// Nobody holds so many.
pub const TOO_MANY_VALUES: Rule = Rule::new(
    Stage::Read,
    "too_many_values",
    "the line has more than 200,000 values, where a conversation has hundreds",
);
/// JSON, but no object.
pub const NOT_AN_OBJECT: Rule = Rule::new(Stage::Read, "not_an_object", "the line is JSON, but no object");
/// None of the shapes that training takes.
pub const NO_SHAPE: Rule =
    Rule::new(Stage::Read, "no_shape", "the line has no `messages`, no `prompt` with `completion` and no `text`");
/// `messages` is something else.
pub const NO_MESSAGES: Rule = Rule::new(Stage::Read, "no_messages", "`messages` is no list of objects");
/// `tools` is something else.
pub const BAD_TOOLS: Rule = Rule::new(Stage::Read, "bad_tools", "`tools` is no list of objects");
/// Nobody knows who speaks.
pub const UNKNOWN_ROLE: Rule = Rule::new(Stage::Read, "unknown_role", "a turn has a role that nobody knows, or none");
/// Pictures and the like.
pub const NOT_TEXT: Rule = Rule::new(Stage::Read, "not_text", "something that should be said in words is not text");
/// A call of no tool.
pub const BAD_CALL: Rule = Rule::new(Stage::Read, "bad_call", "a call of a tool is not written as one");
/// A call without usable arguments.
pub const BAD_ARGUMENTS: Rule = Rule::new(Stage::Read, "bad_arguments", "a call's arguments are no JSON object");
/// Nothing to learn.
pub const EMPTY_CONVERSATION: Rule = Rule::new(Stage::Read, "empty_conversation", "nothing is said");
/// Nothing to learn from.
pub const NO_ASSISTANT: Rule = Rule::new(Stage::Read, "no_assistant", "the assistant says nothing in the conversation");
/// An answer without words, thoughts and calls.
pub const EMPTY_ANSWER: Rule = Rule::new(Stage::Read, "empty_answer", "the last answer says nothing");

/// Windows' editors put it there.
pub const BYTE_ORDER_MARK: Rule =
    Rule::new(Stage::Read, "byte_order_mark", "the file begins with a byte order mark, which was passed over");
/// Templates want words where no tool is called.
pub const NULL_CONTENT: Rule =
    Rule::new(Stage::Read, "null_content", "a turn without content and without calls got an empty content");
/// Templates want objects.
pub const ARGUMENTS_PARSED: Rule =
    Rule::new(Stage::Read, "arguments_parsed", "a call's arguments were written as text and became an object");
/// Other words for the same.
pub const ROLE_RENAMED: Rule = Rule::new(Stage::Read, "role_renamed", "a turn's role got the name that templates know");
/// Not every template takes parts.
pub const PARTS_JOINED: Rule = Rule::new(Stage::Read, "parts_joined", "a content in parts became one text");
/// The same as none.
pub const TOOL_CALLS_NULL: Rule =
    Rule::new(Stage::Read, "tool_calls_null", "a turn's `tool_calls` was null and is gone");
/// What nobody answers teaches nothing.
pub const TRAILING_TURNS_CUT: Rule =
    Rule::new(Stage::Read, "trailing_turns_cut", "turns after the last answer were cut off");
/// What templates do not read.
pub const UNKNOWN_MESSAGE_FIELD: Rule =
    Rule::new(Stage::Read, "unknown_message_field", "a turn has a field that no template reads, and lost it");

/// Files that cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file's bytes do not come.
    #[error("cannot read {file} after line {line}: {error}")]
    File {
        /// The file.
        file: Arc<str>,
        /// The last line that came.
        line: u32,
        /// Why.
        error: io::Error,
    },
    /// Two files would give rows the same origin.
    #[error("two files are called {0}; give one of them another name")]
    SameName(Arc<str>),
    /// More rows than a curation holds.
    #[error("{file}:{line}: here are more than {most} rows; curate a part of the files at a time")]
    TooMany {
        /// The file.
        file: Arc<str>,
        /// The first line that is too many.
        line: u32,
        /// The bound.
        most: usize,
    },
    /// A file of nothing but line breaks, most likely.
    #[error("{0} has more lines than can be numbered; remove its blank lines")]
    Lines(Arc<str>),
}

/// What is held at most.
#[derive(Clone, Copy)]
struct Bounds {
    line_bytes: usize,
    rows: usize,
}

const BOUNDS: Bounds = Bounds { line_bytes: LINE_BYTES_MAX, rows: ROWS_MAX };

/// Reads files of JSON lines, each with its name.
///
/// # Errors
/// [`ReadError`]; a line that is no row is none.
pub fn read<R: BufRead>(files: Vec<(String, R)>, book: &mut Book) -> Result<Vec<Row>, ReadError> {
    read_within(BOUNDS, files, book)
}

fn read_within<R: BufRead>(
    bounds: Bounds,
    mut files: Vec<(String, R)>,
    book: &mut Book,
) -> Result<Vec<Row>, ReadError> {
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    if let Some(pair) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(ReadError::SameName(pair[0].0.as_str().into()));
    }
    let mut rows = Vec::new();
    for (name, lines) in files {
        read_file(bounds, &name.into(), lines, book, &mut rows)?;
    }
    Ok(rows)
}

fn read_file<R: BufRead>(
    bounds: Bounds,
    file: &Arc<str>,
    mut lines: R,
    book: &mut Book,
    rows: &mut Vec<Row>,
) -> Result<(), ReadError> {
    let mut held = Vec::new();
    let mut line: u32 = 0;
    loop {
        let read = next(&mut lines, &mut held, bounds.line_bytes);
        let is_whole = match read.map_err(|error| ReadError::File { file: file.clone(), line, error })? {
            Next::End => return Ok(()),
            Next::Line => true,
            Next::TooLong => false,
        };
        line = line.checked_add(1).ok_or_else(|| ReadError::Lines(file.clone()))?;
        let has_mark = line == 1 && held.starts_with(BYTE_ORDER_MARK_BYTES);
        let bytes = if has_mark { &held[BYTE_ORDER_MARK_BYTES.len()..] } else { &held[..] };
        if is_whole && is_blank(bytes) {
            continue;
        }
        if book.entries.len() >= bounds.rows {
            return Err(ReadError::TooMany { file: file.clone(), line, most: bounds.rows });
        }
        let entry = book.enter(Origin { file: file.clone(), line });
        if !is_whole {
            book.touch(entry, TOO_LONG, Effect::Rejected, "");
            // What a long line took is not kept for the short ones that follow.
            held = Vec::new();
            continue;
        }
        if has_mark {
            book.touch(entry, BYTE_ORDER_MARK, Effect::Repaired, "");
        }
        rows.extend(row(bytes, entry, book));
    }
}

const BYTE_ORDER_MARK_BYTES: &[u8] = "\u{feff}".as_bytes();

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace) || std::str::from_utf8(bytes).is_ok_and(|text| text.trim().is_empty())
}

enum Next {
    End,
    Line,
    TooLong,
}

/// Reads a line into `held`, without its break. What is beyond `most` is passed over and not held.
fn next(lines: &mut impl BufRead, held: &mut Vec<u8>, most: usize) -> io::Result<Next> {
    held.clear();
    // One byte more than a line may have, and its break.
    let read = Read::take(&mut *lines, most as u64 + 1).read_until(b'\n', held)?;
    if read == 0 {
        return Ok(Next::End);
    }
    if held.last() == Some(&b'\n') {
        held.pop();
        return Ok(Next::Line);
    }
    if read <= most {
        // The last line, whose break is missing.
        return Ok(Next::Line);
    }
    lines.skip_until(b'\n')?;
    Ok(Next::TooLong)
}

/// The row of a line, with what had to be done for it entered in the book.
fn row(bytes: &[u8], entry: u32, book: &mut Book) -> Option<Row> {
    let mut reading = Reading::default();
    match line(bytes, &mut reading) {
        Ok((body, facts)) => {
            for (rule, effect, detail) in reading.touches() {
                book.touch(entry, rule, effect, told(detail));
            }
            book.entry_mut(entry).id = Some(body.id());
            Some(Row { entry, body, facts })
        }
        Err(Rejected { rule, detail }) => {
            book.touch(entry, rule, Effect::Rejected, told(detail));
            None
        }
    }
}

/// A detail as it may be told: a role or a key that it quotes can be anything.
fn told(detail: String) -> String {
    secrets::redacted(&detail).unwrap_or(detail)
}

/// The body of an example as [`Body::to_value`] writes it, or of a part of its turns: what is after the last answer is cut off. `None`
/// where that is no row.
pub fn body(value: serde_json::Value) -> Option<Body> {
    let serde_json::Value::Object(map) = value else { return None };
    shape::read(map, &mut Reading::default()).ok().map(|(body, _)| body)
}

/// Why a line is no row.
struct Rejected {
    rule: Rule,
    detail: String,
}

fn rejected<T>(rule: Rule, detail: impl Into<String>) -> Result<T, Rejected> {
    Err(Rejected { rule, detail: detail.into() })
}

impl From<Broken> for Rejected {
    fn from(broken: Broken) -> Rejected {
        match broken {
            Broken::Json(detail) => Rejected { rule: NOT_JSON, detail },
            Broken::DuplicateKey(key) => Rejected { rule: DUPLICATE_KEY, detail: key },
            Broken::TooDeep => Rejected { rule: TOO_DEEP, detail: String::new() },
            Broken::TooMany => Rejected { rule: TOO_MANY_VALUES, detail: String::new() },
        }
    }
}

fn line(bytes: &[u8], reading: &mut Reading) -> Result<shape::BodyAndFacts, Rejected> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return rejected(NOT_UTF8, format!("at byte {}", error.valid_up_to() + 1)),
    };
    match json::parse(text, json::NESTING_MAX)? {
        serde_json::Value::Object(map) => shape::read(map, reading),
        other => rejected(NOT_AN_OBJECT, json::kind(&other)),
    }
}

/// What is done to a line while it is read: each rule once, with the turns that it was applied to.
#[derive(Default)]
struct Reading {
    done: Vec<(Rule, Effect, Vec<String>)>,
}

/// Places of one rule that are named.
const PLACES_MAX: usize = 8;

impl Reading {
    fn repaired(&mut self, rule: Rule, place: impl Into<String>) {
        self.did(rule, Effect::Repaired, place.into());
    }

    fn noted(&mut self, rule: Rule, place: impl Into<String>) {
        self.did(rule, Effect::Noted, place.into());
    }

    fn did(&mut self, rule: Rule, effect: Effect, place: String) {
        match self.done.iter_mut().find(|(known, _, _)| *known == rule) {
            Some((_, _, places)) => places.push(place),
            None => self.done.push((rule, effect, vec![place])),
        }
    }

    fn touches(self) -> impl Iterator<Item = (Rule, Effect, String)> {
        self.done.into_iter().map(|(rule, effect, places)| {
            let mut detail = places[..places.len().min(PLACES_MAX)].join(", ");
            if places.len() > PLACES_MAX {
                detail.push_str(&format!(" and {} more", places.len() - PLACES_MAX));
            }
            (rule, effect, detail)
        })
    }
}

#[cfg(test)]
mod tests;
