//! From a conversation or a text to a prompt's tokens, and to where other prompts may go on otherwise.

use crate::answer::{Tags, Tools};
use crate::api::{ApiError, Asked, Prompt, Text};
use serde_json::{Map, Value, json};
use vertigo_engine::text::ChatTokenizer;

/// Ends of turns that are told: the system prompt's and the latest. Each costs a rendering.
const BORDERS_MAX: usize = 16;

/// Bytes of a text that are encoded: more than the longest context has.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// A prompt, and how its answer begins.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) tokens: Vec<u32>,
    /// Counts of first tokens, ascending: the ends of the system prompt and of turns.
    pub(super) borders: Vec<usize>,
    pub(super) tags: Option<Tags>,
    pub(super) is_within_thought: bool,
    pub(super) tools: Option<Tools>,
    /// Which of the request's fields it is.
    pub(super) field: &'static str,
}

/// The prompts of a request.
pub(super) fn prepare(text: &ChatTokenizer, asked: &Asked) -> Result<Vec<Prepared>, ApiError> {
    match &asked.prompt {
        Prompt::Chat { messages, tools, template } => Ok(vec![chat(text, messages, tools.as_deref(), template)?]),
        Prompt::Texts(texts) => texts.iter().map(|written| plain(text, written)).collect(),
    }
}

fn plain(text: &ChatTokenizer, written: &Text) -> Result<Prepared, ApiError> {
    let tokens = match written {
        Text::Written(written) => encode(text, written)?,
        Text::Tokens(tokens) => tokens.clone(),
    };
    Ok(Prepared { tokens, field: "prompt", ..Prepared::default() })
}

fn chat(
    text: &ChatTokenizer,
    messages: &[Value],
    tools: Option<&[Value]>,
    template: &Map<String, Value>,
) -> Result<Prepared, ApiError> {
    let functions = tools.map(|tools| Value::Array(tools.to_vec()));
    let rendering = Rendering { text, messages, tools: functions.as_ref(), template };
    let whole = rendering
        .of(messages, true)
        .map_err(|problem| ApiError::field("messages", format!("cannot be rendered: {problem}")))?;
    let tokens = encode(text, &whole)?;
    let borders = borders(text, &rendering.ends(&whole), &whole, &tokens)?;
    let tags = text.thought_tags();
    // A thought is open where the template has opened it, not where somebody has written of one.
    let is_within_thought = tags.is_some_and(|(start, _)| whole.trim_end().ends_with(start));
    Ok(Prepared { tokens, borders, tags, is_within_thought, tools: tools.map(called), field: "messages" })
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
    if written.len() > TEXT_BYTES_MAX {
        return Err(ApiError::too_long("messages", format!("the prompt has more than {TEXT_BYTES_MAX} bytes")));
    }
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
