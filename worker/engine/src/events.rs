//! What a run says while it goes on.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use vertigo::caveats::Caveats;

/// What a run says while it goes on, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The model and the data are ready.
    Started {
        /// Trained values.
        trainable_parameters: u64,
        /// Examples trained on, each counted once.
        train_examples: u64,
        /// The sum of their weights, which is what a pass draws, on average; none where all are 1.
        #[serde(default)]
        weights_sum: Option<f64>,
        /// Examples held out.
        valid_examples: u64,
        /// Examples without a token to learn from, left out.
        skipped_examples: u64,
        /// What of the examples is not learned as it was written; those left out are counted in it too.
        #[serde(default)]
        caveats: Caveats,
        /// Iterations done before, by the checkpoint resumed from.
        resumed_at: u64,
        /// Iterations of the whole run.
        iters: u64,
    },
    /// A report over the iterations since the last one.
    Step {
        /// Iterations done.
        iter: u64,
        /// Mean loss of a token.
        loss: f64,
        /// Rate of the newest optimizer step.
        learning_rate: f64,
        /// Tokens learned from, a second.
        tokens_per_second: f64,
        /// Tokens learned from since the run began.
        trained_tokens: u64,
        /// MLX's peak memory since the process began, in bytes.
        peak_bytes: u64,
        /// Global norm of the newest gradient, before clipping.
        grad_norm: f64,
    },
    /// Mean loss of a held-out token.
    Validation {
        /// Iterations done.
        iter: u64,
        /// Mean loss of a token.
        loss: f64,
        /// Tokens that the mean is over.
        tokens: u64,
    },
    /// A checkpoint is complete in `folder`.
    Checkpoint {
        /// Iterations done.
        iter: u64,
        /// Its folder.
        folder: PathBuf,
    },
    /// What the run has reached could not be written, as on a full disk. A checkpoint is written again at the next save point, and the run
    /// goes on meanwhile; an adapter after a pause, for which the run waits.
    Unwritten {
        /// Iterations done.
        iter: u64,
        /// What could not be written.
        what: Written,
        /// Why, with the file.
        reason: String,
    },
    /// The run is over; both adapters are complete in their folders.
    Finished(Outcome),
}

/// What a run writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// A checkpoint.
    Checkpoint,
    /// The adapter.
    Adapter,
    /// The best adapter.
    Best,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What training ends with: the last state, or the best one where the recipe stops early.
    pub adapter: Adapter,
    /// The state of the lowest validation after an iteration. Where nothing is held out, or where that is what training ends with, it is
    /// the same as `adapter`, file for file.
    pub best: Adapter,
    /// Iterations done; fewer than the recipe's where it stopped early.
    pub iter: u64,
    /// Validation loss before the first iteration.
    pub validation_before: Option<f64>,
    /// Tokens learned from.
    pub trained_tokens: u64,
    /// MLX's peak memory, in bytes.
    pub peak_bytes: u64,
}

/// Trained weights in a folder that is complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// The folder.
    pub folder: PathBuf,
    /// Iterations done by then.
    pub iter: u64,
    /// Their validation loss.
    pub validation: Option<f64>,
}
