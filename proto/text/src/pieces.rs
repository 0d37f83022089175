//! A conversation that is too long, taken apart at its turns.
//!
//! Promise: every piece fits, begins with the system's messages and then a question, and has what follows that in whole turns. Each
//! turn of the assistant is in one piece, or counted as in none because the question that it answers is too long with it.

use serde_json::Value;

/// A conversation's pieces.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pieces {
    /// The messages of each.
    pub pieces: Vec<Vec<Value>>,
    /// Turns of the assistant that are in none.
    pub left_out: usize,
}

/// Takes `messages` apart. `fits` says whether a piece does; a shorter one fits wherever a longer one does.
pub fn apart(messages: &[Value], mut fits: impl FnMut(&[Value]) -> bool) -> Pieces {
    let role = |index: usize| messages[index]["role"].as_str().unwrap_or_default();
    let head = (0..messages.len()).take_while(|index| ["system", "developer"].contains(&role(*index))).count();
    let asks = |index: &usize| *index == head || (role(*index) == "user" && role(*index - 1) != "user");
    // Where an exchange begins: a question, and all that is said until the next one.
    let mut begins: Vec<usize> = (head..messages.len()).filter(asks).collect();
    begins.push(messages.len());
    let piece = |from: usize, to: usize| [&messages[..head], &messages[from..to]].concat();
    let mut found = Pieces::default();
    let mut at = 0;
    while at + 1 < begins.len() {
        let (from, next) = (begins[at], begins[at + 1]);
        if fits(&piece(from, next)) {
            let more = begins[at + 2..].iter().take_while(|end| fits(&piece(from, **end))).count();
            found.pieces.push(piece(from, begins[at + 1 + more]));
            at += 1 + more;
            continue;
        }
        // As many of its first turns as fit, up to one of the assistant's.
        let answers: Vec<usize> = (from..next).filter(|index| role(*index) == "assistant").collect();
        let kept = (0..=answers.len()).rev().find(|kept| *kept == 0 || fits(&piece(from, answers[kept - 1] + 1)));
        let kept = kept.unwrap_or(0);
        if kept > 0 {
            found.pieces.push(piece(from, answers[kept - 1] + 1));
        }
        found.left_out += answers.len() - kept;
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// A conversation whose content is the message's number, and how long each message is.
    fn conversations() -> impl Strategy<Value = Vec<(Value, usize)>> {
        let message = (prop::sample::select(vec!["user", "assistant", "tool"]), 1usize..9);
        (0usize..3, prop::collection::vec(message, 0..14)).prop_map(|(heads, rest)| {
            let heads = (0..heads).map(|_| ("system", 2));
            let numbered = heads.chain(rest).enumerate();
            numbered.map(|(n, (role, length))| (json!({"role": role, "content": n}), length)).collect()
        })
    }

    proptest! {
        #[test]
        fn pieces_fit_and_hold_every_turn_of_the_assistant_once(conversation in conversations(), max in 4usize..40) {
            let messages: Vec<Value> = conversation.iter().map(|(message, _)| message.clone()).collect();
            let number = |message: &Value| message["content"].as_u64().unwrap() as usize;
            let length = |piece: &[Value]| piece.iter().map(|message| conversation[number(message)].1).sum::<usize>();
            let found = apart(&messages, |piece| length(piece) <= max);
            let head: Vec<Value> = messages.iter().take_while(|message| message["role"] == "system").cloned().collect();
            let mut numbers = Vec::new();
            for piece in &found.pieces {
                prop_assert!(length(piece) <= max);
                prop_assert!(piece.starts_with(&head) && piece.len() > head.len());
                let body: Vec<usize> = piece[head.len()..].iter().map(number).collect();
                prop_assert!(body.windows(2).all(|pair| pair[0] + 1 == pair[1]), "turns are left out of its middle");
                // It begins with a question, unless the conversation itself does not.
                prop_assert!(messages[body[0]]["role"] == "user" || body[0] == head.len());
                numbers.extend(body);
            }
            prop_assert!(numbers.is_sorted_by(|a, b| a < b), "a turn is in two pieces");
            let answers = |n: &&usize| messages[**n]["role"] == "assistant";
            let all = messages.iter().filter(|message| message["role"] == "assistant").count();
            prop_assert_eq!(numbers.iter().filter(answers).count() + found.left_out, all);
        }

        #[test]
        fn what_fits_is_one_piece(conversation in conversations()) {
            let messages: Vec<Value> = conversation.into_iter().map(|(message, _)| message).collect();
            let found = apart(&messages, |_| true);
            let whole = messages.iter().any(|message| message["role"] != "system");
            prop_assert_eq!(found, Pieces { pieces: if whole { vec![messages] } else { Vec::new() }, left_out: 0 });
        }
    }
}
