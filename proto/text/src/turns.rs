//! Where the assistant's turns lie in the text of their conversation.
//!
//! Promise: a turn's borders are found by rendering what goes before them, and only where the conversation's own text begins with that.
//! What is not found so is said not to be, and never guessed.

use crate::tokenizer::{ChatTokenizer, shared_bytes};
use serde_json::{Value, json};

/// A conversation and its text.
pub(crate) struct Turns<'a> {
    pub(crate) tokenizer: &'a ChatTokenizer,
    pub(crate) messages: &'a [Value],
    pub(crate) tools: Option<&'a Value>,
    pub(crate) text: &'a str,
}

/// An assistant's turn, in bytes of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Where what the model itself says begins: after as much of the generation prompt as the turn begins with.
    pub(crate) content: usize,
    /// Where the next turn begins.
    pub(crate) end: usize,
}

impl Turns<'_> {
    /// The assistant's turns in their order, `None` for each that cannot be located.
    pub(crate) fn answers(&self) -> impl Iterator<Item = Option<Answer>> {
        let spoken = self.messages.iter().enumerate().filter(|(_, message)| message["role"] == "assistant");
        spoken.map(|(index, _)| self.answer(index))
    }

    fn answer(&self, index: usize) -> Option<Answer> {
        let (begin, end) = (self.border(index)?, self.border(index + 1)?);
        let turn = self.text.get(begin..end)?;
        let before = &self.messages[..index];
        let asked = self.render(before, true)?;
        let opening = asked.strip_prefix(&self.render(before, false)?)?;
        let shared = shared_bytes(opening, turn);
        // A turn that does not even begin as the model is asked to is somebody else's text, or the template's.
        (shared > 0 || opening.is_empty()).then_some(Answer { content: begin + shared, end })
    }

    /// The byte that message `index` begins at, or that the text ends before where there is no such message.
    ///
    /// A template may write what went before otherwise than the whole conversation has it: Qwen's leaves the thoughts of earlier turns
    /// out as soon as another question follows. So it is asked with one, too, and the question's own text taken off again.
    pub(crate) fn border(&self, index: usize) -> Option<usize> {
        if index == self.messages.len() {
            return Some(self.text.len());
        }
        let before = &self.messages[..index];
        if let Some(begun) = self.render(before, false).filter(|begun| self.text.starts_with(begun)) {
            return Some(begun.len());
        }
        let question = [json!({"role": "user", "content": "?"})];
        let once = self.render(&[before, &question].concat(), false)?;
        let twice = self.render(&[before, &question, &question].concat(), false)?;
        let begun = once.strip_suffix(twice.strip_prefix(&once)?)?;
        self.text.starts_with(begun).then_some(begun.len())
    }

    /// What the template refuses, such as a conversation without a question, is no text to look for.
    fn render(&self, messages: &[Value], generation_prompt: bool) -> Option<String> {
        self.tokenizer.render(messages, self.tools, generation_prompt).ok()
    }
}
