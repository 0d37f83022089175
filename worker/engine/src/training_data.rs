//! What a run learns from: a dataset's examples, tokenized and in batches.
//!
//! Promise: what is not learned as it was written is counted, and the first of it named, before anything is trained.

use crate::batch::Batches;
use crate::error::{EngineError, Result};
use crate::remarks::Remarks;
use crate::text::ChatTokenizer;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use vertigo::caveats::Caveats;
use vertigo::id::Digest;
use vertigo_model::dataset::{Dataset, Row};
use vertigo_model::recipe::Recipe;

/// Tokenized examples in batches.
#[derive(Debug, Clone)]
pub struct TrainingData {
    /// To learn from.
    pub train: Batches,
    /// To validate with.
    pub valid: Batches,
}

impl TrainingData {
    /// The digest of all tokens, of what is masked among them, and of their order.
    pub fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        self.train.hash(&mut hasher);
        self.valid.hash(&mut hasher);
        Digest::from_hasher(hasher)
    }

    /// What of these examples is not learned as it was written, and what of the run's micro-batches is not learned from.
    ///
    /// Micro-batches that fill no accumulation are dropped, as mlx-lm drops them: a step over fewer would be a step of another
    /// size than the recipe's.
    pub fn caveats(&self, recipe: &Recipe) -> Caveats {
        Caveats {
            // Counted where they are left out, whether or not they were read from files.
            skipped_examples: self.train.skipped() + self.valid.skipped(),
            leftover_micro_batches: recipe.iters % recipe.grad_accumulation_steps,
            ..self.train.remarks().caveats() + self.valid.remarks().caveats()
        }
    }

    /// The same in words, with the files and lines of the first examples of each reason.
    pub fn remarks(&self, recipe: &Recipe) -> Vec<String> {
        let mut lines = self.train.remarks().clone().and(self.valid.remarks()).lines();
        lines.extend(self.caveats(recipe).told_leftover());
        lines
    }
}

/// Reads and tokenizes the dataset folder `data` for `recipe` with the tokenizer in `model`.
///
/// # Errors
/// [`EngineError::Input`] naming the file and line of a broken example, or saying that nothing can be learned from.
pub fn training_data(model: &Path, data: &Path, recipe: &Recipe) -> Result<TrainingData> {
    let tokenizer = ChatTokenizer::load(model)?;
    let dataset = Dataset::read(data).map_err(|e| EngineError::input(e.to_string()))?;
    let max_length = recipe.max_seq_length as usize;
    let batches = |rows: &[Row]| -> Result<Batches> {
        let mut remarks = Remarks::default();
        let mut examples = Vec::with_capacity(rows.len());
        for row in rows {
            let read = tokenizer.read_row(row, recipe.mask_prompt)?;
            remarks.note(row, &read, max_length, tokenizer.eos());
            examples.push(read.tokens);
        }
        Ok(Batches::new(examples, recipe.batch_size as usize, max_length, recipe.seed).remarked(remarks))
    };
    let data = TrainingData { train: batches(&dataset.train)?, valid: batches(&dataset.valid)? };
    if data.train.is_empty() {
        return Err(EngineError::input(format!(
            "none of the {} examples has a token to learn from within max_seq_length {}",
            data.train.skipped(),
            recipe.max_seq_length
        )));
    }
    Ok(data)
}
