//! A call of a tool, as a model writes it between `<tool_call>` and `</tool_call>`.
//!
//! Two forms are read. Qwen3.5's, whose values are text of the types that the tool's schema says:
//!
//! ```text
//! <function=NAME>
//! <parameter=KEY>
//! VALUE
//! </parameter>
//! </function>
//! ```
//!
//! and Qwen3's, JSON: `{"name": NAME, "arguments": {…}}`. What is in neither form, or calls what was not given, is no call.

use super::schema;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

const FUNCTION: &str = "<function=";
const FUNCTION_END: &str = "</function>";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";

/// A call that a program can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// One of the tools that were given.
    pub(crate) name: String,
    /// The arguments: an object, as JSON.
    pub(crate) arguments: String,
}

/// The tools of a request: the schemas of their arguments, by name. Clones share them, as a request's answers do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tools(Arc<HashMap<String, Value>>);

impl Tools {
    /// Of functions with their JSON schemas.
    pub(crate) fn new(functions: impl IntoIterator<Item = (String, Value)>) -> Tools {
        Tools(Arc::new(functions.into_iter().collect()))
    }

    /// Reads a call. `None` where it is broken.
    pub(super) fn read(&self, body: &str) -> Option<Call> {
        let body = body.trim();
        let (name, arguments) = if body.starts_with('{') { read_json(body)? } else { self.read_tagged(body)? };
        let arguments = Value::Object(arguments).to_string();
        self.0.contains_key(&name).then_some(Call { name, arguments })
    }

    fn read_tagged(&self, body: &str) -> Option<(String, Map<String, Value>)> {
        let (name, mut rest) = body.strip_prefix(FUNCTION)?.split_once('>')?;
        let schema = self.0.get(name)?;
        let mut arguments = Map::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix(FUNCTION_END) {
                return after.is_empty().then(|| (name.to_owned(), arguments));
            }
            let (key, after) = rest.strip_prefix(PARAMETER)?.split_once('>')?;
            let end = end_of_value(after)?;
            let text = &after[..end];
            let text = text.strip_prefix('\n').unwrap_or(text);
            let text = text.strip_suffix('\n').unwrap_or(text);
            let value = schema::value(text, &schema["properties"][key], schema)?;
            if arguments.insert(key.to_owned(), value).is_some() {
                return None;
            }
            rest = &after[end + PARAMETER_END.len()..];
        }
    }
}

/// Where a parameter's value ends: at a closing tag after which comes another parameter or the function's end. A value may have such a
/// tag in its text.
fn end_of_value(text: &str) -> Option<usize> {
    text.match_indices(PARAMETER_END).map(|(at, _)| at).find(|at| {
        let after = text[at + PARAMETER_END.len()..].trim_start();
        after.starts_with(PARAMETER) || after.starts_with(FUNCTION_END)
    })
}

/// Arguments may be an object or JSON text of one, as OpenAI's own.
fn read_json(body: &str) -> Option<(String, Map<String, Value>)> {
    let mut call: Map<String, Value> = serde_json::from_str(body).ok()?;
    let name = match call.remove("name")? {
        Value::String(name) => name,
        _ => return None,
    };
    let arguments = match call.remove("arguments").or_else(|| call.remove("parameters")) {
        Some(Value::Object(arguments)) => arguments,
        Some(Value::String(text)) => serde_json::from_str(&text).ok()?,
        None => Map::new(),
        Some(_) => return None,
    };
    Some((name, arguments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn tools() -> Tools {
        let schema = json!({"type": "object", "properties": {
            "code": {"type": "string"}, "count": {"type": "integer"}, "deep": {"type": "object"}}});
        Tools::new([("run_code".to_owned(), schema), ("stop".to_owned(), Value::Null)])
    }

    fn arguments(body: &str) -> Option<Value> {
        tools().read(body).map(|call| serde_json::from_str(&call.arguments).unwrap())
    }

    #[test]
    fn both_forms_are_read() {
        let tagged = "\n<function=run_code>\n<parameter=code>\nlocal x = 1\n\nreturn x\n</parameter>\n<parameter=count>\n2\n</parameter>\n</function>\n";
        assert_eq!(arguments(tagged), Some(json!({"code": "local x = 1\n\nreturn x", "count": 2})));
        let json = r#"{"name": "run_code", "arguments": {"code": "x", "count": 2}}"#;
        assert_eq!(arguments(json), Some(json!({"code": "x", "count": 2})));
        assert_eq!(arguments(r#"{"name": "run_code", "arguments": "{\"count\": 2}"}"#), Some(json!({"count": 2})));
        assert_eq!(arguments("<function=stop></function>"), Some(json!({})));
        assert_eq!(arguments(r#"{"name": "stop"}"#), Some(json!({})));
    }

    #[test]
    fn a_value_may_have_tags_in_its_text() {
        let tagged = "<function=run_code><parameter=code>\nprint('</parameter>')\n</parameter></function>";
        assert_eq!(arguments(tagged), Some(json!({"code": "print('</parameter>')"})));
    }

    #[test]
    fn what_is_broken_is_no_call() {
        for body in [
            "",
            "{",
            "run_code()",
            r#"{"name": "other", "arguments": {}}"#,
            r#"{"name": "run_code", "arguments": []}"#,
            r#"{"name": "run_code", "arguments": "no"}"#,
            r#"{"name": 5}"#,
            "<function=other></function>",
            "<function=run_code>",
            "<function=run_code><parameter=code>x</function>",
            "<function=run_code><parameter=count>two</parameter></function>",
            "<function=run_code><parameter=code>a</parameter><parameter=code>b</parameter></function>",
            "<function=run_code></function> and more",
        ] {
            assert_eq!(tools().read(body), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_model_writes_is_more_than_broken(parts in proptest::collection::vec(
            "<function=|run_code|>|<parameter=|code|count|</parameter>|</function>|\n|[a{}\"é]{0,3}", 0..14)
        ) {
            let _ = tools().read(&parts.concat());
        }

        #[test]
        fn values_come_back_as_they_were_written(code in "[^<]{0,30}", count: i64) {
            let body = format!("<function=run_code>\n<parameter=code>\n{code}\n</parameter>\n<parameter=count>\n{count}\n</parameter>\n</function>");
            prop_assert_eq!(arguments(&body), Some(json!({"code": code, "count": count})));
        }
    }
}
