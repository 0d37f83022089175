//! The parts of an answer: what is said, and the code between fences.
//!
//! Fences are told as `vertigo-luau` tells them, which finds the code that is judged; it compiles what no fence names, and
//! a page does not, so which bare blocks are code is left to it. Promise: any text has parts, in time that is linear in
//! its length.

use crate::fence::fence;

/// A part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'t> {
    /// What is said.
    Prose(&'t str),
    /// What stands between fences.
    Fenced(Fenced<'t>),
}

/// What stands between fences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fenced<'t> {
    /// The fence's first word.
    pub(super) word: &'t str,
    /// The text between the fences.
    pub(super) source: &'t str,
    /// The last line that says something before them, where a file's name may be.
    pub(super) before: &'t str,
}

impl Fenced<'_> {
    /// Whether its fence says that it is Luau.
    pub(super) fn is_luau(&self) -> bool {
        self.word.eq_ignore_ascii_case("luau") || self.word.eq_ignore_ascii_case("lua")
    }
}

/// A fence that is open.
struct Open<'t> {
    mark: char,
    width: usize,
    word: &'t str,
    start: usize,
}

/// The parts of a text, in their order.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut at, mut prose, mut before) = (0, 0, "");
    let mut open: Option<Open> = None;
    for line in text.split_inclusive('\n') {
        let (start, next) = (at, at + line.len());
        at = next;
        match (&open, fence(line.trim_end())) {
            (None, Some((mark, width, word))) => {
                said(&mut parts, &text[prose..start]);
                open = Some(Open { mark, width, word, start: next });
            }
            (None, None) if line.trim().is_empty() => {}
            (None, None) => before = line.trim(),
            (Some(of), Some((mark, width, ""))) if mark == of.mark && width >= of.width => {
                parts.push(Part::Fenced(Fenced { word: of.word, source: &text[of.start..start], before }));
                (open, prose, before) = (None, next, "");
            }
            (Some(_), _) => {}
        }
    }
    match open {
        Some(of) => parts.push(Part::Fenced(Fenced { word: of.word, source: &text[of.start..], before })),
        None => said(&mut parts, &text[prose..]),
    }
    parts
}

fn said<'t>(parts: &mut Vec<Part<'t>>, text: &'t str) {
    let text = text.trim_matches(['\n', '\r']);
    if !text.trim().is_empty() {
        parts.push(Part::Prose(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stands_between_fences_and_all_else_is_said() {
        let text = "See `a.luau`:\n\n```luau\nlocal x\n```\nand\n~~~~\n```\n~~~~\n```lua\nreturn";
        let fenced = |word, source, before| Part::Fenced(Fenced { word, source, before });
        let expected = [
            Part::Prose("See `a.luau`:"),
            fenced("luau", "local x\n", "See `a.luau`:"),
            Part::Prose("and"),
            fenced("", "```\n", "and"),
            fenced("lua", "return", ""),
        ];
        assert_eq!(parts(text), expected);
        assert_eq!(parts(" \n"), []);
    }
}
