//! What a base model is: sizes, layers and quantisation, read from its `config.json`.
//!
//! Nothing about an architecture is hard-coded where a `config.json` is at hand. For a base that is not imported yet, a
//! table knows the Qwen3.5 family by name ([`Shape::named`]), so that plans can be made before gigabytes are moved.

mod config;
mod memory;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// Where a layer's tensors are in MLX's names.
pub const LAYERS: &str = "language_model.model.layers.";

/// The product of sizes; `u64::MAX` where that is not enough. A caller may build a shape of any sizes.
fn product(sizes: &[u64]) -> u64 {
    sizes.iter().copied().fold(1, u64::saturating_mul)
}

/// The sizes of a Qwen3.5 text model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Width of the residual stream.
    pub hidden: u64,
    /// Width of the gated MLP; with experts, unused.
    pub ffn: u64,
    /// Number of layers.
    pub layers: u64,
    /// Rows of the embedding.
    pub vocab: u64,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Full attention's sizes.
    pub attention: AttentionShape,
    /// Gated delta attention's sizes.
    pub linear: LinearShape,
    /// Every n-th layer is full attention, the others gated delta.
    pub full_attention_interval: u64,
    /// The epsilon of every RMS norm.
    pub rms_eps: f64,
    /// Rotary base.
    pub rope_theta: f64,
    /// The part of a head's dimensions that is rotated.
    pub partial_rotary: f64,
    /// Mixture of experts in place of the MLP.
    pub experts: Option<ExpertsShape>,
    /// The dtype of weights that are not quantised, and of activations.
    pub dtype: Dtype,
    /// How linears are packed; `None` where they are not.
    pub quantization: Option<Quantization>,
}

/// Full attention: `heads` queries on `kv_heads` keys and values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub kv_heads: u64,
    /// Dimensions of a head.
    pub head_dim: u64,
}

/// Gated delta attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearShape {
    /// Key (and query) heads.
    pub key_heads: u64,
    /// Value heads; a multiple of the key heads.
    pub value_heads: u64,
    /// Dimensions of a key.
    pub key_dim: u64,
    /// Dimensions of a value.
    pub value_dim: u64,
    /// Taps of the causal convolution.
    pub conv_kernel: u64,
}

impl LinearShape {
    /// Channels of the convolution: queries, keys and values side by side.
    pub fn conv_channels(&self) -> u64 {
        product(&[2, self.key_heads, self.key_dim]).saturating_add(product(&[self.value_heads, self.value_dim]))
    }
}

/// A mixture of experts. Planned for; the engine does not train it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpertsShape {
    /// Experts of a layer.
    pub count: u64,
    /// Experts that a token goes through.
    pub active: u64,
    /// Width of an expert.
    pub ffn: u64,
    /// Width of the expert that every token goes through.
    pub shared_ffn: u64,
}

/// The dtype of weights and activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl Dtype {
    /// Bytes of a value.
    pub fn size(self) -> u64 {
        match self {
            Dtype::F32 => 4,
            Dtype::Bf16 | Dtype::F16 => 2,
        }
    }
}

/// MLX's affine quantisation: groups of weights share a scale and a bias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantization {
    /// How most modules are packed.
    pub default: Packing,
    /// Modules (by path) packed otherwise, or not at all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, Option<Packing>>,
}

impl Quantization {
    /// How the module at `path` is packed; `None` where it is not.
    pub fn of(&self, path: &str) -> Option<Packing> {
        self.overrides.get(path).copied().unwrap_or(Some(self.default))
    }
}

/// Bits of a packed weight, and how many weights share a scale and a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packing {
    /// Weights in a group.
    pub group_size: u64,
    /// Bits of a weight.
    pub bits: u64,
}

/// The mixer of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixer {
    /// Softmax attention, `self_attn`.
    Full,
    /// Gated delta, `linear_attn`.
    Linear,
}

/// A linear of a layer: its path within the layer, and its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearLayer {
    /// Path within the layer, such as `self_attn.q_proj`.
    pub path: &'static str,
    /// Values that go in.
    pub inputs: u64,
    /// Values that come out.
    pub outputs: u64,
}

impl LinearLayer {
    /// Values of its matrix.
    pub fn values(&self) -> u64 {
        self.inputs.saturating_mul(self.outputs)
    }
}

