//! What a row is worth: facts by name, and the stage that asks for some of them.
//!
//! A fact is a number that is computed from the row, or one that came with its line, found by its path (`eval_score`,
//! `provenance.eval_score`). `pipeline_quality` and `pipeline_code_lines` are the pipeline's own formulas, kept so that its verdicts can be
//! reached again; they reward what is easily had, as a canned `<think>`.
//!
//! Promise: a fact that a row does not have is absent, and never zero. The same row has the same facts anywhere.

use crate::book::{Book, Effect};
use crate::config::QualityFilter;
use crate::filters::code_lines as luau_lines;
use crate::row::{Body, Role, Row};
use crate::rule::{Rule, Stage};
use vertigo_evaluation::python::{is_space, strip};

/// A fact that is asked for is too small.
pub const FACT_BELOW_MIN: Rule = Rule::new(Stage::Quality, "fact_below_min", "a fact is less than the config asks for");

/// A fact that is asked for is not there.
pub const FACT_ABSENT: Rule = Rule::new(Stage::Quality, "fact_absent", "the row lacks a fact that the config asks for");

/// The facts that are computed, and what each says.
pub const COMPUTED: [(&str, &str); 6] = [
    ("pipeline_quality", "the pipeline's score of five parts, from 0 to 1"),
    ("pipeline_code_lines", "lines within fences as the pipeline counts them, whoever says them"),
    ("luau_lines", "lines of Luau that compile, in what the model says"),
    ("answer_chars", "characters of all answers"),
    ("answer_words", "words of all answers"),
    ("turns", "messages of the person and of the model"),
];

/// The rows whose facts are what the config asks for.
pub fn apply(rows: Vec<Row>, asked: &[QualityFilter], book: &mut Book) -> Vec<Row> {
    let mut kept = Vec::with_capacity(rows.len());
    'rows: for row in rows {
        for QualityFilter { fact: name, min } in asked {
            match fact(&row, name) {
                Some(value) if value >= *min => {}
                Some(value) => {
                    book.touch(
                        row.entry,
                        FACT_BELOW_MIN,
                        Effect::Dropped,
                        format!("{name} is {value}, less than {min}"),
                    );
                    continue 'rows;
                }
                None => {
                    book.touch(row.entry, FACT_ABSENT, Effect::Dropped, format!("there is no number {name}"));
                    continue 'rows;
                }
            }
        }
        kept.push(row);
    }
    kept
}

/// A fact of a row: what is computed by that name, else the number at that path among what came with its line.
pub fn fact(row: &Row, name: &str) -> Option<f64> {
    match name {
        "pipeline_quality" => Some(pipeline_quality(row)),
        "pipeline_code_lines" => Some(pipeline_code_lines(row) as f64),
        "luau_lines" => Some(luau_lines(&row.body) as f64),
        "answer_chars" => Some(row.body.answers().map(|answer| answer.chars().count()).sum::<usize>() as f64),
        "answer_words" => {
            Some(row.body.answers().map(|answer| answer.split_whitespace().count()).sum::<usize>() as f64)
        }
        "turns" => Some(turns(row) as f64),
        path => row.fact(path)?.as_f64(),
    }
}

/// Signs of types in Luau, as the pipeline looks for them.
const TYPES: [&str; 8] =
    ["export type", ": string", ": number", ": boolean", ": Vector3", ": Player", ": Instance", "--!strict"];

/// Signs of what is new in Luau and Roblox, as the pipeline looks for them.
const MODERN: [&str; 8] = [
    "task.wait",
    "task.spawn",
    "task.defer",
    "game:GetService",
    "table.freeze",
    "table.create",
    "math.lerp",
    "@native",
];

/// From how many signs, and from how many turns, a part of the score is full.
const SIGNS_FULL: f64 = 3.0;
const TURNS_FULL: f64 = 4.0;

/// The pipeline's score of five parts: whether it thinks aloud, how long its answers are, signs of types, signs of what is new, and turns.
/// Answers count as one text with nothing between them.
pub fn pipeline_quality(row: &Row) -> f64 {
    // A text has no turns, so the pipeline sees no answer in it.
    let answers = row.body.messages().iter().filter(|message| message.role == Role::Assistant);
    let text: String = answers.map(|message| message.text()).collect();
    let share =
        |signs: &[&str]| (signs.iter().filter(|sign| text.contains(**sign)).count() as f64 / SIGNS_FULL).min(1.0);
    let thinks = if text.contains("<think>") { 1.0 } else { 0.0 };
    let length = match text.chars().count() {
        0..100 => 0.1,
        100..200 => 0.4,
        200..3_000 => 1.0,
        3_000..8_000 => 0.7,
        8_000.. => 0.4,
    };
    let depth = (turns(row) as f64 / TURNS_FULL).min(1.0);
    // In this order, because the last bit of a sum of floats depends on it.
    thinks * 0.25 + length * 0.20 + share(&TYPES) * 0.20 + share(&MODERN) * 0.15 + depth * 0.20
}

fn turns(row: &Row) -> usize {
    row.body.messages().iter().filter(|message| matches!(message.role, Role::User | Role::Assistant)).count()
}

/// What a first line within a fence begins with where it is no name of a language.
const CODE_BEGINS: [&str; 6] = ["--", "local", "{", "[", "return", "function"];

/// Lines within fences that are not blank, over all that anybody says, as the pipeline counts them: a first line that does not look like
/// code is taken for the name of a language.
pub fn pipeline_code_lines(row: &Row) -> usize {
    let said: Vec<&str> = match &row.body {
        Body::Chat { messages, .. } => messages.iter().map(|message| message.text()).collect(),
        Body::Text(text) => vec![text],
    };
    // One text: a fence may be opened by one who speaks and closed by the next.
    code_lines(&said.join("\n"))
}

fn code_lines(text: &str) -> usize {
    let (mut count, mut rest) = (0, text);
    while let Some((_, opened)) = rest.split_once("```") {
        let Some((block, after)) = opened.split_once("```") else { break };
        // Ticks beyond three at either end are none of the code: those behind the closing fence begin another.
        let block = strip(block.trim_matches('`'));
        let mut lines = lines(block).peekable();
        lines.next_if(|first| !CODE_BEGINS.iter().any(|begin| first.starts_with(begin)));
        count += lines.filter(|line| !strip(line).is_empty()).count();
        rest = after;
    }
    count
}

/// Lines as Python's `splitlines` ends them, but for a last one with nothing in it. That `\r\n` would be one end makes no difference to
/// lines that are not blank.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'])
}

/// Words as Python's `split()` finds them.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests;
