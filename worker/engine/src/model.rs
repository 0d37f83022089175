//! A loaded model: its tensors, checked against its config, and its forward pass.

use crate::error::{EngineError, Result};
use crate::exponent::Exponent;
use crate::layer::{Half, Layer, LoraForward, frozen_linear, packing};
use crate::weights::{self, Tensors};
use mlx_rs::fast::rms_norm;
use mlx_rs::ops::{dequantize, quantized_matmul};
use mlx_rs::transforms::eval;
use mlx_rs::{Array, Dtype};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use vertigo::files::AtPath;
use vertigo::id::Digest;
use vertigo_model::shape::Shape;
use vertigo_model::tensors::{LAYERS, check, split_name};

/// Trained tensors by MLX's full names: adapters (`….lora_a`, `….lora_b`) or weights themselves.
pub type Parameters = BTreeMap<String, Array>;

/// Qwen3.5's text model, dense, in f32, f16, bf16 or packed.
pub struct Model {
    shape: Shape,
    /// The artifact that it is, where that is known.
    digest: Option<Digest>,
    /// Tensors outside the layers, by full name.
    outer: Tensors,
    /// Tensors of each layer, by path within it.
    layers: Vec<Tensors>,
}

impl Model {
    /// Reads a model folder: `config.json` and safetensors, as MLX or Hugging Face lay it out.
    ///
    /// # Errors
    /// [`EngineError::Input`] naming the key, or the tensor that is missing, extra or misshapen.
    pub fn load(folder: &Path) -> Result<Model> {
        let path = folder.join("config.json");
        let text = fs::read_to_string(&path).at(&path)?;
        let invalid = |e: &dyn std::fmt::Display| EngineError::input(format!("{}: {e}", path.display()));
        let config = serde_json::from_str(&text).map_err(|e| invalid(&e))?;
        let shape = Shape::from_config(&config).map_err(|e| invalid(&e))?;
        if shape.experts.is_some() {
            return Err(EngineError::input("mixtures of experts are planned for only; the engine trains dense models"));
        }
        let tensors = weights::read(folder, shape.tied)?;
        let sizes =
            tensors.iter().map(|(name, x)| (name.clone(), x.shape().iter().map(|&n| n as u64).collect())).collect();
        check(&shape, &sizes).map_err(|problem| EngineError::input(format!("{}: {problem}", folder.display())))?;
        // MLX reads lazily: a file that was cut short shows only here.
        let unreadable = |e| EngineError::input(format!("{}: a tensor cannot be read: {e}", folder.display()));
        eval(tensors.values()).map_err(unreadable)?;
        let mut layers = vec![Tensors::new(); shape.layers as usize];
        let mut outer = Tensors::new();
        for (name, array) in tensors {
            match split_name(&name) {
                Some((index, path)) => layers[index].insert(path.to_owned(), array),
                None => outer.insert(name, array),
            };
        }
        Ok(Model { shape, digest: None, outer, layers })
    }

    /// The same model, known to be this artifact. Checkpoints of runs that begin from it then fit no other.
    pub fn of_digest(self, digest: Digest) -> Model {
        Model { digest: Some(digest), ..self }
    }

    /// The artifact that it is, where that is known.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The model's sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The tensor of layer `index` at `path`, if it is there.
    pub(crate) fn layer_tensor(&self, index: usize, path: &str) -> Option<&Array> {
        self.layers[index].get(path)
    }

    /// Paths of layer `index`'s tensors.
    pub(crate) fn layer_paths(&self, index: usize) -> impl Iterator<Item = &str> {
        self.layers[index].keys().map(String::as_str)
    }

    /// Lets go of the layers' tensors that `trained` has too, so that a weight that is trained is in memory once. From here on the
    /// model runs only with parameters of these names.
    pub(crate) fn release(&mut self, trained: &Parameters) {
        for (index, path) in trained.keys().filter_map(|name| split_name(name)) {
            self.layers[index].remove(path);
        }
    }

    /// The residual stream before the first layer: tokens [B, T] → [B, T, H].
    pub(crate) fn embed(&self, tokens: &Array) -> Result<Array> {
        embed(&self.shape, &self.outer, tokens)
    }

    /// A half of layer `index` on x [B, T, H], with its trained tensors by path within the layer. Where no gradient will be asked
    /// for, `differentiable` spares what only that needs.
    pub(crate) fn half(
        &self,
        (index, half): (usize, Half),
        x: &Array,
        names: &[String],
        trained: &[Array],
        lora: LoraForward,
        differentiable: bool,
    ) -> Result<Array> {
        Layer { names, trained, lora, differentiable, ..self.layer(index) }.forward(half, x, None)
    }

