//! What the inputs of a base's matrices are like once the adapter is there: Σ x xᵀ over tokens that the adapter was trained on.
//!
//! A forward pass of base and adapter goes through the network half a layer at a time. Of each example it keeps the residual stream, and
//! goes on only as far as matrices are asked for, in the order of the forward pass.
//!
//! Promises:
//! - Memory holds the residual streams of [`CALIBRATED_EXAMPLES_MAX`] examples of at most [`CALIBRATED_TOKENS_MAX`] tokens, the weights of
//!   half a layer, and what is made of its inputs; of all weights only the embedding is there at once, at the beginning.
//! - The examples are of the training split. What is held out says later how good the result is, so it has no part in it.

use crate::error::{EngineError, Result};
use crate::exponent::Exponent;
use crate::layer::{Half, JOINED, Layer, LoraForward};
use crate::model::{self, Parameters, layer_prefix, trained_of};
use crate::text::ChatTokenizer;
use crate::weights::{self, Tensors};
use mlx_rs::transforms::eval;
use mlx_rs::{Array, Axes, Device, Dtype, with_device};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use vertigo_model::dataset::{Dataset, Row};
pub(crate) use vertigo_model::estimate::{CALIBRATED_EXAMPLES_MAX, CALIBRATED_TOKENS_MAX};
use vertigo_model::shape::Shape;
use vertigo_model::tensors::split_name;

/// What is added to the diagonal of Σ x xᵀ, as a part of its mean: of directions that few tokens have, or none, the little that is known
/// is not to outweigh that a matrix should stay near what it is.
const DAMPING: f32 = 0.01;

/// The products of a matrix's inputs, damped: H = Σ x xᵀ, scaled so that its diagonal is 1 in the mean.
pub(super) struct Gram {
    /// H, f32 [inputs, inputs].
    pub(super) h: Array,
    /// U, f32 [inputs, inputs]: H = U D Uᵀ, U unit upper triangular, D diagonal.
    pub(super) u: Array,
}

impl Gram {
    /// Of Σ x xᵀ, f32 [inputs, inputs].
    pub(super) fn new(products: &Array) -> Result<Gram> {
        let inputs = products.dim(0);
        let unit = Array::eye::<f32>(inputs, None, None)?;
        let mean = products.multiply(&unit)?.sum(None)?.item_cast::<f32>() / inputs as f32;
        let damping = unit.multiply(Array::from_f32(DAMPING))?;
        // Inputs that are always zero say nothing.
        let h = if mean > 0.0 { products.divide(Array::from_f32(mean))?.add(damping)? } else { unit };
        h.eval()?;
        // Cholesky's factor is lower triangular; of a matrix turned about it is, turned back, the upper one. MLX has it on the processor
        // alone.
        let lower = with_device(Device::cpu(), || -> Result<Array> {
            let lower = mlx_rs::linalg::cholesky(h.flip(Axes::All)?, None)?;
            lower.eval()?;
            Ok(lower)
        })?;
        let upper = lower.flip(Axes::All)?;
        let u = upper.divide(upper.diag(None)?)?;
        u.eval()?;
        Ok(Gram { h, u })
    }
}

/// A forward pass that stops wherever it is asked about a matrix.
pub(super) struct Inputs {
    shape: Shape,
    /// The base's tensors that are not passed yet. MLX reads each when it is used.
    base: Tensors,
    adapter: Parameters,
    lora: LoraForward,
    /// The residual stream of each example, [1, T, H], before the half `next`.
    streams: Vec<Array>,
    next: usize,
    /// Σ x xᵀ of the half before that, by the first matrix that reads them.
    sums: BTreeMap<String, Array>,
    /// What was asked for last, by the same.
    gram: Option<(String, Gram)>,
}

impl Inputs {
    /// Of the base in `folder` with an adapter, on the training split of `data`. `None` where that has no two tokens in a row.
    pub(super) fn read(
        folder: &Path,
        shape: &Shape,
        (adapter, scale): (Parameters, f64),
        data: &Path,
    ) -> Result<Option<Inputs>> {
        let examples = examples(folder, data)?;
        if examples.is_empty() {
            return Ok(None);
        }
        let mut base = weights::read(folder, shape.tied)?;
        let mut streams = Vec::with_capacity(examples.len());
        for tokens in examples {
            streams.push(model::embed(shape, &base, &Array::from_slice(&tokens, &[1, tokens.len() as i32]))?);
        }
        eval(&streams)?;
        base.retain(|name, _| split_name(name).is_some());
        let lora = LoraForward { scale: scale as f32, dropout: None };
        Ok(Some(Inputs {
            shape: shape.clone(),
            base,
            adapter,
            lora,
            streams,
            next: 0,
            sums: BTreeMap::new(),
            gram: None,
        }))
    }

