//! Loss and gradients with half a layer in memory at a time.
//!
//! The forward pass evaluates one half of a layer (mixer, MLP) after the other and keeps only the input of each half from the first
//! trained one on. The backward pass computes a half again from its input, takes its vector-Jacobian product, evaluates it and lets
//! go of it before the half below. The head and the cross-entropy go by slices of [`LOSS_SLICE`] tokens, and a token that is not
//! learned from never reaches the head. Values and gradients are those of the whole graph. It is always done so: a recipe's
//! `grad_checkpoint: false` changes nothing.
//!
//! Alive at the peak, for a batch of B·T tokens and a residual stream of width H:
//! - the weights as they are stored, those that are trained among them once, or the adapters; the optimizer's two moments; where the
//!   run stops early, the best trained parameters so far;
//! - the saved inputs: B·T·H in the activations' dtype, two for each layer from the first trained one on, fewer the further down
//!   the backward pass is; and the residual stream's gradient, as large as one;
//! - the gradients made so far, and with accumulation the sum of those before;
//! - the insides of one half (its forward pass, kept for its own backward pass, and the gradients in flight), or of one slice of
//!   the loss, whichever is more. Of a slice that is one array [LOSS_SLICE, V] in f32, and one in the base's dtype where that is
//!   another. Of an MLP some ten arrays
//!   [B·T, FFN]; of full attention the scores of a block of 256 queries three times
//!   and the probabilities of all blocks once (each on the keys up to its end, so just over half of heads·T²); of gated delta, all
//!   in f32, some fifteen arrays [B·T, conv channels] and ten [B, heads, T, C] (chunks of C tokens).
//!
//! MLX allocates up to ten operations ahead of the one that runs, so its measured peak holds some arrays that this list does not.
//! With a memory limit set ([`device::limit_memory`](crate::device::limit_memory)) it stops running ahead at the limit.

use crate::error::Result;
use crate::layer::{Half, LoraForward};
use crate::model::{Model, Parameters, layer_prefix};
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::{concatenate, softmax_axis};
use mlx_rs::transforms::{eval, fallible_vjp};
use mlx_rs::{Array, Dtype};

/// Tokens whose logits exist at the same time.
pub const LOSS_SLICE: i32 = 256;

/// The tokens of a micro-batch and which of them are learned from.
#[derive(Debug, Clone)]
pub struct Targets {
    /// Tokens that go in, i32 [B, T]: all but the last column of the batch.
    pub inputs: Array,
    /// Positions in the flattened inputs whose next token is learned from.
    pub positions: Vec<i32>,
    /// Those next tokens.
    pub tokens: Vec<i32>,
}

impl Targets {
    /// Of a batch of `rows` × `width` tokens. `spans` gives, for each row, the first and the last column of each run that is learned.
    pub fn new<S: AsRef<[(usize, usize)]>>(ids: &[i32], width: usize, spans: &[S]) -> Targets {
        let mut inputs = Vec::with_capacity(ids.len());
        let (mut positions, mut tokens) = (Vec::new(), Vec::new());
        for (row, (ids, spans)) in ids.chunks(width).zip(spans).enumerate() {
            inputs.extend_from_slice(&ids[..width - 1]);
            for &(first, last) in spans.as_ref() {
                let columns = first.max(1)..=last.min(width - 1);
                positions.extend(columns.clone().map(|column| (row * (width - 1) + column - 1) as i32));
                tokens.extend_from_slice(ids.get(columns).unwrap_or_default());
            }
        }
        Targets { inputs: Array::from_slice(&inputs, &[spans.len() as i32, width as i32 - 1]), positions, tokens }
    }
}

/// The summed loss of the targets, in nats.
///
/// # Errors
/// MLX's.
pub fn loss(model: &Model, parameters: &Parameters, lora_scale: f64, targets: &Targets) -> Result<f64> {
    let lora = LoraForward { scale: lora_scale as f32, dropout: None };
    let h = run_layers(model, parameters, lora, &targets.inputs, 0, |_| {})?;
    let (loss, _) = sliced_loss(model, &h, targets, false)?;
    Ok(loss)
}

