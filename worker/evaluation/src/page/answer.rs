//! One answer: how it ended and what it came to, its text with code in colours, its calls, and what each check says.

use super::code::{json, luau};
use super::figures::{count, percent, sign};
use super::parts::{Fenced, Part, parts};
use super::places::{Places, Source, place, places};
use super::text::{beginning, line, rest_said, text_of};
use super::verdict::verdicts;
use crate::answer::{Answer, Ending};
use crate::report::AnswerReport;
use crate::score::Verdict;
use crate::suite::CheckName;
use maud::{Markup, html};
use serde_json::Value;

/// Calls of one answer, and arguments of one call, that are shown.
const CALLS_MAX: usize = 30;

/// How an answer ended, in a word.
pub(super) fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Answered => "whole",
        Ending::Cut => "cut",
        Ending::TimedOut => "timed out",
        Ending::ApiError => "API error",
    }
}

/// An answer, open where it is the first. `bytes_max` is what each of its texts may take.
pub(super) fn answer(report: &AnswerReport, is_open: bool, bytes_max: usize) -> Markup {
    let said = &report.answer;
    let sources = Sources::of(said, &report.verdicts);
    let places = places(&sources.all, sources.is_numbered(), &report.verdicts);
    html! {
        details.answer open[is_open] {
            summary { (heading(report)) }
            @if let Some(thinking) = &said.thinking {
                details.thought {
                    summary { "Thought, " (count(report.tokens.thinking as usize, "token")) }
                    p.said { (text_of(thinking, bytes_max)) }
                }
            }
            @if said.text.trim().is_empty() && said.tool_calls.is_empty() { p.quiet { "It says nothing." } }
            (text(said, &sources, &places, bytes_max))
            (calls(said, &sources, &places, bytes_max))
            (verdicts(&report.verdicts, &places, bytes_max))
        }
    }
}

fn heading(report: &AnswerReport) -> Markup {
    let score = report.score.and_then(|score| score.score);
    let passed = report.score.map(|score| score.passed);
    let tokens = report.tokens;
    html! {
        span.name { "Answer " (u64::from(report.sample) + 1) }
        " " (sign(passed))
        @if report.answer.ending != Ending::Answered { " " span.tag.warn { (ending(report.answer.ending)) } }
        @if let Some(score) = score { " " span.quiet { "score " (percent(score)) "," } }
        " "
        span.quiet {
            (count(tokens.answer as usize, "token"))
            @if tokens.thinking > 0 { " after " (tokens.thinking) " of thought" }
            ", seed " (report.seed)
        }
    }
}

/// The pieces of code in an answer, which is judged by them.
struct Sources<'t> {
    all: Vec<Source<'t>>,
    at: Place,
}

/// Where an answer's code stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between fences that say that it is Luau.
    Luau,
    /// Between fences that say nothing.
    Bare,
    /// It is the whole text.
    Whole,
    /// In the arguments of calls.
    Calls,
}

impl Place {
    fn is_of(self, fenced: &Fenced) -> bool {
        match self {
            Place::Luau => fenced.is_luau(),
            Place::Bare => fenced.word.is_empty(),
            Place::Whole => true,
            Place::Calls => false,
        }
    }
}

impl<'t> Sources<'t> {
    fn of(answer: &'t Answer, verdicts: &[Verdict]) -> Sources<'t> {
        let fenced: Vec<Fenced> = fences(&parts(&answer.text)).collect();
        let at = if fenced.iter().any(Fenced::is_luau) {
            Place::Luau
        } else if called(answer).next().is_some() {
            Place::Calls
        } else if fenced.is_empty() && says_code(verdicts) {
            Place::Whole
        } else {
            Place::Bare
        };
        let all = match at {
            Place::Whole => vec![Source { text: &answer.text, before: "" }],
            Place::Calls => called(answer).map(|text| Source { text, before: "" }).collect(),
            Place::Luau | Place::Bare => {
                let code = fenced.iter().filter(|fenced| at.is_of(fenced));
                code.map(|fenced| Source { text: fenced.source, before: fenced.before }).collect()
            }
        };
        Sources { all, at }
    }

    /// Whether these are the blocks that the room saw. Of bare fences it saw those that compile, and of calls the last alone.
    fn is_numbered(&self) -> bool {
        matches!(self.at, Place::Luau | Place::Whole) || self.all.len() == 1
    }
}

fn fences<'t>(parts: &[Part<'t>]) -> impl Iterator<Item = Fenced<'t>> {
    parts.iter().filter_map(|part| match part {
        Part::Fenced(fenced) => Some(*fenced),
        Part::Prose(_) => None,
    })
}

