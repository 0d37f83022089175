//! Thinking that stands where the answer should.

use super::speech::Turn;

/// How answers begin that are none yet, in small letters, without the marks around them.
const OPENINGS: [&str; 8] = [
    "thinking process",
    "here's a thinking process",
    "here is a thinking process",
    "here's my thinking process",
    "here is my thinking process",
    "my thinking process:",
    "thought process:",
    "reasoning process:",
];

/// Marks of thoughts that no template takes out.
const TAGS: [&str; 5] = ["<thinking>", "<thought>", "<reasoning>", "<reflection>", "<|begin_of_thought|>"];

/// Characters of an answer that are looked at.
const BEGINNING_CHARS: usize = 60;

pub(super) fn seen(turns: &[Turn<'_>]) -> Option<String> {
    turns.iter().find_map(|turn| {
        if turn.thinks_on {
            return Some(format!("turn {}: a thought that never ends", turn.turn));
        }
        opening(&turn.answer).map(|opening| format!("turn {}: it begins with `{opening}`", turn.turn))
    })
}

fn opening(answer: &str) -> Option<&'static str> {
    let beginning: String =
        answer.chars().take(BEGINNING_CHARS).collect::<String>().to_lowercase().replace('\u{2019}', "'");
    if let Some(tag) = TAGS.into_iter().find(|tag| beginning.starts_with(tag)) {
        return Some(tag);
    }
    let words = beginning.trim_start_matches(|c: char| c.is_whitespace() || "#*_>-".contains(c));
    let found = OPENINGS.into_iter().find(|opening| words.starts_with(opening))?;
    // A sentence about a thinking process is an answer; a heading is none.
    let after = words[found.len()..].trim_start_matches(['*', '_', ' ']);
    (found.ends_with(':') || after.is_empty() || after.starts_with([':', '\n', '.', '\r'])).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_of_thoughts_is_no_answer_and_a_sentence_about_them_is() {
        for (answer, is) in [
            ("Thinking Process:\n\n1.  **Analyze the Request:**", true),
            ("**Thinking Process:**\n1. x", true),
            ("## Thinking process\n\nFirst", true),
            ("Here\u{2019}s a thinking process:\n1.", true),
            ("<thinking>\nx", true),
            ("Thinking process models are used by NPCs.", false),
            ("A thinking process: none", false),
            ("Use `<think>` tags", false),
            ("\u{1f600}\u{1f600}", false),
            ("", false),
        ] {
            assert_eq!(opening(answer).is_some(), is, "{answer}");
        }
    }
}
