//! Code with its lines' numbers, its colours, and what was found in a line right below it.

use super::luau::{Kind, tokens};
use super::text::{beginning, escape, line, rest_said, text_of};
use maud::{Markup, PreEscaped, html};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

/// What is to be said of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// The line, from 1.
    pub(super) line: u32,
    /// Whose word it is: `compile`, `lint`, `types`.
    pub(super) of: &'static str,
    /// What it says.
    pub(super) said: String,
}

/// Notes of one piece of code that are shown.
const NOTES_MAX: usize = 50;

/// Luau with its notes, in at most so many bytes. A note on a line that is not there stands below the last one.
pub(super) fn luau(source: &str, notes: &[Note], bytes_max: usize) -> Markup {
    let shown = beginning(source, bytes_max).trim_end_matches(['\n', '\r']);
    let shown = shown.replace("\r\n", "\n");
    let left_out = notes.len().saturating_sub(NOTES_MAX);
    let mut notes: Vec<&Note> = notes.iter().take(NOTES_MAX).collect();
    notes.sort_by_key(|note| note.line);
    let pieces = pieces(&shown, &notes);
    html! {
        div.code tabindex="0" role="region" aria-label="Luau" {
            @for (n, piece) in pieces.iter().enumerate() {
                div.lines {
                    pre.numbers aria-hidden="true" { (piece.numbers()) }
                    pre { code { (PreEscaped(&piece.html)) } }
                }
                @let until = pieces.get(n + 1).map_or(u32::MAX, |next| next.first - 1);
                @for note in notes.iter().filter(|note| note.line.max(1) >= piece.first && note.line.max(1) <= until) {
                    p.note.(note.of) { b { "line " (note.line) ", " (note.of) ": " } (line(&note.said)) }
                }
            }
            @if left_out > 0 { p.rest { "… and " (left_out) " more notes on this code, which the report has." } }
            @if let Some(rest) = rest_said(source, bytes_max) { p.rest { (rest) } }
        }
    }
}

/// Lines with no note between them.
struct Piece {
    /// The number of the first line.
    first: u32,
    /// How many there are.
    lines: u32,
    html: String,
}

impl Piece {
    fn numbers(&self) -> String {
        let mut numbers = String::new();
        for number in self.first..self.first + self.lines {
            // Writing to a string does not fail.
            let _ = writeln!(numbers, "{number}");
        }
        numbers
    }
}

/// The code, cut after each line that has a note.
fn pieces(source: &str, notes: &[&Note]) -> Vec<Piece> {
    let mut pieces = vec![Piece { first: 1, lines: 0, html: String::new() }];
    let noted: BTreeSet<u32> = notes.iter().map(|note| note.line.max(1)).collect();
    let mut number = 1;
    for (kind, text) in tokens(source) {
        // A token of several lines is coloured line by line.
        let mut rest = text;
        while let Some(at) = rest.find('\n') {
            let is_noted = noted.contains(&number);
            put(kind, &rest[..at + usize::from(!is_noted)], &mut pieces);
            number += 1;
            rest = &rest[at + 1..];
            if is_noted {
                pieces.push(Piece { first: number, lines: 0, html: String::new() });
            }
        }
        put(kind, rest, &mut pieces);
    }
    let mut next = number + 1;
    for piece in pieces.iter_mut().rev() {
        piece.lines = next - piece.first;
        next = piece.first;
    }
    pieces
}

fn put(kind: Kind, text: &str, pieces: &mut [Piece]) {
    let Some(Piece { html, .. }) = pieces.last_mut().filter(|_| !text.is_empty()) else { return };
    // Short names: there are many of them.
    let (open, close) = match kind {
        Kind::Plain => ("", ""),
        Kind::Keyword => ("<b>", "</b>"),
        Kind::Text => ("<q>", "</q>"),
        Kind::Comment => ("<i>", "</i>"),
        Kind::Number => ("<u>", "</u>"),
        Kind::Type => ("<em>", "</em>"),
    };
    html.push_str(open);
    escape(text, html);
    html.push_str(close);
}

/// A value as JSON.
pub(super) fn json(value: &Value, bytes_max: usize) -> Markup {
    // A value that was read as JSON has a JSON.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    html! { pre.plain tabindex="0" { code { (text_of(&text, bytes_max)) } } }
}
