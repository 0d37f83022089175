//! Choices of chat completions.

use super::{Delta, Logprob};
use crate::answer::{Call, Part};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What the parts of an answer are in a message's fields.
#[derive(Debug, Default)]
struct Fields {
    thought: String,
    text: String,
    calls: Vec<Value>,
}

impl Fields {
    fn of(parts: Vec<Part>) -> Fields {
        let mut fields = Fields::default();
        for part in parts {
            match part {
                Part::Thought(thought) => fields.thought += &thought,
                Part::Text(text) => fields.text += &text,
                Part::Call(call) => fields.calls.push(call_json(call)),
            }
        }
        fields
    }
}

fn call_json(Call { name, arguments }: Call) -> Value {
    let id = format!("call_{}", Uuid::now_v7().simple());
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// The piece that says who speaks.
pub(super) fn first(index: usize) -> Value {
    json!({"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": null, "finish_reason": null})
}

/// A piece of a stream. Clients put calls together by their place among the answer's, of which `calls_before` were sent.
pub(super) fn piece(delta: Delta, calls_before: &mut usize) -> Value {
    let Fields { thought, text, mut calls } = Fields::of(delta.parts);
    for call in &mut calls {
        call["index"] = (*calls_before).into();
        *calls_before += 1;
    }
    let mut fields = Map::new();
    if !thought.is_empty() {
        fields.insert("reasoning_content".to_owned(), thought.into());
    }
    if !text.is_empty() {
        fields.insert("content".to_owned(), text.into());
    }
    if !calls.is_empty() {
        fields.insert("tool_calls".to_owned(), calls.into());
    }
    json!({"index": delta.index, "delta": fields, "logprobs": logprobs(&delta.logprobs),
           "finish_reason": delta.finish.map(super::Finish::name)})
}

/// A whole answer.
pub(super) fn whole(delta: Delta) -> Value {
    let Fields { thought, text, calls } = Fields::of(delta.parts);
    let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
    let mut message = json!({"role": "assistant", "content": content});
    if !thought.is_empty() {
        message["reasoning_content"] = thought.into();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({"index": delta.index, "message": message, "logprobs": logprobs(&delta.logprobs),
           "finish_reason": delta.finish.map(super::Finish::name)})
}

fn logprobs(logprobs: &[Logprob]) -> Value {
    if logprobs.is_empty() {
        return Value::Null;
    }
    let one = |it: &Logprob| json!({"token": it.token, "logprob": it.logprob, "bytes": it.bytes});
    let content: Vec<Value> = logprobs
        .iter()
        .map(|it| {
            let mut entry = one(it);
            entry["top_logprobs"] = it.top.iter().map(one).collect();
            entry
        })
        .collect();
    json!({"content": content})
}
