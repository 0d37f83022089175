//! Choices of text completions.

use super::{Delta, Finish, Logprob};
use crate::answer::Part;
use serde_json::{Map, Value, json};

/// A piece of an answer, or all of it. `offset`: characters of the tokens that were told before.
pub(super) fn piece(delta: Delta, offset: &mut usize) -> Value {
    let text: String = delta
        .parts
        .into_iter()
        .map(|part| match part {
            Part::Text(text) | Part::Thought(text) => text,
            // No tools are given here.
            Part::Call(call) => call.arguments,
        })
        .collect();
    json!({"index": delta.index, "text": text, "logprobs": logprobs(&delta.logprobs, offset),
           "finish_reason": delta.finish.map(Finish::name)})
}

fn logprobs(logprobs: &[Logprob], offset: &mut usize) -> Value {
    if logprobs.is_empty() {
        return Value::Null;
    }
    let mut offsets = Vec::with_capacity(logprobs.len());
    for logprob in logprobs {
        offsets.push(*offset);
        // A character counts where it begins: its other bytes have this form.
        *offset += logprob.bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    }
    let top = |it: &Logprob| -> Map<String, Value> {
        it.top.iter().map(|top| (top.token.clone(), json!(top.logprob))).collect()
    };
    json!({
        "tokens": logprobs.iter().map(|it| it.token.as_str()).collect::<Vec<_>>(),
        "token_logprobs": logprobs.iter().map(|it| it.logprob).collect::<Vec<_>>(),
        "top_logprobs": logprobs.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}
