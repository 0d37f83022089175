//! Patterns of files' names, as a config lists them: `codebase*.jsonl`.
//!
//! Promise: what Python's `fnmatch` takes on a Mac or on Linux is taken, and nothing else: `*` is any text, `?` any character, `[a-c]` one
//! of a set, `[!a-c]` none of it; a bracket that is never closed is itself. Capitals differ. The time grows with pattern times name at most.

use std::collections::VecDeque;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Any text.
    Text,
    /// Any character.
    Any,
    /// This one.
    One(char),
    /// One that lies in one of the ranges, or with `true` in none.
    Set(bool, Vec<(char, char)>),
}

/// A pattern that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// Reads one. Every text is a pattern.
    pub fn new(pattern: &str) -> Pattern {
        let chars: Vec<char> = pattern.chars().collect();
        let (mut parts, mut at) = (Vec::new(), 0);
        while let Some(c) = chars.get(at) {
            at += 1;
            let part = match c {
                // Several in a row are one.
                '*' if parts.last() == Some(&Part::Text) => continue,
                '*' => Part::Text,
                '?' => Part::Any,
                '[' => match set(&chars[at..]) {
                    Some((set, len)) => {
                        at += len;
                        set
                    }
                    None => Part::One('['),
                },
                c => Part::One(*c),
            };
            parts.push(part);
        }
        Pattern { parts }
    }

    /// Whether the whole name is of it.
    pub fn takes(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut part, mut at) = (0, 0);
        // Where the last `*` stands, and up to where it reaches: only that one ever has to reach further.
        let mut any_text: Option<(usize, usize)> = None;
        loop {
            match (self.parts.get(part), name.get(at)) {
                (None, None) => return true,
                (Some(Part::Text), _) => {
                    any_text = Some((part, at));
                    part += 1;
                    continue;
                }
                (Some(it), Some(c)) if it.takes(*c) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            let Some((text, reaches)) = any_text.filter(|(_, reaches)| *reaches < name.len()) else { return false };
            any_text = Some((text, reaches + 1));
            (part, at) = (text + 1, reaches + 1);
        }
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Part::Text | Part::Any => true,
            Part::One(one) => *one == c,
            Part::Set(is_not, ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *is_not,
        }
    }
}

/// A set from behind its bracket, and how many characters it has with the closing one.
fn set(chars: &[char]) -> Option<(Part, usize)> {
    let is_not = chars.first() == Some(&'!');
    let begin = usize::from(is_not);
    // A closing bracket right at the beginning is one of the set.
    let end = begin + 1 + chars.get(begin + 1..)?.iter().position(|c| *c == ']')?;
    let mut rest: VecDeque<char> = chars[begin..end].iter().copied().collect();
    let mut ranges = Vec::new();
    while let Some(from) = rest.pop_front() {
        if rest.len() >= 2 && rest[0] == '-' {
            // A range that runs backwards has nothing in it.
            ranges.push((from, rest[1]));
            rest.drain(..2);
        } else {
            ranges.push((from, from));
        }
    }
    Some((Part::Set(is_not, ranges), end + 1))
}

/// Whether one of the patterns takes the name.
pub fn any_takes<S: AsRef<str>>(patterns: &[S], name: &str) -> bool {
    patterns.iter().any(|pattern| Pattern::new(pattern.as_ref()).takes(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_taken_as_python_takes_it() {
        for (pattern, taken, refused) in [
            (
                "codebase*.jsonl",
                &["codebase.jsonl", "codebase_services.jsonl"][..],
                &["a_codebase.jsonl", "codebase.json"][..],
            ),
            ("api_docs.jsonl", &["api_docs.jsonl"], &["API_docs.jsonl", "api_docs.jsonl ", "api_docsxjsonl"]),
            ("*", &["", "a", ".a", "a\nb"], &[]),
            ("a?c", &["abc", "aäc", "a\nc"], &["ac", "abbc"]),
            ("*a*b", &["ab", "xaxb", "aabab"], &["ba", "abx"]),
            ("[a-c]x", &["ax", "bx", "cx"], &["dx", "-x", "x"]),
            ("[!a-c]x", &["dx", "-x", "!x"], &["ax", "x"]),
            ("[]]", &["]"], &["[", "[]]"]),
            ("[!]]", &["[", "a"], &["]"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[c-a]", &[], &["a", "b", "c", "-"]),
            ("[a", &["[a"], &["a"]),
            ("[", &["["], &["", "[["]),
            ("[]", &["[]"], &["", "]"]),
            ("", &[""], &["a"]),
        ] {
            let it = Pattern::new(pattern);
            for name in taken {
                assert!(it.takes(name), "{pattern} {name:?}");
            }
            for name in refused {
                assert!(!it.takes(name), "{pattern} {name:?}");
            }
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!any_takes(&["*a".repeat(2_000)], &"a".repeat(1_999)));
    }

    proptest! {
        #[test]
        fn a_plain_name_takes_itself_alone(name in "[a-z_.]{0,12}", other in "[a-z_.]{0,12}") {
            prop_assert!(any_takes(&[&name], &name));
            prop_assert_eq!(any_takes(&[&name], &other), name == other);
        }

        #[test]
        fn a_star_is_any_text(before in "[a-z]{0,5}", between in "\\PC{0,9}", after in "[a-z]{0,5}") {
            let pattern = format!("{before}*{after}");
            let name = format!("{before}{between}{after}");
            prop_assert!(any_takes(&[pattern], &name));
        }
    }
}
