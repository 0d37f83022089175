//! What turns text into tokens, checked as the engine will read it: the tokenizer, its configuration, the chat template.
//!
//! Promise: each file that passes is what its name says. A private key under the name `tokenizer.json` does not go up, and a run
//! does not fail on a worker because of a file that could have been refused here.

use super::folder::{FolderError, Opened};
use serde_json::Value;
use tokenizers::Tokenizer;

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";

/// Qwen3.5's, with a vocabulary of 248,320 tokens, has about 20 MiB.
const TOKENIZER_BYTES_MAX: u64 = 256 << 20;

/// All other files, the largest of which is a vocabulary.
const TEXT_BYTES_MAX: u64 = 64 << 20;

/// JSON that goes along where it is there.
const JSON: [&str; 5] =
    ["generation_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "chat_template.json"];

/// Text that goes along where it is there.
const TEXTS: [&str; 2] = ["merges.txt", TEMPLATE];

/// Checks the files of a base that are about text, and names those that are there. `vocabulary` is how many tokens the model
/// knows: the rows of its embedding.
///
/// # Errors
/// A file that is missing or is not what its name says.
pub(super) fn check(folder: &Opened<'_>, vocabulary: u64) -> Result<Vec<&'static str>, FolderError> {
    for name in [TOKENIZER, TOKENIZER_CONFIG] {
        if !folder.has(name)? {
            let why = "without it no text becomes tokens; a Hugging Face snapshot has it".to_owned();
            return Err(FolderError::Missing { path: folder.path(name), why });
        }
    }
    let wrong = |name: &str, problem: String| folder.broken(name, problem);
    let tokenizer = Tokenizer::from_bytes(folder.read(TOKENIZER, TOKENIZER_BYTES_MAX)?)
        .map_err(|e| wrong(TOKENIZER, format!("not a tokenizer: {e}; fetch it again")))?;
    check_ids(&tokenizer, vocabulary).map_err(|problem| wrong(TOKENIZER, problem))?;
    let config = folder.json(TOKENIZER_CONFIG, TEXT_BYTES_MAX)?;
    check_config(&config, &tokenizer).map_err(|problem| wrong(TOKENIZER_CONFIG, problem))?;
    let mut files = vec![TOKENIZER, TOKENIZER_CONFIG];
    for name in JSON {
        if folder.has(name)? {
            if !folder.json(name, TEXT_BYTES_MAX)?.is_object() {
                return Err(folder.broken(name, "not a JSON object; fetch it again, or take it out of the folder"));
            }
            files.push(name);
        }
    }
    for name in TEXTS {
        if folder.has(name)? {
            let text = String::from_utf8(folder.read(name, TEXT_BYTES_MAX)?);
            if text.map_or(true, |text| text.contains('\0')) {
                return Err(folder.broken(name, "not text; fetch it again, or take it out of the folder"));
            }
            files.push(name);
        }
    }
    Ok(files)
}

/// Every token has a row of the embedding. One beyond the last would be a read beyond the weights.
fn check_ids(tokenizer: &Tokenizer, vocabulary: u64) -> Result<(), String> {
    let vocab = tokenizer.get_vocab(true);
    match vocab.iter().max_by_key(|(_, id)| **id) {
        None => Err("a tokenizer without tokens".to_owned()),
        Some((token, id)) if u64::from(*id) >= vocabulary => Err(format!(
            "token `{token}` has the number {id}, and config.json's vocab_size is {vocabulary}: it is another model's"
        )),
        Some(_) => Ok(()),
    }
}

fn check_config(config: &Value, tokenizer: &Tokenizer) -> Result<(), String> {
    if !config.is_object() {
        return Err("not a JSON object".to_owned());
    }
    let eos = &config["eos_token"];
    let eos =
        eos.as_str().or_else(|| eos["content"].as_str()).ok_or("has no `eos_token`: the token that ends an answer")?;
    if tokenizer.token_to_id(eos).is_none() {
        return Err(format!("`eos_token` is `{eos}`, which {TOKENIZER} does not have"));
    }
    match &config["chat_template"] {
        Value::Null | Value::String(_) => Ok(()),
        Value::Array(templates) => check_templates(templates),
        _ => Err("`chat_template` is neither text nor a list of texts by name".to_owned()),
    }
}

fn check_templates(templates: &[Value]) -> Result<(), String> {
    if !templates.iter().all(|entry| entry["name"].is_string() && entry["template"].is_string()) {
        return Err("`chat_template` is a list, and one of it is no {\"name\", \"template\"}".to_owned());
    }
    if !templates.iter().any(|entry| entry["name"] == "default") {
        return Err("`chat_template` is a list without one named `default`; name one so".to_owned());
    }
    Ok(())
}
