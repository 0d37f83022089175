//! The shapes that training takes: `messages` with `tools`, `prompt` with `completion`, `text`.

use super::{
    BAD_TOOLS, EMPTY_ANSWER, EMPTY_CONVERSATION, NO_ASSISTANT, NO_MESSAGES, NO_SHAPE, NOT_TEXT, Reading, Rejected,
    TRAILING_TURNS_CUT, json, message, rejected,
};
use crate::row::{Body, Message, Role};
use serde_json::{Map, Value};

/// What a line teaches, and all that it says beside that.
pub(super) type BodyAndFacts = (Body, Map<String, Value>);

/// Takes from a line what it teaches. What is left are facts.
pub(super) fn read(mut line: Map<String, Value>, reading: &mut Reading) -> Result<BodyAndFacts, Rejected> {
    let has = |key: &str| line.get(key).is_some_and(|value| !value.is_null());
    let body = if has("messages") {
        let messages = take(&mut line, "messages");
        chat(messages, take(&mut line, "tools"), reading)?
    } else if has("prompt") && has("completion") {
        completion(take(&mut line, "prompt"), take(&mut line, "completion"))?
    } else if has("text") {
        text(take(&mut line, "text"))?
    } else {
        return rejected(NO_SHAPE, "");
    };
    Ok((body, line))
}

fn take(line: &mut Map<String, Value>, key: &str) -> Value {
    line.shift_remove(key).unwrap_or_default()
}

fn said(key: &str, value: Value) -> Result<String, Rejected> {
    match value {
        Value::String(text) => Ok(text),
        other => rejected(NOT_TEXT, format!("`{key}` is {}", json::kind(&other))),
    }
}

fn text(text: Value) -> Result<Body, Rejected> {
    let text = said("text", text)?;
    if text.trim().is_empty() { rejected(EMPTY_CONVERSATION, "`text` is blank") } else { Ok(Body::Text(text)) }
}

fn completion(prompt: Value, completion: Value) -> Result<Body, Rejected> {
    let (prompt, completion) = (said("prompt", prompt)?, said("completion", completion)?);
    if completion.trim().is_empty() {
        return rejected(EMPTY_ANSWER, "`completion` is blank");
    }
    let messages = vec![Message::new(Role::User, prompt), Message::new(Role::Assistant, completion)];
    Ok(Body::Chat { messages, tools: None })
}

fn chat(messages: Value, tools: Value, reading: &mut Reading) -> Result<Body, Rejected> {
    let Value::Array(messages) = messages else {
        return rejected(NO_MESSAGES, format!("it is {}", json::kind(&messages)));
    };
    if messages.is_empty() {
        return rejected(EMPTY_CONVERSATION, "`messages` is empty");
    }
    let read = messages.into_iter().enumerate().map(|(at, value)| message::read(at + 1, value, reading));
    let mut messages = read.collect::<Result<Vec<Message>, Rejected>>()?;
    let Some(last) = messages.iter().rposition(|message| message.role == Role::Assistant) else {
        return rejected(NO_ASSISTANT, "");
    };
    if last + 1 < messages.len() {
        reading.repaired(TRAILING_TURNS_CUT, format!("from turn {}", last + 2));
        messages.truncate(last + 1);
    }
    if says_nothing(&messages[last]) {
        return rejected(EMPTY_ANSWER, format!("turn {}", last + 1));
    }
    Ok(Body::Chat { messages, tools: list(tools)? })
}

fn says_nothing(message: &Message) -> bool {
    let is_blank = |text: &str| text.trim().is_empty();
    message.calls.is_empty() && is_blank(message.text()) && message.thought.as_deref().is_none_or(is_blank)
}

/// No tools are none, whether they were written as null or as an empty list: templates do the same with both.
fn list(tools: Value) -> Result<Option<Vec<Value>>, Rejected> {
    match tools {
        Value::Null => Ok(None),
        Value::Array(tools) => match tools.iter().find(|tool| !tool.is_object()) {
            Some(other) => rejected(BAD_TOOLS, format!("one of them is {}", json::kind(other))),
            None if tools.is_empty() => Ok(None),
            None => Ok(Some(tools)),
        },
        other => rejected(BAD_TOOLS, format!("it is {}", json::kind(&other))),
    }
}
