//! An answer as it comes over OpenAI's API: server-sent events, put together to text, thought, calls and usage.
//!
//! Promise: the same bytes give the same answer, however they are cut into pieces; and nothing grows past its bound.

use serde::Deserialize;

/// Bytes of an event: a piece of an answer is a few hundred.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Calls of an answer.
const CALLS_MAX: usize = 128;

/// A piece of an answer that is shown as it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Of the thought before it.
    Thought(String),
    /// Of its text.
    Text(String),
}

/// An answer, as far as it has come.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) thought: String,
    pub(super) calls: Vec<Call>,
    /// Why it ended, in OpenAI's words; `None` before.
    pub(super) finish: Option<String>,
    pub(super) usage: Option<Usage>,
    /// Which model answered.
    pub(super) model: String,
}

/// A tool that the model calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// JSON, as the model wrote it.
    pub(super) arguments: String,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
}

/// Why a stream is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamError {
    /// The server says what is wrong.
    #[error("the service says: {0}")]
    Said(String),
    /// It is none of OpenAI's.
    #[error("the service does not speak OpenAI's API: {0}")]
    Unreadable(String),
}

/// Reads a stream piece by piece.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The beginning of a line that has not ended.
    line: Vec<u8>,
    /// The lines of data of an event that has not ended.
    data: String,
    /// Whether the stream has said that it is over.
    is_done: bool,
    pub(super) answer: Answer,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    model: String,
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: usize,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

/// What the body of a refused request says.
pub(super) fn said(status: u16, body: &[u8]) -> StreamError {
    match serde_json::from_slice::<ErrorAnswer>(body) {
        Ok(answer) => StreamError::Said(answer.error.message),
        Err(_) => StreamError::Unreadable(format!("it answered {status} without saying why")),
    }
}

