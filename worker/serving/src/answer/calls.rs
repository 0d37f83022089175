//! Calls of tools, taken out of an answer's text.
//!
//! Promise: however the text is cut into pieces, calls and text come out the same and in order. A call that cannot be read comes out as the
//! text that it was, and is counted. White space that only sets calls apart is left out.

use super::call::{Call, Tools};
use super::held_from;
use std::ops::Range;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Text(String),
    Call(Call),
}

/// Looks for calls.
#[derive(Debug)]
pub(super) struct Calls {
    tools: Tools,
    /// Text that is not certain: white space, then perhaps the beginning of a tag, or a call that has begun.
    held: String,
    /// Where in `held` the body of a call begins, once one has.
    body: Option<usize>,
    has_called: bool,
    broken: u64,
}

impl Calls {
    pub(super) fn new(tools: Tools) -> Calls {
        Calls { tools, held: String::new(), body: None, has_called: false, broken: 0 }
    }

    /// Calls that were broken.
    pub(super) fn broken(&self) -> u64 {
        self.broken
    }

    /// What is certain of the text so far.
    pub(super) fn push(&mut self, text: &str) -> Vec<Found> {
        let mut found = Vec::new();
        // What was looked through before has no tag but one that goes on into `text`.
        let mut from = self.held.len().saturating_sub(CLOSE.len());
        self.held.push_str(text);
        loop {
            match self.body {
                None => {
                    let Some(at) = self.held.find(OPEN) else { break };
                    let blank = self.held[..at].trim_end().len();
                    add_text(&mut found, self.held.drain(..blank).collect());
                    let body = at - blank + OPEN.len();
                    (self.body, from) = (Some(body), body);
                }
                Some(body) => {
                    let from = self.held.ceil_char_boundary(from.max(body));
                    let Some(at) = self.held[from..].find(CLOSE).map(|at| at + from) else { return found };
                    self.close(body, at, at + CLOSE.len(), &mut found);
                }
            }
        }
        let certain = self.held[..held_from(&self.held, OPEN)].trim_end().len();
        add_text(&mut found, self.held.drain(..certain).collect());
        found
    }

    /// A call ends whose body is `held[body..at]`; the text goes on at `after`.
    fn close(&mut self, body: usize, at: usize, after: usize, found: &mut Vec<Found>) {
        let rest = self.held.split_off(after);
        let text = std::mem::replace(&mut self.held, rest);
        self.body = None;
        match self.tools.read(&text[body..at]) {
            Some(call) => {
                self.has_called = true;
                found.push(Found::Call(call));
            }
            None => {
                self.broken += 1;
                self.last_within(text, body..at, found);
            }
        }
    }

    /// What was opened is no call. One may begin within it, where a model has written of the tag before it calls: then the text ends there.
    fn last_within(&mut self, mut text: String, body: Range<usize>, found: &mut Vec<Found>) {
        let last = text[body.clone()].rfind(OPEN).map(|at| body.start + at);
        let call = last.and_then(|last| self.tools.read(&text[last + OPEN.len()..body.end]));
        if let (Some(last), Some(call)) = (last, call) {
            text.truncate(text[..last].trim_end().len());
            add_text(found, text);
            self.has_called = true;
            found.push(Found::Call(call));
        } else {
            add_text(found, text);
        }
    }

    /// What is left where the text ends. A call that is whole but for its closing tag is one: some models end there.
    pub(super) fn finish(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        if let Some(body) = self.body {
            let end = self.held.len();
            self.close(body, end, end, &mut found);
        }
        let rest = std::mem::take(&mut self.held);
        if !self.has_called || !rest.trim().is_empty() {
            add_text(&mut found, rest);
        }
        found
    }
}

/// Adds text to what was found, where there is any.
fn add_text(found: &mut Vec<Found>, text: String) {
    match found.last_mut() {
        _ if text.is_empty() => {}
        Some(Found::Text(before)) => before.push_str(&text),
        _ => found.push(Found::Text(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const CALL: &str = "<tool_call>\n<function=go>\n</function>\n</tool_call>";

    fn read(pieces: &[String]) -> (Vec<Found>, u64) {
        let mut calls = Calls::new(Tools::new([("go".to_owned(), Value::Null)]));
        let mut all = Vec::new();
        for found in
            pieces.iter().flat_map(|piece| calls.push(piece)).collect::<Vec<_>>().into_iter().chain(calls.finish())
        {
            match found {
                Found::Text(text) => add_text(&mut all, text),
                call => all.push(call),
            }
        }
        (all, calls.broken())
    }

    fn text(text: &str) -> Found {
        Found::Text(text.to_owned())
    }

    fn call() -> Found {
        Found::Call(Call { name: "go".to_owned(), arguments: "{}".to_owned() })
    }

    #[test]
    fn calls_come_out_of_the_text_around_them() {
        let whole = format!("I go.\n\n{CALL}\n{CALL}\n");
        assert_eq!(read(&[whole]), (vec![text("I go."), call(), call()], 0));
        assert_eq!(read(&[format!("{CALL}\nDone.")]), (vec![call(), text("\nDone.")], 0));
        assert_eq!(read(&["no call\n".to_owned()]), (vec![text("no call\n")], 0));
    }

    #[test]
    fn a_broken_call_is_the_text_that_it_was_and_is_counted() {
        for broken in ["a\n<tool_call>no</tool_call>\nb", "a <tool_call><function=go>", "<tool_call>"] {
            assert_eq!(read(&[broken.to_owned()]), (vec![text(broken)], 1), "{broken}");
        }
        let mixed = format!("<tool_call>no</tool_call>\n{CALL}");
        assert_eq!(read(&[mixed]), (vec![text("<tool_call>no</tool_call>"), call()], 1));
    }

    #[test]
    fn a_tag_that_is_only_spoken_of_takes_no_call_with_it() {
        let whole = format!("I use <tool_call> now.\n{CALL}\nDone.");
        assert_eq!(read(&[whole]), (vec![text("I use <tool_call> now."), call(), text("\nDone.")], 1));
        let cut = format!("<tool_call> {}", CALL.trim_end_matches("\n</tool_call>"));
        assert_eq!(read(&[cut]), (vec![text("<tool_call>"), call()], 1));
    }

    #[test]
    fn a_call_without_its_last_tag_is_one() {
        let cut = CALL.trim_end_matches("\n</tool_call>");
        assert_eq!(read(&[cut.to_owned()]), (vec![call()], 0));
    }

    proptest! {
        #[test]
        fn what_comes_out_does_not_depend_on_the_pieces(
            parts in proptest::collection::vec(prop_oneof![
                Just(CALL.to_owned()), Just(OPEN.to_owned()), Just(CLOSE.to_owned()), "[a<\n é]{0,4}", "<tool_c|</tool"
            ], 0..8),
            sizes in proptest::collection::vec(1usize..12, 1..6),
        ) {
            let whole = parts.concat();
            let (mut pieces, mut rest, mut sizes) = (Vec::new(), &whole[..], sizes.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.ceil_char_boundary(sizes.next().unwrap().min(rest.len())));
                pieces.push(piece.to_owned());
                rest = later;
            }
            prop_assert_eq!(read(&pieces), read(std::slice::from_ref(&whole)));
        }
    }
}