/// What is wrong with a `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Another architecture.
    #[error("model_type is `{0}`; Vertigo trains Qwen3.5 (qwen3_5, qwen3_5_text; qwen3_5_moe is planned for only)")]
    Architecture(String),
    /// A key is missing, of another type, or impossible.
    #[error("`{key}` {problem}")]
    Key {
        /// The key, as it stands in the file.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A shape of the built-in table.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedShape {
    /// The sizes.
    pub shape: Shape,
    /// Whether the sizes were read from the model's own config. Where not, say so wherever they are used.
    pub confirmed: bool,
}

impl Shape {
    /// The mixer of layer `index`, counted from 0.
    pub fn mixer(&self, index: u64) -> Mixer {
        let full = index.checked_add(1).is_some_and(|number| number.is_multiple_of(self.full_attention_interval));
        if full { Mixer::Full } else { Mixer::Linear }
    }

    /// How many of the layers in `range` have `mixer`: without looking at each.
    pub fn layers_with(&self, mixer: Mixer, range: Range<u64>) -> u64 {
        let full_below = |index: u64| index.checked_div(self.full_attention_interval).unwrap_or(0);
        let all = range.end.saturating_sub(range.start);
        let full = full_below(range.end).saturating_sub(full_below(range.start));
        match mixer {
            Mixer::Full => full,
            Mixer::Linear => all.saturating_sub(full),
        }
    }

    /// The linears of a layer, in the order of the forward pass. A mixture's experts are not among them: adapters on them
    /// are not offered.
    pub fn linears(&self, mixer: Mixer) -> Vec<LinearLayer> {
        let linear = |path, inputs, outputs| LinearLayer { path, inputs, outputs };
        let (h, a, l) = (self.hidden, &self.attention, &self.linear);
        let mut all = match mixer {
            Mixer::Full => {
                let (q, kv) = (product(&[a.heads, a.head_dim]), product(&[a.kv_heads, a.head_dim]));
                vec![
                    linear("self_attn.q_proj", h, q.saturating_mul(2)),
                    linear("self_attn.k_proj", h, kv),
                    linear("self_attn.v_proj", h, kv),
                    linear("self_attn.o_proj", q, h),
                ]
            }
            Mixer::Linear => {
                let values = product(&[l.value_heads, l.value_dim]);
                vec![
                    linear("linear_attn.in_proj_qkv", h, l.conv_channels()),
                    linear("linear_attn.in_proj_z", h, values),
                    linear("linear_attn.in_proj_b", h, l.value_heads),
                    linear("linear_attn.in_proj_a", h, l.value_heads),
                    linear("linear_attn.out_proj", values, h),
                ]
            }
        };
        match &self.experts {
            None => all.extend([
                linear("mlp.gate_proj", h, self.ffn),
                linear("mlp.up_proj", h, self.ffn),
                linear("mlp.down_proj", self.ffn, h),
            ]),
            Some(experts) => all.extend([
                linear("mlp.shared_expert.gate_proj", h, experts.shared_ffn),
                linear("mlp.shared_expert.up_proj", h, experts.shared_ffn),
                linear("mlp.shared_expert.down_proj", experts.shared_ffn, h),
            ]),
        }
        all
    }

    /// Every path that [`linears`](Self::linears) gives for any layer.
    pub fn linear_paths(&self) -> Vec<&'static str> {
        let mut paths: Vec<_> =
            [Mixer::Full, Mixer::Linear].into_iter().flat_map(|m| self.linears(m)).map(|l| l.path).collect();
        paths.dedup();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// Values in the weight matrices of a layer (linears and experts) and in its other weights (norms, convolution,
    /// gates' constants), which are never packed.
    pub fn layer_values(&self, mixer: Mixer) -> LayerValues {
        let linears = self.linears(mixer).iter().map(LinearLayer::values).fold(0, u64::saturating_add);
        let norms = self.hidden.saturating_mul(2);
        let other = match mixer {
            Mixer::Full => self.attention.head_dim.saturating_mul(2),
            Mixer::Linear => {
                let l = &self.linear;
                let gates = l.value_heads.saturating_mul(2).saturating_add(l.value_dim);
                l.conv_channels().saturating_mul(l.conv_kernel).saturating_add(gates)
            }
        };
        LayerValues { matrices: linears.saturating_add(self.expert_values()), other: norms.saturating_add(other) }
    }

