//! `POST /v1/chat/completions`: the request.

use super::error::ApiError;
use super::fields::{Fields, wrong};
use super::request::{Asked, Prompt, TOP_MAX, tokens};
use serde_json::{Map, Value, json};

type Result<T> = std::result::Result<T, ApiError>;

/// Messages of a conversation.
const MESSAGES_MAX: usize = 4096;

/// Tools that may be given, as OpenAI's own bound.
const TOOLS_MAX: usize = 128;

/// Calls of one message.
const CALLS_MAX: usize = 128;

/// Parts of one message's content.
const PARTS_MAX: usize = 1024;

/// Bytes of a tool's name, of a call's id.
const NAME_BYTES_MAX: usize = 256;

/// Fields of `chat_template_kwargs`.
const KWARGS_MAX: usize = 32;

/// Bytes of a text in it.
const KWARG_BYTES_MAX: usize = 1 << 10;

/// What a template is told by the request itself.
const OWN_FIELDS: [&str; 3] = ["messages", "tools", "add_generation_prompt"];

/// Reads a request.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn read(body: &Value) -> Result<Asked> {
    let fields = Fields::of(body, "")?;
    let text_only = |value: &Value| value["type"] == "text";
    fields.refuse("response_format", text_only, "ask for the form in words")?;
    fields.refuse("functions", |_| false, "give `tools`")?;
    fields.refuse("function_call", |_| false, "give `tool_choice`")?;
    fields.refuse("audio", |_| false, "the model writes text")?;
    let messages = fields.list("messages", MESSAGES_MAX)?.unwrap_or_default();
    if messages.is_empty() {
        return Err(ApiError::field("messages", "is to have a message at least"));
    }
    let messages = messages.iter().enumerate().map(|(n, message)| read_message(n, message)).collect::<Result<_>>()?;
    let tools = read_tools(&fields)?.filter(|tools| !tools.is_empty());
    let tools = if may_call(&fields, tools.is_some())? { tools } else { None };
    let (thought_tokens_max, template) = thought(&fields)?;
    let tokens_max = tokens(&fields, "max_completion_tokens", 1)?;
    let mut asked = Asked::read(&fields, Prompt::Chat { messages, tools, template })?;
    asked.tokens_max = tokens_max.or(asked.tokens_max);
    asked.thought_tokens_max = thought_tokens_max;
    let top = fields.count("top_logprobs", 0..=TOP_MAX)?;
    asked.logprobs = match (fields.flag("logprobs")?.unwrap_or(false), top) {
        (true, top) => Some(top.unwrap_or(0)),
        (false, None | Some(0)) => None,
        (false, Some(_)) => return Err(ApiError::field("top_logprobs", "needs `logprobs`: true")),
    };
    Ok(asked)
}

/// What the template is told, and how long a thought may be. Nothing in it may take the place of the conversation itself.
fn thought(fields: &Fields<'_>) -> Result<(Option<usize>, Map<String, Value>)> {
    const PLACE: &str = "chat_template_kwargs";
    let Some(template) = fields.object(PLACE)? else { return Ok((tokens(fields, "thinking_budget", 0)?, Map::new())) };
    if template.len() > KWARGS_MAX {
        let number = template.len();
        return Err(ApiError::field(PLACE, format!("has {number} fields, and at most {KWARGS_MAX} are taken")));
    }
    for (key, value) in template {
        if key.len() > NAME_BYTES_MAX {
            return Err(ApiError::field(PLACE, format!("has a name of more than {NAME_BYTES_MAX} bytes")));
        }
        let name = format!("{PLACE}.{key}");
        match value {
            Value::String(text) if text.len() > KWARG_BYTES_MAX => {
                return Err(ApiError::field(name, format!("has more than {KWARG_BYTES_MAX} bytes")));
            }
            Value::Array(_) | Value::Object(_) if !OWN_FIELDS.contains(&key.as_str()) => {
                return Err(wrong(&name, "text, a number, true or false", value));
            }
            _ => {}
        }
    }
    for key in OWN_FIELDS {
        if template.contains_key(key) {
            return Err(ApiError::field(format!("chat_template_kwargs.{key}"), "is the request's own field"));
        }
    }
    let kwargs = Fields::of_object(template, "chat_template_kwargs.");
    kwargs.flag("enable_thinking")?;
    let budget = tokens(&kwargs, "thinking_budget", 0)?;
    let mut template = template.clone();
    template.shift_remove("thinking_budget");
    Ok((tokens(fields, "thinking_budget", 0)?.or(budget), template))
}

/// Whether tools may be called.
fn may_call(fields: &Fields<'_>, has_tools: bool) -> Result<bool> {
    match fields.get("tool_choice") {
        None => Ok(has_tools),
        Some(Value::String(choice)) if choice == "auto" => Ok(has_tools),
        Some(Value::String(choice)) if choice == "none" => Ok(false),
        Some(Value::String(choice)) if choice == "required" => Err(ApiError::field(
            "tool_choice",
            "`required` is not supported: the model decides; `auto` lets it call, `none` does not",
        )),
        Some(Value::Object(_)) => Err(ApiError::field(
            "tool_choice",
            "of one tool is not supported: the model decides; give that tool alone with `auto`",
        )),
        Some(_) => Err(ApiError::field("tool_choice", "is to be `auto` or `none`")),
    }
}

