//! A training run, as an iterator of events.

use crate::adapter::{self, WEIGHTS, lora_scale};
use crate::backward::{self, Targets};
use crate::batch::{Batch, Cursor};
use crate::checkpoint::{Best, Checkpoint, Identity, Progress};
use crate::error::{EngineError, Result};
use crate::events::{Adapter, Event, Outcome, Written};
use crate::fault::Fault;
use crate::model::{Model, Parameters};
use crate::optimizer::{self, Adam};
use crate::run_folder::RunFolder;
use crate::training_data::TrainingData;
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};
use vertigo_model::recipe::{LossAverage, Method, Recipe};

/// A training run: an iterator of events. Dropping it stops the run; its checkpoints stay.
pub struct Trainer {
    model: Model,
    data: TrainingData,
    recipe: Recipe,
    folder: RunFolder,
    state: Checkpoint,
    resumed_at: u64,
    /// Iterations of the whole run.
    iters: u64,
    /// Time in iterations since the last report; validation and saving do not count.
    busy: Duration,
    pending: VecDeque<Event>,
    /// Why the run is over, until it has been said.
    failed: Option<EngineError>,
    phase: Phase,
    /// The newest iteration that a checkpoint was written of.
    saved: u64,
    /// Asked before each iteration and each batch of a validation. It may take its time: the run is paused meanwhile.
    wish: Box<dyn FnMut() -> Wish>,
}

/// What whoever runs a training wants of it, between two of its iterations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To go on.
    GoOn,
    /// To write a checkpoint and end without an adapter, so that the run goes on from there elsewhere.
    Leave,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Begin,
    Iterate,
    /// The newest validation is the best so far, and the disk did not take its weights: to be written before the run goes on.
    KeepBest {
        failures: u32,
    },
    /// All is trained; the adapters are to be written.
    Write {
        failures: u32,
    },
    Done,
}

/// Pause before an adapter is written again, in seconds. It doubles up to [`WRITE_PAUSE_SECONDS_MAX`].
const WRITE_PAUSE_SECONDS: u64 = 1;

/// The longest such pause: soon enough once there is room, and each try says that the run lives.
const WRITE_PAUSE_SECONDS_MAX: u64 = 60;

impl Trainer {
    /// A run of `recipe`, fresh or resumed.
    ///
    /// # Errors
    /// [`EngineError::Input`] where recipe and base do not fit each other; [`EngineError::Checkpoint`] where the checkpoint is damaged or
    /// of another run.
    pub fn new(mut model: Model, data: TrainingData, recipe: Recipe, folder: RunFolder) -> Result<Trainer> {
        let initial = adapter::initial(&model, &recipe)?;
        // Weights that are trained are the run's from here on. A checkpoint's come in their place and are read only when they are used.
        model.release(&initial);
        let identity = Identity::new(&model, &recipe, &data)?;
        let state = match folder.checkpoint_to_resume() {
            None => Checkpoint {
                adam: Adam::new(&initial)?,
                parameters: initial,
                progress: Progress { identity, ..Progress::default() },
                accumulated: None,
                best: None,
            },
            Some(from) => checkpoint_of(from, &identity, &initial)?,
        };
        Ok(Trainer {
            resumed_at: state.progress.iter,
            saved: state.progress.iter,
            iters: data.iters(&recipe),
            model,
            data,
            recipe,
            folder,
            state,
            busy: Duration::ZERO,
            pending: VecDeque::new(),
            failed: None,
            phase: Phase::Begin,
            wish: Box::new(|| Wish::GoOn),
        })
    }

    /// The same run, which asks before each iteration whether it is to go on. An answer that takes its time pauses it, and changes nothing
    /// of what it comes to.
    pub fn heeding(self, wish: impl FnMut() -> Wish + 'static) -> Trainer {
        Trainer { wish: Box::new(wish), ..self }
    }

    /// What is trained, as it stands.
    pub fn parameters(&self) -> &Parameters {
        &self.state.parameters
    }

