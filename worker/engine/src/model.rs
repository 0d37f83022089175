//! A loaded model: its tensors, checked against its config, and its forward pass.

use crate::error::{AtPath, EngineError, Result};
use crate::layer::{Layer, LoraForward, frozen_linear, packing};
use crate::weights::{self, Tensors};
use mlx_rs::fast::rms_norm;
use mlx_rs::ops::dequantize;
use mlx_rs::{Array, Dtype};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use vertigo::shape::{Mixer, Shape};

/// Where a layer's tensors are in MLX's names.
const LAYERS: &str = "language_model.model.layers.";

/// Trained tensors by MLX's full names: adapters (`….lora_a`, `….lora_b`) or weights themselves.
pub type Parameters = BTreeMap<String, Array>;

/// Qwen3.5's text model, dense, in f32, f16, bf16 or packed.
pub struct Model {
    shape: Shape,
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
        check(&shape, &tensors).map_err(|problem| EngineError::input(format!("{}: {problem}", folder.display())))?;
        let mut layers = vec![Tensors::new(); shape.layers as usize];
        let mut outer = Tensors::new();
        for (name, array) in tensors {
            match split_name(&name) {
                Some((index, path)) => layers[index].insert(path.to_owned(), array),
                None => outer.insert(name, array),
            };
        }
        Ok(Model { shape, outer, layers })
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

    /// The residual stream before the first layer: tokens [B, T] → [B, T, H].
    pub(crate) fn embed(&self, tokens: &Array) -> Result<Array> {
        let path = "language_model.model.embed_tokens";
        let get = |suffix: &str| self.outer.get(&format!("{path}.{suffix}"));
        let rows = |x: &Array| x.take_axis(tokens, 0);
        let weight = &self.outer[&format!("{path}.weight")];
        let Some(scales) = get("scales") else { return Ok(rows(weight)?) };
        let (group, bits) = packing(&self.shape, weight, scales, path)?;
        let biases = get("biases").map(&rows).transpose()?;
        Ok(dequantize(rows(weight)?, rows(scales)?, biases.as_ref(), group, bits)?)
    }

    /// Layer `index` on x [B, T, H], with its trained tensors by path within the layer.
    pub(crate) fn layer(
        &self,
        index: usize,
        x: &Array,
        names: &[String],
        trained: &[Array],
        lora: LoraForward,
    ) -> Result<Array> {
        let mixer = self.shape.mixer(index as u64);
        Layer { shape: &self.shape, mixer, frozen: &self.layers[index], names, trained, lora }.forward(x)
    }

    /// The head: x [n, H] → logits [n, V].
    pub(crate) fn head(&self, x: &Array) -> Result<Array> {
        let norm = &self.outer["language_model.model.norm.weight"];
        let x = rms_norm(x, Some(norm), self.shape.rms_eps as f32)?;
        let path = if self.shape.tied { "language_model.model.embed_tokens" } else { "language_model.lm_head" };
        frozen_linear(&x, path, |suffix| self.outer.get(&format!("{path}.{suffix}")), &self.shape)
    }

    /// Logits of every position, f32: tokens [B, T] → [B, T, V]. For generation and tests; training never makes them all.
    ///
    /// # Errors
    /// MLX's.
    pub fn logits(&self, tokens: &Array, parameters: &Parameters, lora_scale: f64) -> Result<Array> {
        let lora = LoraForward { scale: lora_scale as f32, dropout: None };
        let mut h = self.embed(tokens)?;
        for index in 0..self.layers.len() {
            let (names, values) = self.trained_of(index, parameters);
            h = self.layer(index, &h, &names, &values, lora)?;
        }
        Ok(self.head(&h)?.as_dtype(Dtype::Float32)?)
    }

    /// The trained tensors of layer `index`: paths within the layer, and values.
    pub(crate) fn trained_of(&self, index: usize, parameters: &Parameters) -> (Vec<String>, Vec<Array>) {
        let prefix = layer_prefix(index);
        let of_layer = parameters.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        of_layer.map(|(name, value)| (name[prefix.len()..].to_owned(), value.clone())).unzip()
    }
}

/// MLX's prefix of layer `index`'s tensors.
pub(crate) fn layer_prefix(index: usize) -> String {
    format!("{LAYERS}{index}.")
}

fn split_name(name: &str) -> Option<(usize, &str)> {
    let (index, path) = name.strip_prefix(LAYERS)?.split_once('.')?;
    Some((index.parse().ok()?, path))
}

