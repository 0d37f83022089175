//! A training run, as an iterator of events.

use crate::adapter::{self, lora_scale};
use crate::backward::{self, Targets};
use crate::batch::{Batch, Batches, Cursor};
use crate::checkpoint::{Checkpoint, Identity, Progress};
use crate::error::{EngineError, Result};
use crate::events::{Event, Outcome, Written};
use crate::model::{Model, Parameters};
use crate::optimizer::{self, Adam};
use crate::remarks::Remarks;
use crate::text::ChatTokenizer;
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vertigo::caveats::Caveats;
use vertigo::id::Digest;
use vertigo_model::dataset::{Dataset, Row};
use vertigo_model::recipe::{LossAverage, Method, Recipe};

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

/// A training run: an iterator of events. Dropping it stops the run; its checkpoints stay.
pub struct Trainer {
    model: Model,
    data: TrainingData,
    recipe: Recipe,
    folder: PathBuf,
    state: Checkpoint,
    resumed_at: u64,
    /// Time in iterations since the last report; validation and saving do not count.
    busy: Duration,
    pending: VecDeque<Event>,
    /// Why the run is over, until it has been said.
    failed: Option<EngineError>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Begin,
    Iterate,
    /// All is trained; the adapter is to be written. What it came to is fixed by now.
    Write {
        validation_after: Option<f64>,
        failures: u32,
    },
    Done,
}

/// Pause before the adapter is written again, in seconds. It doubles up to [`WRITE_PAUSE_SECONDS_MAX`].
const WRITE_PAUSE_SECONDS: u64 = 1;

/// The longest such pause: soon enough once there is room, and each try says that the run lives.
const WRITE_PAUSE_SECONDS_MAX: u64 = 60;

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
            Phase::Write { validation_after, failures } => self.write(validation_after, failures)?,
            Phase::Done => {}
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        self.phase = Phase::Iterate;
        let trainable = self.state.parameters.values().map(|x| x.size() as u64).sum();
        let caveats = self.data.caveats(&self.recipe);
        self.pending.push_back(Event::Started {
            trainable_parameters: trainable,
            train_examples: self.data.train.examples(),
            valid_examples: self.data.valid.examples(),
            skipped_examples: caveats.skipped_examples,
            caveats,
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
            stop = self.judge(loss)?;
        }
        if last || stop {
            return self.finish();
        }
        if due(self.recipe.save_every) {
            self.save(iter)?;
        }
        Ok(())
    }

    /// Writes a checkpoint. A disk that does not take it costs the run nothing but a point to go on from.
    fn save(&mut self, iter: u64) -> Result<()> {
        let folder = self.folder.join("checkpoints").join(format!("{iter:08}"));
        let event = match self.state.save(&folder, &self.recipe) {
            Ok(()) => Event::Checkpoint { iter, folder },
            Err(error @ EngineError::File { .. }) => {
                Event::Unwritten { iter, what: Written::Checkpoint, reason: error.to_string() }
            }
            Err(error) => return Err(error),
        };
        self.pending.push_back(event);
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
        let norm = optimizer::global_norm(&gradients)?;
        if !norm.is_finite() {
            return Err(EngineError::Diverged { iter, what: "gradient's norm", value: norm });
        }
        progress.grad_norm = norm;
        if let Some(clip) = self.recipe.grad_clip.filter(|clip| norm > *clip) {
            gradients = optimizer::scaled(gradients, clip / (norm + 1e-6))?;
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
            grad_norm: progress.grad_norm,
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
    fn judge(&mut self, loss: Option<f64>) -> Result<bool> {
        let (Some(loss), Some(patience)) = (loss, self.recipe.early_stopping_patience) else { return Ok(false) };
        let since = match self.state.progress.best {
            Some((best, since)) if loss >= best => {
                self.state.progress.best = Some((best, since + 1));
                since + 1
            }
            _ => {
                self.state.progress.best = Some((loss, 0));
                // The last best is let go of before there is another.
                self.state.best = None;
                self.state.best = Some(self.state.adam.exact(&self.state.parameters)?);
                0
            }
        };
        Ok(since >= patience)
    }

    fn finish(&mut self) -> Result<()> {
        let validation_after = match (self.state.progress.best, self.pending.back()) {
            (Some((best, _)), _) => Some(best),
            (None, Some(Event::Validation { loss, .. })) => Some(*loss),
            _ => self.validate()?,
        };
        // Nothing is updated any more: the moments make room for the adapter's values.
        let adam = std::mem::take(&mut self.state.adam);
        let low = Adam { low: adam.low, ..Adam::default() };
        // With early stopping, the adapter that is kept is the best one, not the last one.
        let best = self.state.best.take().filter(|_| self.state.progress.best.is_some_and(|(_, since)| since > 0));
        self.state.parameters = best.map_or_else(|| low.exact(&self.state.parameters), Ok)?;
        self.phase = Phase::Write { validation_after, failures: 0 };
        Ok(())
    }

    /// Writes the adapter. Where the disk does not take it, all that was trained is still here: the run waits for room for as long as
    /// whoever started it lets it.
    fn write(&mut self, validation_after: Option<f64>, failures: u32) -> Result<()> {
        if failures > 0 {
            let seconds = WRITE_PAUSE_SECONDS.saturating_mul(1 << (failures - 1).min(16)).min(WRITE_PAUSE_SECONDS_MAX);
            std::thread::sleep(Duration::from_secs(seconds));
        }
        let folder = self.folder.join("adapter");
        match adapter::save(&folder, &self.state.parameters, &self.recipe) {
            Ok(()) => {}
            Err(error @ EngineError::File { .. }) => {
                self.phase = Phase::Write { validation_after, failures: failures.saturating_add(1) };
                let (iter, reason) = (self.state.progress.iter, error.to_string());
                self.pending.push_back(Event::Unwritten { iter, what: Written::Adapter, reason });
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.phase = Phase::Done;
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
