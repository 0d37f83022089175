//! What a fused model kept of its adapter: its loss on held-out data, and how far it is from base and adapter together.
//!
//! Fusing packs changed matrices again, and a change below half a step of a coarse grid is rounded away without a
//! trace. The fused model then answers as its base does, and nothing but a measurement shows it.
//!
//! Three models are compared on the same tokens: the base, the base with its adapter, and the fused model. Distance is
//! the Kullback-Leibler divergence of next-token distributions, KL(P‖Q) = Σ P·log(P / Q), in nats a token. It is seen
//! where a loss is not: a loss may stay as it is while the distribution changes.
//!
//! Promises:
//! - Examples become tokens, and tokens are learned from, as in training: the mean loss is that of a validation.
//! - Memory holds both models, the adapter, and the distributions of [`COMPARED_TOKENS`] tokens at a time.
//! - Logits become probabilities in f32, and sums over tokens are f64.

use crate::backward::{Targets, residual};
use crate::batch::{Batch, Batches};
use crate::error::{EngineError, Result};
use crate::fuse::{adapter_of, read_json};
use crate::model::{Model, Parameters};
use crate::text::ChatTokenizer;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::transforms::eval;
use mlx_rs::{Array, Dtype};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use vertigo::task::Bits;
use vertigo_model::dataset::Dataset;
use vertigo_model::estimate::{COMPARED_TOKENS, MEASURED_TOKENS_MAX};
use vertigo_model::shape::Shape;

/// Examples that are measured at the most: spread over all lengths where there are more.
pub const MEASURED_EXAMPLES_MAX: u64 = 64;

/// The divergence, in nats a token, up to which two models are said to be the same. Activations in 16 bits round a logit by up to
/// 2⁻⁸ of its size, so the same weights computed in another order are some 10⁻⁴ nats apart.
pub const NOISE_NATS: f64 = 2e-4;

/// The part of an adapter's effect, as a divergence, that a fused model may be away from it before the adapter counts
/// as lost.
const LOST_PART: f64 = 0.5;

/// The part of an adapter's gain in held-out loss that a fused model has to keep, for its bits to be enough.
pub const KEPT_PART_MIN: f64 = 0.95;

/// The part of an adapter's effect, as a divergence, that a fused model may be away from it, likewise.
pub const AWAY_PART_MAX: f64 = 0.05;

/// What a fused model kept. Losses and divergences are means in nats a target token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Held-out examples that were measured.
    pub examples: u64,
    /// Their tokens that are predicted.
    pub tokens: u64,
    /// Loss of the base.
    pub loss_base: f64,
    /// Loss of the base with its adapter.
    pub loss_adapter: f64,
    /// Loss of the fused model.
    pub loss_fused: f64,
    /// How far base and adapter are from the base alone: what the adapter does.
    pub kl_adapter_base: f64,
    /// How far base and adapter are from the fused model: what fusing lost.
    pub kl_adapter_fused: f64,
}

impl Kept {
    /// Whether fusing lost what the adapter had learned: the fused model is at least half as far from base and adapter
    /// as the base is.
    ///
    /// The adapter's own effect is the measure, so that it fits large and small ones alike: one that was rounded away leaves the fused
    /// model as far from base and adapter as the base is, and one that is small beside the rounding leaves it farther. A fused model
    /// that is no farther than [`NOISE_NATS`] has lost nothing that anybody could see.
    pub fn has_lost(&self) -> bool {
        self.kl_adapter_fused > NOISE_NATS && self.kl_adapter_fused >= LOST_PART * self.kl_adapter_base
    }

    /// The part of the adapter's gain in held-out loss that the fused model kept: 1 for all of it, more where packing happened to help,
    /// less than 0 where it does worse than the base. `None` where the adapter gained nothing that is more than noise.
    pub fn share(&self) -> Option<f64> {
        let gain = self.loss_base - self.loss_adapter;
        (gain > NOISE_NATS).then(|| (self.loss_base - self.loss_fused) / gain)
    }

