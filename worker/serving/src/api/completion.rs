//! `POST /v1/completions`: the request.

use super::error::ApiError;
use super::fields::{Fields, wrong};
use super::request::{Asked, CHOICES_MAX, Prompt, TOP_MAX, Text};
use serde_json::Value;

type Result<T> = std::result::Result<T, ApiError>;

/// Reads a request.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn read(body: &Value) -> Result<Asked> {
    let fields = Fields::of(body, "")?;
    fields.refuse("suffix", |value| value == "", "the model goes on from the end alone")?;
    fields.refuse("echo", |value| value == false, "the prompt is not said again")?;
    fields.refuse("best_of", |value| value == 1, "ask for several answers by `n`")?;
    let texts = texts(&fields)?;
    let prompts = texts.len();
    let mut asked = Asked::read(&fields, Prompt::Texts(texts))?;
    if asked.choices * prompts > CHOICES_MAX as usize {
        let all = asked.choices * prompts;
        return Err(ApiError::field("n", format!("asks for {all} answers in all, and at most {CHOICES_MAX} are made")));
    }
    asked.logprobs = fields.count("logprobs", 0..=TOP_MAX)?;
    Ok(asked)
}

/// A text, tokens, or a list of either.
fn texts(fields: &Fields<'_>) -> Result<Vec<Text>> {
    let wrong = |value: &Value| wrong("prompt", "text, tokens, or a list of either", value);
    let Some(prompt) = fields.get("prompt") else {
        return Err(ApiError::field("prompt", "is missing"));
    };
    match prompt {
        Value::String(text) => Ok(vec![Text::Written(text.clone())]),
        Value::Array(items) if items.first().is_some_and(Value::is_number) => Ok(vec![tokens(items)?]),
        Value::Array(_) => {
            let items = fields.list("prompt", CHOICES_MAX as usize)?.unwrap_or_default();
            if items.is_empty() {
                return Err(ApiError::field("prompt", "is empty"));
            }
            let read = |item: &Value| match item {
                Value::String(text) => Ok(Text::Written(text.clone())),
                Value::Array(items) => tokens(items),
                other => Err(wrong(other)),
            };
            items.iter().map(read).collect()
        }
        other => Err(wrong(other)),
    }
}

fn tokens(items: &[Value]) -> Result<Text> {
    let token = |item: &Value| item.as_u64().and_then(|id| u32::try_from(id).ok());
    let tokens: Option<Vec<u32>> = items.iter().map(token).collect();
    tokens.map(Text::Tokens).ok_or_else(|| ApiError::field("prompt", "has a token that is no whole number of 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_prompt_is_text_or_tokens_or_several() {
        let texts = |prompt: Value| match read(&json!({"model": "m", "prompt": prompt})).unwrap().prompt {
            Prompt::Texts(texts) => texts,
            other => panic!("{other:?}"),
        };
        let written = |text: &str| Text::Written(text.to_owned());
        assert_eq!(texts(json!("a")), [written("a")]);
        assert_eq!(texts(json!(["a", [1, 2]])), [written("a"), Text::Tokens(vec![1, 2])]);
        assert_eq!(texts(json!([1, 2])), [Text::Tokens(vec![1, 2])]);
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_by_its_name() {
        let whole = json!({"model": "m", "prompt": "a", "suffix": null, "echo": false, "best_of": 1, "logprobs": 3});
        assert_eq!(read(&whole).unwrap().logprobs, Some(3));
        for (key, value) in [
            ("prompt", json!(null)),
            ("prompt", json!([])),
            ("prompt", json!([1, "a"])),
            ("prompt", json!([{}])),
            ("prompt", json!([-1])),
            ("prompt", json!(["a"; 17].to_vec())),
            ("suffix", json!("b")),
            ("echo", json!(true)),
            ("best_of", json!(2)),
            ("logprobs", json!(21)),
            ("n", json!(17)),
        ] {
            let mut body = whole.clone();
            body[key] = value.clone();
            let error = read(&body).unwrap_err();
            assert_eq!((error.status, error.param.as_deref()), (400, Some(key)), "{key} {value}: {error}");
        }
        let error = read(&json!({"model": "m", "prompt": ["a", "b"], "n": 9})).unwrap_err();
        assert!(error.message.contains("18 answers"), "{error}");
    }
}
