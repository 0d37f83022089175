//! Chat templates as Hugging Face renders them: Jinja with blocks trimmed, Python's string methods, `tojson` as Python's
//! `json.dumps`, `raise_exception`, `strftime_now` and `{% generation %}`.
//!
//! Promise: a template gives the text that `apply_chat_template` gives, or an error; an argument that is not supported is an
//! error too, never another text. A template comes with a base from anywhere, so what one rendering may cost is bounded: see
//! [`RENDERING_FUEL_MAX`] and [`RENDERED_BYTES_MAX`].

use crate::clock;
use crate::error::{Result, TextError};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};
use vertigo::bytes::Bytes;

/// What one rendering may cost in minijinja's unit: an instruction, or 64 bytes of text or lists that the template makes. So it
/// ends within seconds, and holds at most 256 MB at a time. minijinja asks for the price of `'x' * n` before it makes it.
///
/// What it does not count, such as lists that are joined to text or compared with `==` where each holds the one before twice, has the
/// child's resident memory as its bound.
///
/// The bound does not grow with the conversation: one that is worth training on is bounded by `max_seq_length`, and what a hostile
/// template may take must not be for the data to say. A template of
/// Qwen3.5's kind takes some 40 for a short message and 13 for 100 bytes of a long one.
const RENDERING_FUEL_MAX: u64 = 4_000_000;

/// What one conversation may come to as text: some four million tokens, sixteen times what Qwen3.5 can attend to.
const RENDERED_BYTES_MAX: usize = 16 << 20;

/// What is told of an error: a template chooses the words of `raise_exception`.
const PROBLEM_BYTES_MAX: usize = 2048;

const DEFAULT: &str = "default";
const TOOL_USE: &str = "tool_use";

/// A model's chat template, or several by name: `tool_use` is for chats with tools, `default` for all others.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    has_tool_use: bool,
}

impl ChatTemplate {
    /// From the text of a template.
    pub(crate) fn one(template: &str) -> Result<ChatTemplate> {
        ChatTemplate::named([(DEFAULT, template)].into_iter())
    }

    /// From `tokenizer_config.json`'s `chat_template`: a string, or a list of `{"name", "template"}`. `None` where there is
    /// none.
    pub(crate) fn from_config(value: &Value) -> Result<Option<ChatTemplate>> {
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
            Err(TextError::input("chat_template is a list without one named `default`; name one so"))
        }
    }

    /// The text for `context`.
    ///
    /// # Errors
    /// [`TextError::Input`] where the template refuses, loops on, or makes too much of the conversation.
    pub(crate) fn render(&self, context: Jinja, with_tools: bool) -> Result<String> {
        let name = if with_tools && self.has_tool_use { TOOL_USE } else { DEFAULT };
        let mut out = Bounded::default();
        let rendered = self.environment.get_template(name).and_then(|template| {
            template.render_captured_to(context, &mut out)?;
            Ok(())
        });
        rendered.map_err(refused)?;
        String::from_utf8(out.bytes).map_err(|e| TextError::input(format!("chat_template: {e}")))
    }
}

fn refused(error: Error) -> TextError {
    let mut problem = format!("chat_template: {error}");
    if problem.len() > PROBLEM_BYTES_MAX {
        problem.truncate(problem.floor_char_boundary(PROBLEM_BYTES_MAX));
        problem.push('…');
    }
    match error.kind() {
        ErrorKind::OutOfFuel => problem += "; it loops on, or makes more and more text: mend the base's template",
        // The writer's own words: minijinja says only that writing failed.
        ErrorKind::WriteFailure => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            problem += &cause;
        }
        _ => {}
    }
    TextError::input(problem)
}

/// Bytes, at most [`RENDERED_BYTES_MAX`] of them.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
}

impl io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if more.len() > RENDERED_BYTES_MAX - self.bytes.len() {
            return Err(io::Error::other(format!(
                "it makes more than {} of one conversation; mend the base's template, or take the conversation apart",
                Bytes(RENDERED_BYTES_MAX as u64)
            )));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn environment() -> std::result::Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(RENDERING_FUEL_MAX));
    // With it, an error tells the template's variables, however long they are.
    environment.set_debug(false);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> std::result::Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| -> std::result::Result<String, Error> {
        clock::now(&format).map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
    });
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", to_string);
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

/// minijinja's own, bounded: it charges for a list's text when it is made, and one that holds itself twice, 64 times over, is small
/// until then.
fn to_string(value: Jinja) -> std::result::Result<Jinja, Error> {
    if value.kind() == ValueKind::String {
        return Ok(value);
    }
    let mut out = Bounded::default();
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::InvalidOperation, format!("string: {e}"));
    write!(out, "{value}").map_err(|e| failed(&e))?;
    String::from_utf8(out.bytes).map(Jinja::from).map_err(|e| failed(&e))
}

