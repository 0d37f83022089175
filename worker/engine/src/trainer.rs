//! A training run, as an iterator of events.

use crate::adapter::{self, lora_scale};
use crate::backward::{self, Targets};
use crate::batch::{Batch, Batches, Cursor};
use crate::checkpoint::{Checkpoint, Identity, Progress};
use crate::error::{EngineError, Result};
use crate::events::{Event, Outcome};
use crate::model::{Model, Parameters};
use crate::optimizer::{self, Adam};
use crate::text::ChatTokenizer;
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vertigo::dataset::{Dataset, Example};
use vertigo::id::Digest;
use vertigo::recipe::{LossAverage, Method, Recipe};

/// Where a run writes, and what it goes on from.
#[derive(Debug, Clone)]
pub struct Session {
    folder: PathBuf,
    resume: Option<PathBuf>,
}

impl Session {
    /// A run from the start, writing to `folder`: `adapter/` and `checkpoints/ITER/`.
    pub fn fresh(folder: impl Into<PathBuf>) -> Session {
        Session { folder: folder.into(), resume: None }
    }

    /// The same, going on from a checkpoint's folder.
    pub fn resumed(folder: impl Into<PathBuf>, checkpoint: impl Into<PathBuf>) -> Session {
        Session { folder: folder.into(), resume: Some(checkpoint.into()) }
    }
}

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
}

