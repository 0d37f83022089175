//! What a name stands for: a model at work, with or without an adapter, and the text that it reads and writes.

mod facts;
mod prompt;

pub use facts::{Facts, FactsError};

use crate::answer::Reading;
use crate::api::{ApiError, Asked};
use crate::served::Served;
use prompt::Prepared;
use std::sync::Arc;
use vertigo_engine::generate::{AdapterId, Request, ThoughtBudget};
use vertigo_engine::text::ChatTokenizer;

/// Tokens of an answer where neither the request says how many nor the context has room for fewer.
const ANSWER_TOKENS: usize = 4096;

/// What ends a thought that was too long.
const CLOSING_BREAK: &str = "\n\n";

/// A model as requests name it.
#[derive(Clone)]
pub struct Model {
    /// Who generates. Models that differ by their adapter alone share it.
    pub served: Arc<Served>,
    /// The adapter, as the generator knows it.
    pub adapter: Option<AdapterId>,
    /// The tokenizer and the chat template.
    pub text: Arc<ChatTokenizer>,
    /// What its folder says of it.
    pub facts: Facts,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("adapter", &self.adapter).field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// What is to be generated, and how it is read.
#[derive(Debug)]
pub(crate) struct Work {
    /// One for each answer.
    pub(crate) requests: Vec<Request>,
    /// How each answer is read.
    pub(crate) readings: Vec<Reading>,
    /// Tokens of the prompts.
    pub(crate) prompt_tokens: usize,
}

impl Model {
    /// Makes of a request what its generator is asked. Renders and encodes, so it may take milliseconds. `chance` is the seed of a request
    /// that names none.
    ///
    /// # Errors
    /// Names what the template refuses and what is too long.
    pub(crate) fn prepare(&self, asked: &Asked, chance: u64) -> Result<Work, ApiError> {
        let context = self.facts.context_tokens;
        let prompts = prompt::prepare(&self.text, asked, context)?;
        let mut work = Work { requests: Vec::new(), readings: Vec::new(), prompt_tokens: 0 };
        let seed = asked.wishes.seed.unwrap_or(chance);
        for prompt in &prompts {
            let room = context.saturating_sub(prompt.tokens.len());
            let tokens_max = asked.tokens_max.unwrap_or(ANSWER_TOKENS.min(room));
            work.prompt_tokens += prompt.tokens.len();
            for _ in 0..asked.choices {
                // Answers to one prompt differ by their seeds.
                let seed = seed.wrapping_add(work.requests.len() as u64);
                work.requests.push(Request {
                    prompt: prompt.tokens.clone(),
                    borders: prompt.borders.clone(),
                    adapter: self.adapter,
                    sampling: asked.wishes.over(&self.facts.sampling, seed),
                    tokens_max,
                    ends: self.ends(),
                    logprobs: asked.logprobs,
                    thought: self.thought(prompt, asked)?,
                });
                work.readings.push(Reading {
                    tags: prompt.tags,
                    is_within_thought: prompt.is_within_thought,
                    stops: asked.stops.clone(),
                    tools: prompt.tools.clone(),
                });
            }
        }
        Ok(work)
    }

    /// The end of a turn, and what else the model's folder names.
    fn ends(&self) -> Vec<u32> {
        let mut ends = vec![self.text.eos()];
        ends.extend(self.facts.ends.iter().copied().filter(|end| *end != self.text.eos()));
        ends
    }

    fn thought(&self, prompt: &Prepared, asked: &Asked) -> Result<Option<ThoughtBudget>, ApiError> {
        let budget = asked.thought_tokens_max.filter(|_| prompt.is_within_thought);
        let (Some(tokens_max), Some((_, end))) = (budget, prompt.tags) else { return Ok(None) };
        let closing =
            self.text.encode(&format!("\n{end}{CLOSING_BREAK}")).map_err(|e| ApiError::failed(e.to_string()))?;
        Ok(self.text.token(end).map(|end| ThoughtBudget { tokens_max, end, closing }))
    }
}