/// The residual stream before the final norm where the targets are predicted: [n, H] for n targets.
///
/// # Errors
/// MLX's.
pub(crate) fn residual(model: &Model, parameters: &Parameters, lora_scale: f64, targets: &Targets) -> Result<Array> {
    let lora = LoraForward { scale: lora_scale as f32, dropout: None };
    let h = run_layers(model, parameters, lora, &targets.inputs, usize::MAX, |_| {})?;
    let positions = Array::from_slice(&targets.positions, &[targets.positions.len() as i32]);
    let rows = h.reshape(&[-1, h.dim(-1)])?.take_axis(&positions, 0)?;
    rows.eval()?;
    Ok(rows)
}

/// The summed loss of the targets and the gradient of that sum for every parameter.
///
/// `dropout` is the adapters' dropout and the seed of its draws.
///
/// # Errors
/// MLX's.
pub fn loss_and_gradients(
    model: &Model,
    parameters: &Parameters,
    lora_scale: f64,
    dropout: Option<(f64, u64)>,
    targets: &Targets,
) -> Result<(f64, Parameters)> {
    let lora = LoraForward { scale: lora_scale as f32, dropout: dropout.map(|(p, seed)| (p as f32, seed)) };
    let trained = |place: &(usize, Half)| !model.trained_of(*place, parameters).0.is_empty();
    let first = model.halves().position(|place| trained(&place)).unwrap_or(usize::MAX);
    let mut saved = Vec::new();
    let h = run_layers(model, parameters, lora, &targets.inputs, first, |input| saved.push(input.clone()))?;
    let (loss, cotangent) = sliced_loss(model, &h, targets, true)?;
    drop(h);
    let mut cotangent = cotangent.unwrap_or_else(|| unreachable!("asked for"));
    let mut gradients = Parameters::new();
    for place in model.halves().rev() {
        let Some(input) = saved.pop() else { break };
        let (names, values) = model.trained_of(place, parameters);
        let lora = salted(lora, place.0);
        let mut primals = vec![input];
        primals.extend(values);
        let half = |x: &[Array]| as_mlx(model.half(place, &x[0], &names, &x[1..], lora, true).map(|y| vec![y]));
        let (_, mut products) = fallible_vjp(half, &primals, &[cotangent])?;
        cotangent = products.remove(0);
        // Below the first trained half nobody asks for a gradient.
        let wanted = products.iter().chain((!saved.is_empty()).then_some(&cotangent));
        eval(wanted)?;
        let prefix = layer_prefix(place.0);
        gradients.extend(names.iter().map(|name| format!("{prefix}{name}")).zip(products));
    }
    Ok((loss, gradients))
}

/// The residual stream after the last layer. `keep` sees the input of each half of a layer from the `first` on.
fn run_layers(
    model: &Model,
    parameters: &Parameters,
    lora: LoraForward,
    inputs: &Array,
    first: usize,
    mut keep: impl FnMut(&Array),
) -> Result<Array> {
    let mut h = model.embed(inputs)?;
    for (n, place) in model.halves().enumerate() {
        if n >= first {
            keep(&h);
        }
        let (names, values) = model.trained_of(place, parameters);
        h = model.half(place, &h, &names, &values, salted(lora, place.0), false)?;
        // Evaluated half by half, so that the insides of one are gone before the next one's are made.
        h.eval()?;
    }
    Ok(h)
}

/// Dropout draws differ from layer to layer.
fn salted(lora: LoraForward, index: usize) -> LoraForward {
    let salt = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    LoraForward { dropout: lora.dropout.map(|(p, seed)| (p, seed.wrapping_add(salt))), ..lora }
}

