//! Answers that refuse. Only an answer's beginning is looked at, and none that has code in it.

use super::speech::Turn;
use fancy_regex::Regex;
use std::sync::LazyLock;

/// Bytes of an answer that refuses. What is longer helps after all.
const ANSWER_BYTES_MAX: usize = 1500;

/// Characters at the beginning that are looked at.
const BEGINNING_CHARS: usize = 240;

/// Ways not to do something.
const CANNOT: &str =
    "(?:can't|cannot|can not|won't|will not|(?:am |'m )(?:unable|not able) to|must (?:decline|refuse) to)";

/// What is refused: words for helping. That somebody cannot see, open or run something is no refusal.
const HELPING: &str = "(?:help (?:you |with |in |create|make|write|build)|assist|comply|fulfill?|do that|do this|discuss|engage in|\
                       provide (?:that|this|any|you|instructions|assistance|information|help|guidance|support|content)|\
                       (?:create|generate|write|produce) (?:that|this|such|any|content|an exploit|exploits|code for|a script that)|\
                       (?:answer|support|share) (?:that|this)|participate in|continue with (?:that|this))";

/// What is refused with regret: less is enough.
const REGRETTED: &str = "(?:help|create|generate|write|produce|provide|give|answer|share|continue|talk|tell you|make)";

static REFUSES: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = format!(
        "^(?:(?:(?:i'm |i am )?(?:very |so |really )?sorry|i apologi[sz]e|unfortunately|regrettably)[,.!]? (?:but )?\
             i ?{CANNOT} (?:{HELPING}|{REGRETTED}\\b)|\
         (?:no[,.] )?i ?{CANNOT} {HELPING}|\
         as an ai(?: language model| assistant| model)?[,.]? i ?(?:{CANNOT}|don't|do not)|\
         i must (?:respectfully |politely )?(?:decline|refuse))"
    );
    // A pattern of our own: a test compiles it.
    Regex::new(&pattern).expect("a pattern of our own compiles")
});

pub(super) fn seen(turns: &[Turn<'_>]) -> Option<String> {
    let refusing = turns.iter().find(|turn| turn.calls.is_empty() && refuses(&turn.answer))?;
    Some(format!("turn {}", refusing.turn))
}

fn refuses(answer: &str) -> bool {
    if answer.len() > ANSWER_BYTES_MAX || answer.contains("```") || answer.contains("~~~") {
        return false;
    }
    let beginning: String = answer.chars().take(BEGINNING_CHARS).collect();
    let beginning = beginning.to_lowercase().replace(['\u{2019}', '\u{2018}', '\u{2bc}', '`'], "'");
    let words = beginning.trim_start_matches(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = words.split_whitespace().collect();
    // The pattern looks at its beginning only and never around, so that it cannot run out of steps.
    REFUSES.is_match(&words.join(" ")).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_seen_however_the_apostrophe_is_written() {
        for answer in [
            "I'm sorry, but I can't assist with that.",
            "I\u{2019}m sorry, but I can\u{2019}t help with that request.",
            "Sorry, I cannot provide that.",
            "I cannot fulfill this request.",
            "**I can't help you with exploiting games.**",
            "As an AI language model, I don't have opinions.",
            "Unfortunately, I'm unable to help with that.",
            "I must decline.",
            "I apologize, but I cannot  comply.",
            "I won't create an exploit.",
        ] {
            assert!(refuses(answer), "{answer}");
        }
    }

    #[test]
    fn an_answer_that_only_sounds_like_one_is_none() {
        for answer in [
            "I can't see your script, but the error says that `Parent` is nil.",
            "I can't help but notice that `wait` is deprecated.",
            "You can't provide a default here.",
            "I can't provide exact numbers without a profile, but 200 parts are few.",
            "I can't write to the data store from a client.",
            "I'm sorry, but I can't see your script. Does it have a `Parent`?",
            "Sorry for the confusion: use `task.wait`.",
            "I'm sorry to hear that your game crashes. Check the console first.",
            "I cannot provide a benchmark.\n```luau\nprint(1)\n```",
            "The server will not help here. As an AI would, ...",
            "An NPC says: I'm sorry, but I can't help you.",
            "",
        ] {
            assert!(!refuses(answer), "{answer}");
        }
    }
}
