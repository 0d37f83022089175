//! Every task: what was sent, and every answer on each side.

use super::about::letter;
use super::answer::answer;
use super::code::json;
use super::figures::{count, passed_share, percent, signed};
use super::results::found;
use super::side::{Row, Side};
use super::text::{anchor, line, text_of};
use crate::answer::Ending;
use crate::prompt::Prompt;
use crate::report::{AnswerReport, TaskReport};
use crate::score::Standing;
use crate::suite::Thinking;
use maud::{Markup, html};
use std::collections::BTreeSet;

/// How much of a report a page has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Answers of a task on one side.
    answers: usize,
    /// Bytes of each text.
    bytes: usize,
}

/// Answers on a page, but for one of each task.
const ANSWERS_MAX: usize = 5_000;

/// Bytes that all texts on a page may have, but for what each has at least.
const TEXTS_BYTES_MAX: usize = 32 << 20;

/// Bytes that a text has at least and at most.
const TEXT_BYTES: std::ops::RangeInclusive<usize> = 1 << 10..=64 << 10;

impl Room {
    /// The room for these tasks: the more there are, the less each has.
    pub(super) fn of(rows: &[Row]) -> Room {
        let tasks = rows.iter().map(|row| row.of.iter().flatten().count()).sum::<usize>().max(1);
        let answers = (ANSWERS_MAX / tasks).max(1);
        let shown = rows.iter().flat_map(|row| row.of.iter().flatten()).map(|task| task.answers.len().min(answers) + 1);
        let bytes = (TEXTS_BYTES_MAX / shown.sum::<usize>().max(1)).clamp(*TEXT_BYTES.start(), *TEXT_BYTES.end());
        Room { answers, bytes }
    }
}

/// Messages, and tools, of a prompt that are shown.
const MESSAGES_MAX: usize = 50;

/// What a task can be filtered by, as the page names it and as a person reads it.
pub(super) const STATES: [(&str, &str); 6] = [
    ("passed", "passed by all answers"),
    ("failed", "failed by an answer"),
    ("cut", "cut, late or an error"),
    ("apart", "unsupported or a broken check"),
    ("open", "not judged yet"),
    ("found", "in the training data"),
];

/// The state of a task on which the sides differ.
pub(super) const DIFFERS: (&str, &str) = ("differs", "where the two differ");

fn states(row: &Row, sides: &[Side]) -> String {
    let mut states = BTreeSet::new();
    let answers = || row.of.iter().flatten().flat_map(|task| &task.answers);
    let passed = |of: &AnswerReport| of.score.and_then(|score| score.passed);
    if answers().next().is_some() && answers().all(|answer| passed(answer) == Some(true)) {
        states.insert("passed");
    }
    for answer in answers() {
        states.extend((passed(answer) == Some(false)).then_some("failed"));
        states.extend((answer.answer.ending != Ending::Answered).then_some("cut"));
        states.extend(answer.score.is_none().then_some("open"));
        let is_apart = answer.verdicts.iter().any(|it| matches!(it.standing, Standing::Unsupported | Standing::Broken));
        states.extend(is_apart.then_some("apart"));
    }
    let is_found =
        |side: &Side| side.report.contamination.as_ref().is_some_and(|it| it.contamination.found.contains_key(row.id));
    states.extend(sides.iter().any(is_found).then_some("found"));
    states.extend(row.differs().then_some(DIFFERS.0));
    states.into_iter().collect::<Vec<_>>().join(" ")
}

/// One task, folded.
pub(super) fn task(row: &Row, sides: &[Side], room: Room) -> Markup {
    let Some(first) = row.first() else { return html! {} };
    html! {
        details.task id=(anchor(row.id)) data-category=(line(&first.category)) data-states=(states(row, sides)) {
            summary {
                span.id { (line(row.id)) } " "
                span.quiet { (line(&first.category)) @if let Some(of) = first.difficulty { ", difficulty " (of) } }
                @if let Some(by) = row.difference().filter(|by| *by != 0.0) { " " span.tag.warn { "B " (signed(by)) } }
                span.outcomes {
                    @for (side, task) in sides.iter().zip(&row.of) {
                        span.outcome { @if sides.len() > 1 { (letter(side)) " " } (outcome(*task)) }
                    }
                }
            }
            div.inside {
                p.quiet { a href={ "#" (anchor(row.id)) } { "Link to this task" } }
                @for side in sides {
                    @if let Some(found) = side.report.contamination.as_ref().and_then(|it| it.contamination.found.get(row.id)) {
                        p.remark.alarming { @if sides.len() > 1 { (letter(side)) " " } (line(&self::found(found))) }
                    }
                }
                (prompts(row, sides, room))
                div.sides.(if sides.len() > 1 { "two" } else { "one" }) {
                    @for (side, task) in sides.iter().zip(&row.of) { div { (answers(side, *task, sides.len() > 1, room)) } }
                }
            }
        }
    }
}