/// The summed loss from the residual stream h [B, T, H], and its gradient for h where asked.
fn sliced_loss(model: &Model, h: &Array, targets: &Targets, gradient: bool) -> Result<(f64, Option<Array>)> {
    let count = targets.tokens.len() as i32;
    let positions = Array::from_slice(&targets.positions, &[count]);
    let tokens = Array::from_slice(&targets.tokens, &[count, 1]);
    let gather = |x: &[Array]| -> mlx_rs::error::Result<Vec<Array>> {
        Ok(vec![x[0].reshape(&[-1, x[0].dim(-1)])?.take_axis(&positions, 0)?])
    };
    let learned = gather(std::slice::from_ref(h))?.remove(0);
    let mut total = 0.0;
    let mut slices = Vec::new();
    for start in (0..count).step_by(LOSS_SLICE as usize) {
        let end = (start + LOSS_SLICE).min(count);
        let slice = learned.try_index(start..end)?;
        let wanted = tokens.try_index(start..end)?;
        if gradient {
            let (loss, product) = entropy_and_gradient(model, &slice, &wanted)?;
            eval([&loss, &product])?;
            slices.push(product);
            total += f64::from(loss.item_cast::<f32>());
        } else {
            total += f64::from(entropy(model, &slice, &wanted)?.item_cast::<f32>());
        }
    }
    if !gradient {
        return Ok((total, None));
    }
    let cotangent = concatenate(&slices, 0)?;
    let (_, mut products) = fallible_vjp(gather, std::slice::from_ref(h), &[cotangent])?;
    let product = products.remove(0);
    product.eval()?;
    Ok((total, Some(product)))
}

/// Σ (log Σ exp(logits) − logits[token]), in f32, of the residual stream x [n, H].
fn entropy(model: &Model, x: &Array, tokens: &Array) -> Result<Array> {
    let logits = model.unembed(&model.final_norm(x)?)?.as_dtype(Dtype::Float32)?;
    let chosen = logits.take_along_axis(tokens, -1)?;
    Ok(logits.logsumexp_axis(-1, true)?.subtract(chosen)?.sum(None)?)
}

/// [`entropy`] and its gradient for x. The gradient for the logits is softmax(logits) − onehot(token), written out here because a
/// derived one keeps four arrays of the logits' size where this keeps one: MLX works in place on an array that nothing else waits
/// for, so each step is evaluated, and what it read is let go of, before the next.
///
/// The exponentials are taken once. log Σ exp comes back from the softmax, whose largest value is exp(0) / Σ exp(logits − largest).
fn entropy_and_gradient(model: &Model, x: &Array, tokens: &Array) -> Result<(Array, Array)> {
    let normed = model.final_norm(x)?;
    let logits = model.unembed(&normed)?.as_dtype(Dtype::Float32)?;
    let chosen = logits.take_along_axis(tokens, -1)?;
    let largest = logits.max_axis(-1, true)?;
    eval([&logits, &chosen, &largest])?;
    let softmax = softmax_axis(&logits, -1, false)?;
    drop(logits);
    let total = largest.subtract(softmax.max_axis(-1, true)?.log()?)?;
    let loss = total.subtract(&chosen)?.sum(None)?;
    let wanted = softmax.take_along_axis(tokens, -1)?.subtract(Array::from_f32(1.0))?;
    eval([&softmax, &loss, &wanted])?;
    let gradient = softmax.put_along_axis(tokens, wanted, -1)?;
    drop(softmax);
    let cotangent = model.unembed_gradient(&gradient)?.as_dtype(normed.dtype())?;
    drop(gradient);
    let norm = |x: &[Array]| as_mlx(model.final_norm(&x[0]).map(|y| vec![y]));
    let (_, mut products) = fallible_vjp(norm, std::slice::from_ref(x), &[cotangent])?;
    Ok((loss, products.remove(0)))
}

/// MLX's closures carry MLX's errors; ours among them keep their message.
fn as_mlx(result: Result<Vec<Array>>) -> mlx_rs::error::Result<Vec<Array>> {
    result.map_err(|error| match error {
        crate::EngineError::Mlx(exception) => exception,
        other => mlx_rs::error::Exception::custom(other.to_string()),
    })
}
