//! What both routes are asked: which model, how to choose tokens, when to end.

use super::error::ApiError;
use super::fields::{Fields, wrong};
use serde_json::{Map, Value};
use vertigo_engine::generate::Sampling;

type Result<T> = std::result::Result<T, ApiError>;

/// Tokens of an answer that may be asked for, whatever the model reads.
const TOKENS_MAX: u64 = 1 << 20;

/// Answers of one request.
pub(super) const CHOICES_MAX: u64 = 16;

/// Strings that may end an answer.
const STOPS_MAX: usize = 16;

/// Bytes of each.
const STOP_BYTES_MAX: usize = 1 << 10;

/// Tokens whose logits are changed.
const BIASES_MAX: usize = 1 << 10;

/// The most probable tokens that are told beside each.
pub(super) const TOP_MAX: u64 = 20;

/// Bytes of a model's name.
const NAME_BYTES_MAX: usize = 512;

/// Tokens that `top_k` may keep: as many as any vocabulary has.
const TOP_K_MAX: u64 = 1 << 20;

/// A request, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// The model's name.
    pub(crate) model: String,
    /// What is to be gone on from.
    pub(crate) prompt: Prompt,
    /// How tokens are chosen.
    pub(crate) wishes: Wishes,
    /// Answers to each prompt.
    pub(crate) choices: usize,
    /// Whether the answer is sent as it comes.
    pub(crate) is_streamed: bool,
    /// Whether the last piece of a stream tells how many tokens there were.
    pub(crate) includes_usage: bool,
    /// Strings that end the answer.
    pub(crate) stops: Vec<String>,
    /// How many of the most probable tokens are told beside each; `None`: no probability is told.
    pub(crate) logprobs: Option<usize>,
    /// Tokens of the answer at the most.
    pub(crate) tokens_max: Option<usize>,
    /// Tokens of the thought at the most.
    pub(crate) thought_tokens_max: Option<usize>,
}

/// What is to be gone on from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Prompt {
    /// A conversation.
    Chat {
        /// As templates read them: the content is text.
        messages: Vec<Value>,
        /// The tools as they were given, where they may be called.
        tools: Option<Vec<Value>>,
        /// What else the template is told.
        template: Map<String, Value>,
    },
    /// Texts, each answered by itself.
    Texts(Vec<Text>),
}

/// A text to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    /// As it is.
    Written(String),
    /// As tokens.
    Tokens(Vec<u32>),
}

/// How tokens are chosen, as far as a request says it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Wishes {
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Vec<(u32, f32)>,
    /// The seed, where there is one.
    pub(crate) seed: Option<u64>,
}

