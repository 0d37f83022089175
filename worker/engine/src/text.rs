//! From an example to tokens: the model's tokenizer and its chat template, as Hugging Face renders it.
//!
//! Promise: the tokens and the masked prompt of an example are those of mlx-lm's datasets, but for two things. Where mlx-lm stops
//! because the template refuses tool calls whose arguments are a JSON string, as Qwen3.5's does, the template gets them parsed. Where
//! the prompt's tokens are not the beginning of the conversation's, mlx-lm masks as many as there are, and so a part of the answer;
//! here as many are masked as both begin with, and [`Tokenized`] says so. It happens where a token spans the border: after
//! `<think>\n`, an empty thought goes on with one more line break, and both are one token.

mod bytes;
mod clock;
mod template;

use crate::error::{EngineError, Result};
use minijinja::Value as Jinja;
use minijinja::value::Serde;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use template::ChatTemplate;
use tokenizers::Tokenizer;
use vertigo::files::AtPath;
use vertigo_model::dataset::{Example, Row};

/// The special tokens that templates may name.
const SPECIALS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Pairs of tokens by which mlx-lm knows that a model thinks before it answers.
const THINKING: [(&str, &str); 3] =
    [("<think>", "</think>"), ("<longcat_think>", "</longcat_think>"), ("<|think:start|>", "<|think:end|>")];

/// A model's tokenizer and chat template.
pub struct ChatTokenizer {
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    eos: u32,
    /// What every rendering gets: the special tokens, and `enable_thinking` as mlx-lm sets it.
    context: Map<String, Value>,
}

/// An example as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The tokens.
    pub ids: Vec<u32>,
    /// How many of the first are the prompt, and not learned from.
    pub prompt: usize,
}

/// An example's tokens, and whether its mask is what it looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenized {
    /// The tokens.
    pub tokens: Tokens,
    /// Whether all of the prompt's tokens are the beginning of the conversation's.
    pub prompt_is_shared: bool,
}

impl ChatTokenizer {
    /// Reads `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja`, which goes before the `chat_template` in
    /// `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`EngineError::Input`] naming the file and what is wrong with it.
    pub fn load(folder: &Path) -> Result<ChatTokenizer> {
        let path = folder.join("tokenizer.json");
        let tokenizer =
            Tokenizer::from_file(&path).map_err(|e| EngineError::input(format!("{}: {e}", path.display())))?;
        let path = folder.join("tokenizer_config.json");
        let text = fs::read_to_string(&path).at(&path)?;
        let wrong = |problem: String| EngineError::input(format!("{}: {problem}", path.display()));
        let config: Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let mut context = Map::new();
        for key in SPECIALS {
            if let Some(token) = config[key].as_str().or_else(|| config[key]["content"].as_str()) {
                context.insert(key.to_owned(), token.into());
            }
        }
        let known = |token: &str| tokenizer.token_to_id(token);
        let name =
            context.get("eos_token").and_then(Value::as_str).ok_or_else(|| wrong("has no eos_token".to_owned()))?;
        let eos = known(name).ok_or_else(|| wrong(format!("eos_token `{name}` is not in the vocabulary")))?;
        let thinks = THINKING.iter().any(|(start, end)| known(start).is_some() && known(end).is_some());
        context.insert("enable_thinking".to_owned(), thinks.into());
        let file = folder.join("chat_template.jinja");
        let template = if file.exists() {
            Some(ChatTemplate::one(&fs::read_to_string(&file).at(&file)?)?)
        } else {
            ChatTemplate::from_config(&config["chat_template"])?
        };
        Ok(ChatTokenizer { tokenizer, template, eos, context })
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
        self.encode_with(text, false)
    }

