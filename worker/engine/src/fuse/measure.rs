//! What a fused model has kept of its adapter, measured on examples that neither was trained on.
//!
//! Packing a matrix again rounds it, and a small change may be rounded away without a trace. So three models say how likely each token of
//! held-out answers is: the base, the base with its adapter, and the fused model. Their mean losses say how good they are; the mean
//! Kullback-Leibler divergences from the base with its adapter say how far the other two are from what was wanted.
//!
//! Alive at the peak: both models and the adapter, one half of a layer's insides on one example of at most [`MEASURED_TOKENS_MAX`] tokens,
//! or the distributions of [`COMPARED_TOKENS`] tokens.

use super::change::{self, Kind};
use crate::adapter;
use crate::backward::Targets;
use crate::batch::{Batch, Batches};
use crate::error::{EngineError, Result};
use crate::layer::LoraForward;
use crate::model::{Model, Parameters};
use crate::text::ChatTokenizer;
use mlx_rs::ops::expm1;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::transforms::eval;
use mlx_rs::{Array, Dtype};
use std::path::Path;
use vertigo::dataset::Dataset;
use vertigo::estimate::{COMPARED_TOKENS, MEASURED_TOKENS_MAX};
use vertigo::tensors::split_name;

/// Held-out examples that are measured at the most, spread over all of them.
pub const MEASURED_EXAMPLES_MAX: usize = 64;

/// The adapter counts as lost where the fused model is at least this part of the way from base and adapter to the bare base.
pub const LOST_PART: f64 = 0.5;

/// Divergences below this, in nats a token, change no answer, and f32 arithmetic alone makes some.
pub const DIVERGENCE_NATS_MIN: f64 = 1e-6;

/// Means over the target tokens of held-out examples, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Examples.
    pub examples: u64,
    /// Target tokens.
    pub tokens: u64,
    /// Loss of the base.
    pub loss_base: f64,
    /// Loss of the base with its adapter.
    pub loss_adapter: f64,
    /// Loss of the fused model.
    pub loss_fused: f64,
    /// KL(adapter‖base): how much the adapter changes.
    pub kl_adapter_base: f64,
    /// KL(adapter‖fused): how much fusing has changed of that.
    pub kl_adapter_fused: f64,
}

impl Measured {
    /// Whether the fused model has lost what the adapter had learned.
    ///
    /// Judged by divergences and not by losses: an adapter that changes much may leave the loss of a few examples as it was, and rounding
    /// may by chance improve it. The divergence from the base is the adapter's own change, so the measure fits large and small
    /// changes alike: one that was rounded away leaves the fused model as far from the adapter as the base is, however near that is, and
    /// one that is small beside the rounding leaves it farther. Only below [`DIVERGENCE_NATS_MIN`] there is nothing to lose.
    pub fn is_lost(&self) -> bool {
        self.kl_adapter_fused > DIVERGENCE_NATS_MIN && self.kl_adapter_fused >= LOST_PART * self.kl_adapter_base
    }
}

/// What came of measuring.
#[derive(Debug, Clone, PartialEq)]
pub enum Measurement {
    /// The means.
    Taken(Measured),
    /// Nothing could be measured: why, as the end of a sentence.
    Impossible(String),
}

