//! Luau that stands outside of fences, where whoever looks for code finds none.
//!
//! Loose code is a run of whole paragraphs that compiles as it stands and has some lines that say something. Prose does not compile.

use super::speech::{self, Turn};
use crate::row::{Body, Role};
use vertigo_evaluation::fence::fence;
use vertigo_luau::compile;

/// Lines that say something, below which it is an example within a sentence.
const LINES_MIN: usize = 3;

/// How often one answer is compiled, and how far a run of paragraphs may reach. Longer answers of paragraphs that begin as code does are
/// looked at in part.
const COMPILES_MAX: usize = 200;
const PARAGRAPHS_MAX: usize = 40;

/// How lines of Luau begin.
const BEGINNINGS: [&str; 16] = [
    "local ",
    "function ",
    "return",
    "--",
    "for ",
    "while ",
    "if ",
    "type ",
    "export ",
    "repeat",
    "do",
    "@native",
    "game",
    "script",
    "workspace",
    "task.",
];

pub(super) fn seen(turns: &[Turn<'_>]) -> Option<String> {
    let found = turns.iter().find_map(|turn| Some((turn, find(&turn.answer).into_iter().next()?)))?;
    Some(said(found.0.turn, &found.1))
}

fn said(turn: usize, run: &Run) -> String {
    format!("turn {turn}: {} lines from line {} of the answer", run.end - run.start, run.start + 1)
}

/// Puts a fence around every run of the row's answers, and says where the first was.
pub(super) fn repair(body: &mut Body) -> Option<String> {
    let mut first = None;
    for (at, message) in body.messages_mut().iter_mut().enumerate() {
        if message.role != Role::Assistant {
            continue;
        }
        let Some(content) = &mut message.content else { continue };
        // Thoughts stay as they are: only what follows the last of them is looked at.
        let from = content.rfind("</think>").map_or(0, |at| at + "</think>".len());
        if speech::split(content).thinks_on {
            continue;
        }
        let answer = content[from..].to_owned();
        let runs = find(&answer);
        if let Some(run) = runs.first() {
            first.get_or_insert_with(|| said(at + 1, run));
            content.truncate(from);
            content.push_str(&fenced(&answer, &runs));
        }
    }
    first
}

/// Lines, from 0, up to and not including the end.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    start: usize,
    end: usize,
}

fn fenced(answer: &str, runs: &[Run]) -> String {
    let mut text = String::with_capacity(answer.len() + 20 * runs.len());
    let lines: Vec<&str> = answer.split('\n').collect();
    for (at, line) in lines.iter().enumerate() {
        for run in runs.iter().filter(|run| run.start == at) {
            // Code may have a fence in a comment or a text.
            let inner = lines[run.start..run.end].iter().filter_map(|line| longest_mark(line)).max().unwrap_or(0);
            text.push_str(&"`".repeat(3.max(inner + 1)));
            text.push_str("luau\n");
        }
        text.push_str(line);
        for run in runs.iter().filter(|run| run.end == at + 1) {
            let inner = lines[run.start..run.end].iter().filter_map(|line| longest_mark(line)).max().unwrap_or(0);
            text.push('\n');
            text.push_str(&"`".repeat(3.max(inner + 1)));
        }
        if at + 1 < lines.len() {
            text.push('\n');
        }
    }
    text
}

/// The longest run of backticks in a line.
fn longest_mark(line: &str) -> Option<usize> {
    line.split(|c| c != '`').map(str::len).max().filter(|width| *width > 0)
}

/// The runs of an answer, one after another.
fn find(answer: &str) -> Vec<Run> {
    let lines: Vec<&str> = answer.split('\n').collect();
    let paragraphs = paragraphs(&lines);
    let (mut runs, mut compiles, mut at) = (Vec::new(), 0, 0);
    while at < paragraphs.len() && compiles < COMPILES_MAX {
        let first = &paragraphs[at];
        if !begins_as_code(lines[first.start]) {
            at += 1;
            continue;
        }
        // As far as it goes: code has blank lines in it. A fence ends it.
        let reach = paragraphs[at..].windows(2).take_while(|pair| pair[0].group == pair[1].group).count() + 1;
        let longest = (1..=reach.min(PARAGRAPHS_MAX)).rev().find(|count| {
            compiles += 1;
            let end = paragraphs[at + count - 1].end;
            compiles <= COMPILES_MAX && compile::check(&lines[first.start..end].join("\n")).is_ok()
        });
        let Some(count) = longest else {
            at += 1;
            continue;
        };
        let run = Run { start: first.start, end: paragraphs[at + count - 1].end };
        if says(&lines[run.start..run.end]) >= LINES_MIN {
            runs.push(run);
        }
        at += count;
    }
    runs
}

