//! Patterns as Python's `re` reads them, run by a Rust engine.
//!
//! The languages differ in what decides scores: `\w` and `\s` (Python's letters and numbers are not Rust's alphabet), `$` (which also
//! matches before a last line's end), braces and brackets that stand for themselves, the letters that are one letter when case is ignored.
//! A pattern is therefore rewritten ([`super::rewriting`]), once for text of ASCII alone, which the engine searches in one pass, and once
//! for the rest.
//!
//! Promise: [`Pattern::is_in`] is `re.search(pattern, text) is not None`, or an error; never a search without end.

use super::rewriting::{Alphabet, rewrite};
use fancy_regex::{Regex, RegexBuilder};
use std::sync::OnceLock;
use thiserror::Error;

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Steps back that a search may take before it is given up. Only patterns that look around or refer back take any.
const STEPS_BACK_MAX: usize = 1_000_000;

/// The largest machine that a pattern may be made into, in bytes.
const MACHINE_BYTES_MAX: usize = 4 << 20;

/// Whether a small letter is a capital one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// They are told apart.
    Told,
    /// They are one: `re.IGNORECASE`.
    Ignored,
}

/// Why a pattern says nothing of a text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It is longer than a pattern may be.
    #[error("the pattern has {0} bytes, and at most {PATTERN_BYTES_MAX} are read; take it apart")]
    Long(usize),
    /// It is no pattern, or one that Python knows and we do not.
    #[error("`{pattern}` is no pattern: {why}")]
    Malformed {
        /// As it was written.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// The search took too many steps back, or too much room.
    #[error("`{pattern}` takes too long on this text; write it without repetitions within repetitions")]
    TooHard {
        /// As it was written.
        pattern: String,
    },
}

/// A pattern that is ready to search.
#[derive(Debug)]
pub struct Pattern {
    written: String,
    case: Case,
    ascii: Regex,
    /// For text beyond ASCII; made when there is one.
    wide: OnceLock<Result<Regex, PatternError>>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Where it is too long or no pattern.
    pub fn new(written: &str, case: Case) -> Result<Pattern, PatternError> {
        let ascii = build(written, case, Alphabet::Ascii)?;
        Ok(Pattern { written: written.to_owned(), case, ascii, wide: OnceLock::new() })
    }

    /// Whether it matches anywhere in the text.
    ///
    /// # Errors
    /// Where the search was given up.
    pub fn is_in(&self, text: &str) -> Result<bool, PatternError> {
        let regex = if text.is_ascii() {
            &self.ascii
        } else {
            let wide = self.wide.get_or_init(|| build(&self.written, self.case, Alphabet::Unicode));
            wide.as_ref().map_err(PatternError::clone)?
        };
        regex.is_match(text).map_err(|_| PatternError::TooHard { pattern: self.written.clone() })
    }

    /// As it was written.
    pub fn written(&self) -> &str {
        &self.written
    }
}

fn build(written: &str, case: Case, alphabet: Alphabet) -> Result<Regex, PatternError> {
    if written.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::Long(written.len()));
    }
    let malformed = |why: String| PatternError::Malformed { pattern: written.to_owned(), why };
    let rewritten = rewrite(written, case == Case::Ignored, alphabet).map_err(malformed)?;
    RegexBuilder::new(&rewritten)
        .case_insensitive(case == Case::Ignored)
        .backtrack_limit(STEPS_BACK_MAX)
        .delegate_size_limit(MACHINE_BYTES_MAX)
        .delegate_dfa_size_limit(MACHINE_BYTES_MAX)
        .build()
        .map_err(|error| malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_in(pattern: &str, case: Case, text: &str) -> bool {
        Pattern::new(pattern, case).unwrap().is_in(text).unwrap()
    }

    #[test]
    fn what_the_languages_read_differently_is_read_as_python_does() {
        // What CPython 3.11's `re.search` says of each.
        for (pattern, text, is) in [
            (r"a$", "a\n", true),
            (r"a$", "a\n\n", false),
            (r"a\Z", "a\n", false),
            (r"(?m)a$", "a\nb", true),
            (r"^b", "a\nb", false),
            (r"a{", "a{", true),
            (r"a{,2}b", "b", true),
            (r"^a{,1}b", "aab", false),
            (r"x{1,y}", "x{1,y}", true),
            (r"[[]", "[", true),
            (r"[a&&b]", "&", true),
            (r"[]a]", "]", true),
            (r"[^]a]", "]", false),
            (r"[a-]", "-", true),
            (r"[\w.-]+$", "é", true),
            (r"\s", "\u{1c}", true),
            (r"\w", "\u{301}", false),
            (r"\w", "²", true),
            (r"e\b", "e\u{301}", true),
            (r"a.b", "a\nb", false),
            (r"a.b", "a\rb", true),
            (r"(?s)a.b", "a\nb", true),
            (r"\x41\u00e9\101", "Aé\u{41}", true),
            (r"(a)\1", "aa", true),
            (r"(?P<x>a)(?P=x)", "aa", true),
            (r"a(?=b)(?!c)", "ab", true),
            (r"(?<!a)b", "ab", false),
            (r"(?#note)a", "a", true),
            (r"a~|#", "#", true),
        ] {
            assert_eq!(is_in(pattern, Case::Told, text), is, "{pattern:?} in {text:?}");
        }
    }

    #[test]
    fn the_letters_i_are_one_where_case_is_ignored() {
        for (pattern, text) in [("init", "İNIT"), ("ınit", "init"), ("[h-j]", "ı"), ("K", "\u{212a}"), ("s", "ſ"), ("μ", "µ")] {
            assert!(is_in(pattern, Case::Ignored, text), "{pattern} in {text}");
            assert!(!is_in(pattern, Case::Told, text), "{pattern} in {text}");
        }
    }

    #[test]
    fn hostile_patterns_end_with_an_error() {
        let hard = Pattern::new(r"^(?=(a+)+\1$)(a+)+$", Case::Told);
        assert!(hard.is_err() || hard.unwrap().is_in(&format!("{}b", "a".repeat(40))).is_err());
        let plain = Pattern::new("(a+)+$", Case::Told).unwrap();
        let begun = format!("{}b", "a".repeat(4000));
        assert!(!matches!(plain.is_in(&begun), Ok(true)));
        for pattern in ["(", "[a", "a**{", "(?P<", "*", r"\", r"\N{DASH}", "(((a{999}){999}){999})", "(?x)a", "(?L)a", r"\q"] {
            let read = Pattern::new(pattern, Case::Told);
            assert!(read.is_err() || pattern == "a**{", "{pattern}");
        }
        assert!(Pattern::new(&"(".repeat(4000), Case::Told).is_err());
        assert!(Pattern::new(&"a".repeat(PATTERN_BYTES_MAX + 1), Case::Told).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_an_error_and_finds_itself_escaped(text in "\\PC{0,40}", around in "\\PC{0,10}") {
            let _ = Pattern::new(&text, Case::Told).map(|pattern| pattern.is_in(&around));
            let escaped: String = text.chars().flat_map(|c| {
                let is_plain = c.is_alphanumeric() || !c.is_ascii() || c == '_';
                (!is_plain).then_some('\\').into_iter().chain([c])
            }).collect();
            let inside = format!("{around}{text}{around}");
            for case in [Case::Told, Case::Ignored] {
                prop_assert!(is_in(&escaped, case, &inside));
            }
        }
    }
}
