//! Answers that say the question again.
//!
//! A good answer may repeat much of a question: a program with one line mended repeats all others. So what is repeated must be nearly all,
//! and where there is code, each of its blocks must stand in the question as it is.

use super::speech::Turn;
use crate::row::{Body, Message, Role};
use std::collections::HashSet;
use vertigo_evaluation::fence::fence;

/// Words in a row that are compared.
const WORDS: usize = 8;

/// What of the answer's words must stand in the question, in percent: with code, whose blocks are compared besides, and without.
const SHARE_MIN_PERCENT: usize = 80;
const PROSE_SHARE_MIN_PERCENT: usize = 90;

/// Blocks that are looked for in the question. An answer of more has been put together by somebody.
const BLOCKS_MAX: usize = 64;

pub(super) fn seen(body: &Body, turns: &[Turn<'_>]) -> Option<String> {
    // Who calls a tool adds something.
    if turns.is_empty() || turns.iter().any(|turn| !turn.calls.is_empty()) {
        return None;
    }
    let asked = body.messages().iter().filter(|message| message.role == Role::User).map(Message::text);
    let question = asked.collect::<Vec<&str>>().join("\n");
    let answer = turns.iter().map(|turn| &turn.answer[..]).collect::<Vec<&str>>().join("\n");
    let share = share(&question, &answer)?;
    let blocks = blocks(&answer);
    if blocks.len() > BLOCKS_MAX {
        return None;
    }
    let least = if blocks.is_empty() { PROSE_SHARE_MIN_PERCENT } else { SHARE_MIN_PERCENT };
    if share < least {
        return None;
    }
    let question = spaced(&question);
    let is_echo = blocks.iter().all(|block| question.contains(&spaced(block)));
    is_echo.then(|| format!("{share} % of it"))
}

/// How much of the answer's words stands in the question, eight in a row, in percent; `None` of an answer that has no eight words.
fn share(question: &str, answer: &str) -> Option<usize> {
    let (question, answer) = (words(question), words(answer));
    if answer.len() < WORDS {
        return None;
    }
    let asked: HashSet<&[&str]> = question.windows(WORDS).collect();
    let mut is_asked = vec![false; answer.len()];
    for (at, run) in answer.windows(WORDS).enumerate() {
        if asked.contains(run) {
            is_asked[at..at + WORDS].fill(true);
        }
    }
    Some(is_asked.iter().filter(|asked| **asked).count() * 100 / answer.len())
}

fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect()
}

/// One space between words.
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

/// What stands within fences.
fn blocks(answer: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(char, usize)> = None;
    for line in answer.lines() {
        match (open, fence(line)) {
            (None, Some((mark, width, _))) => {
                open = Some((mark, width));
                blocks.push(String::new());
            }
            (None, None) => {}
            (Some((mark, width)), Some((closing, wide, ""))) if closing == mark && wide >= width => open = None,
            (Some(_), _) => {
                // A block was pushed when it was opened.
                if let Some(block) = blocks.last_mut() {
                    block.push_str(line);
                    block.push('\n');
                }
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::speech;

    const CODE: &str = "local Players = game:GetService(\"Players\")\nlocal function greet(player)\n\tprint(\"hi \" .. player.Name)\nend\n\
                        Players.PlayerAdded:Connect(greet)\nfor _, player in Players:GetPlayers() do\n\tgreet(player)\nend\n";

    fn is_echo(question: &str, answer: &str) -> bool {
        let messages = vec![Message::new(Role::User, question), Message::new(Role::Assistant, answer)];
        let body = Body::Chat { messages, tools: None };
        seen(&body, &speech::turns(&body)).is_some()
    }

    #[test]
    fn code_that_comes_back_is_an_echo_and_code_that_was_mended_is_none() {
        let question = format!("Explain this:\n```luau\n{CODE}```");
        assert!(is_echo(&question, &format!("**Features:** functions\n```luau\n{CODE}```")));
        assert!(is_echo(&question, &format!("<think>I see code.</think>```luau\n{}```", CODE.replace('\t', "    "))));
        for mended in [
            CODE.replace("Name", "DisplayName"),
            CODE.replace("local function", "function"),
            CODE.replace("end\nPlayers", "end\n\nreturn Players"),
        ] {
            assert!(!is_echo(&question, &format!("```luau\n{mended}```")), "{mended}");
        }
        let without_a_line = CODE.replace("\tprint(\"hi \" .. player.Name)\n", "");
        assert!(!is_echo(&question, &format!("```luau\n{without_a_line}```")));
        let explained = "It greets everybody who joins, and whoever was there before, since the event does not fire for those: that is what \
                         the loop at its end is for, and forgetting it is a common mistake that shows in Studio alone, where the player joins first.";
        assert!(!is_echo(&question, &format!("{explained}\n```luau\n{CODE}```")));
    }

    #[test]
    fn prose_that_comes_back_is_an_echo() {
        let question = "How do I make a part that kills whoever touches it, but not the owner of the place?";
        assert!(is_echo(question, question));
        assert!(!is_echo(
            question,
            "Connect `Touched`, and set the humanoid's health to zero unless it is the owner's."
        ));
        assert!(!is_echo("Say yes.", "yes"));
    }
}
