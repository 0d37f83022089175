//! A smoke base's tokenizer: byte-level BPE trained on a dataset, with Qwen's special tokens and a ChatML template of our own.
//!
//! Promise: every text has tokens, and they read back as the text; the same dataset gives the same files.

use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::Path;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{AddedToken, Tokenizer};
use vertigo_model::dataset::{Dataset, Example};

/// Ends a text, and pads.
const END_OF_TEXT: &str = "<|endoftext|>";

/// Ends a turn of a chat.
const END_OF_TURN: &str = "<|im_end|>";

/// Tokens that are never split. Qwen's, in its order.
const SPECIAL: [&str; 3] = [END_OF_TEXT, "<|im_start|>", END_OF_TURN];

/// Tokens that are never split but are part of the text, as Qwen has them.
const MARKS: [&str; 6] = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"];

const TEMPLATE: &str = include_str!("chat_template.jinja");

/// A trained tokenizer.
pub(crate) struct SmokeTokenizer {
    tokenizer: Tokenizer,
    /// The token that ends an answer.
    pub(crate) end_of_turn: u32,
}

/// Trains on the text of `dataset`, to at most `vocabulary` tokens.
pub(crate) fn train(dataset: &Dataset, vocabulary: usize) -> tokenizers::Result<SmokeTokenizer> {
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let trainer = BpeTrainer::builder()
        .vocab_size(vocabulary - SPECIAL.len() - MARKS.len())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    let texts: Vec<String> = dataset.train.iter().flat_map(|row| texts(&row.example)).collect();
    tokenizer.train(&mut TrainerWrapper::from(trainer), texts.into_iter())?;
    tokenizer.add_special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)))?;
    tokenizer.add_tokens(MARKS.map(|token| AddedToken::from(token, false)))?;
    let end_of_turn = tokenizer.token_to_id(END_OF_TURN).ok_or("the vocabulary has no room for special tokens")?;
    Ok(SmokeTokenizer { tokenizer, end_of_turn })
}

impl SmokeTokenizer {
    /// Writes `tokenizer.json` and `tokenizer_config.json`.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let json = self.tokenizer.to_string(false).map_err(io::Error::other)?;
        fs::write(folder.join("tokenizer.json"), json)?;
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 32768,
            "eos_token": END_OF_TURN,
            "pad_token": END_OF_TEXT,
            "clean_up_tokenization_spaces": false,
            "chat_template": TEMPLATE,
        });
        fs::write(folder.join("tokenizer_config.json"), format!("{config:#}\n"))
    }
}

/// Every text of an example, what is in its tools and calls too.
fn texts(example: &Example) -> Vec<String> {
    let mut texts = Vec::new();
    match example {
        Example::Text(text) => texts.push(text.clone()),
        Example::Completion { prompt, completion } => texts.extend([prompt.clone(), completion.clone()]),
        Example::Chat { messages, tools } => {
            messages.iter().for_each(|message| strings(message, &mut texts));
            texts.extend(tools.as_ref().map(Value::to_string));
        }
    }
    texts
}

fn strings(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        Value::Object(map) => map.values().for_each(|item| strings(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
