//! From a conversation or a text to a prompt's tokens, and to where other prompts may go on otherwise.

use crate::answer::{Tags, Tools};
use crate::api::{ApiError, Asked, Prompt, Text};
use serde_json::{Map, Value, json};
use vertigo_engine::text::ChatTokenizer;

/// Ends of turns that are told: the system prompt's and the latest. Each costs a rendering.
const BORDERS_MAX: usize = 16;

/// Bytes of a text that are encoded: more than the longest context has.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// Bytes of a token: a text of more for each token that the model reads is too long before it is encoded. The longest tokens of Qwen's
/// vocabulary are of 128 spaces.
const TOKEN_BYTES_MAX: usize = 128;

/// A prompt, and how its answer begins.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) tokens: Vec<u32>,
    /// Counts of first tokens, ascending: the ends of the system prompt and of turns.
    pub(super) borders: Vec<usize>,
    pub(super) tags: Option<Tags>,
    pub(super) is_within_thought: bool,
    pub(super) tools: Option<Tools>,
}

/// The prompts of a request, where the model reads `context` tokens, the answer's among them.
pub(super) fn prepare(text: &ChatTokenizer, asked: &Asked, context: usize) -> Result<Vec<Prepared>, ApiError> {
    let bound = Bound { text, context, answer: asked.tokens_max.unwrap_or(1) };
    match &asked.prompt {
        Prompt::Chat { messages, tools, template } => {
            let mut prepared = chat(&bound, messages, tools.as_deref(), template)?;
            // Answers to one prompt go on from its end.
            if asked.choices > 1 {
                prepared.end_at_last_token();
            }
            Ok(vec![prepared])
        }
        Prompt::Texts(texts) => texts.iter().map(|written| plain(&bound, written)).collect(),
    }
}

impl Prepared {
    /// Makes a border of the prompt's end, but for its last token: that is always read.
    fn end_at_last_token(&mut self) {
        let end = self.tokens.len().saturating_sub(1);
        if end > self.borders.last().copied().unwrap_or(0) {
            self.borders.push(end);
        }
    }
}

fn plain(bound: &Bound<'_>, written: &Text) -> Result<Prepared, ApiError> {
    const FIELD: &str = "prompt";
    let tokens = match written {
        Text::Written(written) => bound.encode(written, FIELD)?,
        Text::Tokens(tokens) => tokens.clone(),
    };
    bound.check(tokens.len(), FIELD)?;
    let mut prepared = Prepared { tokens, ..Prepared::default() };
    // A text has no turns that would be shared: it is shared as a whole.
    prepared.end_at_last_token();
    Ok(prepared)
}

/// How long a prompt may be.
struct Bound<'a> {
    text: &'a ChatTokenizer,
    context: usize,
    /// Tokens of the answer.
    answer: usize,
}

impl Bound<'_> {
    /// Encodes what is not too long for its bytes alone.
    fn encode(&self, written: &str, field: &'static str) -> Result<Vec<u32>, ApiError> {
        let most = self.context.saturating_mul(TOKEN_BYTES_MAX).min(TEXT_BYTES_MAX);
        if written.len() > most {
            let context = self.context;
            let problem =
                format!("the prompt has more than {most} bytes, and the model reads {context} tokens: shorten it");
            return Err(ApiError::too_long(field, problem));
        }
        encode(self.text, written)
    }

    fn check(&self, length: usize, field: &'static str) -> Result<(), ApiError> {
        let (context, answer) = (self.context, self.answer);
        if length == 0 {
            return Err(ApiError::field(field, "has no token"));
        }
        if length.saturating_add(answer) > context {
            let problem = format!(
                "the prompt has {length} tokens and the answer may have {answer}, but the model reads {context} in all: shorten \
                 the prompt or lower `max_tokens`"
            );
            return Err(ApiError::too_long(field, problem));
        }
        Ok(())
    }
}