/// Measures the model in `fused` beside the base and the adapter that it was made of, on the held-out part of the dataset in
/// `data`. Of conversations and answers to prompts only what the model has to say is measured. `progress` is told of examples
/// done, and of all that there are.
///
/// # Errors
/// [`EngineError::Input`] where the dataset or a model cannot be read, or where a loss is no number.
pub fn measure(
    base: &Path,
    adapter: &Path,
    fused: &Path,
    data: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Measurement> {
    let batches = held_out(base, data)?;
    if batches.is_empty() {
        return Ok(Measurement::Impossible("the dataset holds no example out".to_owned()));
    }
    let parameters = adapter::load(adapter)?;
    if let Some(outer) = parameters.keys().find(|name| split_name(name).is_none()) {
        return Ok(Measurement::Impossible(format!("the adapter changes `{outer}`, which lies outside the layers")));
    }
    eval(parameters.values())
        .map_err(|e| EngineError::input(format!("{}: a tensor cannot be read: {e}", adapter.display())))?;
    let scale = match change::kind_in(adapter)? {
        Kind::Lora { scale } => scale,
        Kind::Full => 1.0,
    };
    let models = Models { base: Model::load(base)?, fused: Model::load(fused)?, parameters, scale };
    let (mut sums, total) = (Sums::default(), batches.len() as u64);
    for (done, batch) in (1..).zip(&batches) {
        models.compare(batch, &mut sums)?;
        progress(done, total);
    }
    sums.means(total).map(Measurement::Taken)
}

/// The examples that are measured, one a batch: only one is in memory at a time.
fn held_out(base: &Path, data: &Path) -> Result<Vec<Batch>> {
    let rows = Dataset::read(data).map_err(|e| EngineError::input(e.to_string()))?.valid;
    let tokenizer = ChatTokenizer::load(base)?;
    let count = rows.len().min(MEASURED_EXAMPLES_MAX);
    let chosen = (0..count).map(|n| &rows[n * rows.len() / count]);
    let tokens = chosen.map(|row| {
        tokenizer.tokenize(&row.example, true).map_err(|error| match error {
            EngineError::Input(problem) => EngineError::Input(format!("{}: {problem}", row.place)),
            error => error,
        })
    });
    // The last token only ever is a target.
    let batches = Batches::new(tokens.collect::<Result<_>>()?, 1, MEASURED_TOKENS_MAX as usize + 1, 0);
    Ok(batches.in_order(None).collect())
}

/// Sums over target tokens.
#[derive(Debug, Default)]
struct Sums {
    tokens: u64,
    loss_base: f64,
    loss_adapter: f64,
    loss_fused: f64,
    kl_base: f64,
    kl_fused: f64,
}

impl Sums {
    fn means(&self, examples: u64) -> Result<Measured> {
        let tokens = self.tokens as f64;
        let measured = Measured {
            examples,
            tokens: self.tokens,
            loss_base: self.loss_base / tokens,
            loss_adapter: self.loss_adapter / tokens,
            loss_fused: self.loss_fused / tokens,
            kl_adapter_base: self.kl_base / tokens,
            kl_adapter_fused: self.kl_fused / tokens,
        };
        for (of, loss) in [
            ("the base", measured.loss_base + measured.kl_adapter_base),
            ("the base with its adapter", measured.loss_adapter),
            ("the fused model", measured.loss_fused + measured.kl_adapter_fused),
        ] {
            if !loss.is_finite() {
                let problem =
                    "is no finite number on held-out examples; its weights are damaged or its training diverged";
                return Err(EngineError::input(format!("the loss of {of} {problem}")));
            }
        }
        Ok(measured)
    }
}

/// What is compared.
struct Models {
    base: Model,
    fused: Model,
    /// The adapter's tensors, as its file has them.
    parameters: Parameters,
    scale: f32,
}

impl Models {
    /// Adds what the models say of one example.
    fn compare(&self, batch: &Batch, sums: &mut Sums) -> Result<()> {
        let targets = Targets::new(&batch.ids, batch.width, &batch.spans);
        let none = Parameters::new();
        let stream = |model: &Model, parameters: &Parameters| -> Result<Array> {
            let count = targets.positions.len() as i32;
            let h = residual_stream(model, parameters, self.scale, &targets.inputs)?;
            let h = h.reshape(&[-1, h.dim(-1)])?.take_axis(Array::from_slice(&targets.positions, &[count]), 0)?;
            h.eval()?;
            Ok(h)
        };
        let adapted = stream(&self.base, &self.parameters)?;
        let plain = stream(&self.base, &none)?;
        let fused = stream(&self.fused, &none)?;
        let count = targets.tokens.len();
        for start in (0..count).step_by(COMPARED_TOKENS as usize) {
            let end = (start + COMPARED_TOKENS as usize).min(count);
            let tokens = Array::from_slice(&targets.tokens[start..end], &[(end - start) as i32, 1]);
            let distribution = |model: &Model, h: &Array| log_probabilities(model, h, start as i32..end as i32);
            let p = distribution(&self.base, &adapted)?;
            sums.loss_adapter += loss(&p, &tokens)?;
            for (model, h, loss_sum, divergence_sum) in [
                (&self.base, &plain, &mut sums.loss_base, &mut sums.kl_base),
                (&self.fused, &fused, &mut sums.loss_fused, &mut sums.kl_fused),
            ] {
                let q = distribution(model, h)?;
                *loss_sum += loss(&q, &tokens)?;
                *divergence_sum += divergence(&p, &q)?;
            }
        }
        sums.tokens += count as u64;
        Ok(())
    }
}

/// The residual stream after the last layer, with one half of a layer in memory at a time. A trained tensor that comes in place of one of
/// the base's is used in the base's dtype, as in training and in the fused model; its file may have it in f32.
fn residual_stream(model: &Model, parameters: &Parameters, scale: f32, inputs: &Array) -> Result<Array> {
    let lora = LoraForward { scale, dropout: None };
    let mut h = model.embed(inputs)?;
    for place in model.halves() {
        let (names, mut values) = model.trained_of(place, parameters);
        for (name, value) in names.iter().zip(&mut values) {
            if let Some(own) = model.layer_tensor(place.0, name) {
                *value = value.as_dtype(own.dtype())?;
            }
        }
        h = model.half(place, &h, &names, &values, lora, false)?;
        h.eval()?;
    }
    Ok(h)
}

/// The logarithms of the probabilities of all tokens, f32 [n, V], after these rows of the residual stream.
fn log_probabilities(model: &Model, h: &Array, rows: std::ops::Range<i32>) -> Result<Array> {
    let logits = model.unembed(&model.final_norm(&h.try_index(rows)?)?)?.as_dtype(Dtype::Float32)?;
    let total = logits.logsumexp_axis(-1, true)?;
    // Evaluated first, so that the subtraction can work in place.
    eval([&logits, &total])?;
    let all = logits.subtract(total)?;
    drop(logits);
    all.eval()?;
    Ok(all)
}

/// The summed loss of `tokens`.
fn loss(log_probabilities: &Array, tokens: &Array) -> Result<f64> {
    let sum = log_probabilities.take_along_axis(tokens, -1)?.sum(None)?;
    Ok(-f64::from(sum.item_cast::<f32>()))
}

/// The summed divergence Σ p·(log p − log q), where both are given as logarithms.
///
/// With d = log p − log q it is computed as Σ p·(d + exp(−d) − 1). That is the same, since p and q both sum to 1, but no term is
/// negative: a small divergence is not what is left of large terms of both signs.
fn divergence(p: &Array, q: &Array) -> Result<f64> {
    let d = p.subtract(q)?;
    d.eval()?;
    let gap = expm1(d.negative()?)?.add(&d)?;
    drop(d);
    gap.eval()?;
    let sum = p.exp()?.multiply(gap)?.sum(None)?;
    Ok(f64::from(sum.item_cast::<f32>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(kl_adapter_base: f64, kl_adapter_fused: f64) -> Measured {
        let (examples, tokens, loss_base, loss_adapter, loss_fused) = (1, 9, 2.0, 1.0, 1.5);
        Measured { examples, tokens, loss_base, loss_adapter, loss_fused, kl_adapter_base, kl_adapter_fused }
    }

    #[test]
    fn what_is_lost_is_judged_by_the_adapters_own_change() {
        for scale in [1e-4, 1e-2, 1.0] {
            assert!(measured(scale, scale).is_lost(), "rounded away");
            assert!(measured(scale, 3.0 * scale).is_lost(), "small beside the rounding");
            assert!(!measured(scale, 0.1 * scale).is_lost(), "kept");
        }
        assert!(!measured(1e-9, 1e-8).is_lost(), "arithmetic alone");
        assert!(measured(0.0, 0.1).is_lost(), "an adapter that changes nothing, and a fused model that is another");
    }

    #[test]
    fn divergences_are_those_of_the_definition_and_never_negative() {
        let logarithms = |p: &[f32]| Array::from_slice(p, &[1, p.len() as i32]).log().unwrap();
        let (p, q) = ([0.5f32, 0.25, 0.25], [0.25f32, 0.25, 0.5]);
        let expected = 0.5 * 2f64.ln() + 0.25 * 0.5f64.ln();
        assert!((divergence(&logarithms(&p), &logarithms(&q)).unwrap() - expected).abs() < 1e-6);
        let near = [0.5f32 + 1e-4, 0.25 - 1e-4, 0.25];
        let small = divergence(&logarithms(&p), &logarithms(&near)).unwrap();
        // To second order: ½ Σ δ² / p.
        let expected = 0.5 * (1e-8 / 0.5 + 1e-8 / 0.25);
        assert!((small / expected - 1.0).abs() < 0.01, "{small} {expected}");
        assert_eq!(divergence(&logarithms(&p), &logarithms(&p)).unwrap(), 0.0);
    }
}
