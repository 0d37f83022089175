//! Rows of a folder, read as they are, without any repair: what the stage that reads makes of hostile lines is its own tests' matter.

use serde_json::{Map, Value};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use vertigo_curation::book::Book;
use vertigo_curation::row::{Body, Call, Message, Origin, Role, Row};

/// The rows of all `*.jsonl`, in the order of names and lines, and the book that has them.
pub(crate) fn read(folder: &Path) -> (Vec<Row>, Book) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".jsonl"));
    names.sort();
    let (mut rows, mut book) = (Vec::new(), Book::default());
    for name in names {
        let file: Arc<str> = name.as_str().into();
        for (n, line) in fs::read_to_string(folder.join(&name)).unwrap().split_terminator('\n').enumerate() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}:{}: {e}", n + 1));
            let entry = book.enter(Origin { file: file.clone(), line: n as u32 + 1 });
            rows.push(row(entry, value));
        }
    }
    (rows, book)
}

/// A row of this line.
pub(crate) fn row(entry: u32, value: Value) -> Row {
    let Value::Object(mut facts) = value else { panic!("{value}") };
    let messages = facts.shift_remove("messages").unwrap_or_default();
    let messages = messages.as_array().into_iter().flatten().map(message).collect();
    let tools = facts.shift_remove("tools").and_then(|tools| tools.as_array().cloned());
    Row { entry, body: Body::Chat { messages, tools }, facts }
}

fn message(value: &Value) -> Message {
    let role = match value["role"].as_str() {
        Some("system") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        _ => panic!("{value}"),
    };
    let calls = value["tool_calls"].as_array().into_iter().flatten().map(call).collect();
    let text = |key: &str| value[key].as_str().map(Into::into);
    let content = value["content"].as_str().map(str::to_owned);
    Message { role, content, thought: None, calls, answers: text("tool_call_id"), name: text("name") }
}

fn call(value: &Value) -> Call {
    let arguments: Map<String, Value> = match &value["function"]["arguments"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        Value::Object(fields) => fields.clone(),
        _ => Map::new(),
    };
    Call {
        id: value["id"].as_str().map(Into::into),
        name: value["function"]["name"].as_str().unwrap_or_default().into(),
        arguments,
    }
}