    /// Whether the fused model kept what the adapter had learned: at least [`KEPT_PART_MIN`] of its gain in loss, and at most
    /// [`AWAY_PART_MAX`] of its effect away from it. Less than [`NOISE_NATS`] is no difference. An adapter that gained nothing is
    /// judged by its effect alone, as what it learned may not be what is held out.
    pub fn is_kept(&self) -> bool {
        let lost = self.loss_fused - self.loss_adapter;
        let keeps_gain = lost <= NOISE_NATS || self.share().is_none_or(|share| share >= KEPT_PART_MIN);
        keeps_gain && self.kl_adapter_fused <= (AWAY_PART_MAX * self.kl_adapter_base).max(NOISE_NATS)
    }

    /// What to tell whoever asked for `bits`, where the adapter was lost and more bits would keep it; or where auto found none that keep
    /// enough.
    pub fn remark(&self, bits: Bits) -> Option<String> {
        let (is_told, cure) = match bits {
            Bits::Auto => (!self.is_kept(), "auto has no more bits to try; serve the adapter beside its base, unfused"),
            Bits::Same | Bits::Four => (self.has_lost(), "fuse again with --bits auto"),
            Bits::Eight => (self.has_lost(), "fuse again with --bits 16"),
            Bits::Sixteen => return None,
        };
        let problem = if self.has_lost() { "packing outweighs" } else { "the model has lost a part of" };
        is_told.then(|| {
            format!(
                "{problem} what the adapter had learned: on {} held-out examples the fused model is {:.4} nats a \
                 token from base and adapter, which are {:.4} from the base (loss: base {:.3}, with adapter {:.3}, \
                 fused {:.3}); {cure}",
                self.examples,
                self.kl_adapter_fused,
                self.kl_adapter_base,
                self.loss_base,
                self.loss_adapter,
                self.loss_fused,
            )
        })
    }
}

/// Compares the model in the folder `fused` with the base and the adapter that it was made of, on what the dataset
/// `data` holds out. `progress` is told of examples measured, and of all that there are. `None` where nothing is held
/// out that has a token to predict.
///
/// # Errors
/// [`EngineError::Input`] where a folder is not what it should be or the three do not belong together, naming what is wrong,
/// and where a model gives a loss that is no number.
pub fn measure(
    base: &Path,
    adapter: &Path,
    fused: &Path,
    data: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<Kept>> {
    // Before the models: this is where mistakes are found, and there may be nothing to measure.
    let batches = held_out(base, data, masks_prompt(adapter)?)?;
    if batches.is_empty() {
        return Ok(None);
    }
    let models = Models::load(base, adapter, fused)?;
    let total = batches.examples().min(MEASURED_EXAMPLES_MAX);
    let mut sums = Sums::default();
    for (index, batch) in batches.in_order(Some(MEASURED_EXAMPLES_MAX)).enumerate() {
        models.compare(&batch, &mut sums)?;
        progress(index as u64 + 1, total);
    }
    let kept = sums.mean(total);
    for (loss, of) in [(kept.loss_base, base), (kept.loss_adapter, adapter), (kept.loss_fused, fused)] {
        if !loss.is_finite() {
            return Err(EngineError::input(format!("the loss of {} on held-out data is {loss}", of.display())));
        }
    }
    Ok(Some(kept))
}

/// Whether the dataset `data` holds out an example that has a token to predict.
///
/// # Errors
/// [`EngineError::Input`] where the dataset, the base's tokenizer or the adapter's config cannot be read.
pub(crate) fn holds_out(base: &Path, adapter: &Path, data: &Path) -> Result<bool> {
    Ok(!held_out(base, data, masks_prompt(adapter)?)?.is_empty())
}

/// Whether the adapter was trained on answers alone. mlx-lm's default where its config does not say.
fn masks_prompt(adapter: &Path) -> Result<bool> {
    let path = adapter.join("adapter_config.json");
    match read_json(&path)?.get("mask_prompt") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(masks)) => Ok(*masks),
        Some(other) => {
            Err(EngineError::input(format!("{}: `mask_prompt` is {other}; write true or false", path.display())))
        }
    }
}