impl Wishes {
    /// What is wished, over a model's own `defaults`.
    pub(crate) fn over(&self, defaults: &Sampling, seed: u64) -> Sampling {
        let top_p = self.top_p.unwrap_or(defaults.top_p);
        let top_k = self.top_k.unwrap_or(defaults.top_k);
        // Of a probability of 0 the most probable token is left, not every one.
        let (top_p, top_k) = if top_p > 0.0 { (top_p, top_k) } else { (1.0, 1) };
        Sampling {
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_p,
            top_k,
            min_p: self.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(defaults.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(defaults.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(defaults.frequency_penalty),
            logit_bias: self.logit_bias.clone(),
            seed,
        }
    }

    fn read(fields: &Fields<'_>) -> Result<Wishes> {
        let number = |key, range| -> Result<Option<f32>> { Ok(fields.number(key, range)?.map(|number| number as f32)) };
        Ok(Wishes {
            temperature: number("temperature", 0.0..=2.0)?,
            top_p: number("top_p", 0.0..=1.0)?,
            top_k: top_k(fields)?,
            min_p: number("min_p", 0.0..=1.0)?,
            repetition_penalty: number("repetition_penalty", 0.01..=100.0)?,
            presence_penalty: number("presence_penalty", -2.0..=2.0)?,
            frequency_penalty: number("frequency_penalty", -2.0..=2.0)?,
            logit_bias: biases(fields)?,
            seed: seed(fields)?,
        })
    }
}

/// 0 keeps every token; so does -1, as vLLM's clients write it.
fn top_k(fields: &Fields<'_>) -> Result<Option<usize>> {
    match fields.get("top_k").and_then(Value::as_i64) {
        Some(-1) => Ok(Some(0)),
        _ => fields.count("top_k", 0..=TOP_K_MAX),
    }
}

/// A seed is any whole number of 64 bits, with a sign or without.
fn seed(fields: &Fields<'_>) -> Result<Option<u64>> {
    let Some(value) = fields.get("seed") else { return Ok(None) };
    // Two numbers are two seeds, whichever their sign.
    let seed = value.as_u64().or(value.as_i64().map(i64::cast_unsigned));
    seed.map(Some).ok_or_else(|| wrong("seed", "a whole number of 64 bits", value))
}

fn biases(fields: &Fields<'_>) -> Result<Vec<(u32, f32)>> {
    let Some(biases) = fields.object("logit_bias")? else { return Ok(Vec::new()) };
    if biases.len() > BIASES_MAX {
        return Err(ApiError::field("logit_bias", format!("has more than {BIASES_MAX} tokens")));
    }
    let read = |(token, bias): (&String, &Value)| {
        let token: u32 =
            token.parse().map_err(|_| ApiError::field("logit_bias", "is to name tokens by their numbers"))?;
        match bias.as_f64() {
            Some(bias) if (-100.0..=100.0).contains(&bias) => Ok((token, bias as f32)),
            _ => Err(ApiError::field(format!("logit_bias.{token}"), "is to be a number from -100 to 100")),
        }
    };
    biases.iter().map(read).collect()
}

fn stops(fields: &Fields<'_>) -> Result<Vec<String>> {
    let given = match fields.get("stop") {
        None => return Ok(Vec::new()),
        Some(text @ Value::String(_)) => std::slice::from_ref(text),
        Some(_) => fields.list("stop", STOPS_MAX)?.unwrap_or_default(),
    };
    let read = |stop: &Value| match stop.as_str() {
        None => Err(wrong("stop", "text or a list of texts", stop)),
        Some("") => Err(ApiError::field("stop", "has an empty text, which would end every answer at once")),
        Some(stop) if stop.len() > STOP_BYTES_MAX => {
            Err(ApiError::field("stop", format!("has a text of more than {STOP_BYTES_MAX} bytes")))
        }
        Some(stop) => Ok(stop.to_owned()),
    };
    given.iter().map(read).collect()
}

impl Asked {
    /// Reads what both routes have. `logprobs` and `tokens_max` each route names in its own way.
    pub(super) fn read(fields: &Fields<'_>, prompt: Prompt) -> Result<Asked> {
        let model = fields.text("model", NAME_BYTES_MAX)?.unwrap_or_default();
        if model.is_empty() {
            return Err(ApiError::field("model", "is to name a model; GET /v1/models lists them"));
        }
        let is_streamed = fields.flag("stream")?.unwrap_or(false);
        let includes_usage = match fields.get("stream_options") {
            None => false,
            Some(_) if !is_streamed => {
                return Err(ApiError::field("stream_options", "is only for streams: set `stream`"));
            }
            Some(options) => Fields::of(options, "stream_options.")?.flag("include_usage")?.unwrap_or(false),
        };
        Ok(Asked {
            model: model.to_owned(),
            prompt,
            wishes: Wishes::read(fields)?,
            choices: fields.count("n", 1..=CHOICES_MAX)?.unwrap_or(1),
            is_streamed,
            includes_usage,
            stops: stops(fields)?,
            logprobs: None,
            tokens_max: fields.count("max_tokens", 1..=TOKENS_MAX)?,
            thought_tokens_max: None,
        })
    }
}

/// A bound on tokens under another name.
pub(super) fn tokens(fields: &Fields<'_>, key: &str, least: u64) -> Result<Option<usize>> {
    fields.count(key, least..=TOKENS_MAX)
}
