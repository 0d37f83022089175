//! The forward pass of answers: pieces of one sequence, or a token of each of several, going on from their caches.

use super::adapters::{Adapter, Adapters};
use super::batch::{Pasts, arrays, value_bytes};
use super::layout;
use super::request::AdapterId;
use super::room::Room;
use crate::beside::{Beside, LayerFactors};
use crate::error::Result;
use crate::exponent::Exponent;
use crate::layer::{Half, Layer};
use crate::model::Model;
use crate::past::Past;
use crate::rows::RowsTogether;
use mlx_rs::ops::indexing::{TryIndexOp, argmax_axis};
use mlx_rs::transforms::eval;
use mlx_rs::{Array, Dtype};
use vertigo_model::shape::Shape;

/// A model laid out for answers, with its adapters.
pub(super) struct Engine {
    model: Model,
    pub(super) adapters: Adapters,
    together: RowsTogether,
    exponent: Exponent,
    /// Whether it is known how many rows go together. A batch of one does not ask.
    is_learned: bool,
}

/// What is asked of the model besides that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing: more of the prompt follows.
    Nothing,
    /// The most probable next token.
    Best,
    /// That, and all logits.
    Logits,
}

/// What the model says of the next token of each row.
#[derive(Debug)]
pub(super) struct Says {
    /// The most probable token of each.
    pub(super) best: Vec<u32>,
    /// All logits, f32 [B, V], row after row, where they were asked for.
    pub(super) logits: Option<Array>,
}

impl Says {
    /// The logits of `row`.
    pub(super) fn row(&self, row: usize) -> Option<&[f32]> {
        let logits = self.logits.as_ref()?;
        let width = logits.dim(1) as usize;
        Some(&logits.as_slice::<f32>()[row * width..(row + 1) * width])
    }
}

impl Engine {
    pub(super) fn new(mut model: Model) -> Result<Engine> {
        layout::lay_out(&mut model)?;
        let (adapters, together) = (Adapters::default(), RowsTogether::default());
        Ok(Engine { model, adapters, together, exponent: Exponent::quicker()?, is_learned: false })
    }

    pub(super) fn shape(&self) -> &Shape {
        self.model.shape()
    }

    /// Takes in an adapter, and asks how many rows its factors take at once.
    pub(super) fn add_adapter(&mut self, adapter: Adapter) -> Result<AdapterId> {
        for factors in adapter.layers.iter().flat_map(LayerFactors::values) {
            factors.learn(&mut self.together, self.model.dtype())?;
        }
        Ok(self.adapters.add(adapter))
    }

    /// What a sequence's caches take.
    pub(super) fn room(&self) -> Room {
        Room::of(self.shape(), value_bytes(self.model.dtype()))
    }

    /// The caches of a sequence without a token.
    pub(super) fn empty(&self) -> Result<Pasts> {
        let shape = self.shape();
        (0..shape.layers).map(|index| Past::empty(shape, shape.mixer(index), self.model.dtype())).collect()
    }

    /// Reads `tokens` of one sequence into its caches. Where it is `wanted`, what the model says after the last of them.
    pub(super) fn read(
        &self,
        pasts: &mut Pasts,
        tokens: &[u32],
        adapter: Option<AdapterId>,
        wanted: Wanted,
    ) -> Result<Option<Says>> {
        let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let h = self.residual(&Array::from_slice(&ids, &[1, ids.len() as i32]), pasts, &[(1, adapter)])?;
        if wanted == Wanted::Nothing {
            eval(arrays(pasts))?;
            return Ok(None);
        }
        self.says(&h.try_index((.., -1.., ..))?, pasts, wanted).map(Some)
    }

    /// What the model says of the next token of each row, of which `tokens` are the last ones and `runs` the adapters.
    pub(super) fn next(
        &mut self,
        pasts: &mut Pasts,
        tokens: &[u32],
        runs: &[(i32, Option<AdapterId>)],
        wanted: Wanted,
    ) -> Result<Says> {
        if tokens.len() > 1 && !self.is_learned {
            self.learn()?;
        }
        let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
        let h = self.residual(&Array::from_slice(&ids, &[ids.len() as i32, 1]), pasts, runs)?;
        self.says(&h, pasts, wanted)
    }

    /// The residual stream after the last layer: tokens [B, T] → [B, T, H].
    fn residual(&self, tokens: &Array, pasts: &mut Pasts, runs: &[(i32, Option<AdapterId>)]) -> Result<Array> {
        let adapters: Vec<_> = runs.iter().map(|&(rows, id)| (rows, id.and_then(|id| self.adapters.get(id)))).collect();
        let has_adapters = adapters.iter().any(|(_, adapter)| adapter.is_some());
        let mut h = self.model.embed(tokens)?;
        for (index, past) in pasts.iter_mut().enumerate() {
            let mut beside = Vec::new();
            if has_adapters {
                let factors =
                    adapters.iter().map(|(rows, adapter)| (*rows, adapter.map(|adapter| &adapter.layers[index])));
                beside.extend(factors.map(|(rows, factors)| Beside { rows, factors }));
            }
            let (together, exponent) = (Some(&self.together), self.exponent);
            let layer = Layer { beside: &beside, together, exponent, ..self.model.layer(index) };
            h = layer.forward(Half::Mixer, &h, Some(past))?;
            h = layer.forward(Half::Mlp, &h, None)?;
        }
        Ok(h)
    }

    /// Of the residual stream [B, 1, H]. Evaluates the caches with it.
    fn says(&self, h: &Array, pasts: &Pasts, wanted: Wanted) -> Result<Says> {
        let logits = self.logits(h)?;
        let best = argmax_axis(&logits, -1, false)?.as_dtype(Dtype::Uint32)?;
        let is_all = wanted == Wanted::Logits;
        let logits = if is_all { Some(logits.as_dtype(Dtype::Float32)?.contiguous()?) } else { None };
        eval(arrays(pasts).chain([&best]).chain(&logits))?;
        Ok(Says { best: best.as_slice::<u32>().to_vec(), logits })
    }

    /// [B, 1, H] → [B, V]
    fn logits(&self, h: &Array) -> Result<Array> {
        let normed = self.model.final_norm(h)?;
        let head = |x: &Array| self.model.unembed(x);
        Ok(self.together.product(&normed, Some(self.model.head_weight()), head)?.squeeze_axes(&[1])?)
    }

    /// Asks of every matrix how many rows it takes at once.
    fn learn(&mut self) -> Result<()> {
        let (model, together, dtype) = (&self.model, &mut self.together, self.model.dtype());
        for index in 0..model.shape().layers as usize {
            for path in model.layer_paths(index).filter(|path| path.contains("proj") && path.ends_with(".weight")) {
                let layer = model.layer(index);
                let path = path.trim_end_matches(".weight");
                let Some((inputs, weight)) = layer.matrix(path) else { continue };
                together.learn(inputs, weight, dtype, |x| layer.frozen_linear(x, path))?;
            }
        }
        let hidden = model.shape().hidden as i32;
        together.learn(hidden, model.head_weight(), dtype, |x| model.unembed(x))?;
        self.is_learned = true;
        Ok(())
    }
}