/// The examples that are held out, one a batch.
fn held_out(base: &Path, data: &Path, mask_prompt: bool) -> Result<Batches> {
    let dataset = Dataset::read(data).map_err(|e| EngineError::input(e.to_string()))?;
    let tokenizer = ChatTokenizer::load(base)?;
    let examples: Result<Vec<_>> =
        dataset.valid.iter().map(|row| Ok(tokenizer.read_row(row, mask_prompt)?.tokens)).collect();
    // Neither the order of training nor its seed matters here.
    Ok(Batches::new(examples?, 1, MEASURED_TOKENS_MAX as usize, 0))
}

/// The three models, of which two share their weights.
struct Models {
    base: Model,
    adapter: Parameters,
    lora_scale: f64,
    fused: Model,
}

impl Models {
    fn load(base_folder: &Path, adapter_folder: &Path, fused_folder: &Path) -> Result<Models> {
        let base = Model::load(base_folder)?;
        let (adapter, lora_scale) = adapter_of(base_folder, base.shape(), adapter_folder)?;
        let prefix = vertigo_model::tensors::LAYERS;
        if let Some(name) = adapter.keys().find(|name| !name.starts_with(prefix)) {
            let folder = adapter_folder.display();
            return Err(EngineError::input(format!(
                "{folder}: `{name}` lies outside the layers; it cannot be measured"
            )));
        }
        eval(adapter.values())?;
        let fused = Model::load(fused_folder)?;
        let unpacked = |model: &Model| Shape { quantization: None, ..model.shape().clone() };
        if unpacked(&fused) != unpacked(&base) {
            let (fused, base) = (fused_folder.display(), base_folder.display());
            return Err(EngineError::input(format!("{fused} has other sizes than {base}; it was not made of it")));
        }
        Ok(Models { base, adapter, lora_scale, fused })
    }

    /// Adds what one example says.
    fn compare(&self, batch: &Batch, sums: &mut Sums) -> Result<()> {
        let targets = Targets::new(&batch.ids, batch.width, &batch.spans);
        let none = Parameters::new();
        let with_adapter = residual(&self.base, &self.adapter, self.lora_scale, &targets)?;
        let alone = residual(&self.base, &none, 1.0, &targets)?;
        let fused = residual(&self.fused, &none, 1.0, &targets)?;
        let count = targets.tokens.len() as i32;
        let tokens = Array::from_slice(&targets.tokens, &[count, 1]);
        for start in (0..count).step_by(COMPARED_TOKENS as usize) {
            let end = (start + COMPARED_TOKENS as i32).min(count);
            let slice = |x: &Array| x.try_index(start..end);
            let tokens = slice(&tokens)?;
            let p = log_probabilities(&self.base, &slice(&with_adapter)?)?;
            sums.loss_adapter += loss(&p, &tokens)?;
            for (model, x, loss_sum, divergence_sum) in [
                (&self.base, &alone, &mut sums.loss_base, &mut sums.kl_adapter_base),
                (&self.fused, &fused, &mut sums.loss_fused, &mut sums.kl_adapter_fused),
            ] {
                let q = log_probabilities(model, &slice(x)?)?;
                *loss_sum += loss(&q, &tokens)?;
                *divergence_sum += divergence(&p, q)?;
            }
        }
        sums.tokens += batch.target_tokens();
        Ok(())
    }
}

/// Sums over tokens.
#[derive(Debug, Default)]
struct Sums {
    tokens: u64,
    loss_base: f64,
    loss_adapter: f64,
    loss_fused: f64,
    kl_adapter_base: f64,
    kl_adapter_fused: f64,
}

impl Sums {
    fn mean(&self, examples: u64) -> Kept {
        let mean = |sum: f64| sum / self.tokens as f64;
        Kept {
            examples,
            tokens: self.tokens,
            loss_base: mean(self.loss_base),
            loss_adapter: mean(self.loss_adapter),
            loss_fused: mean(self.loss_fused),
            kl_adapter_base: mean(self.kl_adapter_base),
            kl_adapter_fused: mean(self.kl_adapter_fused),
        }
    }
}

/// Log-probabilities [n, V] in f32 of the tokens that follow, from the residual stream x [n, H]. Each step is
/// evaluated, and what it read is let go of, before the next, so that MLX works in place.
fn log_probabilities(model: &Model, x: &Array) -> Result<Array> {
    let logits = model.unembed(&model.final_norm(x)?)?.as_dtype(Dtype::Float32)?;
    logits.eval()?;
    let total = logits.logsumexp_axis(-1, true)?;
    total.eval()?;
    let normalized = logits.subtract(total)?;
    drop(logits);
    normalized.eval()?;
    Ok(normalized)
}

