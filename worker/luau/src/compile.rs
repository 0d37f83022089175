//! Whether a text is Luau at all: Luau's own compiler says so, the one that the room runs programs with.
//!
//! Promise: any text gets a verdict; nothing of it is run.

use mlua::chunk::Compiler;
use serde::{Deserialize, Serialize};

/// Bytes of a source that is looked at. A model's longest answers have a tenth of it; the compiler's own work is linear in it.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Bytes of a problem's message that are kept: the compiler quotes the source.
const MESSAGE_BYTES_MAX: usize = 2048;

/// Why a source does not compile: the compiler's first complaint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Problem {
    /// Counted from 1; 0 where the problem has no place.
    pub line: usize,
    /// The compiler's words, without the place.
    pub message: String,
}

/// Compiles `source` and throws the code away.
///
/// # Errors
///
/// The compiler's first complaint, that the source is longer than [`SOURCE_BYTES_MAX`], or that it has a NUL.
pub fn check(source: &str) -> Result<(), Problem> {
    bytecode(source).map(|_| ())
}

/// The code that a virtual machine of this version loads.
pub(crate) fn bytecode(source: &str) -> Result<Vec<u8>, Problem> {
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!("{} bytes of source, and at most {SOURCE_BYTES_MAX} are compiled", source.len());
        return Err(Problem { line: 0, message });
    }
    // Luau takes a NUL for the end, so that any prose behind one would compile.
    if let Some(at) = source.find('\0') {
        let line = source[..at].matches('\n').count() + 1;
        return Err(Problem { line, message: "a NUL character, where Luau would stop to read".to_owned() });
    }
    // Line numbers stay in the code: a run's errors name them.
    let compiler = Compiler::new().set_optimization_level(1).set_debug_level(1);
    compiler.compile(source).map_err(|error| match error {
        mlua::Error::SyntaxError { message, .. } => problem(&message),
        other => problem(&other.to_string()),
    })
}

/// The compiler writes `LINE: message`.
fn problem(said: &str) -> Problem {
    let placed = said.split_once(':').and_then(|(line, message)| Some((line.trim().parse().ok()?, message.trim())));
    let (line, message) = placed.unwrap_or((0, said));
    Problem { line, message: cut(message, MESSAGE_BYTES_MAX).to_owned() }
}

/// As much of `text` as fits into `bytes_max`, whole characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_problem_has_its_line_and_the_compilers_words() {
        assert_eq!(check("local x = 1\nreturn x"), Ok(()));
        let problem = check("local x = 1\nlocal = 2").unwrap_err();
        assert_eq!(problem.line, 2);
        assert!(problem.message.starts_with("Expected identifier"), "{problem}");
        // What the compiler refuses after parsing has a place too.
        let problem = check(&format!("local a = 1\n{}", "local b = f()\n".repeat(300))).unwrap_err();
        assert!(problem.line > 0 && problem.message.contains("Out of local registers"), "{problem}");
    }

    #[test]
    fn nothing_hides_behind_a_nul() {
        for source in ["\0 some prose, and no Luau", "-- \0", "return 1\0 ((("] {
            assert_eq!(check(source).unwrap_err().line, 1, "{source:?}");
        }
        assert_eq!(check("return 1\n\n\0").unwrap_err().line, 3);
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_a_problem_and_no_crash() {
        assert!(check(&" ".repeat(SOURCE_BYTES_MAX)).is_ok());
        assert!(check(&" ".repeat(SOURCE_BYTES_MAX + 1)).unwrap_err().message.contains("bytes of source"));
        for deep in ["(", "{", "f(", "function() ", "if x then ", "- ", "not ", "a..", "1+", "[[", "x="] {
            let source = format!("return {}", deep.repeat(100_000));
            assert!(check(&source).is_err(), "{deep}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gets_a_verdict(text in "(local|end|function|if|=|\\(|\\)|\\{|\\}|x|1|\"|\\[\\[| |\n|\u{e9}|\u{0}){0,60}") {
            if let Err(problem) = check(&text) {
                prop_assert!(problem.line <= text.lines().count() + 1, "{}", problem);
                prop_assert!(!problem.message.is_empty());
            }
        }
    }
}
