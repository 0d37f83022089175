//! What of an answer is code: its fenced blocks, with the names that were said for them.
//!
//! Promise: any text has blocks or none, in time that is linear in its length but for compiling what no fence names; every source
//! is a part of the answer as it stands there.

use crate::compile;
use serde::{Deserialize, Serialize};
use vertigo_evaluation::fence::fence;

/// Lines at the beginning of a block in which its file's name is looked for.
const NAME_LINES: usize = 3;

/// Bytes of a file's name; what is longer is none.
const NAME_BYTES_MAX: usize = 256;

/// Blocks of one answer. Later ones are left out: no answer of any use has so many.
const BLOCKS_MAX: usize = 256;

/// A piece of code in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The file that the answer says it is, as it was written: `src/Score.server.luau`.
    pub name: Option<String>,
    /// The fence's first word, as it was written; none where the answer is bare code.
    pub fence: Option<String>,
    /// The code, without the fence's lines.
    pub source: String,
    /// The line of the answer, counted from 1, where the source begins.
    pub line: usize,
    /// A fence that nothing closes is an answer that was cut.
    pub is_closed: bool,
}

/// The Luau in `answer`: blocks fenced as `lua` or `luau`; where there are none, blocks of a bare fence that compile; where there
/// are none of these either, the answer itself if it is nothing but code that compiles.
#[must_use]
pub fn of(answer: &str) -> Vec<Block> {
    let fenced = fenced(answer);
    let is_luau = |block: &Block| {
        block.fence.as_deref().is_some_and(|word| word.eq_ignore_ascii_case("luau") || word.eq_ignore_ascii_case("lua"))
    };
    let is_bare = |block: &Block| block.fence.as_deref() == Some("");
    if fenced.iter().any(is_luau) {
        return fenced.into_iter().filter(is_luau).collect();
    }
    if !fenced.is_empty() {
        return fenced.into_iter().filter(|block| is_bare(block) && is_code(&block.source)).collect();
    }
    if !is_code(answer) {
        return Vec::new();
    }
    let name = name_inside(answer);
    vec![Block { name, fence: None, source: answer.to_owned(), line: 1, is_closed: true }]
}

/// Whether a text that nothing says is Luau is it: it compiles, and says more than comments do.
fn is_code(text: &str) -> bool {
    let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with("--");
    text.lines().any(says) && compile::check(text).is_ok()
}

/// A line of an answer with where it begins and where the next one does.
struct Line<'a> {
    text: &'a str,
    start: usize,
    next: usize,
}

fn lines(answer: &str) -> impl Iterator<Item = Line<'_>> {
    answer.split_inclusive('\n').scan(0, |at, whole| {
        let start = *at;
        *at += whole.len();
        Some(Line { text: whole.trim_end_matches(['\n', '\r']), start, next: *at })
    })
}

/// A fence that is open: what closes it, and where its block begins.
struct Open {
    mark: char,
    width: usize,
    word: String,
    said_before: Option<String>,
    start: usize,
    line: usize,
}

impl Open {
    /// The block up to `end`.
    fn block(self, answer: &str, end: usize, is_closed: bool) -> Block {
        let source = &answer[self.start..end];
        let name = name_inside(source).or(self.said_before);
        Block { name, fence: Some(self.word), source: source.to_owned(), line: self.line, is_closed }
    }
}

/// All fenced blocks, whatever their fence says.
fn fenced(answer: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Open> = None;
    // The last line that says something outside of blocks.
    let mut before = "";
    for (number, line) in lines(answer).enumerate() {
        if blocks.len() == BLOCKS_MAX {
            return blocks;
        }
        let fence = fence(line.text);
        match (open.take(), fence) {
            (None, Some((mark, width, word))) => {
                let said_before = name_in_prose(before);
                let word = word.to_owned();
                open = Some(Open { mark, width, word, said_before, start: line.next, line: number + 2 });
            }
            (None, None) if line.text.trim().is_empty() => {}
            (None, None) => before = line.text,
            (Some(at), Some((mark, width, ""))) if mark == at.mark && width >= at.width => {
                blocks.push(at.block(answer, line.start, true));
                before = "";
            }
            (Some(at), _) => open = Some(at),
        }
    }
    blocks.extend(open.map(|at| at.block(answer, answer.len(), false)));
    blocks
}

/// The name in a comment of the first lines that says it: `-- src/Score.luau`, `-- File: src/Score.luau`.
fn name_inside(source: &str) -> Option<String> {
    let lines = source.lines().map(str::trim).filter(|line| !line.is_empty()).take(NAME_LINES);
    lines.map_while(|line| line.strip_prefix("--")).find_map(|comment| {
        let mut words = comment.trim_start_matches("[[").split_whitespace();
        let first = words.next()?;
        let word = if first.ends_with(':') { words.next()? } else { first };
        file_name(word)
    })
}

/// The last file that a line of prose names: `**Score.luau**`, `### src/Score.server.luau`.
fn name_in_prose(line: &str) -> Option<String> {
    line.split_whitespace().rev().find_map(file_name)
}

/// What is left of a word without the marks around it, where that is the name of a Luau file.
fn file_name(word: &str) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || "/_.-@".contains(c);
    let name = word.trim_matches(|c| !is_part(c)).trim_end_matches(['.', '-']);
    let stem = name.strip_suffix(".luau").or_else(|| name.strip_suffix(".lua"))?;
    let is_name = !stem.is_empty() && !stem.ends_with('/') && name.chars().all(is_part);
    (is_name && name.len() <= NAME_BYTES_MAX).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