/// Reads and tokenizes the dataset folder `data` for `recipe` with the tokenizer in `model`.
///
/// # Errors
/// [`EngineError::Input`] naming the file and line of a broken example, or saying that nothing can be learned from.
pub fn training_data(model: &Path, data: &Path, recipe: &Recipe) -> Result<TrainingData> {
    let tokenizer = ChatTokenizer::load(model)?;
    let dataset = Dataset::read(data).map_err(|e| EngineError::input(e.to_string()))?;
    let batches = |examples: &[Example]| -> Result<Batches> {
        let tokens: Result<Vec<_>> = examples.iter().map(|e| tokenizer.tokenize(e, recipe.mask_prompt)).collect();
        Ok(Batches::new(tokens?, recipe.batch_size as usize, recipe.max_seq_length as usize, recipe.seed))
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

/// A training run: an iterator of events. Dropping it stops the run; its checkpoints stay.
pub struct Trainer {
    model: Model,
    data: TrainingData,
    recipe: Recipe,
    folder: PathBuf,
    state: Checkpoint,
    resumed_at: u64,
    grad_norm: f64,
    /// Time in iterations since the last report; validation and saving do not count.
    busy: Duration,
    pending: VecDeque<Event>,
    /// Why the run is over, until it has been said.
    failed: Option<EngineError>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Begin,
    Iterate,
    Done,
}

impl Trainer {
    /// A run of `recipe`, fresh or resumed.
    ///
    /// # Errors
    /// [`EngineError::Input`] where recipe and base do not fit each other or the checkpoint is of another run.
    pub fn new(mut model: Model, data: TrainingData, recipe: Recipe, session: Session) -> Result<Trainer> {
        let initial = adapter::initial(&model, &recipe)?;
        // Weights that are trained are the run's from here on. A checkpoint's come in their place and are read only when they are used.
        model.release(&initial);
        let identity = Identity::new(model.shape(), &recipe, &data);
        let state = match &session.resume {
            None => Checkpoint {
                adam: Adam::new(&initial)?,
                parameters: initial,
                progress: Progress { identity, ..Progress::default() },
                accumulated: None,
                best: None,
            },
            Some(folder) => {
                let checkpoint = Checkpoint::load(folder)?;
                checkpoint.check(&identity, &initial).map_err(|problem| {
                    EngineError::input(format!("cannot resume from the checkpoint in {}: {problem}", folder.display()))
                })?;
                checkpoint
            }
        };
        Ok(Trainer {
            resumed_at: state.progress.iter,
            model,
            data,
            recipe,
            folder: session.folder,
            state,
            grad_norm: 0.0,
            busy: Duration::ZERO,
            pending: VecDeque::new(),
            failed: None,
            phase: Phase::Begin,
        })
    }

    /// What is trained, as it stands.
    pub fn parameters(&self) -> &Parameters {
        &self.state.parameters
    }

    fn advance(&mut self) -> Result<()> {
        match self.phase {
            Phase::Begin => self.begin()?,
            Phase::Iterate => self.iterate()?,
            Phase::Done => {}
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        self.phase = Phase::Iterate;
        let trainable = self.state.parameters.values().map(|x| x.size() as u64).sum();
        self.pending.push_back(Event::Started {
            trainable_parameters: trainable,
            train_examples: self.data.train.examples(),
            valid_examples: self.data.valid.examples(),
            skipped_examples: self.data.train.skipped() + self.data.valid.skipped(),
            resumed_at: self.resumed_at,
            iters: self.recipe.iters,
        });
        if self.resumed_at == 0 {
            self.state.progress.validation_before = self.validate()?;
        }
        if self.state.progress.iter >= self.recipe.iters {
            self.finish()?;
        }
        Ok(())
    }

    /// One micro-batch, and all that is due after it.
    fn iterate(&mut self) -> Result<()> {
        let started = Instant::now();
        let iter = self.state.progress.iter + 1;
        let mut cursor = self.state.progress.cursor;
        let batch =
            self.data.train.next(&mut cursor).ok_or_else(|| EngineError::input("there is nothing to learn from"))?;
        let tokens = batch.target_tokens();
        let (loss, gradients) = self.gradients(&batch, iter)?;
        if !loss.is_finite() {
            return Err(EngineError::Diverged { iter, what: "loss", value: loss });
        }
        self.accumulate(gradients, tokens)?;
        if iter.is_multiple_of(self.recipe.grad_accumulation_steps) {
            self.optimizer_step(iter)?;
        }
        let progress = &mut self.state.progress;
        progress.iter = iter;
        progress.cursor = cursor;
        progress.trained_tokens += tokens;
        progress.report.0 += loss;
        progress.report.1 += tokens;
        self.busy += started.elapsed();
        self.after(iter)
    }

    /// Reports, validation, checkpoint and end, where `iter` is due for them.
    fn after(&mut self, iter: u64) -> Result<()> {
        let last = iter == self.recipe.iters;
        let due = |every: u64| iter.is_multiple_of(every) || last;
        if due(self.recipe.steps_per_report) {
            self.report()?;
        }
        let mut stop = false;
        if due(self.recipe.steps_per_eval) {
            let loss = self.validate()?;
            stop = self.judge(loss);
        }
        if last || stop {
            return self.finish();
        }
        if due(self.recipe.save_every) {
            let folder = self.folder.join("checkpoints").join(format!("{iter:08}"));
            self.state.save(&folder, &self.recipe)?;
            self.pending.push_back(Event::Checkpoint { iter, folder });
        }
        Ok(())
    }

    /// The summed loss of the batch, and gradients of the sum.
    fn gradients(&self, batch: &Batch, iter: u64) -> Result<(f64, Parameters)> {
        let dropout = match &self.recipe.method {
            Method::Lora(lora) if lora.dropout > 0.0 => {
                Some((lora.dropout, self.recipe.seed.wrapping_add(iter.wrapping_mul(0xd134_2543_de82_ef95))))
            }
            _ => None,
        };
        let targets = Targets::new(&batch.ids, batch.width, &batch.spans);
        let scale = lora_scale(&self.recipe);
        backward::loss_and_gradients(&self.model, &self.state.parameters, scale, dropout, &targets)
    }

    fn accumulate(&mut self, gradients: Parameters, tokens: u64) -> Result<()> {
        let terms = match self.recipe.loss_average {
            LossAverage::Token => gradients,
            LossAverage::Batch => optimizer::scaled(gradients, 1.0 / tokens as f64)?,
        };
        self.state.accumulated = Some(optimizer::accumulate(self.state.accumulated.take(), terms)?);
        self.state.progress.accumulated_tokens += tokens;
        Ok(())
    }

    fn optimizer_step(&mut self, iter: u64) -> Result<()> {
        let Some(sum) = self.state.accumulated.take() else { return Ok(()) };
        let progress = &mut self.state.progress;
        let count = match self.recipe.loss_average {
            LossAverage::Token => progress.accumulated_tokens,
            LossAverage::Batch => self.recipe.grad_accumulation_steps,
        };
        let mut gradients = optimizer::scaled(sum, 1.0 / count as f64)?;
        self.grad_norm = optimizer::global_norm(&gradients)?;
        if !self.grad_norm.is_finite() {
            return Err(EngineError::Diverged { iter, what: "gradient's norm", value: self.grad_norm });
        }
        if let Some(clip) = self.recipe.grad_clip.filter(|clip| self.grad_norm > *clip) {
            gradients = optimizer::scaled(gradients, clip / (self.grad_norm + 1e-6))?;
        }
        let rate = self.recipe.learning_rate.at(progress.optimizer_step);
        self.state.adam.update(&self.recipe.optimizer, rate, &mut self.state.parameters, &gradients)?;
        progress.optimizer_step += 1;
        progress.accumulated_tokens = 0;
        Ok(())
    }

    fn report(&mut self) -> Result<()> {
        let progress = &mut self.state.progress;
        let (loss, tokens) = std::mem::take(&mut progress.report);
        let seconds = std::mem::take(&mut self.busy).as_secs_f64();
        self.pending.push_back(Event::Step {
            iter: progress.iter,
            loss: loss / tokens as f64,
            learning_rate: self.recipe.learning_rate.at(progress.optimizer_step.saturating_sub(1)),
            tokens_per_second: if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 },
            trained_tokens: progress.trained_tokens,
            peak_bytes: mlx_rs::memory::peak_memory()? as u64,
            grad_norm: self.grad_norm,
        });
        Ok(())
    }

    /// The mean loss of held-out tokens, reported. `None` where nothing is held out.
    fn validate(&mut self) -> Result<Option<f64>> {
        let (mut sum, mut tokens) = (0.0, 0);
        let scale = lora_scale(&self.recipe);
        for batch in self.data.valid.in_order(self.recipe.val_batches) {
            let targets = Targets::new(&batch.ids, batch.width, &batch.spans);
            sum += backward::loss(&self.model, &self.state.parameters, scale, &targets)?;
            tokens += batch.target_tokens();
        }
        if tokens == 0 {
            return Ok(None);
        }
        let (iter, loss) = (self.state.progress.iter, sum / tokens as f64);
        if !loss.is_finite() {
            return Err(EngineError::Diverged { iter, what: "validation loss", value: loss });
        }
        self.pending.push_back(Event::Validation { iter, loss, tokens });
        Ok(Some(loss))
    }

    /// Whether the run has gone on for too long without a better validation.
    fn judge(&mut self, loss: Option<f64>) -> bool {
        let (Some(loss), Some(patience)) = (loss, self.recipe.early_stopping_patience) else { return false };
        let since = match self.state.progress.best {
            Some((best, since)) if loss >= best => {
                self.state.progress.best = Some((best, since + 1));
                since + 1
            }
            _ => {
                self.state.progress.best = Some((loss, 0));
                self.state.best = Some(self.state.parameters.clone());
                0
            }
        };
        since >= patience
    }

    fn finish(&mut self) -> Result<()> {
        self.phase = Phase::Done;
        // With early stopping, the adapter that is kept is the best one, not the last one.
        if let Some(best) =
            self.state.best.take().filter(|_| self.state.progress.best.is_some_and(|(_, since)| since > 0))
        {
            self.state.parameters = best;
        }
        let validation_after = match (self.state.progress.best, self.pending.back()) {
            (Some((best, _)), _) => Some(best),
            (None, Some(Event::Validation { loss, .. })) => Some(*loss),
            _ => self.validate()?,
        };
        let folder = self.folder.join("adapter");
        adapter::save(&folder, &self.state.parameters, &self.recipe)?;
        self.pending.push_back(Event::Finished(Outcome {
            folder,
            iter: self.state.progress.iter,
            validation_before: self.state.progress.validation_before,
            validation_after,
            trained_tokens: self.state.progress.trained_tokens,
            peak_bytes: mlx_rs::memory::peak_memory()? as u64,
        }));
        Ok(())
    }

    /// Where in the data the run is.
    pub fn cursor(&self) -> Cursor {
        self.state.progress.cursor
    }
}

impl Iterator for Trainer {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.pending.is_empty() && self.phase != Phase::Done {
            if let Err(error) = self.advance() {
                self.phase = Phase::Done;
                self.failed = Some(error);
            }
        }
        // What went before a failure is said before it.
        self.pending.pop_front().map(Ok).or_else(|| self.failed.take().map(Err))
    }
}
