//! What a model's folder says of how to use it.

use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use vertigo_engine::generate::Sampling;

/// How long a prompt and its answer may be where the configuration does not say.
const CONTEXT_TOKENS: usize = 32_768;

/// What is known of a model beside its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Tokens that a prompt and its answer may have together.
    pub context_tokens: usize,
    /// How tokens are chosen where a request does not say: the model's own values, and where it has none OpenAI's.
    pub sampling: Sampling,
    /// Tokens that end an answer beside the tokenizer's own.
    pub ends: Vec<u32>,
}

/// A file of the folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FactsError {
    path: PathBuf,
    problem: String,
}

impl Facts {
    /// Reads `config.json`, and `generation_config.json` where there is one.
    ///
    /// # Errors
    /// Names the file that is none.
    pub fn read(folder: &Path) -> Result<Facts, FactsError> {
        let config = read(&folder.join("config.json"))?.unwrap_or_default();
        let generation = read(&folder.join("generation_config.json"))?.unwrap_or_default();
        Ok(Facts::of(&config, &generation))
    }

    /// The same of what the files have in them.
    pub fn of(config: &Value, generation: &Value) -> Facts {
        let text = config.get("text_config").unwrap_or(config);
        let context = text["max_position_embeddings"].as_u64().and_then(|tokens| usize::try_from(tokens).ok());
        let number = |key: &str, otherwise: f32| generation[key].as_f64().map_or(otherwise, |number| number as f32);
        let sampling = Sampling {
            temperature: number("temperature", 1.0),
            top_p: number("top_p", 1.0),
            top_k: generation["top_k"].as_u64().and_then(|k| usize::try_from(k).ok()).unwrap_or(0),
            min_p: number("min_p", 0.0),
            repetition_penalty: number("repetition_penalty", 1.0),
            ..Sampling::default()
        };
        let ends = match &generation["eos_token_id"] {
            Value::Array(ends) => ends.iter().filter_map(token).collect(),
            end => token(end).into_iter().collect(),
        };
        Facts { context_tokens: context.unwrap_or(CONTEXT_TOKENS), sampling, ends }
    }
}

fn token(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// A file's JSON; nothing where there is no file.
fn read(path: &Path) -> Result<Option<Value>, FactsError> {
    let wrong = |problem: String| FactsError { path: path.to_owned(), problem };
    match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| wrong(e.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_models_own_values_go_before_openais() {
        let plain = Facts::of(&json!({}), &json!({}));
        assert_eq!((plain.context_tokens, plain.sampling.temperature, plain.ends.len()), (CONTEXT_TOKENS, 1.0, 0));
        let config = json!({"text_config": {"max_position_embeddings": 4096}});
        let generation = json!({"temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [7, 8]});
        let facts = Facts::of(&config, &generation);
        assert_eq!((facts.context_tokens, facts.ends), (4096, vec![7, 8]));
        assert_eq!((facts.sampling.temperature, facts.sampling.top_k, facts.sampling.top_p), (0.6, 20, 0.95));
        assert_eq!(Facts::of(&json!({"max_position_embeddings": 8}), &json!({"eos_token_id": 7})).ends, [7]);
    }
}