fn read_tools(fields: &Fields<'_>) -> Result<Option<Vec<Value>>> {
    let Some(tools) = fields.list("tools", TOOLS_MAX)? else { return Ok(None) };
    for (n, tool) in tools.iter().enumerate() {
        let place = format!("tools[{n}].");
        let tool = Fields::of(tool, &place)?;
        if tool.text("type", NAME_BYTES_MAX)? != Some("function") {
            return Err(ApiError::field(tool.name("type"), "is to be `function`"));
        }
        let place = format!("tools[{n}].function.");
        let function = Fields::of(tool.get("function").unwrap_or(&Value::Null), &place)?;
        if function.text("name", NAME_BYTES_MAX)?.is_none_or(str::is_empty) {
            return Err(ApiError::field(function.name("name"), "is missing"));
        }
        function.object("parameters")?;
    }
    Ok(Some(tools.to_vec()))
}

/// A message as templates read it: what clients send beside these fields is left out.
fn read_message(n: usize, message: &Value) -> Result<Value> {
    let place = format!("messages[{n}].");
    let fields = Fields::of(message, &place)?;
    let role = match fields.text("role", NAME_BYTES_MAX)? {
        Some("developer") => "system",
        Some(role @ ("system" | "user" | "assistant" | "tool")) => role,
        _ => return Err(ApiError::field(fields.name("role"), "is to be system, user, assistant or tool")),
    };
    let calls = read_calls(&fields)?;
    let content = match content(&fields)? {
        Some(content) => content,
        None if role == "assistant" => String::new(),
        None => return Err(ApiError::field(fields.name("content"), "is missing")),
    };
    let mut read = Map::from_iter([("role".to_owned(), json!(role)), ("content".to_owned(), json!(content))]);
    for key in ["reasoning_content", "name", "tool_call_id"] {
        if let Some(text) = fields.text(key, usize::MAX)? {
            read.insert(key.to_owned(), text.into());
        }
    }
    if let Some(calls) = calls {
        read.insert("tool_calls".to_owned(), calls);
    }
    Ok(Value::Object(read))
}

/// The text of a message, which may come in parts.
fn content(fields: &Fields<'_>) -> Result<Option<String>> {
    match fields.get("content") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Array(_)) => {
            let mut whole = String::new();
            for (n, part) in fields.list("content", PARTS_MAX)?.unwrap_or_default().iter().enumerate() {
                let place = format!("{}[{n}].", fields.name("content"));
                let part = Fields::of(part, &place)?;
                match part.text("type", NAME_BYTES_MAX)? {
                    Some("text") => whole += part.text("text", usize::MAX)?.unwrap_or_default(),
                    _ => {
                        return Err(ApiError::field(
                            part.name("type"),
                            "is to be `text`: the model reads nothing else",
                        ));
                    }
                }
            }
            Ok(Some(whole))
        }
        Some(other) => Err(wrong(&fields.name("content"), "text or a list of parts", other)),
    }
}

fn read_calls(fields: &Fields<'_>) -> Result<Option<Value>> {
    let Some(calls) = fields.list("tool_calls", CALLS_MAX)?.filter(|calls| !calls.is_empty()) else { return Ok(None) };
    for (n, call) in calls.iter().enumerate() {
        let place = format!("{}[{n}].", fields.name("tool_calls"));
        let call = Fields::of(call, &place)?;
        call.text("id", NAME_BYTES_MAX)?;
        let place = format!("{}function.", call.name(""));
        let function = Fields::of(call.get("function").unwrap_or(&Value::Null), &place)?;
        if function.text("name", NAME_BYTES_MAX)?.is_none() {
            return Err(ApiError::field(function.name("name"), "is missing"));
        }
        // Templates walk over arguments as over an object.
        let is_object = match function.get("arguments") {
            Some(Value::String(text)) if text.trim().is_empty() => true,
            Some(Value::String(text)) => serde_json::from_str::<Map<String, Value>>(text).is_ok(),
            Some(arguments) => arguments.is_object(),
            None => true,
        };
        if !is_object {
            return Err(ApiError::field(function.name("arguments"), "is to be an object as JSON text"));
        }
    }
    let mut calls = calls.to_vec();
    for call in &mut calls {
        // Clients keep the arguments of a call without any as they heard them, which may be as no text.
        let arguments = call.pointer_mut("/function/arguments");
        if let Some(arguments) = arguments.filter(|it| it.as_str().is_some_and(|text| text.trim().is_empty())) {
            *arguments = json!("{}");
        }
    }
    Ok(Some(Value::Array(calls)))
}

#[cfg(test)]
mod tests;