/// Whether the room found code: the checks that look at code have something to say of it.
fn says_code(verdicts: &[Verdict]) -> bool {
    verdicts.iter().any(|verdict| match verdict.check {
        CheckName::Compile => verdict.score > 0.0 || verdict.remarks.iter().any(|remark| place(remark).is_some()),
        CheckName::Lint | CheckName::Types => verdict.score > 0.0 || !verdict.findings.is_empty(),
        CheckName::Run => verdict.run.is_some(),
        _ => false,
    })
}

/// Arguments of several lines are code: that of the tools that run Luau.
fn is_code_argument(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| text.trim_end().contains('\n'))
}

fn called(answer: &Answer) -> impl Iterator<Item = &str> {
    let arguments = answer.tool_calls.iter().take(CALLS_MAX).filter_map(|call| call.arguments.as_object());
    arguments.flat_map(|map| map.values().take(CALLS_MAX)).filter_map(is_code_argument)
}

/// The text in its parts. It is cut as a whole and at the end of a line, so that what is shown of it has the same parts.
fn text(answer: &Answer, sources: &Sources, places: &Places, bytes_max: usize) -> Markup {
    let shown = beginning(&answer.text, bytes_max);
    let is_cut = shown.len() < answer.text.len();
    let shown = shown.rfind('\n').filter(|_| is_cut).map_or(shown, |end| &shown[..=end]);
    let parts = match sources.at {
        Place::Whole => vec![Part::Fenced(Fenced { word: "luau", source: shown, before: "" })],
        _ => parts(shown),
    };
    let mut notes = places.notes.iter();
    html! {
        @for part in &parts {
            @match part {
                Part::Prose(said) => p.said { (text_of(said, bytes_max)) },
                Part::Fenced(fenced) if sources.at.is_of(fenced) => {
                    (luau(fenced.source, notes.next().map_or(&[], Vec::as_slice), bytes_max))
                }
                Part::Fenced(fenced) if fenced.is_luau() => (luau(fenced.source, &[], bytes_max)),
                Part::Fenced(fenced) => pre.plain tabindex="0" { code { (text_of(fenced.source, bytes_max)) } },
            }
        }
        @if let Some(rest) = rest_said(&answer.text, shown.len()) { p.rest { (rest) } }
    }
}

/// The calls with their arguments, those of several lines as code.
fn calls(answer: &Answer, sources: &Sources, places: &Places, bytes_max: usize) -> Markup {
    let mut notes = places.notes.iter().filter(|_| sources.at == Place::Calls);
    html! {
        @for call in answer.tool_calls.iter().take(CALLS_MAX) {
            div.call {
                p { "Calls " code { (line(&call.name)) } }
                @match call.arguments.as_object() {
                    Some(map) => @for (name, value) in map.iter().take(CALLS_MAX) {
                        p.argument { code { (line(name)) } ":" }
                        @match is_code_argument(value) {
                            Some(code) => (luau(code, notes.next().map_or(&[], Vec::as_slice), bytes_max)),
                            None => (json(value, bytes_max)),
                        }
                    },
                    None => (json(&call.arguments, bytes_max)),
                }
            }
        }
        @if let Some(more) = answer.tool_calls.len().checked_sub(CALLS_MAX).filter(|more| *more > 0) {
            p.rest { "… " (count(more, "more call")) " not on this page; the report has all." }
        }
    }
}
