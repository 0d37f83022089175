//! Chat templates as Hugging Face renders them: Jinja with blocks trimmed, Python's string methods, `tojson` as Python's
//! `json.dumps`, `raise_exception`, `strftime_now` and `{% generation %}`.
//!
//! Promise: a template gives the text that `apply_chat_template` gives, or an error; an argument that is not supported is an
//! error too, never another text.

use super::clock;
use crate::error::{EngineError, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::Value;
use std::io;

const DEFAULT: &str = "default";
const TOOL_USE: &str = "tool_use";

/// A model's chat template, or several by name: `tool_use` is for chats with tools, `default` for all others.
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    has_tool_use: bool,
}

impl ChatTemplate {
    /// From the text of a template.
    pub(super) fn one(template: &str) -> Result<ChatTemplate> {
        ChatTemplate::named([(DEFAULT, template)].into_iter())
    }

    /// From `tokenizer_config.json`'s `chat_template`: a string, or a list of `{"name", "template"}`. `None` where there is
    /// none.
    pub(super) fn from_config(value: &Value) -> Result<Option<ChatTemplate>> {
        match value {
            Value::String(template) => ChatTemplate::one(template).map(Some),
            Value::Array(list) => {
                let pair = |entry: &'_ Value| {
                    Some((entry["name"].as_str()?.to_owned(), entry["template"].as_str()?.to_owned()))
                };
                let pairs: Vec<(String, String)> = list.iter().filter_map(pair).collect();
                ChatTemplate::named(pairs.iter().map(|(name, template)| (name.as_str(), template.as_str()))).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn named<'a>(templates: impl Iterator<Item = (&'a str, &'a str)>) -> Result<ChatTemplate> {
        let mut environment = environment().map_err(refused)?;
        let (mut has_default, mut has_tool_use) = (false, false);
        for (name, template) in templates {
            has_default |= name == DEFAULT;
            has_tool_use |= name == TOOL_USE;
            environment.add_template_owned(name.to_owned(), without_generation(template)).map_err(refused)?;
        }
        if has_default {
            Ok(ChatTemplate { environment, has_tool_use })
        } else {
            Err(EngineError::input("chat_template is a list without one named `default`; name one so"))
        }
    }

    /// The text for `context`.
    pub(super) fn render(&self, context: Jinja, with_tools: bool) -> Result<String> {
        let name = if with_tools && self.has_tool_use { TOOL_USE } else { DEFAULT };
        self.environment.get_template(name).and_then(|template| template.render(context)).map_err(refused)
    }
}

fn refused(error: Error) -> EngineError {
    EngineError::input(format!("chat_template: {error:#}"))
}

fn environment() -> std::result::Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> std::result::Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| -> std::result::Result<String, Error> {
        clock::now(&format).map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
    });
    environment.add_filter("tojson", to_json);
    Ok(environment)
}

/// `{% generation %}` only marks what Hugging Face's masks are made of; as a block it is an `if` that holds.
fn without_generation(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let Some(end) = rest[start..].find("%}").map(|n| start + n) else { break };
        let tag = &rest[start + 2..end];
        let word = tag.trim_matches(['-', '+']).trim();
        out.push_str(&rest[..start + 2]);
        match word {
            "generation" => out.push_str(&tag.replace(word, "if true")),
            "endgeneration" => out.push_str(&tag.replace(word, "endif")),
            _ => out.push_str(tag),
        }
        out.push_str("%}");
        rest = &rest[end + 2..];
    }
    out + rest
}

/// Python's `json.dumps(value, ensure_ascii=False)`, which Hugging Face's `tojson` is; `indent` as there.
fn to_json(value: Jinja, arguments: Kwargs) -> std::result::Result<Jinja, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    for flag in ["ensure_ascii", "sort_keys"] {
        if arguments.get::<Option<bool>>(flag)?.unwrap_or(false) {
            return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson({flag}=true) is not supported")));
        }
    }
    arguments.assert_all_used()?;
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::BadSerialization, e.to_string());
    let mut out = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut out, PythonJson { indent, depth: 0, filled: false });
    value.serialize(&mut serializer).map_err(|e| failed(&e))?;
    String::from_utf8(out).map(Jinja::from_safe_string).map_err(|e| failed(&e))
}

