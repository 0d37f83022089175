//! Loss and gradients with one layer in memory at a time.
//!
//! The forward pass keeps only the input of each trained layer. The backward pass computes a layer again from its input, takes its
//! vector-Jacobian product, evaluates it and lets go of it before the layer below. The head and the cross-entropy go through the
//! same in slices of [`LOSS_SLICE`] tokens, and a token that is not learned from never reaches the head. Values and gradients are
//! those of the whole graph; the peak is one layer's and one slice's.

use crate::error::Result;
use crate::layer::LoraForward;
use crate::model::{Model, Parameters, layer_prefix};
use mlx_rs::ops::concatenate;
use mlx_rs::ops::indexing::TryIndexOp;
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
    /// Of a batch of `rows` × `width` tokens. `spans` gives, for each row, the first and the last column that is learned.
    pub fn new(ids: &[i32], width: usize, spans: &[(usize, usize)]) -> Targets {
        let mut inputs = Vec::with_capacity(ids.len());
        let (mut positions, mut tokens) = (Vec::new(), Vec::new());
        for (row, (ids, &(first, last))) in ids.chunks(width).zip(spans).enumerate() {
            inputs.extend_from_slice(&ids[..width - 1]);
            for column in first.max(1)..=last.min(width - 1) {
                positions.push((row * (width - 1) + column - 1) as i32);
                tokens.push(ids[column]);
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
    let first = first_trained(model, parameters);
    let mut saved = Vec::new();
    let h = run_layers(model, parameters, lora, &targets.inputs, first, |input| saved.push(input.clone()))?;
    let (loss, cotangent) = sliced_loss(model, &h, targets, true)?;
    drop(h);
    let mut cotangent = cotangent.unwrap_or_else(|| unreachable!("asked for"));
    let mut gradients = Parameters::new();
    for index in (first..first + saved.len()).rev() {
        let (names, values) = model.trained_of(index, parameters);
        let input = saved.pop().unwrap_or_else(|| unreachable!("one input for each trained layer"));
        let lora = salted(lora, index);
        let mut primals = vec![input];
        primals.extend(values);
        let layer = |x: &[Array]| as_mlx(model.layer(index, &x[0], &names, &x[1..], lora));
        let (_, mut products) = fallible_vjp(layer, &primals, &[cotangent])?;
        cotangent = products.remove(0);
        // Below the first trained layer nobody asks for a gradient.
        let wanted = products.iter().chain((index > first).then_some(&cotangent));
        eval(wanted)?;
        let prefix = layer_prefix(index);
        gradients.extend(names.iter().map(|name| format!("{prefix}{name}")).zip(products));
    }
    Ok((loss, gradients))
}

fn first_trained(model: &Model, parameters: &Parameters) -> usize {
    let layers = model.shape().layers as usize;
    (0..layers).find(|&index| !model.trained_of(index, parameters).0.is_empty()).unwrap_or(layers)
}

/// The residual stream after the last layer. `keep` sees the input of each layer from `first` on.
fn run_layers(
    model: &Model,
    parameters: &Parameters,
    lora: LoraForward,
    inputs: &Array,
    first: usize,
    mut keep: impl FnMut(&Array),
) -> Result<Array> {
    let mut h = model.embed(inputs)?;
    for index in 0..model.shape().layers as usize {
        if index >= first {
            keep(&h);
        }
        let (names, values) = model.trained_of(index, parameters);
        h = model.layer(index, &h, &names, &values, salted(lora, index))?;
        // Evaluated layer by layer, so that a layer's insides are gone before the next one's are made.
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
        let entropy = |x: &[Array]| as_mlx(cross_entropy(model, &x[0], &wanted).map(|loss| vec![loss]));
        let loss = if gradient {
            let (mut loss, mut products) = fallible_vjp(entropy, &[slice], &[Array::from_f32(1.0)])?;
            let product = products.remove(0);
            eval([&loss[0], &product])?;
            slices.push(product);
            loss.remove(0)
        } else {
            cross_entropy(model, &slice, &wanted)?
        };
        total += f64::from(loss.item_cast::<f32>());
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

/// Σ (log Σ exp(logits) − logits[token]), in f32.
fn cross_entropy(model: &Model, x: &Array, tokens: &Array) -> Result<Array> {
    let logits = model.head(x)?.as_dtype(Dtype::Float32)?;
    let chosen = logits.take_along_axis(tokens, -1)?;
    Ok(logits.logsumexp_axis(-1, true)?.subtract(chosen)?.sum(None)?)
}

/// MLX's closures carry MLX's errors; ours among them keep their message.
fn as_mlx<T: IntoArrays>(result: Result<T>) -> mlx_rs::error::Result<Vec<Array>> {
    match result {
        Ok(value) => Ok(value.into_arrays()),
        Err(crate::EngineError::Mlx(exception)) => Err(exception),
        Err(other) => Err(mlx_rs::error::Exception::custom(other.to_string())),
    }
}

trait IntoArrays {
    fn into_arrays(self) -> Vec<Array>;
}

impl IntoArrays for Array {
    fn into_arrays(self) -> Vec<Array> {
        vec![self]
    }
}

impl IntoArrays for Vec<Array> {
    fn into_arrays(self) -> Vec<Array> {
        self
    }
}