    fn encode_with(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, add_special_tokens).map_err(tokenizer_error)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Tokens to text, special tokens left out.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer.decode(ids, true).map_err(tokenizer_error)
    }

    /// The token that is `text` as a whole, where the vocabulary has one.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.tokenizer.token_to_id(text)
    }

    /// What the vocabulary calls a token. Its special tokens have no other text.
    pub fn name(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// What a token adds to a text, as bytes: a character may be spread over several. Special tokens add nothing, as in
    /// [`decode`](Self::decode). `None` for what is no token, and where the tokenizer is not made of bytes, as Qwen's is.
    pub fn bytes(&self, id: u32) -> Option<Vec<u8>> {
        bytes::of_token(&self.tokenizer, id)
    }

    /// What begins and ends a thought, where the vocabulary has both.
    pub fn thought_tags(&self) -> Option<(&'static str, &'static str)> {
        THINKING.into_iter().find(|(start, end)| self.token(start).is_some() && self.token(end).is_some())
    }

    /// The chat template's text for `messages`.
    ///
    /// # Errors
    /// [`EngineError::Input`] where the model has no template, or the template refuses the messages.
    pub fn render(&self, messages: &[Value], tools: Option<&Value>, generation_prompt: bool) -> Result<String> {
        self.render_with(messages, tools, generation_prompt, &Map::new())
    }

    /// The same, where the template is told `more`, such as `enable_thinking`.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_with(
        &self,
        messages: &[Value],
        tools: Option<&Value>,
        generation_prompt: bool,
        more: &Map<String, Value>,
    ) -> Result<String> {
        let template = self.template.as_ref().ok_or_else(|| {
            EngineError::input("the base has no chat_template; train it on {\"text\"} lines, or add one")
        })?;
        let messages = normalized(messages);
        let render = |messages: &[Value]| {
            let mut context = self.context.clone();
            context.extend(more.clone());
            context.insert("messages".to_owned(), messages.into());
            context.insert("tools".to_owned(), tools.cloned().unwrap_or(Value::Null));
            context.insert("add_generation_prompt".to_owned(), generation_prompt.into());
            template.render(Jinja::from(Serde(context)), tools.is_some())
        };
        render(&messages).or_else(|error| match with_parsed_arguments(&messages) {
            Some(messages) => render(&messages),
            None => Err(error),
        })
    }

    /// An example as mlx-lm's datasets make it: with `mask_prompt`, all up to the last message is prompt, and so is what the
    /// template puts before an answer.
    ///
    /// # Errors
    /// As [`render`](Self::render) and [`encode`](Self::encode).
    pub fn tokenize(&self, example: &Example, mask_prompt: bool) -> Result<Tokens> {
        Ok(self.read(example, mask_prompt)?.tokens)
    }

    /// The same, and whether the mask is what it looks like.
    ///
    /// # Errors
    /// As [`tokenize`](Self::tokenize).
    pub fn read(&self, example: &Example, mask_prompt: bool) -> Result<Tokenized> {
        match example {
            Example::Text(text) => {
                let mut ids = self.encode_with(text, true)?;
                if ids.last() != Some(&self.eos) {
                    ids.push(self.eos);
                }
                Ok(Tokenized { tokens: Tokens { ids, prompt: 0 }, prompt_is_shared: true })
            }
            Example::Completion { prompt, completion } => {
                let user = json!({"role": "user", "content": prompt});
                self.chat(&[user, json!({"role": "assistant", "content": completion})], None, mask_prompt)
            }
            Example::Chat { messages, tools } => self.chat(messages, tools.as_ref(), mask_prompt),
        }
    }

    /// The same of a dataset's line; what is wrong with it names the file and the line.
    pub(crate) fn read_row(&self, row: &Row, mask_prompt: bool) -> Result<Tokenized> {
        self.read(&row.example, mask_prompt).map_err(|error| match error {
            EngineError::Input(problem) => EngineError::Input(format!("{}: {problem}", row.place)),
            error => error,
        })
    }

    fn chat(&self, messages: &[Value], tools: Option<&Value>, mask_prompt: bool) -> Result<Tokenized> {
        let ids = self.encode(&self.render(messages, tools, false)?)?;
        let mut prompt = Vec::new();
        if let (true, Some((last, before))) = (mask_prompt, messages.split_last()) {
            let answers = last["role"] == "assistant";
            prompt = self.encode(&self.render(before, tools, answers)?)?;
        }
        let shared = prompt.iter().zip(&ids).take_while(|(prompt, whole)| prompt == whole).count();
        let prompt_is_shared = shared == prompt.len();
        Ok(Tokenized { tokens: Tokens { ids, prompt: shared }, prompt_is_shared })
    }
}

fn tokenizer_error(error: tokenizers::Error) -> EngineError {
    EngineError::input(format!("tokenizer: {error}"))
}

/// The messages as Hugging Face hands them to templates: without keys that are null, and with a thought under each of the
/// names that templates know it by.
fn normalized(messages: &[Value]) -> Vec<Value> {
    let mut messages = messages.to_vec();
    for message in messages.iter_mut().filter_map(Value::as_object_mut) {
        message.retain(|_, value| !value.is_null());
        if let Some(thought) =
            ["reasoning_content", "thinking", "reasoning"].iter().find_map(|key| message.get(*key)).cloned()
        {
            message.entry("thinking").or_insert_with(|| thought.clone());
            message.insert("reasoning_content".to_owned(), thought);
        }
    }
    messages
}

/// The messages with the arguments of tool calls as objects where they are JSON text of one. `None` where none are.
fn with_parsed_arguments(messages: &[Value]) -> Option<Vec<Value>> {
    let mut messages = messages.to_vec();
    let mut changed = false;
    for message in &mut messages {
        let Some(calls) = message.get_mut("tool_calls").and_then(Value::as_array_mut) else { continue };
        for call in calls {
            let call = if call.get("function").is_some() { &mut call["function"] } else { call };
            let Some(arguments) = call.get_mut("arguments") else { continue };
            let parsed = arguments.as_str().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
            if let Some(parsed) = parsed {
                *arguments = Value::Object(parsed);
                changed = true;
            }
        }
    }
    changed.then_some(messages)
}

#[cfg(test)]
mod tests;