/// Python's `json.dumps(value, ensure_ascii=False)`, which Hugging Face's `tojson` is; `indent` as there.
fn to_json(state: &State, value: Jinja, arguments: Kwargs) -> std::result::Result<Jinja, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    if let Some(width) = indent.filter(|width| *width > SPACES.len()) {
        let problem = format!("tojson(indent={width}) is more than {} spaces", SPACES.len());
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    for flag in ["ensure_ascii", "sort_keys"] {
        if arguments.get::<Option<bool>>(flag)?.unwrap_or(false) {
            return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson({flag}=true) is not supported")));
        }
    }
    arguments.assert_all_used()?;
    let failed = |e: &dyn std::fmt::Display| Error::new(ErrorKind::BadSerialization, e.to_string());
    let mut out = Bounded::default();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut out, PythonJson { indent, depth: 0, filled: false });
    value.serialize(&mut serializer).map_err(|e| failed(&e))?;
    // The result's size is charged by minijinja; to walk a value takes as long again.
    state.consume_fuel(out.bytes.len() as u64 / 64)?;
    String::from_utf8(out.bytes).map(Jinja::from_safe_string).map_err(|e| failed(&e))
}

/// The widest indentation.
const SPACES: [u8; 16] = [b' '; 16];

/// Spaces, line breaks and floats as Python writes them.
struct PythonJson {
    indent: Option<usize>,
    depth: usize,
    /// Whether the list or object that is being ended holds anything.
    filled: bool,
}

impl PythonJson {
    fn line<W: ?Sized + io::Write>(&self, writer: &mut W, width: usize) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(&SPACES[..width]))
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

    #[test]
    fn a_template_that_makes_too_much_or_does_not_end_is_an_error() {
        let doubled = |what: &str, made: &str| {
            format!(
                "{{% set ns = namespace(s={what}) %}}{{% for i in range(64) %}}{{% set ns.s = {made} %}}{{% endfor %}}"
            )
        };
        let text = |made| doubled("'xyz'", made);
        let lists = doubled("['x']", "[ns.s, ns.s]");
        let macro_loop = "{% macro f(n) %}{% for i in range(1000) %}{{ f(n) }}{% endfor %}{% endmacro %}{{ f(1) }}";
        let hostile = [
            // Text doubled by each operator, filter and method that can.
            text("ns.s ~ ns.s"),
            text("ns.s + ns.s"),
            text("ns.s * 2"),
            text("ns.s | replace('x', 'xx')"),
            text("ns.s.replace('x', 'xx')"),
            text("[ns.s, ns.s] | join"),
            text("('%s%s' | format(ns.s, ns.s))"),
            format!("{{% set s = 'xyz' %}}{}", "{% set s %}{{ s }}{{ s }}{% endset %}".repeat(64)),
            // All at once, in one expression.
            "{{ 'x' * 1000000000 }}".to_owned(),
            "{{ ([0] * 1000000000) | length }}".to_owned(),
            "{{ [1] | tojson(indent=1000000000) }}".to_owned(),
            // Small values that are exponentially large when they are written down.
            lists.clone() + "{{ ns.s | tojson }}",
            lists.clone() + "{{ ns.s }}",
            lists.clone() + "{{ ns.s | string | length }}",
            // Loops that do not end in a lifetime.
            "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}".to_owned(),
            macro_loop.to_owned(),
            // Output that goes on and on.
            format!("{{% for i in range(100000) %}}{}{{% endfor %}}", "z".repeat(1000)),
        ];
        for template in hostile {
            let error = render(&template, json!(0)).err().unwrap_or_else(|| panic!("rendered: {template}"));
            let TextError::Input(problem) = error else { panic!("{error:?}") };
            assert!(problem.starts_with("chat_template: ") && problem.len() < 2 * PROBLEM_BYTES_MAX, "{problem}");
        }
        let problem = |template: &str| render(template, json!(0)).unwrap_err().to_string();
        assert!(problem(&text("ns.s ~ ns.s")).contains("mend the base's template"));
        let long = "{% for i in range(100000) %}".to_owned() + &"z".repeat(1000) + "{% endfor %}";
        assert!(problem(&long).contains("more than 16.0 MiB of one conversation"), "{}", problem(&long));
        let told = problem("{{ raise_exception('é' * 100000) }}");
        assert!(told.len() < 2 * PROBLEM_BYTES_MAX, "{}", told.len());
    }

    #[test]
    fn a_conversation_of_twice_what_qwen_attends_to_has_fuel_to_spare() {
        let template = "{% for m in x %}{% set content = m.c | trim %}{% if m.c.startswith('<tool_response>') %}{% endif %}\
            {% if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip() %}{% endif %}\
            {{- '<|im_start|>' + 'user' + '\n' + content + '<|im_end|>' + '\n' }}{% endfor %}";
        let of = |messages: usize, bytes: usize| {
            let message = json!({"c": "word ".repeat(bytes / 5)});
            render(template, Value::Array(vec![message; messages])).map(|text| text.len())
        };
        assert!(of(4, 500_000).unwrap() > 1_900_000, "few and long");
        assert!(of(20_000, 100).unwrap() > 2_000_000, "many and short");
    }
}