/// That every tensor is there in its shape, and none besides.
fn check(shape: &Shape, tensors: &Tensors) -> std::result::Result<(), String> {
    let mut expected = Expected { tensors, seen: 0 };
    let h = shape.hidden as i32;
    expected.matrix("language_model.model.embed_tokens", shape.vocab as i32, h)?;
    if !shape.tied {
        expected.matrix("language_model.lm_head", shape.vocab as i32, h)?;
    }
    expected.tensor("language_model.model.norm.weight", &[h])?;
    for index in 0..shape.layers as usize {
        expected.layer(shape, index)?;
    }
    if expected.seen == tensors.len() {
        return Ok(());
    }
    let beyond = |name: &&String| split_name(name).is_some_and(|(index, _)| index >= shape.layers as usize);
    let extra = tensors.keys().find(beyond).or_else(|| tensors.keys().find(|name| !known(shape, name)));
    Err(format!("tensor `{}` is none of this architecture's", extra.map_or("?", String::as_str)))
}

fn known(shape: &Shape, name: &str) -> bool {
    let Some((index, path)) = split_name(name) else {
        return name.contains(".embed_tokens.") || name.contains(".lm_head.") || name.ends_with("model.norm.weight");
    };
    let module = path.rsplit_once('.').map_or(path, |(module, _)| module);
    shape.linears(shape.mixer(index as u64)).iter().any(|linear| linear.path == module)
        || other_tensors(shape, shape.mixer(index as u64)).iter().any(|(other, _)| *other == path)
}

/// A layer's tensors that are not linears.
fn other_tensors(shape: &Shape, mixer: Mixer) -> Vec<(&'static str, Vec<i32>)> {
    let (h, l) = (shape.hidden as i32, &shape.linear);
    let mut all = vec![("input_layernorm.weight", vec![h]), ("post_attention_layernorm.weight", vec![h])];
    match mixer {
        Mixer::Full => all.extend([
            ("self_attn.q_norm.weight", vec![shape.attention.head_dim as i32]),
            ("self_attn.k_norm.weight", vec![shape.attention.head_dim as i32]),
        ]),
        Mixer::Linear => all.extend([
            ("linear_attn.conv1d.weight", vec![l.conv_channels() as i32, l.conv_kernel as i32, 1]),
            ("linear_attn.A_log", vec![l.value_heads as i32]),
            ("linear_attn.dt_bias", vec![l.value_heads as i32]),
            ("linear_attn.norm.weight", vec![l.value_dim as i32]),
        ]),
    }
    all
}

struct Expected<'a> {
    tensors: &'a Tensors,
    seen: usize,
}

impl Expected<'_> {
    fn layer(&mut self, shape: &Shape, index: usize) -> std::result::Result<(), String> {
        let (mixer, prefix) = (shape.mixer(index as u64), layer_prefix(index));
        for linear in shape.linears(mixer) {
            self.matrix(&format!("{prefix}{}", linear.path), linear.outputs as i32, linear.inputs as i32)?;
        }
        for (path, size) in other_tensors(shape, mixer) {
            self.tensor(&format!("{prefix}{path}"), &size)?;
        }
        Ok(())
    }

    fn tensor(&mut self, name: &str, size: &[i32]) -> std::result::Result<(), String> {
        let array = self.tensors.get(name).ok_or_else(|| format!("tensor `{name}` is missing"))?;
        if array.shape() != size {
            return Err(format!("tensor `{name}` is {:?}; it must be {size:?}", array.shape()));
        }
        self.seen += 1;
        Ok(())
    }

    /// A matrix, packed where it has scales. How it is packed is checked where it is used.
    fn matrix(&mut self, module: &str, outputs: i32, inputs: i32) -> std::result::Result<(), String> {
        let name = format!("{module}.weight");
        if !self.tensors.contains_key(&format!("{module}.scales")) {
            return self.tensor(&name, &[outputs, inputs]);
        }
        for suffix in ["weight", "scales", "biases"] {
            let name = format!("{module}.{suffix}");
            let array = self.tensors.get(&name).ok_or_else(|| format!("tensor `{name}` is missing"))?;
            if array.ndim() != 2 || array.dim(0) != outputs {
                return Err(format!("tensor `{name}` is {:?}; it must have {outputs} rows", array.shape()));
            }
            self.seen += 1;
        }
        Ok(())
    }
}