    fn advance(&mut self) -> Result<()> {
        match self.phase {
            Phase::Begin => self.begin()?,
            Phase::Iterate if (self.wish)() == Wish::Leave => self.leave()?,
            Phase::Iterate => self.iterate()?,
            Phase::KeepBest { failures } => {
                if self.keep_best(failures)? {
                    self.phase = Phase::Iterate;
                    // A better validation stops no run, and after the last iteration the best weights are the adapter's.
                    self.save_where_due()?;
                }
            }
            Phase::Write { failures } => self.write(failures)?,
            Phase::Done => {}
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        self.phase = Phase::Iterate;
        self.state.best = self.folder.restore_best(self.state.best.as_deref(), &self.recipe)?;
        let trainable = self.state.parameters.values().map(|x| x.size() as u64).sum();
        let caveats = self.data.caveats(&self.recipe);
        self.pending.push_back(Event::Started {
            trainable_parameters: trainable,
            train_examples: self.data.train.examples(),
            weights_sum: self.data.train.weights_sum(),
            valid_examples: self.data.valid.examples(),
            skipped_examples: caveats.skipped_examples,
            caveats,
            resumed_at: self.resumed_at,
            iters: self.iters,
        });
        if self.resumed_at == 0 {
            self.state.progress.validation_before = self.validate()?;
        }
        if self.state.progress.iter >= self.iters {
            self.phase = Phase::Write { failures: 0 };
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
        let (loss, gradients) = match self.gradients(&batch, iter) {
            Ok(found) => found,
            Err(error) => return Err(self.given_up(error)),
        };
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
        let last = iter == self.iters;
        let due = |every: u64| iter.is_multiple_of(every) || last;
        if due(self.recipe.steps_per_report) {
            self.report()?;
        }
        let mut stop = false;
        if due(self.recipe.steps_per_eval)
            && let Some(loss) = self.validate()?
        {
            let since = self.judge(loss);
            stop = self.recipe.early_stopping_patience.is_some_and(|patience| since >= patience);
            if since == 0 && !last && !self.keep_best(0)? {
                return Ok(());
            }
        }
        if last || stop {
            self.phase = Phase::Write { failures: 0 };
            return Ok(());
        }
        self.save_where_due()
    }

    fn save_where_due(&mut self) -> Result<()> {
        match self.state.progress.iter {
            iter if iter.is_multiple_of(self.recipe.save_every) => self.save(iter),
            _ => Ok(()),
        }
    }

    /// Writes a checkpoint. A disk that does not take it costs the run nothing but a point to go on from.
    fn save(&mut self, iter: u64) -> Result<()> {
        let folder = self.folder.checkpoint(iter);
        let event = match self.state.save(&folder, &self.recipe) {
            Ok(()) => {
                self.saved = iter;
                Event::Checkpoint { iter, folder }
            }
            Err(error @ EngineError::File { .. }) => {
                Event::Unwritten { iter, what: Written::Checkpoint, reason: error.to_string() }
            }
            Err(error) => return Err(error),
        };
        self.pending.push_back(event);
        Ok(())
    }

    /// What an iteration came to that found no gradients. Nothing of the run's state has changed by then, so that where only a new process
    /// helps, what was trained is saved for it first: whatever the batch had made is let go of, and a checkpoint needs few buffers.
    fn given_up(&mut self, error: EngineError) -> EngineError {
        let iter = self.state.progress.iter;
        if iter > self.saved && error.fault() == Some(Fault::BuffersUsedUp) {
            let saved = mlx_rs::memory::clear_cache().map_err(EngineError::from).and_then(|()| self.save(iter));
            if let Err(second) = saved {
                let (what, reason) = (Written::Checkpoint, second.to_string());
                self.pending.push_back(Event::Unwritten { iter, what, reason });
            }
        }
        error
    }

    /// Ends the run where it is, with a checkpoint to go on from unless there is one already.
    fn leave(&mut self) -> Result<()> {
        self.phase = Phase::Done;
        match self.state.progress.iter {
            iter if iter > self.saved => self.save(iter),
            _ => Ok(()),
        }
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
            // Only to pause: the iteration that it belongs to is to be whole.
            (self.wish)();
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
        self.state.progress.newest_validation = Some(loss);
        self.pending.push_back(Event::Validation { iter, loss, tokens });
        Ok(Some(loss))
    }

    /// Takes note of a validation; gives how many have not been better since the best one.
    fn judge(&mut self, loss: f64) -> u64 {
        let progress = &mut self.state.progress;
        let best = match progress.best {
            Some(best) if loss >= best.loss => Best { since: best.since + 1, ..best },
            _ => Best { loss, iter: progress.iter, since: 0 },
        };
        progress.best = Some(best);
        best.since
    }

    /// Writes the weights as the best ones. Where the disk does not take them the run waits for room, as at its end: a better adapter than
    /// the one that it may end with is what it is for, and to hold it in memory may take more than there is.
    fn keep_best(&mut self, failures: u32) -> Result<bool> {
        pause(failures);
        let folder = self.folder.best();
        match adapter::save_trained(&folder, &self.state.parameters, &self.state.adam, &self.recipe) {
            Ok(()) => {
                self.state.best = Some(folder.join(WEIGHTS));
                Ok(true)
            }
            Err(error) => {
                self.phase = Phase::KeepBest { failures: failures.saturating_add(1) };
                self.unwritten(Written::Best, error)?;
                Ok(false)
            }
        }
    }

    /// Writes what is left to be written of the adapters. Where the disk does not take it, all that was trained is still here: the run
    /// waits for room for as long as whoever started it lets it.
    fn write(&mut self, failures: u32) -> Result<()> {
        pause(failures);
        let best = self.state.progress.best;
        let is_best_older = best.is_some_and(|best| best.since > 0);
        let stops_early = self.recipe.early_stopping_patience.is_some();
        let adapter = if is_best_older && stops_early {
            // The adapter that is kept is the best one, not the last one.
            self.folder.end_with_best()
        } else {
            adapter::save_trained(&self.folder.adapter(), &self.state.parameters, &self.state.adam, &self.recipe)
        };
        let written = adapter.map_err(|error| (Written::Adapter, error)).and_then(|()| match is_best_older {
            true => Ok(()),
            false => self.folder.best_is_the_last().map_err(|error| (Written::Best, error)),
        });
        match written {
            Ok(()) => self.finish(is_best_older, stops_early),
            Err((what, error)) => {
                self.phase = Phase::Write { failures: failures.saturating_add(1) };
                self.unwritten(what, error)
            }
        }
    }

    fn finish(&mut self, is_best_older: bool, stops_early: bool) -> Result<()> {
        let progress = &self.state.progress;
        let of_best = progress.best.map(|best| (best.iter, Some(best.loss)));
        // A run of no iteration has only what it began with.
        let of_last = (progress.iter, progress.newest_validation.or(progress.validation_before));
        let best = of_best.unwrap_or(of_last);
        let last = if is_best_older && stops_early { best } else { of_last };
        let adapter = |folder, (iter, validation)| Adapter { folder, iter, validation };
        self.phase = Phase::Done;
        self.pending.push_back(Event::Finished(Outcome {
            adapter: adapter(self.folder.adapter(), last),
            best: adapter(self.folder.best(), best),
            iter: progress.iter,
            validation_before: progress.validation_before,
            trained_tokens: progress.trained_tokens,
            peak_bytes: mlx_rs::memory::peak_memory()? as u64,
        }));
        Ok(())
    }

    /// Tells that a file could not be written; any other error is the run's end.
    fn unwritten(&mut self, what: Written, error: EngineError) -> Result<()> {
        let EngineError::File { .. } = error else { return Err(error) };
        let (iter, reason) = (self.state.progress.iter, error.to_string());
        self.pending.push_back(Event::Unwritten { iter, what, reason });
        Ok(())
    }

    /// Where in the data the run is.
    pub fn cursor(&self) -> Cursor {
        self.state.progress.cursor
    }
}

/// The checkpoint in the folder `from`, where it is one of the run `identity`.
fn checkpoint_of(from: &Path, identity: &Identity, initial: &Parameters) -> Result<Checkpoint> {
    let refused = |problem: String| EngineError::Checkpoint { folder: from.to_owned(), problem };
    let checkpoint = Checkpoint::load(from).map_err(|error| match error {
        EngineError::Mlx(_) => error,
        other => refused(other.to_string()),
    })?;
    checkpoint.check(identity, initial).map_err(refused)?;
    Ok(checkpoint)
}

/// Waits before a write that has failed so often; not before the first.
fn pause(failures: u32) {
    if failures > 0 {
        let seconds = WRITE_PAUSE_SECONDS.saturating_mul(1 << (failures - 1).min(16)).min(WRITE_PAUSE_SECONDS_MAX);
        std::thread::sleep(Duration::from_secs(seconds));
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

#[cfg(test)]
mod tests;
