//! How long an eval's answers took: what differs from run to run, and so is in no report.

use super::lines::Kept;
use serde::{Deserialize, Serialize};

/// How long answers took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Times {
    /// Answers with a time.
    pub answers: u32,
    /// Their time in all, in seconds.
    pub seconds: f64,
    /// Tokens made in a second of an answer, thoughts among them.
    pub tokens_per_second: f64,
}

impl Times {
    /// The times of what an eval has so far.
    pub fn of(kept: &Kept) -> Times {
        let (mut answers, mut whole, mut tokens) = (0u32, 0u64, 0u64);
        for line in kept.answers.values() {
            let Some(time) = line.time else { continue };
            answers += 1;
            whole = whole.saturating_add(time.whole_ms);
            tokens += u64::from(line.tokens.answer) + u64::from(line.tokens.thinking);
        }
        if answers == 0 {
            return Times::default();
        }
        let seconds = whole as f64 / 1000.0;
        let tokens_per_second = if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 };
        Times { answers, seconds, tokens_per_second }
    }
}