/// Spaces, line breaks and floats as Python writes them.
struct PythonJson {
    indent: Option<usize>,
    depth: usize,
    /// Whether the list or object that is being ended holds anything.
    filled: bool,
}

impl PythonJson {
    fn line<W: ?Sized + io::Write>(&self, writer: &mut W, width: usize) -> io::Result<()> {
        write!(writer, "\n{:1$}", "", width * self.depth)
    }

    fn begin_item<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        match (self.indent, first) {
            (None, true) => Ok(()),
            (None, false) => writer.write_all(b", "),
            (Some(width), _) => {
                writer.write_all(if first { b"" } else { b"," })?;
                self.line(writer, width)
            }
        }
    }

    fn begin<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(bracket)
    }

    fn end<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if let (Some(width), true) = (self.indent, self.filled) {
            self.line(writer, width)?;
        }
        self.filled = true;
        writer.write_all(bracket)
    }
}

impl serde_json::ser::Formatter for PythonJson {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        match exponent.parse::<i32>() {
            Ok(exponent) if !(-4..16).contains(&exponent) => {
                write!(writer, "{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
            }
            _ => write!(writer, "{value:?}"),
        }
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_item(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_item(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::value::Serde;
    use minijinja::{Value as Jinja, context};
    use serde_json::json;

    fn render(template: &str, value: Value) -> Result<String> {
        ChatTemplate::one(template)?.render(context! { x => Jinja::from(Serde(value)) }, false)
    }

    #[test]
    fn json_in_templates_is_python_json() {
        let value = json!([{"name": "a<b", "n": [1, 2.5, null, true], "é": "ü'\n"}, {}, [1e-5, 1e16, 0.0001, 123.0]]);
        let compact = r#"[{"name": "a<b", "n": [1, 2.5, null, true], "é": "ü'\n"}, {}, [1e-05, 1e+16, 0.0001, 123.0]]"#;
        assert_eq!(render("{{ x | tojson }}", value).unwrap(), compact);
        let value = json!({"b": [1, {"c": {}}], "a": []});
        let indented = "{\n  \"b\": [\n    1,\n    {\n      \"c\": {}\n    }\n  ],\n  \"a\": []\n}";
        assert_eq!(render("{{ x | tojson(indent=2, ensure_ascii=false) }}", value).unwrap(), indented);
        assert!(render("{{ x | tojson(sort_keys=true) }}", json!({})).is_err());
        assert!(render("{{ x | tojson(separators=1) }}", json!({})).is_err());
    }

    #[test]
    fn templates_may_use_python_methods_and_blocks_leave_no_space() {
        let template =
            "{% for m in x %}\n    {% if m.c.startswith('x') %}\n{{ m.c.strip() }}\n{% endif %}\n{% endfor %}";
        assert_eq!(render(template, json!([{"c": "x y "}, {"c": "z"}])).unwrap(), "x y\n");
        assert_eq!(
            render("{{ x[0] }} {{ x[1] | string }} {{ x[::-1][2] }}", json!([null, true, 1])).unwrap(),
            "None True None"
        );
    }

    #[test]
    fn generation_blocks_are_transparent() {
        let template = "a\n{%- generation %} b {{ x }}{%- endgeneration -%}\n c {% raw %}x{% endraw %}";
        assert_eq!(render(template, json!(1)).unwrap(), "a b 1c x");
    }

    #[test]
    fn a_template_can_refuse() {
        let error = render("{{ raise_exception('roles must alternate') }}", json!([])).unwrap_err().to_string();
        assert!(error.contains("chat_template: ") && error.contains("roles must alternate"), "{error}");
        assert_eq!(render("{{ strftime_now('%Y') | length }}", json!(0)).unwrap(), "4");
    }

    #[test]
    fn tool_use_is_for_chats_with_tools() {
        let list = json!([{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]);
        let template = ChatTemplate::from_config(&list).unwrap().unwrap();
        assert_eq!(template.render(context! {}, true).unwrap() + &template.render(context! {}, false).unwrap(), "td");
        assert!(ChatTemplate::from_config(&json!([{"name": "rag", "template": ""}])).is_err());
        assert!(ChatTemplate::from_config(&Value::Null).unwrap().is_none());
    }
}
