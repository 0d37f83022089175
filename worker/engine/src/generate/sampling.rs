//! Which token comes next, of its logits: penalties, filters and the draw, in the order of mlx-lm's `sample_utils`.
//!
//! Promise: pure. What is drawn follows from the logits, the settings and the token's position alone.

use super::request::Sampling;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Tokens before the next one, prompt and answer, whose repetition is penalised: mlx-lm's.
const REPETITION_TOKENS: usize = 20;

/// Candidates that are sorted first; seldom more are needed.
const SORTED_FIRST: usize = 256;

impl Sampling {
    /// Whether the most probable token is taken, of the logits as they are.
    pub(super) fn is_plain(&self) -> bool {
        self.temperature <= 0.0
            && self.repetition_penalty == 1.0
            && self.presence_penalty == 0.0
            && self.frequency_penalty == 0.0
            && self.logit_bias.is_empty()
    }
}

/// Adds biases to `logits` and takes penalties from them. A token beyond them is passed over.
pub(super) fn penalize(logits: &mut [f32], sampling: &Sampling, prompt: &[u32], answer: &[u32]) {
    for &(token, bias) in &sampling.logit_bias {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit += bias;
        }
    }
    if sampling.repetition_penalty != 1.0 {
        let recent = answer.iter().rev().chain(prompt.iter().rev()).take(REPETITION_TOKENS);
        for token in distinct(recent.copied().collect()) {
            if let Some(logit) = logits.get_mut(token as usize) {
                let penalty = sampling.repetition_penalty;
                *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
            }
        }
    }
    if sampling.presence_penalty != 0.0 {
        for token in distinct(answer.to_vec()) {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit -= sampling.presence_penalty;
            }
        }
    }
    if sampling.frequency_penalty != 0.0 {
        for &token in answer {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit -= sampling.frequency_penalty;
            }
        }
    }
}

fn distinct(mut tokens: Vec<u32>) -> Vec<u32> {
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// The token at `position` of the answer, of its logits after [`penalize`]. There is at least one.
pub(super) fn choose(logits: &[f32], sampling: &Sampling, position: usize) -> u32 {
    if sampling.temperature <= 0.0 {
        return best(logits);
    }
    let logprobs = Logprobs::of(logits);
    let temperature = f64::from(sampling.temperature);
    let mut candidates = filtered(logits, &logprobs, sampling);
    candidates.sort_unstable();
    let largest = f64::from(logprobs.largest);
    let weight = |token: &u32| ((f64::from(logits[*token as usize]) - largest) / temperature).exp();
    let total: f64 = candidates.iter().map(weight).sum();
    let mut rng = ChaCha8Rng::seed_from_u64(sampling.seed);
    rng.set_stream(position as u64);
    let mut left = rng.random::<f64>() * total;
    for token in &candidates {
        left -= weight(token);
        if left < 0.0 {
            return *token;
        }
    }
    // Rounding may leave a crumb; where nothing is a number there is nothing better either.
    best(logits)
}

/// The most probable token, the first of equals.
pub(super) fn best(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] || logits[best].is_nan() {
            best = token;
        }
    }
    best as u32
}

/// The `count` most probable tokens with the natural logarithms of their probabilities, from the most probable on.
pub(super) fn most_probable(logits: &[f32], logprobs: &Logprobs, count: usize) -> Vec<(u32, f32)> {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    sort_first(&mut order, logits, count);
    order.iter().take(count).map(|&token| (token, logprobs.of_logit(logits[token as usize]))).collect()
}

/// What turns a logit into the logarithm of its probability.
pub(super) struct Logprobs {
    largest: f32,
    /// Σ exp(logit − largest).
    sum: f64,
}

impl Logprobs {
    pub(super) fn of(logits: &[f32]) -> Logprobs {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Logprobs { largest, sum: logits.iter().map(|x| f64::from((x - largest).exp())).sum() }
    }

    pub(super) fn of_logit(&self, logit: f32) -> f32 {
        (f64::from(logit) - f64::from(self.largest) - self.sum.ln()) as f32
    }
}

/// The tokens that all filters keep: top-p, then min-p, then top-k, as mlx-lm, all of them of probabilities before temperature.
fn filtered(logits: &[f32], logprobs: &Logprobs, sampling: &Sampling) -> Vec<u32> {
    let value = |token: u32| logits[token as usize];
    let mut tokens: Vec<u32> = (0..logits.len() as u32).collect();
    if sampling.min_p > 0.0 {
        let least = logprobs.largest + sampling.min_p.ln();
        tokens.retain(|&token| value(token) >= least);
    }
    if sampling.top_p > 0.0 && sampling.top_p < 1.0 {
        let mut sorted = SORTED_FIRST;
        loop {
            sort_first(&mut tokens, logits, sorted);
            let wanted = f64::from(sampling.top_p) * logprobs.sum;
            let mut above = 0.0;
            let reaches = |token: &u32| {
                let before = above;
                above += f64::from((value(*token) - logprobs.largest).exp());
                before >= wanted
            };
            // Beyond what is sorted nobody knows the order.
            let known = sorted.min(tokens.len());
            match tokens[..known].iter().position(reaches) {
                Some(kept) => {
                    // Equals of the last one that is kept are kept.
                    let last = value(tokens[kept.max(1) - 1]);
                    tokens.retain(|&token| value(token) >= last);
                }
                None if known < tokens.len() => {
                    sorted *= 8;
                    continue;
                }
                None => {}
            }
            break;
        }
    }
    if sampling.top_k > 0 && sampling.top_k < tokens.len() {
        sort_first(&mut tokens, logits, sampling.top_k);
        tokens.truncate(sampling.top_k);
    }
    tokens
}

/// Brings the `count` most probable of `tokens` to the front, in their order; of equals the first in the vocabulary.
fn sort_first(tokens: &mut [u32], logits: &[f32], count: usize) {
    let order = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if count == 0 {
        return;
    }
    if count < tokens.len() {
        tokens.select_nth_unstable_by(count - 1, order);
        tokens[..count].sort_unstable_by(order);
    } else {
        tokens.sort_unstable_by(order);
    }
}

#[cfg(test)]
mod tests;
