//! What a model is asked, as it is sent: one way for models here and for APIs.
//!
//! The suite's system prompt comes first, tools go as tools (each model's own template writes them), and thinking is said apart.
//! The two ways in which the pipeline wrote tools into text are there for comparison with its figures. What was sent is kept with
//! the answers, so that nobody has to guess it later.
//!
//! Promise: the same suite, task and way give the same prompt, whoever is asked.

use crate::suite::{Suite, Task, Thinking};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vertigo::id::Digest;

/// How a prompt says which tools there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolsIn {
    /// As tools of the request, which the model's chat template writes as it learned to read them.
    #[default]
    Request,
    /// In the system prompt, as the pipeline's benchmark did for APIs.
    SystemText,
    /// In the last question, as the pipeline's dry run of OpenGameEval did.
    QuestionText,
}

/// What is sent for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// The conversation.
    pub messages: Vec<Value>,
    /// The tools on offer, where the request says them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// Whether the model thinks first, and for how many tokens.
    pub thinking: Thinking,
    /// The most tokens of the answer after its thoughts.
    pub tokens_max: u32,
}

impl Prompt {
    /// The prompt of a task.
    pub fn of(suite: &Suite, task: &Task, tools_in: ToolsIn) -> Prompt {
        let mut messages = task.messages.clone();
        if let Some(system) = &suite.about.system {
            messages.insert(0, json!({"role": "system", "content": system}));
        }
        let mut tools = task.tools.clone();
        if tools_in != ToolsIn::Request && !tools.is_empty() {
            write(&mut messages, &tools, tools_in);
            tools.clear();
        }
        Prompt { messages, tools, thinking: suite.thinking(task), tokens_max: suite.tokens_max(task) }
    }

    /// What names the prompt.
    pub fn digest(&self) -> Digest {
        // Texts, numbers and maps with text keys always have a JSON.
        Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// The most tokens that a model may make in all.
    pub fn tokens_in_all(&self) -> u32 {
        match self.thinking {
            Thinking::Off => self.tokens_max,
            Thinking::Tokens(tokens) => self.tokens_max.saturating_add(tokens),
        }
    }

    /// All that is said in it, which an echo says again: the contents of its messages, one under the other.
    pub fn text(&self) -> String {
        let contents = self.messages.iter().filter_map(|message| message["content"].as_str());
        contents.collect::<Vec<_>>().join("\n")
    }
}

/// Writes the tools into a message, in the pipeline's words.
fn write(messages: &mut Vec<Value>, tools: &[Value], tools_in: ToolsIn) {
    let (role, json, then) = match tools_in {
        ToolsIn::Request => return,
        ToolsIn::SystemText => {
            ("system", as_python(&json!(tools)), "\nCall tools by responding with a JSON tool_call block.")
        }
        ToolsIn::QuestionText => {
            let functions: Vec<&Value> = tools.iter().map(|tool| &tool["function"]).collect();
            let then = "\n\nTo use a tool, respond with a JSON code block containing a tool_call with the function name and \
                        arguments. For execute_luau, include the Luau code to run in Studio. You may also write code directly \
                        in a ```luau code block.";
            ("user", as_python(&json!(functions)), then)
        }
    };
    let said = format!("\n\nYou have access to the following tools:\n```json\n{json}\n```{then}");
    match messages.iter_mut().rev().find(|message| message["role"] == role) {
        Some(message) => {
            message["content"] = format!("{}{said}", message["content"].as_str().unwrap_or_default()).into()
        }
        None => messages.insert(0, json!({"role": role, "content": said.trim_start()})),
    }
}

/// `json.dumps(value, indent=2)`: what is beyond ASCII stands as escapes.
fn as_python(value: &Value) -> String {
    let mut out = String::new();
    for c in serde_json::to_string_pretty(value).unwrap_or_default().chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::opengameeval;
    use std::collections::BTreeMap;

    fn suite() -> Suite {
        let eval = r#"eval = { scenario_name = "a", prompt = {{{ role = "user", content = [[Make it ü 😀]] }}}, place = "p.rbxl" }"#;
        opengameeval("o", &BTreeMap::from([("Evals/a.lua".to_owned(), eval.to_owned())])).unwrap()
    }

    #[test]
    fn tools_go_as_tools_unless_the_pipelines_way_is_asked_for() {
        let mut suite = suite();
        let task = suite.tasks[0].clone();
        let plain = Prompt::of(&suite, &task, ToolsIn::Request);
        assert_eq!((plain.messages.len(), plain.tools.len()), (1, 1));
        let question = Prompt::of(&suite, &task, ToolsIn::QuestionText);
        assert!(question.tools.is_empty());
        let said = question.messages[0]["content"].as_str().unwrap();
        assert!(said.starts_with("Make it ü 😀\n\nYou have access to the following tools:\n```json\n[\n  {\n    \"name\": \"execute_luau\""), "{said}");
        assert!(said.ends_with("in a ```luau code block."), "{said}");
        suite.about.system = Some("Be brief.".to_owned());
        let system = Prompt::of(&suite, &task, ToolsIn::SystemText);
        let said = system.messages[0]["content"].as_str().unwrap();
        assert!(said.starts_with("Be brief.\n\nYou have") && said.ends_with("a JSON tool_call block."), "{said}");
        assert_eq!(system.messages[1]["content"], "Make it ü 😀");
        assert_ne!(plain.digest(), question.digest());
    }

    #[test]
    fn json_is_pythons() {
        assert_eq!(
            as_python(&json!({"ü": ["😀", [], {}]})),
            "{\n  \"\\u00fc\": [\n    \"\\ud83d\\ude00\",\n    [],\n    {}\n  ]\n}"
        );
    }
}
