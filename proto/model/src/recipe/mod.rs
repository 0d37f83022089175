//! A recipe: everything that fixes a training run but the data.
//!
//! Its file is mlx-lm's LoRA YAML, read as its users write it, plus our keys. Defaults are mlx-lm's where it has any.
//! The spellings of the pipeline that Vertigo replaces (`gradient_accumulation`, `weight_decay`, `grad_clip`,
//! `early_stopping_patience`) mean what they say, where mlx-lm ignores them without a word; a key that means nothing is
//! an error that names the nearest key that does.
//!
//! Promise: [`Recipe::parse`] returns a recipe that can run, as far as the file alone can tell, or an error that names
//! the key and what to write instead.

mod learned;
mod schedule;
mod yaml;

pub use learned::{Mask, Overlength, RunLength, Thinking};
pub use schedule::{Decay, LearningRate};
pub use yaml::RecipeError;

use serde::{Deserialize, Serialize};

/// Everything that fixes a training run but the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// What a person calls it: the file's name without its ending.
    pub name: String,
    /// The base model: a tag of the artifact index, such as `mlx-community/Qwen3.5-4B-4bit`.
    pub model: String,
    /// Which weights are trained.
    pub method: Method,
    /// How many layers are trained, counted from the last.
    pub layers: Layers,
    /// The optimizer and its constants.
    pub optimizer: Optimizer,
    /// The learning rate as a function of the optimizer's step.
    pub learning_rate: LearningRate,
    /// How long it runs. As in mlx-lm, an optimizer step is taken after every
    /// [`grad_accumulation_steps`](Self::grad_accumulation_steps) micro-batches.
    #[serde(rename = "iters")]
    pub length: RunLength,
    /// Examples in a micro-batch.
    pub batch_size: u64,
    /// Micro-batches whose gradients make one optimizer step.
    pub grad_accumulation_steps: u64,
    /// How micro-batches are weighted within an optimizer step.
    pub loss_average: LossAverage,
    /// The global norm that gradients are scaled down to.
    pub grad_clip: Option<f64>,
    /// Tokens of an example that are kept.
    pub max_seq_length: u64,
    /// What becomes of an example with more tokens than that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub overlength: Overlength,
    /// Which turns of a conversation count towards the loss.
    #[serde(rename = "mask_prompt", with = "learned::as_mask_prompt")]
    pub mask: Mask,
    /// What becomes of what a model thinks before it answers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub thinking: Thinking,
    /// Whether a layer's activations are computed again in the backward pass instead of kept. On unless the file says
    /// `grad_checkpoint: false`.
    pub grad_checkpoint: bool,
    /// Seed of shuffling, dropout and the adapter's first values.
    pub seed: u64,
    /// Iterations between reports of loss and speed.
    pub steps_per_report: u64,
    /// Iterations between validations.
    pub steps_per_eval: u64,
    /// Batches in a validation; `None` (−1 in the file) is the whole set.
    pub val_batches: Option<u64>,
    /// Iterations between checkpoints.
    pub save_every: u64,
    /// Validations in a row without a better loss before the run stops with the best adapter.
    pub early_stopping_patience: Option<u64>,
}

/// Which weights are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Low-rank adapters beside frozen linears. On a quantised base this is QLoRA.
    Lora(LoraParameters),
    /// Every weight of the trained layers.
    Full,
}

/// The adapters' form: `y = linear(x) + scale · (dropout(x) A) B`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraParameters {
    /// Columns of A and rows of B.
    pub rank: u64,
    /// The factor on the adapter's output.
    pub scale: f64,
    /// The chance that an input of the adapter is zeroed in training, in [0, 1).
    pub dropout: f64,
    /// Paths of the adapted linears within a layer (`self_attn.q_proj`). `None`: every linear.
    pub keys: Option<Vec<String>>,
}

/// How many layers are trained, counted from the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layers {
    /// All (−1 in the file).
    All,
    /// The last `n`; more than there are means all.
    Last(u64),
}

impl Layers {
    /// How many of `total` layers are trained.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Layers::All => total,
            Layers::Last(n) => n.min(total),
        }
    }
}

/// The optimizer and its constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    /// Decay of the first and the second moment.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Whether moments are divided by 1 − βᵗ. MLX's Adam does not unless told to.
    pub bias_correction: bool,
    /// Decoupled weight decay (AdamW); 0 is Adam.
    pub weight_decay: f64,
}

impl Optimizer {
    /// Values of optimizer state for each trained value: both moments.
    pub const STATE_PER_PARAMETER: u64 = 2;
}

/// How micro-batches are weighted within an optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossAverage {
    /// By their tokens: the gradient is that of the mean over all tokens of the step.
    Token,
    /// Alike, as mlx-lm does.
    Batch,
}

impl Recipe {
    /// Reads a recipe file. `name` is what errors and tables call it: the file's name without its ending.
    ///
    /// # Errors
    /// Names the key, its line where it is known, and what to write instead.
    pub fn parse(name: &str, yaml: &str) -> Result<Recipe, RecipeError> {
        yaml::parse(name, yaml)
    }

    /// The method's name as tables show it, given whether the base is quantised: `QLoRA r8`, `LoRA r16` or `full`.
    pub fn method_name(&self, quantized: bool) -> String {
        match &self.method {
            Method::Lora(lora) if quantized => format!("QLoRA r{}", lora.rank),
            Method::Lora(lora) => format!("LoRA r{}", lora.rank),
            Method::Full => "full".to_owned(),
        }
    }

    /// Micro-batches in the run, where the first passes over the data, as many as it is asked, have `in_passes` of them.
    pub fn iters(&self, in_passes: impl FnOnce(u64) -> u64) -> u64 {
        self.length.iters(in_passes, self.grad_accumulation_steps)
    }
}

/// A key that a file leaves out is not there either where recipes are told apart: a checkpoint of a run from before there was the key is
/// a checkpoint of the same run.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
