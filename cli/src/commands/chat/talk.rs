//! What a person types, and the conversation that it makes. Pure: lines in, messages out.

use super::stream::{Answer, Call};
use serde_json::{Map, Value, json};

/// What `/help` says.
pub(super) const HELP: &str = "\
/system TEXT    what the model is told before all else; without TEXT: nothing any more
/tools FILE     tools that it may call: a JSON list in OpenAI's form; without FILE: none any more
/think on|off   whether it thinks before it answers
/clear          forgets the conversation
/quit           ends, as Ctrl-D does
Ctrl-C stops the answer. A line that ends with \\ goes on in the next one.";

/// A line that was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Say(String),
    System(String),
    Tools(String),
    Think(bool),
    Clear,
    Help,
    Quit,
    /// Nothing, or a command that there is none of: what to tell.
    Wrong(String),
    Empty,
}

impl Line {
    pub(super) fn read(text: &str) -> Line {
        let text = text.trim();
        let Some(command) = text.strip_prefix('/') else {
            return if text.is_empty() { Line::Empty } else { Line::Say(text.to_owned()) };
        };
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (name, rest.trim()) {
            ("system", text) => Line::System(text.to_owned()),
            ("tools", file) => Line::Tools(file.to_owned()),
            ("think", "on") => Line::Think(true),
            ("think", "off") => Line::Think(false),
            ("think", _) => Line::Wrong("write /think on or /think off".to_owned()),
            ("clear", "") => Line::Clear,
            ("help" | "?", _) => Line::Help,
            ("quit" | "exit", "") => Line::Quit,
            _ => Line::Wrong(format!("there is no command /{name}; /help lists them")),
        }
    }
}

/// A conversation with a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Talk {
    pub(super) model: String,
    pub(super) system: String,
    pub(super) tools: Vec<Value>,
    /// Whether it thinks; `None`: as its template has it.
    pub(super) thinks: Option<bool>,
    /// Tokens of an answer at the most; `None`: as many as the service lets it have.
    pub(super) tokens_max: Option<u32>,
    pub(super) temperature: Option<f32>,
    pub(super) messages: Vec<Value>,
}

impl Talk {
    pub(super) fn say(&mut self, text: &str) {
        self.messages.push(json!({"role": "user", "content": text}));
    }

    /// Forgets the last thing that was said, to which there is no answer.
    pub(super) fn unsay(&mut self) {
        self.messages.pop();
    }

    /// Adds an answer, whole or as far as it came before it was stopped. A thought is no part of what is gone on from.
    pub(super) fn hear(&mut self, answer: &Answer) {
        let mut message = Map::new();
        message.insert("role".to_owned(), "assistant".into());
        message.insert("content".to_owned(), answer.text.as_str().into());
        if !answer.calls.is_empty() {
            message.insert("tool_calls".to_owned(), answer.calls.iter().map(call_json).collect());
        }
        self.messages.push(Value::Object(message));
    }

    /// Adds what a tool gave.
    pub(super) fn tell(&mut self, call: &Call, result: &str) {
        self.messages.push(json!({"role": "tool", "tool_call_id": call.id, "content": result}));
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
    }

    /// The request for the next answer.
    pub(super) fn request(&self) -> Value {
        let system = (!self.system.is_empty()).then(|| json!({"role": "system", "content": self.system}));
        let messages: Vec<&Value> = system.iter().chain(&self.messages).collect();
        let mut request = json!({
            "model": self.model,
            "messages": messages,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        let optional = [
            ("tools", (!self.tools.is_empty()).then(|| json!(self.tools))),
            ("chat_template_kwargs", self.thinks.map(|thinks| json!({"enable_thinking": thinks}))),
            ("max_tokens", self.tokens_max.map(Value::from)),
            ("temperature", self.temperature.map(Value::from)),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                request[key] = value;
            }
        }
        request
    }
}

/// A call as OpenAI's API writes it.
pub(super) fn call_json(call: &Call) -> Value {
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
}

/// Tools of a file: a list in OpenAI's form, or of the functions alone.
pub(super) fn read_tools(text: &str) -> Result<Vec<Value>, String> {
    let wrong = "it is no JSON list of tools, each {\"type\": \"function\", \"function\": {\"name\", \"description\", \"parameters\"}}";
    let Ok(Value::Array(list)) = serde_json::from_str(text) else { return Err(wrong.to_owned()) };
    let tool = |(n, tool): (usize, Value)| {
        let function =
            if tool.get("function").is_some() { tool } else { json!({"type": "function", "function": tool}) };
        let is_named = function["function"]["name"].as_str().is_some_and(|name| !name.is_empty());
        if is_named { Ok(function) } else { Err(format!("tool {} has no name", n + 1)) }
    };
    list.into_iter().enumerate().map(tool).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_or_is_a_command() {
        let read = Line::read;
        assert_eq!(read("  what is a metatable? "), Line::Say("what is a metatable?".to_owned()));
        assert_eq!(read("/system You are  terse."), Line::System("You are  terse.".to_owned()));
        assert_eq!((read("/think on"), read("/think  off")), (Line::Think(true), Line::Think(false)));
        assert_eq!(read("/tools a b.json"), Line::Tools("a b.json".to_owned()));
        assert_eq!(
            [read("/clear"), read("/help"), read("/quit"), read(" ")],
            [Line::Clear, Line::Help, Line::Quit, Line::Empty]
        );
        assert!(matches!(read("/think maybe"), Line::Wrong(told) if told.contains("/think on")));
        assert!(matches!(read("/sytem x"), Line::Wrong(told) if told.contains("/sytem") && told.contains("/help")));
    }

    #[test]
    fn a_conversation_is_what_was_said_and_answered_without_its_thoughts() {
        let mut talk = Talk { model: "mini".to_owned(), ..Talk::default() };
        talk.say("hello");
        assert_eq!(talk.request()["messages"], json!([{"role": "user", "content": "hello"}]));
        let call = Call { id: "c1".to_owned(), name: "time".to_owned(), arguments: "{}".to_owned() };
        let answer = Answer { thought: "hm".to_owned(), calls: vec![call.clone()], ..Answer::default() };
        talk.hear(&answer);
        talk.tell(&call, "noon");
        (talk.system, talk.thinks, talk.tokens_max) = ("Be terse.".to_owned(), Some(false), Some(9));
        let request = talk.request();
        let roles: Vec<_> = request["messages"].as_array().unwrap().iter().map(|it| it["role"].clone()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        assert_eq!(request["messages"][2]["tool_calls"][0]["function"]["name"], "time");
        assert!(!request.to_string().contains("hm"));
        assert_eq!(
            (&request["chat_template_kwargs"], &request["max_tokens"]),
            (&json!({"enable_thinking": false}), &json!(9))
        );
        assert!(request.get("tools").is_none() && request.get("temperature").is_none());
        talk.clear();
        assert_eq!(talk.request()["messages"].as_array().unwrap().len(), 1, "what it is told before all else stays");
    }

    #[test]
    fn tools_come_in_openais_form_or_as_functions_alone() {
        let tools = read_tools(r#"[{"name": "a"}, {"type": "function", "function": {"name": "b"}}]"#).unwrap();
        assert!(tools.iter().all(|tool| tool["type"] == "function"));
        assert_eq!((&tools[0]["function"]["name"], &tools[1]["function"]["name"]), (&json!("a"), &json!("b")));
        assert!(read_tools("{}").unwrap_err().contains("no JSON list"));
        assert_eq!(read_tools(r#"[{"name": "a"}, {"x": 1}]"#), Err("tool 2 has no name".to_owned()));
    }
}