fn outcome(task: Option<&TaskReport>) -> Markup {
    let Some(task) = task else { return html! { span.quiet { "not asked" } } };
    let marks = task.answers.iter().take(10).map(|answer| match answer.score.and_then(|score| score.passed) {
        Some(true) => ("good", "✓"),
        Some(false) => ("bad", "✗"),
        None => ("plain", "·"),
    });
    html! {
        span.marks aria-hidden="true" { @for (class, mark) in marks { span.(class) { (mark) } } } " "
        @match (passed_share(&task.tally), task.tally.score) {
            (Some(_), _) => { (task.tally.passed) " of " (task.tally.decided) " passed" },
            (None, Some(score)) => { "score " (percent(score)) },
            (None, None) => { (count(task.answers.len(), "answer")) ", none judged" },
        }
    }
}

fn answers(side: &Side, task: Option<&TaskReport>, is_named: bool, room: Room) -> Markup {
    let answers = task.map(|task| task.answers.as_slice()).unwrap_or_default();
    html! {
        @if is_named { p.whose { (letter(side)) " " (line(&side.report.facts.model.name())) } }
        @if answers.is_empty() { p.quiet { "There is no answer yet." } }
        @for (n, of) in answers.iter().take(room.answers).enumerate() { (answer(of, n == 0, room.bytes)) }
        @if let Some(more) = answers.len().checked_sub(room.answers).filter(|more| *more > 0) {
            p.rest { "… " (count(more, "more answer")) " not on this page; the report has all." }
        }
    }
}

/// What was sent: once where both sides were sent the same.
fn prompts(row: &Row, sides: &[Side], room: Room) -> Markup {
    let sent: Vec<Option<&Prompt>> = row.of.iter().map(|task| task.and_then(|task| task.prompt.as_ref())).collect();
    let is_one = sent.iter().all(|prompt| *prompt == sent[0]);
    html! {
        @if is_one { (prompt(sent.first().copied().flatten(), None, room)) }
        @else { @for (side, sent) in sides.iter().zip(&sent) { (prompt(*sent, Some(side), room)) } }
    }
}

fn prompt(prompt: Option<&Prompt>, side: Option<&Side>, room: Room) -> Markup {
    let Some(prompt) = prompt else { return html! { p.quiet { "The prompt was not kept." } } };
    html! {
        details.prompt {
            summary { "Prompt as sent" @if let Some(side) = side { " " (letter(side)) } }
            @for message in prompt.messages.iter().take(MESSAGES_MAX) {
                p.whose { (line(message["role"].as_str().unwrap_or("no role"))) }
                @match message["content"].as_str().filter(|_| message.as_object().is_some_and(|map| map.len() == 2)) {
                    Some(content) => pre.plain tabindex="0" { code { (text_of(content, room.bytes)) } },
                    None => (json(message, room.bytes)),
                }
            }
            @for tool in prompt.tools.iter().take(MESSAGES_MAX) {
                p.whose { "tool" }
                (json(tool, room.bytes))
            }
            @if prompt.messages.len().max(prompt.tools.len()) > MESSAGES_MAX {
                p.rest { "… there is more, which the report has." }
            }
            p.quiet {
                "At most " (count(prompt.tokens_max as usize, "token"))
                @match prompt.thinking {
                    Thinking::Off => ", without thought.",
                    Thinking::Tokens(tokens) => { " after at most " (tokens) " of thought." },
                }
                " Prompt " code { (prompt.digest().short()) } "."
            }
        }
    }
}