    /// The products of the inputs of `module`; `None` where it lies outside the layers.
    ///
    /// Matrices are asked for in the order of the forward pass.
    pub(super) fn of(&mut self, module: &str) -> Result<Option<&Gram>> {
        let Some((layer, path)) = split_name(module) else { return Ok(None) };
        let half = if Half::Mlp.holds(path) { Half::Mlp } else { Half::Mixer };
        let wanted = 2 * layer + usize::from(half == Half::Mlp);
        while self.next <= wanted {
            self.pass(self.next == wanted)?;
        }
        let reader = first_reader(path);
        if let Some(products) = self.sums.remove(reader) {
            self.gram = None;
            self.gram = Some((reader.to_owned(), Gram::new(&products)?));
        }
        Ok(self.gram.as_ref().filter(|(of, _)| *of == reader).map(|(_, gram)| gram))
    }

    /// Takes the residual streams through the next half, and watches the inputs of its matrices where that is wanted.
    fn pass(&mut self, is_watched: bool) -> Result<()> {
        let (layer, half) = (self.next / 2, if self.next.is_multiple_of(2) { Half::Mixer } else { Half::Mlp });
        self.sums.clear();
        self.gram = None;
        let prefix = layer_prefix(layer);
        let of_half = |name: &str| name.strip_prefix(&prefix).filter(|path| half.holds(path)).map(str::to_owned);
        let names: Vec<(String, String)> =
            self.base.keys().filter_map(|name| Some((name.clone(), of_half(name)?))).collect();
        let frozen: Tensors =
            names.into_iter().filter_map(|(name, path)| Some((path, self.base.remove(&name)?))).collect();
        let (names, trained) = trained_of((layer, half), &self.adapter);
        let sums = RefCell::new(BTreeMap::<String, Array>::new());
        let watch = |path: &str, x: &Array| -> Result<()> {
            let reader = first_reader(path);
            if is_watched && reader == path {
                let rows = x.reshape(&[-1, x.dim(-1)])?.as_dtype(Dtype::Float32)?;
                let products = rows.swap_axes(0, 1)?.matmul(&rows)?;
                let before = sums.borrow_mut().remove(reader);
                let sum = before.map_or(Ok(products.clone()), |before| before.add(&products))?;
                sums.borrow_mut().insert(reader.to_owned(), sum);
            }
            Ok(())
        };
        let layer = Layer {
            shape: &self.shape,
            mixer: self.shape.mixer(layer as u64),
            frozen: &frozen,
            names: &names,
            trained: &trained,
            lora: self.lora,
            differentiable: false,
            beside: &[],
            together: None,
            exponent: Exponent::Own,
            watch: Some(&watch),
        };
        for stream in &mut self.streams {
            *stream = layer.forward(half, stream, None)?;
            eval([&*stream].into_iter().chain(sums.borrow().values()))?;
        }
        self.sums = sums.into_inner();
        self.next += 1;
        Ok(())
    }
}

/// The first matrix of a layer that reads the same inputs as the one at `path`.
fn first_reader(path: &str) -> &str {
    JOINED.iter().find(|together| together.contains(&path)).map_or(path, |together| together[0])
}

/// Tokens of examples to train on, spread over all of them.
fn examples(base: &Path, data: &Path) -> Result<Vec<Vec<i32>>> {
    let rows = Dataset::read(data).map_err(|e| EngineError::input(e.to_string()))?.train;
    let tokenizer = ChatTokenizer::load(base)?;
    let count = rows.len().min(CALIBRATED_EXAMPLES_MAX as usize);
    let tokens = |row: &Row| -> Result<Vec<i32>> {
        let ids = tokenizer.read_row(row, false)?.tokens.ids;
        Ok(ids.iter().take(CALIBRATED_TOKENS_MAX as usize).map(|&id| id as i32).collect())
    };
    let all: Result<Vec<_>> = (0..count).map(|n| tokens(&rows[n * rows.len() / count])).collect();
    Ok(all?.into_iter().filter(|tokens| tokens.len() > 1).collect())
}

#[cfg(test)]
mod tests;