fn chat(
    bound: &Bound<'_>,
    messages: &[Value],
    tools: Option<&[Value]>,
    template: &Map<String, Value>,
) -> Result<Prepared, ApiError> {
    const FIELD: &str = "messages";
    let text = bound.text;
    let functions = tools.map(|tools| Value::Array(tools.to_vec()));
    let rendering = Rendering { text, messages, tools: functions.as_ref(), template };
    let whole = rendering
        .of(messages, true)
        .map_err(|problem| ApiError::field(FIELD, format!("cannot be rendered: {problem}")))?;
    let tokens = bound.encode(&whole, FIELD)?;
    // Before the turns are told apart, which costs as much as all else.
    bound.check(tokens.len(), FIELD)?;
    let borders = borders(text, &rendering.ends(&whole), &whole, &tokens)?;
    let tags = text.thought_tags();
    // A thought is open where the template has opened it, not where somebody has written of one.
    let is_within_thought = tags.is_some_and(|(start, _)| whole.trim_end().ends_with(start));
    Ok(Prepared { tokens, borders, tags, is_within_thought, tools: tools.map(called) })
}

/// What may be called, by the tools as they were given.
fn called(tools: &[Value]) -> Tools {
    let function = |tool: &Value| {
        let function = &tool["function"];
        Some((function["name"].as_str()?.to_owned(), function["parameters"].clone()))
    };
    Tools::new(tools.iter().filter_map(function))
}

fn encode(text: &ChatTokenizer, written: &str) -> Result<Vec<u32>, ApiError> {
    text.encode(written).map_err(|error| ApiError::invalid(error.to_string()))
}

/// A conversation and what its template is told.
struct Rendering<'a> {
    text: &'a ChatTokenizer,
    messages: &'a [Value],
    tools: Option<&'a Value>,
    template: &'a Map<String, Value>,
}

impl Rendering<'_> {
    fn of(&self, messages: &[Value], generation_prompt: bool) -> Result<String, String> {
        self.text.render_with(messages, self.tools, generation_prompt, self.template).map_err(|error| error.to_string())
    }

    /// Where in `whole` the system prompt and turns end, in bytes, ascending. What a template renders of a part of the conversation need
    /// not be the beginning of what it renders of all of it: then it is no end.
    fn ends(&self, whole: &str) -> Vec<usize> {
        let turns = self.messages.len();
        let first = self.messages.iter().take_while(|message| message["role"] == "system").count();
        let mut ends = Vec::new();
        if first > 0 || self.tools.is_some() {
            ends.extend(self.end_of_system(first, whole));
        }
        let from = (first + 1).max(turns.saturating_sub(BORDERS_MAX - 2));
        for turn in from..=turns {
            if let Ok(part) = self.of(&self.messages[..turn], false)
                && whole.starts_with(&part)
            {
                ends.push(part.len());
            }
        }
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Templates may refuse a system prompt without a question. Two conversations that differ in the question alone show where it begins.
    fn end_of_system(&self, first: usize, whole: &str) -> Option<usize> {
        let mut other = self.messages[..first].to_vec();
        // A letter that no question begins with.
        other.push(json!({"role": "user", "content": "\u{10fffd}"}));
        let other = self.of(&other, false).ok()?;
        let shared = other.bytes().zip(whole.bytes()).take_while(|(a, b)| a == b).count();
        Some(whole.floor_char_boundary(shared)).filter(|shared| *shared > 0)
    }
}

/// The counts of tokens at `ends`, as far as these are borders of tokens, too: where the text up to there and after it, encoded by
/// themselves, give the tokens of the whole.
fn borders(text: &ChatTokenizer, ends: &[usize], whole: &str, tokens: &[u32]) -> Result<Vec<usize>, ApiError> {
    let (mut borders, mut begin, mut count) = (Vec::new(), 0, 0);
    for end in ends {
        let piece = encode(text, &whole[begin..*end])?;
        if tokens[count..].starts_with(&piece) {
            count += piece.len();
            begin = *end;
            if count > 0 && count < tokens.len() {
                borders.push(count);
            }
        }
    }
    borders.dedup();
    Ok(borders)
}

#[cfg(test)]
mod tests;
