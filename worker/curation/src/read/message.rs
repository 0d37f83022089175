//! One turn: who speaks, what is said, which tools are called.

use super::json::{self, Broken, NESTING_MAX};
use super::{
    ARGUMENTS_PARSED, BAD_ARGUMENTS, BAD_CALL, DUPLICATE_KEY, NO_MESSAGES, NOT_TEXT, NULL_CONTENT, PARTS_JOINED,
    ROLE_RENAMED, Reading, Rejected, TOO_DEEP, TOO_MANY_VALUES, TOOL_CALLS_NULL, UNKNOWN_MESSAGE_FIELD, UNKNOWN_ROLE,
    rejected,
};
use crate::row::{Call, Message, Role};
use serde_json::{Map, Value};

/// Other names of the roles, as exporters write them.
const ROLES: &[(&str, Role)] = &[
    ("human", Role::User),
    ("gpt", Role::Assistant),
    ("model", Role::Assistant),
    ("bot", Role::Assistant),
    ("ai", Role::Assistant),
    ("developer", Role::System),
    ("function", Role::Tool),
    ("ipython", Role::Tool),
    ("observation", Role::Tool),
];

/// Fields in which a thought stands beside the content. The first that says something is taken.
const THOUGHTS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Lists and objects around a call's arguments.
const AROUND_ARGUMENTS: usize = 6;

/// Bytes of a role or a field's name that are quoted.
const NAME_BYTES_MAX: usize = 40;

fn quoted(name: &str) -> String {
    format!("`{}`", json::beginning(name, NAME_BYTES_MAX))
}

/// Reads the turn with this number, from 1.
pub(super) fn read(turn: usize, value: Value, reading: &mut Reading) -> Result<Message, Rejected> {
    let Value::Object(mut fields) = value else {
        return rejected(NO_MESSAGES, format!("turn {turn} is {}", json::kind(&value)));
    };
    let role = role(turn, fields.shift_remove("role"), reading)?;
    let calls = calls(turn, role, fields.shift_remove("tool_calls"), reading)?;
    let content = content(turn, !calls.is_empty(), fields.shift_remove("content"), reading)?;
    let answers = name(turn, "tool_call_id", fields.shift_remove("tool_call_id"))?;
    let name = name(turn, "name", fields.shift_remove("name"))?;
    let thought = if role == Role::Assistant { thought(turn, &mut fields)? } else { None };
    for (field, _) in fields.iter().filter(|(_, value)| !value.is_null()) {
        reading.noted(UNKNOWN_MESSAGE_FIELD, format!("turn {turn}: {}", quoted(field)));
    }
    Ok(Message { role, content, thought, calls, answers, name })
}

fn role(turn: usize, value: Option<Value>, reading: &mut Reading) -> Result<Role, Rejected> {
    let Some(Value::String(said)) = value else {
        return rejected(UNKNOWN_ROLE, format!("turn {turn} has none"));
    };
    let known = [Role::System, Role::User, Role::Assistant, Role::Tool].into_iter();
    if let Some(role) = known.clone().find(|role| role.as_str() == said) {
        return Ok(role);
    }
    let mut all = known.map(|role| (role.as_str(), role)).chain(ROLES.iter().copied());
    match all.find(|(name, _)| said.trim().eq_ignore_ascii_case(name)) {
        Some((_, role)) => {
            reading.repaired(ROLE_RENAMED, format!("turn {turn}: {} is {}", quoted(&said), role.as_str()));
            Ok(role)
        }
        None => rejected(UNKNOWN_ROLE, format!("turn {turn}: {}", quoted(&said))),
    }
}

fn content(
    turn: usize,
    has_calls: bool,
    value: Option<Value>,
    reading: &mut Reading,
) -> Result<Option<String>, Rejected> {
    match value.unwrap_or_default() {
        Value::String(text) => Ok(Some(text)),
        Value::Null if has_calls => Ok(None),
        Value::Null => {
            reading.repaired(NULL_CONTENT, format!("turn {turn}"));
            Ok(Some(String::new()))
        }
        Value::Array(parts) => {
            let parts = parts.iter().map(|part| text_of(turn, part)).collect::<Result<Vec<&str>, Rejected>>()?;
            reading.repaired(PARTS_JOINED, format!("turn {turn}"));
            Ok(Some(parts.concat()))
        }
        other => rejected(NOT_TEXT, format!("turn {turn}: its content is {}", json::kind(&other))),
    }
}

/// The text of one part of a content.
fn text_of(turn: usize, part: &Value) -> Result<&str, Rejected> {
    let kind = part["type"].as_str();
    match (part, part["text"].as_str()) {
        (Value::String(text), _) => Ok(text),
        (_, Some(text)) if kind.is_none_or(|kind| kind == "text") => Ok(text),
        _ => rejected(NOT_TEXT, format!("turn {turn}: a part is {}", kind.map_or(json::kind(part).to_owned(), quoted))),
    }
}

