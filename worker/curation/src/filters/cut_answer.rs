//! Answers that end in the middle, as a model's do that ran out of tokens.
//!
//! An answer is cut where its last block is open and does not compile, or where its last line is prose that cannot be an end: it ends with
//! a comma, an open bracket or a word that asks for another, or it is a long sentence without a stop in an answer that has stops.

use super::speech::Turn;
use super::unclosed_fence;
use vertigo_evaluation::fence::fence;
use vertigo_luau::{blocks, compile};

/// Words after which something must follow.
const DANGLING: [&str; 34] = [
    "a", "an", "the", "and", "or", "but", "of", "to", "for", "with", "from", "by", "at", "into", "onto", "than",
    "that", "which", "because", "if", "when", "while", "where", "is", "are", "was", "were", "be", "as", "your", "its",
    "their", "our", "my",
];

/// Words of a line without a stop, from which on it is a sentence and no heading or entry of a list.
const SENTENCE_WORDS_MIN: usize = 14;

pub(super) fn seen(turns: &[Turn<'_>]) -> Option<String> {
    turns.iter().filter(|turn| turn.calls.is_empty()).find_map(|turn| {
        let how = cut(&turn.answer)?;
        Some(format!("turn {}: {how}", turn.turn))
    })
}

fn cut(answer: &str) -> Option<&'static str> {
    if unclosed_fence::open_at(answer).is_some() {
        let last = last_block(answer)?;
        return compile::check(last).is_err().then_some("its last block is open and does not compile");
    }
    let last = answer.lines().rev().find(|line| !line.trim().is_empty())?.trim();
    if fence(last).is_some() {
        return None;
    }
    let how = in_a_list(last, answer).or_else(|| in_a_sentence(last, answer))?;
    // Code without a fence ends as code does.
    let is_code = blocks::of(answer).iter().any(|block| block.fence.is_none());
    (!is_code).then_some(how)
}

/// What stands after the last fence that opens a block.
fn last_block(answer: &str) -> Option<&str> {
    let line = unclosed_fence::open_at(answer)?;
    let before: usize = answer.split_inclusive('\n').take(line).map(str::len).sum();
    Some(&answer[before..])
}

/// Marks of Markdown after which something must follow.
fn in_a_list(line: &str, answer: &str) -> Option<&'static str> {
    let is_first = answer.trim() == line;
    if line.starts_with("##") && !is_first {
        return Some("it ends with a heading");
    }
    let is_numbered =
        line.strip_suffix('.').is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
    if (["-", "*", "+"].contains(&line) || is_numbered) && !is_first {
        return Some("its last entry of a list is empty");
    }
    let is_row = |line: &str| line.len() > 1 && line.starts_with('|') && line.ends_with('|');
    let is_table = line.starts_with('|') && answer.lines().map(str::trim).filter(|line| is_row(line)).count() >= 2;
    (is_table && !is_row(line)).then_some("it ends within a table")
}

fn in_a_sentence(line: &str, answer: &str) -> Option<&'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_prose = words.len() >= 3 && !line.ends_with('|') && !line.starts_with("--") && !looks_like_code(line);
    if !is_prose {
        return None;
    }
    if line.ends_with([',', '(', '[', '{']) {
        return Some("it ends with a comma or an open bracket");
    }
    let last = words.last()?.to_lowercase();
    if DANGLING.contains(&&*last) {
        return Some("it ends with a word after which another must follow");
    }
    if !line.ends_with(char::is_alphanumeric) {
        return None;
    }
    if line.matches('(').count() > line.matches(')').count() {
        return Some("it ends within brackets");
    }
    let is_entry = line.starts_with(['-', '*', '#', '|', '>', '+']) || line.starts_with(|c: char| c.is_ascii_digit());
    let has_stops = answer.matches(". ").count() + answer.matches(".\n").count() > 0;
    (!is_entry && has_stops && words.len() >= SENTENCE_WORDS_MIN).then_some("its last sentence has no end")
}

fn looks_like_code(line: &str) -> bool {
    line.contains(" = ")
        || line.contains("==")
        || line.ends_with("then")
        || line.ends_with("do")
        || ["local ", "return ", "function ", "end", "if ", "for ", "while "]
            .iter()
            .any(|start| line.starts_with(start) && compile::check(line).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_breaks_off_is_seen() {
        for answer in [
            "```luau\nlocal a = {\n\tb =",
            "First.\n```luau\nlocal a = 1\n```\n```luau\nlocal function f(",
            "Use the service. To follow the conventions strictly, it should be made secure (",
            "*   Hot paths: use `@native` where applicable (though Luau",
            "It moves the part, and then the",
            "Two steps.\n\n## The second",
            "Two steps:\n\n1. One\n2.",
            "| a | b |\n|---|---|\n| 1 | 2",
            "The service does it,\nand then it calls,",
            "It is simple. The spring is damped so that it never swings over its target but comes to rest there quickly",
        ] {
            assert!(cut(answer).is_some(), "{answer}");
        }
    }

    #[test]
    fn an_answer_that_ends_is_not() {
        for answer in [
            "```luau\nlocal a = 1\n```",
            // Nothing closes the block, and nothing is missing from it.
            "```luau\nlocal a = 1\n",
            "It works.",
            "Use these:\n- `task.wait`\n- `task.spawn` for what runs beside it",
            "local a = 1\nreturn a",
            "| a | b |\n|---|---|\n| 1 | 2 |",
            "Good luck! \u{1f680}",
            "### Done",
            "See https://create.roblox.com/docs",
            "Yes",
            "",
            "-- A comment of many words which says what all of this is for, and which has no stop",
            "local part = workspace:FindFirstChild(\"Part\") -- which is the",
        ] {
            assert_eq!(cut(answer), None, "{answer}");
        }
    }
}
