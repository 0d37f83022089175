//! What the model says, apart from what it thinks.

use crate::row::{Body, Call, Role};

const OPENS: &str = "<think>";
const CLOSES: &str = "</think>";

/// A turn of the model.
pub(super) struct Turn<'r> {
    /// Its number in the conversation, from 1.
    pub turn: usize,
    /// What is said, without the thoughts in it.
    pub answer: String,
    /// What is thought, in the content and beside it.
    pub thoughts: Vec<&'r str>,
    /// Whether a thought begins in the content and never ends.
    pub thinks_on: bool,
    /// Tools that are called.
    pub calls: &'r [Call],
}

/// The model's turns. A text has none: nobody speaks in it.
pub(super) fn turns(body: &Body) -> Vec<Turn<'_>> {
    let numbered = body.messages().iter().enumerate();
    let turn = numbered.filter(|(_, message)| message.role == Role::Assistant).map(|(at, message)| {
        let mut turn = split(message.text());
        turn.thoughts.extend(message.thought.as_deref());
        Turn { turn: at + 1, calls: &message.calls, ..turn }
    });
    turn.collect()
}

/// What of a content is said and what is thought. A thought that only ends began in the prompt.
pub(super) fn split(content: &str) -> Turn<'_> {
    let mut turn = Turn { turn: 0, answer: String::new(), thoughts: Vec::new(), thinks_on: false, calls: &[] };
    let mut left = content;
    if let Some((thought, after)) = left.split_once(CLOSES)
        && !thought.contains(OPENS)
    {
        turn.thoughts.push(thought);
        left = after;
    }
    while let Some((before, after)) = left.split_once(OPENS) {
        turn.answer.push_str(before);
        let (thought, rest) = match after.split_once(CLOSES) {
            Some(both) => both,
            None => {
                turn.thinks_on = true;
                (after, "")
            }
        };
        turn.thoughts.push(thought);
        left = rest;
    }
    turn.answer.push_str(left);
    let trimmed = turn.answer.trim();
    if trimmed.len() < turn.answer.len() {
        turn.answer = trimmed.to_owned();
    }
    turn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_no_part_of_the_answer() {
        for (content, answer, thoughts, thinks_on) in [
            ("a", "a", vec![], false),
            ("<think>\nt\n</think>\n\na\n", "a", vec!["\nt\n"], false),
            ("t</think>a", "a", vec!["t"], false),
            ("a<think>t</think>b<think>u</think>", "ab", vec!["t", "u"], false),
            ("<think>t", "", vec!["t"], true),
            ("a<think>t<think>u</think>b", "ab", vec!["t<think>u"], false),
            ("", "", vec![], false),
        ] {
            let turn = split(content);
            assert_eq!((&turn.answer[..], turn.thoughts, turn.thinks_on), (answer, thoughts, thinks_on), "{content}");
        }
    }
}