/// The summed loss of `tokens` [n, 1] under log-probabilities [n, V].
fn loss(log_probabilities: &Array, tokens: &Array) -> Result<f64> {
    Ok(-sum(&log_probabilities.take_along_axis(tokens, -1)?)?)
}

/// Σ P·(log P − log Q) over tokens and vocabulary.
fn divergence(p: &Array, q: Array) -> Result<f64> {
    let difference = p.subtract(&q)?;
    drop(q);
    difference.eval()?;
    let terms = p.exp()?.multiply(difference)?;
    sum(&terms.sum_axis(-1, false)?)
}

/// The sum of an f32 array's values, in f64.
fn sum(x: &Array) -> Result<f64> {
    let x = x.contiguous()?;
    let values = x.try_as_slice::<f32>().map_err(|e| EngineError::input(format!("MLX: {e}")))?;
    Ok(values.iter().copied().map(f64::from).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(kl_adapter_base: f64, kl_adapter_fused: f64) -> Kept {
        Kept {
            examples: 6,
            tokens: 100,
            loss_base: 5.25,
            loss_adapter: 4.125,
            loss_fused: 5.0,
            kl_adapter_base,
            kl_adapter_fused,
        }
    }

    #[test]
    fn half_of_the_effect_is_lost_and_noise_is_none() {
        assert!(kept(0.4, 0.2).has_lost() && kept(0.4, 0.5).has_lost());
        assert!(!kept(0.4, 0.19).has_lost() && !kept(0.4, 0.0).has_lost());
        // Both are rounding, and the fused model is the further one.
        assert!(!kept(NOISE_NATS / 2.0, NOISE_NATS).has_lost());
    }

    #[test]
    fn a_remark_names_the_figures_and_more_bits_than_were_asked_for() {
        let lost = kept(0.4, 0.3);
        for bits in [Bits::Same, Bits::Four] {
            let remark = lost.remark(bits).unwrap();
            assert!(remark.contains("--bits auto"), "{remark}");
            for figure in ["6 held-out", "0.3000", "0.4000", "5.250", "4.125", "5.000"] {
                assert!(remark.contains(figure), "{remark}");
            }
        }
        let remark = lost.remark(Bits::Eight).unwrap();
        assert!(remark.contains("--bits 16") && !remark.contains("--bits auto"), "{remark}");
        assert_eq!((lost.remark(Bits::Sixteen), kept(0.4, 0.1).remark(Bits::Same)), (None, None));
        // Auto has promised more than that not half is lost.
        let part = kept(0.4, 0.1).remark(Bits::Auto).unwrap();
        assert!(part.contains("lost a part") && part.contains("unfused"), "{part}");
    }

    #[test]
    fn kept_is_nearly_all_of_the_gain_and_nearly_none_of_the_effect_away() {
        // The gain of `kept` is 1.125.
        let after = |loss_fused, kl_adapter_fused| Kept { loss_fused, ..kept(0.4, kl_adapter_fused) };
        assert!(after(4.125, 0.0).is_kept() && after(4.0, 0.02).is_kept(), "lower than the adapter's is not lost");
        assert!(after(4.18, 0.02).is_kept() && !after(4.19, 0.02).is_kept());
        assert!(!after(4.125, 0.021).is_kept());
        assert_eq!(after(5.25, 0.0).share(), Some(0.0));
        // Without a gain there is no part of it; the effect is still there to be lost.
        let idle = |kl_adapter_fused| Kept { loss_base: 4.125, ..after(4.2, kl_adapter_fused) };
        assert_eq!(idle(0.0).share(), None);
        assert!(idle(0.01).is_kept() && !idle(0.1).is_kept());
        // An effect that is noise cannot be lost.
        let none = Kept { kl_adapter_base: 0.0, kl_adapter_fused: NOISE_NATS, ..idle(0.0) };
        assert!(none.is_kept());
    }
}