impl Reader {
    /// Takes the next bytes. Gives what they add to the answer, in order.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, StreamError> {
        let mut pieces = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                self.check_length()?;
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            let line = std::str::from_utf8(line).map_err(|_| StreamError::Unreadable("it is no UTF-8".to_owned()))?;
            if line.is_empty() {
                self.event(&mut pieces)?;
            } else if let Some(data) = line.strip_prefix("data:") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
                self.check_length()?;
            }
            // What else there may be in a line, comments and names of events, says nothing here.
        }
        Ok(pieces)
    }

    /// Whether all of the answer has come.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    fn check_length(&self) -> Result<(), StreamError> {
        match self.line.len() + self.data.len() {
            bytes if bytes > EVENT_BYTES_MAX => {
                Err(StreamError::Unreadable(format!("an event is longer than {EVENT_BYTES_MAX} bytes")))
            }
            _ => Ok(()),
        }
    }

    fn event(&mut self, pieces: &mut Vec<Piece>) -> Result<(), StreamError> {
        let data = std::mem::take(&mut self.data);
        if data.is_empty() || self.is_done {
            return Ok(());
        }
        if data == "[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(&data).map_err(|error| StreamError::Unreadable(error.to_string()))?;
        if let Some(error) = chunk.error {
            return Err(StreamError::Said(error.message));
        }
        if !chunk.model.is_empty() {
            self.answer.model = chunk.model;
        }
        self.answer.usage = chunk.usage.or(self.answer.usage);
        if let Some(Choice { delta, finish_reason }) = chunk.choices.into_iter().next() {
            self.delta(delta, pieces)?;
            self.answer.finish = finish_reason.or(self.answer.finish.take());
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta, pieces: &mut Vec<Piece>) -> Result<(), StreamError> {
        if let Some(thought) = delta.reasoning_content.filter(|text| !text.is_empty()) {
            self.answer.thought.push_str(&thought);
            pieces.push(Piece::Thought(thought));
        }
        if let Some(text) = delta.content.filter(|text| !text.is_empty()) {
            self.answer.text.push_str(&text);
            pieces.push(Piece::Text(text));
        }
        for CallDelta { index, id, function } in delta.tool_calls.into_iter().flatten() {
            if index >= CALLS_MAX {
                return Err(StreamError::Unreadable(format!("an answer of more than {CALLS_MAX} calls")));
            }
            if index >= self.answer.calls.len() {
                self.answer.calls.resize_with(index + 1, Call::default);
            }
            let call = &mut self.answer.calls[index];
            call.id.push_str(&id.unwrap_or_default());
            if let Some(FunctionDelta { name, arguments }) = function {
                call.name.push_str(&name.unwrap_or_default());
                call.arguments.push_str(&arguments.unwrap_or_default());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// A stream as a server sends it.
    pub(crate) fn sent(deltas: &[serde_json::Value], finish: &str) -> String {
        let chunk = |delta: &serde_json::Value, finish: Option<&str>| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
            format!("data: {}\n\n", json!({"object": "chat.completion.chunk", "model": "mini", "choices": [choice]}))
        };
        let body: String = deltas.iter().map(|delta| chunk(delta, None)).collect();
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}});
        format!("{body}{}data: {usage}\n\ndata: [DONE]\n\n", chunk(&json!({}), Some(finish)))
    }

    fn answer() -> String {
        let call = |index: usize, id: Option<&str>, name: Option<&str>, arguments: &str| json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]});
        let deltas = [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "hm "}),
            json!({"content": "Grüße, "}),
            json!({"content": "名前 👩‍💻"}),
            call(0, Some("call_1"), Some("weather"), ""),
            call(0, None, None, "{\"city\":"),
            call(1, Some("call_2"), Some("time"), "{}"),
            call(0, None, None, "\"Ulm\"}"),
        ];
        format!(": a comment\r\nevent: message\n{}", sent(&deltas, "tool_calls"))
    }

    proptest! {
        #[test]
        fn an_answer_is_the_same_however_it_is_cut(cuts in prop::collection::vec(1usize..40, 1..60)) {
            let body = answer();
            let (mut reader, mut rest, mut pieces) = (Reader::default(), body.as_bytes(), Vec::new());
            for cut in cuts.into_iter().cycle() {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                pieces.extend(reader.take(head).unwrap());
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(reader.is_done());
            let Answer { text, thought, calls, finish, usage, model } = reader.answer;
            prop_assert_eq!((text.as_str(), thought.as_str(), model.as_str()), ("Grüße, 名前 👩‍💻", "hm ", "mini"));
            let call = |id: &str, name: &str, arguments: &str| Call { id: id.into(), name: name.into(), arguments: arguments.into() };
            prop_assert_eq!(calls, [call("call_1", "weather", "{\"city\":\"Ulm\"}"), call("call_2", "time", "{}")]);
            prop_assert_eq!((finish.as_deref(), usage.unwrap().completion_tokens), (Some("tool_calls"), 3));
            prop_assert_eq!(pieces.len(), 3);
        }
    }

    #[test]
    fn what_is_no_answer_says_why() {
        let mut reader = Reader::default();
        let error = reader.take(b"data: {\"error\": {\"message\": \"out of memory\"}}\n\n").unwrap_err();
        assert_eq!(error.to_string(), "the service says: out of memory");
        assert!(matches!(Reader::default().take(b"data: {\n\n"), Err(StreamError::Unreadable(_))));
        assert!(matches!(Reader::default().take(b"data: \xff\n\n"), Err(StreamError::Unreadable(_))));
        let endless = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert!(matches!(Reader::default().take(&endless), Err(StreamError::Unreadable(_))));
        let far = json!({"tool_calls": [{"index": 1_000_000, "function": {"name": "x"}}]});
        assert!(matches!(Reader::default().take(sent(&[far], "stop").as_bytes()), Err(StreamError::Unreadable(_))));
        assert_eq!(
            said(404, br#"{"error": {"message": "no model `x`"}}"#).to_string(),
            "the service says: no model `x`"
        );
        assert!(said(502, b"<html>").to_string().contains("502"));
    }
}