    /// Values in a layer's experts and in what chooses among them.
    fn expert_values(&self) -> u64 {
        let of = |e: &ExpertsShape| {
            let chooser = self.hidden.saturating_mul(e.count.saturating_add(1));
            product(&[3, self.hidden, e.ffn, e.count]).saturating_add(chooser)
        };
        self.experts.as_ref().map_or(0, of)
    }

    /// Values in the embedding, and in the head where it is another matrix.
    pub fn embedding_values(&self) -> u64 {
        product(&[self.vocab, self.hidden, if self.tied { 1 } else { 2 }])
    }

    /// Values in the whole text model; `u64::MAX` where that is not enough.
    pub fn parameters(&self) -> u64 {
        let of = |mixer| self.layers_with(mixer, 0..self.layers).saturating_mul(self.layer_values(mixer).total());
        let outside = self.embedding_values().saturating_add(self.hidden);
        [Mixer::Full, Mixer::Linear].map(of).into_iter().fold(outside, u64::saturating_add)
    }

    /// A model of the Qwen3.5 family by the name its users give it (`mlx-community/Qwen3.5-4B-4bit`, `Qwen/Qwen3.5-9B`,
    /// `qwen3.5-4b-4bit`), for plans before it is imported. `None` for a name the table does not know.
    pub fn named(name: &str) -> Option<NamedShape> {
        let name = name.rsplit('/').next()?.to_ascii_lowercase();
        let rest = name.strip_prefix("qwen3.5-")?;
        let (size, suffix) = rest.split_once('-').unwrap_or((rest, ""));
        let (mut shape, confirmed, suffix) = match (size, suffix) {
            ("2b", _) => (dense([2048, 6144, 24], [8, 2], [16, 16], true), false, suffix),
            ("4b", _) => (dense([2560, 9216, 32], [16, 4], [16, 32], true), true, suffix),
            ("9b", _) => (dense([4096, 12288, 32], [16, 4], [16, 32], false), true, suffix),
            ("27b", _) => (dense([5120, 17408, 64], [24, 4], [16, 48], false), true, suffix),
            ("35b", _) if suffix.starts_with("a3b") => {
                let mut shape = dense([2048, 0, 40], [16, 2], [16, 32], false);
                shape.experts = Some(ExpertsShape { count: 256, active: 8, ffn: 512, shared_ffn: 512 });
                (shape, true, suffix["a3b".len()..].trim_start_matches('-'))
            }
            _ => return None,
        };
        let bits = match suffix {
            "" | "bf16" | "mlx-bf16" => None,
            "4bit" | "mlx-4bit" => Some(4),
            "5bit" | "mlx-5bit" => Some(5),
            "6bit" | "mlx-6bit" => Some(6),
            "8bit" | "mlx-8bit" => Some(8),
            _ => return None,
        };
        shape.quantization =
            bits.map(|bits| Quantization { default: Packing { group_size: 64, bits }, overrides: BTreeMap::new() });
        Some(NamedShape { shape, confirmed })
    }
}

/// Values in a layer's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerValues {
    /// In weight matrices, which quantisation packs.
    pub matrices: u64,
    /// In all other weights.
    pub other: u64,
}

impl LayerValues {
    /// In all weights.
    pub fn total(self) -> u64 {
        self.matrices.saturating_add(self.other)
    }
}

/// A member of the family: `[hidden, ffn, layers]`, attention `[heads, kv heads] × 256`, gated delta
/// `[key heads, value heads] × 128`.
fn dense([hidden, ffn, layers]: [u64; 3], [heads, kv_heads]: [u64; 2], [keys, values]: [u64; 2], tied: bool) -> Shape {
    Shape {
        hidden,
        ffn,
        layers,
        vocab: 248_320,
        tied,
        attention: AttentionShape { heads, kv_heads, head_dim: 256 },
        linear: LinearShape { key_heads: keys, value_heads: values, key_dim: 128, value_dim: 128, conv_kernel: 4 },
        full_attention_interval: 4,
        rms_eps: 1e-6,
        rope_theta: 1e7,
        partial_rotary: 0.25,
        experts: None,
        dtype: Dtype::Bf16,
        quantization: None,
    }
}

#[cfg(test)]
mod tests;
