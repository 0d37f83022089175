//! From an example to tokens: the model's tokenizer and its chat template, as Hugging Face renders it.
//!
//! Promise: the tokens and the masked prompt of an example are those of mlx-lm's datasets.

use crate::error::{AtPath, EngineError, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as Jinja};
use minijinja::{Environment, ErrorKind, context};
use serde::Serialize;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::Path;
use tokenizers::Tokenizer;
use vertigo::dataset::Example;

/// A model's tokenizer and chat template.
pub struct ChatTokenizer {
    tokenizer: Tokenizer,
    environment: Option<Environment<'static>>,
    eos: u32,
    specials: Specials,
}

#[derive(Clone)]
struct Specials {
    bos: String,
    eos: String,
}

/// An example as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The tokens.
    pub ids: Vec<u32>,
    /// How many of the first are the prompt, and not learned from.
    pub prompt: usize,
}

const TEMPLATE: &str = "chat";

impl ChatTokenizer {
    /// Reads `tokenizer.json`, `tokenizer_config.json` and, where it is a file of its own, `chat_template.jinja`.
    ///
    /// # Errors
    /// [`EngineError::Input`] naming the file and what is wrong with it.
    pub fn load(folder: &Path) -> Result<ChatTokenizer> {
        let path = folder.join("tokenizer.json");
        let tokenizer = Tokenizer::from_file(&path).map_err(|e| EngineError::input(format!("{}: {e}", path.display())))?;
        let path = folder.join("tokenizer_config.json");
        let text = fs::read_to_string(&path).at(&path)?;
        let config: Value =
            serde_json::from_str(&text).map_err(|e| EngineError::input(format!("{}: {e}", path.display())))?;
        let token = |key: &str| {
            let value = &config[key];
            value.as_str().or_else(|| value["content"].as_str()).unwrap_or_default().to_owned()
        };
        let specials = Specials { bos: token("bos_token"), eos: token("eos_token") };
        let eos = tokenizer.token_to_id(&specials.eos).ok_or_else(|| {
            EngineError::input(format!("{}: eos_token `{}` is not in the vocabulary", path.display(), specials.eos))
        })?;
        let file = folder.join("chat_template.jinja");
        let template = match config["chat_template"].as_str() {
            Some(template) => Some(template.to_owned()),
            None if file.exists() => Some(fs::read_to_string(&file).at(&file)?),
            None => None,
        };
        let environment = template.map(environment).transpose()?;
        Ok(ChatTokenizer { tokenizer, environment, eos, specials })
    }

    /// The token that ends an answer.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// Text to tokens, special tokens read as such, none added.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, false).map_err(|e| EngineError::input(format!("tokenizer: {e}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Tokens to text, special tokens left out.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer.decode(ids, true).map_err(|e| EngineError::input(format!("tokenizer: {e}")))
    }

    /// The chat template's text for `messages`.
    ///
    /// # Errors
    /// [`EngineError::Input`] where the model has no template, or the template refuses the messages.
    pub fn render(&self, messages: &[Value], tools: Option<&Value>, generation_prompt: bool) -> Result<String> {
        let environment = self.environment.as_ref().ok_or_else(|| {
            EngineError::input("the base has no chat_template; train it on {\"text\"} lines, or add one")
        })?;
        let template = environment.get_template(TEMPLATE).map_err(template_error)?;
        let context = context! {
            messages => Jinja::from(Serde(messages)),
            tools => tools.map(|tools| Jinja::from(Serde(tools))),
            add_generation_prompt => generation_prompt,
            bos_token => self.specials.bos.as_str(),
            eos_token => self.specials.eos.as_str(),
        };
        template.render(context).map_err(template_error)
    }

    /// An example as mlx-lm's datasets make it: with `mask_prompt`, all up to the last message is prompt.
    ///
    /// # Errors
    /// As [`render`](Self::render) and [`encode`](Self::encode).
    pub fn tokenize(&self, example: &Example, mask_prompt: bool) -> Result<Tokens> {
        match example {
            Example::Text(text) => {
                let mut ids = self.encode(text)?;
                if ids.last() != Some(&self.eos) {
                    ids.push(self.eos);
                }
                Ok(Tokens { ids, prompt: 0 })
            }
            Example::Completion { prompt, completion } => {
                let messages = [json!({"role": "user", "content": prompt}), json!({"role": "assistant", "content": completion})];
                self.chat(&messages, None, mask_prompt)
            }
            Example::Chat { messages, tools } => self.chat(messages, tools.as_ref(), mask_prompt),
        }
    }

    fn chat(&self, messages: &[Value], tools: Option<&Value>, mask_prompt: bool) -> Result<Tokens> {
        let ids = self.encode(&self.render(messages, tools, false)?)?;
        let mut prompt = 0;
        if let (true, Some((last, before))) = (mask_prompt, messages.split_last()) {
            let answers = last["role"] == "assistant";
            prompt = self.encode(&self.render(before, tools, answers)?)?.len();
        }
        Ok(Tokens { ids, prompt })
    }
}

fn template_error(error: minijinja::Error) -> EngineError {
    EngineError::input(format!("chat_template: {error:#}"))
}

fn environment(template: String) -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(template_error)?;
    environment.set_syntax(syntax);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> std::result::Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_filter("tojson", to_json);
    environment.add_template_owned(TEMPLATE, template).map_err(template_error)?;
    Ok(environment)
}

/// Python's `json.dumps(value, ensure_ascii=False)`, which Hugging Face's `tojson` is; `indent` as there.
fn to_json(value: Jinja, arguments: Kwargs) -> std::result::Result<Jinja, minijinja::Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    let failed = |e: &dyn std::fmt::Display| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string());
    let mut out = Vec::new();
    let written = match indent {
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced)),
        Some(width) => {
            let spaces = " ".repeat(width);
            let pretty = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, pretty))
        }
    };
    written.map_err(|e| failed(&e))?;
    String::from_utf8(out).map(Jinja::from_safe_string).map_err(|e| failed(&e))
}

/// `", "` and `": "` between items, as Python writes them.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, messages: Value, tools: Option<Value>) -> String {
        let environment = environment(template.to_owned()).unwrap();
        let template = environment.get_template(TEMPLATE).unwrap();
        template.render(context! { messages => Jinja::from(Serde(&messages)), tools => tools.map(|t| Jinja::from(Serde(t))) }).unwrap()
    }

    #[test]
    fn json_in_templates_is_python_json() {
        let tools = json!([{"name": "a<b", "n": [1, 2.5, null, true], "é": "ü"}]);
        let out = render("{{ tools[0] | tojson }}", json!([]), Some(tools));
        assert_eq!(out, r#"{"name": "a<b", "n": [1, 2.5, null, true], "é": "ü"}"#);
    }

    #[test]
    fn templates_may_use_python_methods_and_blocks_leave_no_space() {
        let template = "{% for m in messages %}\n    {% if m.content.startswith('x') %}\n{{ m.content.strip() }}\n{% endif %}\n{% endfor %}";
        assert_eq!(render(template, json!([{"content": "x y "}, {"content": "z"}]), None), "x y\n");
    }
}