/// Lines between blank ones, outside of fences. Those between which no fence stands are of one group.
struct Paragraph {
    start: usize,
    end: usize,
    group: usize,
}

fn paragraphs(lines: &[&str]) -> Vec<Paragraph> {
    let mut paragraphs: Vec<Paragraph> = Vec::new();
    let (mut open, mut group, mut is_within) = (None, 0, false);
    for (at, line) in lines.iter().enumerate() {
        let fence = fence(line);
        match (open, fence) {
            (None, Some((mark, width, _))) => {
                open = Some((mark, width));
                group += 1;
            }
            (Some((mark, width)), Some((closing, wide, ""))) if closing == mark && wide >= width => open = None,
            _ => {}
        }
        let is_said = open.is_none() && fence.is_none() && !line.trim().is_empty();
        match paragraphs.last_mut().filter(|_| is_within) {
            Some(last) if is_said => last.end = at + 1,
            _ if is_said => paragraphs.push(Paragraph { start: at, end: at + 1, group }),
            _ => {}
        }
        is_within = is_said;
    }
    paragraphs
}

fn begins_as_code(line: &str) -> bool {
    let line = line.trim_start();
    let is_assignment = line.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim_end();
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_.,[]\" ".contains(c)) && !name.contains("  ")
    });
    let is_call = line
        .split_once('(')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_.:".contains(c)));
    BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)) || is_assignment || is_call
}

/// Lines that are more than a comment.
fn says(lines: &[&str]) -> usize {
    lines.iter().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--")).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Message;

    const CODE: &str = "local a = 1\n\nlocal function f()\n\tprint(a)\n\n\treturn a\nend\n\nf()";

    fn repaired(content: &str) -> Option<String> {
        let messages = vec![Message::new(Role::User, CODE), Message::new(Role::Assistant, content)];
        let mut body = Body::Chat { messages, tools: None };
        repair(&mut body)?;
        // Once is enough.
        assert_eq!(repair(&mut body), None);
        Some(body.messages()[1].text().to_owned())
    }

    #[test]
    fn code_between_prose_gets_a_fence() {
        for (content, expected) in [
            (CODE.to_owned(), format!("```luau\n{CODE}\n```")),
            (
                format!("<think>\nlocal b = 1\n</think>\n\n{CODE}"),
                format!("<think>\nlocal b = 1\n</think>\n\n```luau\n{CODE}\n```"),
            ),
            (
                format!("Like this:\n\n{CODE}\n\nThat is all."),
                format!("Like this:\n\n```luau\n{CODE}\n```\n\nThat is all."),
            ),
            (format!("{CODE}\n\nAnd:\n\n{CODE}"), format!("```luau\n{CODE}\n```\n\nAnd:\n\n```luau\n{CODE}\n```")),
            (format!("{CODE}\nprint(\"```\")"), format!("````luau\n{CODE}\nprint(\"```\")\n````")),
        ] {
            assert_eq!(repaired(&content), Some(expected), "{content}");
        }
    }

    #[test]
    fn what_is_fenced_or_no_code_stays() {
        for content in [
            format!("```luau\n{CODE}\n```"),
            format!("```luau\n{CODE}"),
            "Call `f()` first.\n\nThen call `g()`.\n\nThat is all.".to_owned(),
            "local a = 1".to_owned(),
            "- one\n- two\n- three".to_owned(),
            "-- one\n-- two\n-- three".to_owned(),
            "for all of you who read this\nit is prose\nand no code".to_owned(),
            "if you do this then\nthat happens\nin the end".to_owned(),
            "{\"a\": 1,\n\"b\": 2,\n\"c\": 3}".to_owned(),
            format!("<think>{CODE}"),
            format!("<think>\n{CODE}\n</think>\nDone."),
            String::new(),
        ] {
            assert_eq!(repaired(&content), None, "{content}");
        }
    }

    #[test]
    fn an_answer_of_many_beginnings_is_looked_at_in_part() {
        let content = "if (\n\n".repeat(20_000);
        assert_eq!(find(&content), []);
    }
}
