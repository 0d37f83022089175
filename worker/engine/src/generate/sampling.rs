//! Which token comes next, of its logits: penalties, filters and the draw, in the order of mlx-lm's `sample_utils`.
//!
//! Promise: pure. What is drawn follows from the logits, the settings and the token's position alone.

use super::request::Sampling;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Tokens before the next one, prompt and answer, whose repetition is penalised: mlx-lm's.
const REPETITION_TOKENS: usize = 20;

/// How far below the most probable token, in nats, candidates are looked for, one after the other: a vocabulary has hundreds of thousands
/// of tokens, and seldom more than a hundred of them lie within the first.
const CANDIDATES_NATS: [f32; 3] = [8.0, 32.0, f32::INFINITY];

/// How often each token is in an answer.
pub(super) type Counts = BTreeMap<u32, u32>;

impl Sampling {
    /// Whether the most probable token is taken, of the logits as they are.
    pub(super) fn is_plain(&self) -> bool {
        self.temperature <= 0.0 && !self.changes_logits()
    }

    /// Whether [`penalize`] does anything.
    pub(super) fn changes_logits(&self) -> bool {
        self.repetition_penalty != 1.0
            || self.presence_penalty != 0.0
            || self.frequency_penalty != 0.0
            || !self.logit_bias.is_empty()
    }
}

/// Adds biases to `logits` and takes penalties from them. A token beyond them is passed over. `counts` are those of `answer`.
pub(super) fn penalize(logits: &mut [f32], sampling: &Sampling, prompt: &[u32], answer: &[u32], counts: &Counts) {
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
    if sampling.presence_penalty != 0.0 || sampling.frequency_penalty != 0.0 {
        for (&token, &count) in counts {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit -= sampling.presence_penalty + sampling.frequency_penalty * count as f32;
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
    let token = match filtered(logits, sampling) {
        Some(mut candidates) => {
            candidates.sort_unstable();
            draw(logits, sampling, position, candidates.into_iter())
        }
        None => draw(logits, sampling, position, 0..logits.len() as u32),
    };
    // Rounding may leave a crumb; where nothing is a number there is nothing better either.
    token.unwrap_or_else(|| best(logits))
}

/// One of `candidates`, as the seed and the position say.
fn draw(
    logits: &[f32],
    sampling: &Sampling,
    position: usize,
    candidates: impl Iterator<Item = u32> + Clone,
) -> Option<u32> {
    let (largest, temperature) = (f64::from(largest(logits)), f64::from(sampling.temperature));
    let weight = |token: u32| ((f64::from(logits[token as usize]) - largest) / temperature).exp();
    let weights: Vec<f64> = candidates.clone().map(weight).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(sampling.seed);
    rng.set_stream(position as u64);
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    let is_passed = |weight: &f64| {
        left -= weight;
        left < 0.0
    };
    weights.iter().position(is_passed).and_then(|at| candidates.clone().nth(at))
}

fn largest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
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
    let enough = |tokens: Vec<u32>, is_all: bool| (is_all || tokens.len() >= count).then_some(tokens);
    let mut order = widening(logits, f32::NEG_INFINITY, enough);
    sort(&mut order, logits);
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
        let largest = largest(logits);
        Logprobs { largest, sum: logits.iter().map(|x| f64::from((x - largest).exp())).sum() }
    }

    pub(super) fn of_logit(&self, logit: f32) -> f32 {
        (f64::from(logit) - f64::from(self.largest) - self.sum.ln()) as f32
    }
}

/// The tokens that all filters keep: top-p, then min-p, then top-k, as mlx-lm, all of them of probabilities before temperature. `None`
/// where there is no filter.
fn filtered(logits: &[f32], sampling: &Sampling) -> Option<Vec<u32>> {
    let has_top_p = sampling.top_p > 0.0 && sampling.top_p < 1.0;
    if !has_top_p && sampling.min_p <= 0.0 && sampling.top_k == 0 {
        return None;
    }
    let least = if sampling.min_p > 0.0 { largest(logits) + sampling.min_p.ln() } else { f32::NEG_INFINITY };
    let top_k = if sampling.top_k == 0 { usize::MAX } else { sampling.top_k };
    if !has_top_p {
        let enough = |tokens: Vec<u32>, is_all: bool| (is_all || tokens.len() >= top_k).then_some(tokens);
        let mut tokens = widening(logits, least, enough);
        if top_k < tokens.len() {
            sort(&mut tokens, logits);
            tokens.truncate(top_k);
        }
        return Some(tokens);
    }
    let logprobs = Logprobs::of(logits);
    let wanted = f64::from(sampling.top_p) * logprobs.sum;
    Some(widening(logits, least, |mut tokens, is_all| {
        sort(&mut tokens, logits);
        let value = |token: u32| logits[token as usize];
        let mut above = 0.0;
        let is_beyond = |token: &u32| {
            let before = above;
            above += f64::from((value(*token) - logprobs.largest).exp());
            before >= wanted
        };
        match tokens.iter().position(is_beyond) {
            Some(kept) => {
                // Equals of the last one that is kept are kept.
                let last = value(tokens[kept.max(1) - 1]);
                tokens.truncate(tokens.partition_point(|&token| value(token) >= last));
            }
            None if is_all => {}
            None => return None,
        }
        tokens.truncate(top_k);
        Some(tokens)
    }))
}

/// What `found` makes of the tokens whose logits are within more and more of the largest one, none of them below `least`; it is told
/// whether these are all that there are, and has an answer then.
fn widening(logits: &[f32], least: f32, found: impl Fn(Vec<u32>, bool) -> Option<Vec<u32>>) -> Vec<u32> {
    let largest = largest(logits);
    for nats in CANDIDATES_NATS {
        let floor = if nats.is_finite() { least.max(largest - nats) } else { least };
        let within = (0..).zip(logits).filter(|(_, logit)| **logit >= floor).map(|(token, _)| token);
        if let Some(tokens) = found(within.collect(), floor <= least) {
            return tokens;
        }
    }
    Vec::new()
}

/// The most probable first; of equals the first in the vocabulary.
fn sort(tokens: &mut [u32], logits: &[f32]) {
    tokens.sort_unstable_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
}

#[cfg(test)]
mod tests;