    /// Layer `index` with nothing trained, for whoever asks for no gradient.
    pub(crate) fn layer(&self, index: usize) -> Layer<'_> {
        Layer {
            shape: &self.shape,
            mixer: self.shape.mixer(index as u64),
            frozen: &self.layers[index],
            names: &[],
            trained: &[],
            lora: LoraForward::default(),
            differentiable: false,
            exponent: Exponent::Own,
            beside: &[],
            together: None,
            watch: None,
        }
    }

    /// The tensors outside the layers, and those of each layer, for whoever lays them out otherwise.
    pub(crate) fn tensors_mut(&mut self) -> (&mut Tensors, &mut [Tensors]) {
        (&mut self.outer, &mut self.layers)
    }

    /// The matrix of the head: its weight, as it is stored.
    pub(crate) fn head_weight(&self) -> &Array {
        &self.outer[&format!("{}.weight", self.head_path())]
    }

    /// The dtype of activations: that of the embedding, or of its scales where it is packed.
    pub(crate) fn dtype(&self) -> Dtype {
        let path = "language_model.model.embed_tokens";
        let scales = self.outer.get(&format!("{path}.scales"));
        scales.unwrap_or(&self.outer[&format!("{path}.weight")]).dtype()
    }

    /// The halves of all layers in the order of the forward pass.
    pub(crate) fn halves(&self) -> impl DoubleEndedIterator<Item = (usize, Half)> + use<> {
        (0..self.layers.len()).flat_map(|index| [(index, Half::Mixer), (index, Half::Mlp)])
    }

    /// The norm before the head.
    pub(crate) fn final_norm(&self, x: &Array) -> Result<Array> {
        Ok(rms_norm(x, Some(&self.outer["language_model.model.norm.weight"]), self.shape.rms_eps as f32)?)
    }

    /// Normed x [n, H] → logits [n, V].
    pub(crate) fn unembed(&self, x: &Array) -> Result<Array> {
        let path = self.head_path();
        frozen_linear(x, path, |suffix| self.outer.get(&format!("{path}.{suffix}")))
    }

    /// The gradient for normed x [n, H] from that for its logits [n, V].
    pub(crate) fn unembed_gradient(&self, d: &Array) -> Result<Array> {
        let path = self.head_path();
        let get = |suffix: &str| self.outer.get(&format!("{path}.{suffix}"));
        let weight = &self.outer[&format!("{path}.weight")];
        let Some(scales) = get("scales") else { return Ok(d.as_dtype(weight.dtype())?.matmul(weight)?) };
        let (group, bits) = packing(weight, scales, self.shape.hidden as i32);
        Ok(quantized_matmul(d.as_dtype(scales.dtype())?, weight, scales, get("biases"), false, group, bits)?)
    }

    fn head_path(&self) -> &'static str {
        if self.shape.tied { "language_model.model.embed_tokens" } else { "language_model.lm_head" }
    }

    /// Logits of every position, f32: tokens [B, T] → [B, T, V]. For generation and tests; training never makes them all.
    ///
    /// # Errors
    /// MLX's.
    pub fn logits(&self, tokens: &Array, parameters: &Parameters, lora_scale: f64) -> Result<Array> {
        let lora = LoraForward { scale: lora_scale as f32, dropout: None };
        let mut h = self.embed(tokens)?;
        for place in self.halves() {
            let (names, values) = self.trained_of(place, parameters);
            h = self.half(place, &h, &names, &values, lora, false)?;
        }
        Ok(self.unembed(&self.final_norm(&h)?)?.as_dtype(Dtype::Float32)?)
    }

    /// The trained tensors of a half of layer `index`: paths within the layer, and values.
    pub(crate) fn trained_of(
        &self,
        (index, half): (usize, Half),
        parameters: &Parameters,
    ) -> (Vec<String>, Vec<Array>) {
        trained_of((index, half), parameters)
    }
}

/// The residual stream before the first layer, of a model of `shape` whose tensors outside the layers are among `tensors`: tokens [B, T]
/// → [B, T, H].
pub(crate) fn embed(shape: &Shape, tensors: &Tensors, tokens: &Array) -> Result<Array> {
    let path = "language_model.model.embed_tokens";
    let get = |suffix: &str| tensors.get(&format!("{path}.{suffix}"));
    let rows = |x: &Array| x.take_axis(tokens, 0);
    let weight = &tensors[&format!("{path}.weight")];
    let Some(scales) = get("scales") else { return Ok(rows(weight)?) };
    let (group, bits) = packing(weight, scales, shape.hidden as i32);
    let biases = get("biases").map(&rows).transpose()?;
    Ok(dequantize(rows(weight)?, rows(scales)?, biases.as_ref(), group, bits)?)
}

/// The tensors of `parameters` in a half of layer `index`: paths within the layer, and values.
pub(crate) fn trained_of((index, half): (usize, Half), parameters: &Parameters) -> (Vec<String>, Vec<Array>) {
    let prefix = layer_prefix(index);
    let of_layer = parameters.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
    let of_half = of_layer.filter(|(name, _)| half.holds(&name[prefix.len()..]));
    of_half.map(|(name, value)| (name[prefix.len()..].to_owned(), value.clone())).unzip()
}

/// MLX's prefix of layer `index`'s tensors.
pub(crate) fn layer_prefix(index: usize) -> String {
    format!("{LAYERS}{index}.")
}
