//! Answers in the forms that OpenAI's clients read: whole, and in pieces.

mod chat;
mod choice;
mod completion;

pub(crate) use choice::Choice;

use crate::answer::Part;
use serde_json::{Value, json};

/// What of an answer is sent next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delta {
    /// Which of the request's answers.
    pub(crate) index: usize,
    /// What it has more.
    pub(crate) parts: Vec<Part>,
    /// The probabilities of its tokens, where they were asked for.
    pub(crate) logprobs: Vec<Logprob>,
    /// Why the answer has ended.
    pub(crate) finish: Option<Finish>,
}

/// Why an answer has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    ToolCalls,
}

impl Finish {
    /// As clients and metrics read it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::ToolCalls => "tool_calls",
        }
    }
}

/// A token and how probable it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Logprob {
    pub(crate) token: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) logprob: f32,
    /// The most probable ones, from the most probable on.
    pub(crate) top: Vec<Logprob>,
}

/// Tokens of a request and its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) prompt: usize,
    /// Those of the prompt's that were known from earlier requests.
    pub(crate) cached: usize,
    pub(crate) answer: usize,
    /// Those of the answer's that are thought.
    pub(crate) thought: usize,
}

impl Usage {
    fn to_json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.answer,
            "total_tokens": self.prompt + self.answer,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.thought},
        })
    }
}

/// Which route's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Chat,
    Completion,
}

/// What all pieces of an answer have in common.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) form: Form,
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) model: String,
    /// Whether the last piece tells the usage; then the others say that they do not.
    pub(crate) includes_usage: bool,
}

/// What of an answer was sent in earlier pieces.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    calls: usize,
    /// Characters of the tokens whose probabilities were told.
    characters: usize,
}

impl Head {
    fn piece(&self, object: &str, choices: Value, usage: Option<Value>) -> Value {
        let mut piece = json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
        });
        if let Some(usage) = usage {
            piece["usage"] = usage;
        }
        piece
    }

    fn piece_of_stream(&self, choices: Value, usage: Value) -> String {
        let object = match self.form {
            Form::Chat => "chat.completion.chunk",
            Form::Completion => "text_completion",
        };
        self.piece(object, choices, self.includes_usage.then_some(usage)).to_string()
    }

    /// The piece with which an answer begins, where there is one.
    pub(crate) fn first(&self, index: usize) -> Option<String> {
        match self.form {
            Form::Chat => Some(self.piece_of_stream(json!([chat::first(index)]), Value::Null)),
            Form::Completion => None,
        }
    }

    /// A piece of a stream. `None` where it says nothing.
    pub(crate) fn next(&self, delta: Delta, sent: &mut Sent) -> Option<String> {
        if delta.parts.is_empty() && delta.logprobs.is_empty() && delta.finish.is_none() {
            return None;
        }
        let choice = match self.form {
            Form::Chat => chat::piece(delta, &mut sent.calls),
            Form::Completion => completion::piece(delta, &mut sent.characters),
        };
        Some(self.piece_of_stream(json!([choice]), Value::Null))
    }

    /// The last piece of a stream, where it is wanted.
    pub(crate) fn last(&self, usage: Usage) -> Option<String> {
        self.includes_usage.then(|| self.piece_of_stream(json!([]), usage.to_json()))
    }

    /// All answers at once: `answers` has the pieces of each.
    pub(crate) fn whole(&self, answers: Vec<Delta>, usage: Usage) -> String {
        let (object, choice): (_, fn(Delta) -> Value) = match self.form {
            Form::Chat => ("chat.completion", chat::whole),
            Form::Completion => ("text_completion", |delta| completion::piece(delta, &mut 0)),
        };
        let choices: Vec<Value> = answers.into_iter().map(choice).collect();
        self.piece(object, choices.into(), Some(usage.to_json())).to_string()
    }
}

/// Adds what an answer has more to what it has, for those who want it whole.
pub(crate) fn add(whole: &mut Delta, more: Delta) {
    for part in more.parts {
        match (whole.parts.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) | (Some(Part::Thought(before)), Part::Thought(text)) => {
                before.push_str(&text);
            }
            (_, part) => whole.parts.push(part),
        }
    }
    whole.logprobs.extend(more.logprobs);
    whole.finish = more.finish.or(whole.finish);
}

#[cfg(test)]
mod tests;