/// A short text, where there is one.
fn name(turn: usize, field: &str, value: Option<Value>) -> Result<Option<Box<str>>, Rejected> {
    match value.unwrap_or_default() {
        Value::Null => Ok(None),
        Value::String(name) if name.is_empty() => Ok(None),
        Value::String(name) => Ok(Some(name.into())),
        other => rejected(NOT_TEXT, format!("turn {turn}: its `{field}` is {}", json::kind(&other))),
    }
}

/// What is thought. A field that says nothing, or the same again, is gone without a word; another that says something else is one that
/// nobody reads.
fn thought(turn: usize, fields: &mut Map<String, Value>) -> Result<Option<String>, Rejected> {
    let mut thought: Option<String> = None;
    for field in THOUGHTS {
        match fields.get(field) {
            None => {}
            Some(Value::Null) => drop(fields.shift_remove(field)),
            Some(Value::String(said)) if thought.is_none() || said.is_empty() || thought.as_ref() == Some(said) => {
                let said = said.clone();
                fields.shift_remove(field);
                thought = thought.or(Some(said).filter(|said| !said.is_empty()));
            }
            Some(Value::String(_)) => {}
            Some(other) => return rejected(NOT_TEXT, format!("turn {turn}: its `{field}` is {}", json::kind(other))),
        }
    }
    Ok(thought)
}

fn calls(turn: usize, role: Role, value: Option<Value>, reading: &mut Reading) -> Result<Vec<Call>, Rejected> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Null) => {
            reading.repaired(TOOL_CALLS_NULL, format!("turn {turn}"));
            Ok(Vec::new())
        }
        Some(Value::Array(calls)) if calls.is_empty() => Ok(Vec::new()),
        Some(Value::Array(_)) if role != Role::Assistant => {
            rejected(BAD_CALL, format!("turn {turn}: only the assistant calls tools"))
        }
        Some(Value::Array(calls)) => calls.into_iter().map(|call| one_call(turn, call, reading)).collect(),
        Some(other) => rejected(BAD_CALL, format!("turn {turn}: its `tool_calls` is {}", json::kind(&other))),
    }
}

/// A call as OpenAI writes it, or its function alone.
fn one_call(turn: usize, value: Value, reading: &mut Reading) -> Result<Call, Rejected> {
    let Value::Object(mut call) = value else {
        return rejected(BAD_CALL, format!("turn {turn}: a call is {}", json::kind(&value)));
    };
    let id = name(turn, "id", call.shift_remove("id"))?;
    let mut function = match call.shift_remove("function") {
        Some(Value::Object(function)) => function,
        None => call,
        Some(other) => return rejected(BAD_CALL, format!("turn {turn}: a call's function is {}", json::kind(&other))),
    };
    let tool = match function.shift_remove("name") {
        Some(Value::String(tool)) if !tool.trim().is_empty() => tool,
        _ => return rejected(BAD_CALL, format!("turn {turn}: a call names no tool")),
    };
    let arguments = arguments(turn, function.shift_remove("arguments"), reading)?;
    Ok(Call { id, name: tool.into(), arguments })
}

/// Arguments as an object. None, and a blank text, are an empty one.
fn arguments(turn: usize, value: Option<Value>, reading: &mut Reading) -> Result<Map<String, Value>, Rejected> {
    let text = match value.unwrap_or_default() {
        Value::Object(arguments) => return Ok(arguments),
        Value::Null => return Ok(Map::new()),
        Value::String(text) => text,
        other => return rejected(BAD_ARGUMENTS, format!("turn {turn}: {}", json::kind(&other))),
    };
    let parsed = if text.trim().is_empty() {
        Ok(Value::Object(Map::new()))
    } else {
        json::parse(&text, NESTING_MAX - AROUND_ARGUMENTS)
    };
    match parsed {
        Ok(Value::Object(arguments)) => {
            reading.repaired(ARGUMENTS_PARSED, format!("turn {turn}"));
            Ok(arguments)
        }
        Ok(other) => rejected(BAD_ARGUMENTS, format!("turn {turn}: {} written as text", json::kind(&other))),
        Err(Broken::Json(said)) => rejected(BAD_ARGUMENTS, format!("turn {turn}: {said}")),
        Err(Broken::DuplicateKey(key)) => rejected(DUPLICATE_KEY, format!("turn {turn}: {key} in a call's arguments")),
        Err(Broken::TooMany) => rejected(TOO_MANY_VALUES, format!("turn {turn}: a call's arguments")),
        Err(Broken::TooDeep) => rejected(TOO_DEEP, format!("turn {turn}: a call's arguments")),
    }
}
