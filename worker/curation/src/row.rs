//! A row: an example in its one canonical form, with the facts that came with it.
//!
//! Promise: rows that teach the same have the same [`RowId`], however their lines were written: the order of keys, spaces, arguments as
//! text or as an object make no difference. What training does not read is no part of it.

use serde_json::{Map, Value, json};
use std::fmt::{self, Display};
use std::sync::Arc;
use vertigo::id::Digest;

/// Where a row was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The file's name; files lie directly in a folder.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The digest of a row's canonical conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub Digest);

impl Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.hex())
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// What holds for the whole conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool gave back.
    Tool,
}

impl Role {
    /// As messages write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// A tool that the model calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What an answer of the tool names the call by.
    pub id: Option<Box<str>>,
    /// The tool.
    pub name: Box<str>,
    /// By name.
    pub arguments: Map<String, Value>,
}

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; `None` where only tools are called.
    pub content: Option<String>,
    /// What was thought, where it stands beside the content and not in it.
    pub thought: Option<String>,
    /// Tools that are called.
    pub calls: Vec<Call>,
    /// Which call this answers.
    pub answers: Option<Box<str>>,
    /// Who speaks, by name.
    pub name: Option<Box<str>>,
}

impl Message {
    /// A message that only says something.
    pub fn new(role: Role, content: impl Into<String>) -> Message {
        Message { role, content: Some(content.into()), thought: None, calls: Vec::new(), answers: None, name: None }
    }

    /// What is said, or nothing.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or_default()
    }
}

/// What a row teaches.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A conversation, for the chat template.
    Chat {
        /// The turns.
        messages: Vec<Message>,
        /// Tools that may be called, as OpenAI writes them.
        tools: Option<Vec<Value>>,
    },
    /// Text as it is.
    Text(String),
}

/// An example, where it came from, and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its number in the [`Book`](crate::book::Book).
    pub entry: u32,
    /// What it teaches.
    pub body: Body,
    /// All other fields of its line: source, licence, provenance, scores, in the order in which they stood there.
    pub facts: Map<String, Value>,
}

impl Row {
    /// The fact at a path: a field of that whole name, else field by field between dots, as in `provenance.task_family`.
    pub fn fact(&self, path: &str) -> Option<&Value> {
        self.facts.get(path).or_else(|| {
            let mut fields = path.split('.');
            let first = self.facts.get(fields.next()?)?;
            fields.try_fold(first, |value, field| value.as_object()?.get(field))
        })
    }
}

impl Body {
    /// The turns; none of a text.
    pub fn messages(&self) -> &[Message] {
        match self {
            Body::Chat { messages, .. } => messages,
            Body::Text(_) => &[],
        }
    }

    /// The turns, to be changed; none of a text.
    pub fn messages_mut(&mut self) -> &mut [Message] {
        match self {
            Body::Chat { messages, .. } => messages,
            Body::Text(_) => &mut [],
        }
    }

    /// All that the model says, a turn after another; all of a text.
    pub fn answers(&self) -> impl Iterator<Item = &str> {
        let said = self.messages().iter().filter(|message| message.role == Role::Assistant).map(Message::text);
        let text = match self {
            Body::Text(text) => Some(text.as_str()),
            Body::Chat { .. } => None,
        };
        said.chain(text)
    }

    /// As mlx-lm and the engine read it: `{"messages": […], "tools": […]}` or `{"text": …}`. Keys stand in one order, those of arguments
    /// and tools in the alphabet's.
    pub fn to_value(&self) -> Value {
        match self {
            Body::Text(text) => json!({ "text": text }),
            Body::Chat { messages, tools } => {
                let mut value = Map::new();
                value.insert("messages".to_owned(), messages.iter().map(message_value).collect());
                if let Some(tools) = tools {
                    value.insert("tools".to_owned(), tools.iter().map(sorted).collect());
                }
                Value::Object(value)
            }
        }
    }

    /// What names it: the digest of [`to_value`](Self::to_value).
    pub fn id(&self) -> RowId {
        RowId(Digest::of(self.to_value().to_string().as_bytes()))
    }
}

fn message_value(message: &Message) -> Value {
    let Message { role, content, thought, calls, answers, name } = message;
    let mut value = Map::new();
    let mut put = |key: &str, it: Value| value.insert(key.to_owned(), it);
    put("role", json!(role.as_str()));
    if let Some(name) = name {
        put("name", json!(name));
    }
    // Templates ask for the content even where there is none.
    put("content", json!(content));
    if let Some(thought) = thought {
        put("reasoning_content", json!(thought));
    }
    if !calls.is_empty() {
        put("tool_calls", calls.iter().map(call_value).collect());
    }
    if let Some(answers) = answers {
        put("tool_call_id", json!(answers));
    }
    Value::Object(value)
}

fn call_value(call: &Call) -> Value {
    let arguments = sorted(&Value::Object(call.arguments.clone()));
    let mut value = Map::new();
    if let Some(id) = &call.id {
        value.insert("id".to_owned(), json!(id));
    }
    value.insert("type".to_owned(), json!("function"));
    value.insert("function".to_owned(), json!({ "name": call.name, "arguments": arguments }));
    Value::Object(value)
}

/// The same with the keys of all objects in the alphabet's order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            fields.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
        }
        other => other.clone(),
    }
}
