//! A `config.json`, read into a [`Shape`]: the one place where sizes come in from outside.
//!
//! Every size has a bound, several times what any published model has, and every number its range; what is out of it is refused by
//! its key. With every size at its bound a model has less than 2⁶⁰ values, so that counts of values, and their bytes, fit in 64
//! bits; and a layer is looked at [`LAYERS_MAX`] times at most.

use super::{AttentionShape, Dtype, ExpertsShape, LinearShape, Packing, Quantization, Shape, ShapeError};
use serde_json::Value;
use std::collections::BTreeMap;

/// Layers. The deepest models that are published have below 200.
pub(super) const LAYERS_MAX: u64 = 1_024;

/// Values of the residual stream. The widest have below 20,000.
pub(super) const HIDDEN_MAX: u64 = 65_536;

/// Values of an MLP or of an expert, some four times the stream.
pub(super) const FFN_MAX: u64 = 1 << 20;

/// Rows of the embedding. Qwen3.5 has 248,320.
pub(super) const VOCAB_MAX: u64 = 1 << 22;

/// Heads of attention, of any kind.
pub(super) const HEADS_MAX: u64 = 1_024;

/// Dimensions of a head, a key or a value. Qwen3.5 has 128 and 256.
pub(super) const HEAD_DIM_MAX: u64 = 4_096;

/// Taps of the convolution. Qwen3.5 has 4.
pub(super) const CONV_KERNEL_MAX: u64 = 64;

/// Experts of a layer. Qwen3.5 has up to 512.
pub(super) const EXPERTS_MAX: u64 = 4_096;

/// Weights that share a scale, as MLX's affine kernels are made for.
const GROUP_SIZES: [u64; 3] = [32, 64, 128];

/// Bits of a weight, likewise.
const BITS: [u64; 6] = [2, 3, 4, 5, 6, 8];

/// Characters of a wrong value that an error shows.
const SHOWN_CHARS_MAX: usize = 60;

fn key_error(key: &str, problem: impl Into<String>) -> ShapeError {
    ShapeError::Key { key: key.to_owned(), problem: problem.into() }
}

fn wrong(key: &str, value: &Value, allowed: &str) -> ShapeError {
    let mut shown: String = value.to_string().chars().take(SHOWN_CHARS_MAX + 1).collect();
    if shown.chars().count() > SHOWN_CHARS_MAX {
        shown.pop();
        shown.push('…');
    }
    key_error(key, format!("is {shown}; it must be {allowed}"))
}

impl Shape {
    /// Reads a Hugging Face or MLX `config.json` (its `text_config` where there is one).
    ///
    /// # Errors
    /// Names the key that is missing, of another type or out of its range, or the architecture that is not Qwen3.5.
    pub fn from_config(config: &Value) -> Result<Shape, ShapeError> {
        let text = config.get("text_config").filter(|text| !text.is_null()).unwrap_or(config);
        let model_type = text.get("model_type").or_else(|| config.get("model_type")).and_then(Value::as_str);
        match model_type {
            Some("qwen3_5" | "qwen3_5_text" | "qwen3_5_moe" | "qwen3_5_moe_text") => {}
            other => return Err(ShapeError::Architecture(other.unwrap_or("missing").to_owned())),
        }
        let (read, outer) = (Config(text), Config(config));
        let rope = read.given("rope_parameters").or_else(|| read.given("rope_scaling")).map(Config);
        // What rotates stands in a table of its own, or among the sizes.
        let of_rope = |key: &str| match &rope {
            Some(rope) if rope.given(key).is_some() => Config(rope.0),
            _ => Config(text),
        };
        let hidden = read.size("hidden_size", HIDDEN_MAX)?;
        let heads = read.size("num_attention_heads", HEADS_MAX)?;
        let tied = read.flag("tie_word_embeddings")?;
        let shape = Shape {
            hidden,
            ffn: read.size_or("intermediate_size", 0, FFN_MAX)?,
            layers: read.size("num_hidden_layers", LAYERS_MAX)?,
            vocab: read.size("vocab_size", VOCAB_MAX)?,
            tied: tied.map_or_else(|| outer.flag("tie_word_embeddings"), |tied| Ok(Some(tied)))?.unwrap_or(false),
            attention: AttentionShape {
                heads,
                kv_heads: read.size("num_key_value_heads", HEADS_MAX)?,
                head_dim: read.size_or("head_dim", hidden / heads, HEAD_DIM_MAX)?,
            },
            linear: LinearShape {
                key_heads: read.size("linear_num_key_heads", HEADS_MAX)?,
                value_heads: read.size("linear_num_value_heads", HEADS_MAX)?,
                key_dim: read.size("linear_key_head_dim", HEAD_DIM_MAX)?,
                value_dim: read.size("linear_value_head_dim", HEAD_DIM_MAX)?,
                conv_kernel: read.size_or("linear_conv_kernel_dim", 4, CONV_KERNEL_MAX)?,
            },
            full_attention_interval: read.size_or("full_attention_interval", 4, LAYERS_MAX)?,
            // The engine computes with these in 32 bits, where they must be no zero and not infinite.
            rms_eps: read.number_or("rms_norm_eps", 1e-6, "above 0 and below 1", |n| n as f32 > 0.0 && n < 1.0)?,
            rope_theta: of_rope("rope_theta")
                .number_or("rope_theta", 1e7, "above 0 and below 1e38", |n| n as f32 > 0.0 && n < 1e38)?,
            partial_rotary: of_rope("partial_rotary_factor").number_or(
                "partial_rotary_factor",
                0.25,
                "above 0 and not above 1",
                |n| n > 0.0 && n <= 1.0,
            )?,
            experts: experts(&read)?,
            dtype: dtype(&read)?.map_or_else(|| dtype(&outer), |dtype| Ok(Some(dtype)))?.unwrap_or(Dtype::Bf16),
            quantization: quantization(&outer)?,
        };
        shape.check()?;
        Ok(shape)
    }

    /// What must hold between sizes.
    fn check(&self) -> Result<(), ShapeError> {
        if self.ffn == 0 && self.experts.is_none() {
            return Err(key_error("intermediate_size", "is missing"));
        }
        let head_dim = self.attention.head_dim;
        if !(1..=HEAD_DIM_MAX).contains(&head_dim) {
            let problem = "is missing, and hidden_size / num_attention_heads is";
            return Err(key_error("head_dim", format!("{problem} {head_dim}, not from 1 to {HEAD_DIM_MAX}")));
        }
        if !self.attention.heads.is_multiple_of(self.attention.kv_heads) {
            return Err(key_error("num_attention_heads", "is no multiple of num_key_value_heads"));
        }
        if !self.linear.value_heads.is_multiple_of(self.linear.key_heads) {
            return Err(key_error("linear_num_value_heads", "is no multiple of linear_num_key_heads"));
        }
        // Dimensions are rotated in pairs.
        let rotated = (head_dim as f64 * self.partial_rotary) as u64;
        if rotated < 2 || !rotated.is_multiple_of(2) {
            let problem =
                format!("rotates {rotated} of head_dim's {head_dim} dimensions; it must be an even number, 2 or more");
            return Err(key_error("partial_rotary_factor", problem));
        }
        match &self.experts {
            Some(experts) if experts.active > experts.count => {
                Err(key_error("num_experts_per_tok", "is more than num_experts"))
            }
            _ => Ok(()),
        }
    }
}

/// A table of the file.
struct Config<'a>(&'a Value);

impl<'a> Config<'a> {
    /// A key's value; `None` where it is missing or null.
    fn given(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A whole number from 1 to `max`.
    fn size(&self, key: &str, max: u64) -> Result<u64, ShapeError> {
        let value = self.0.get(key).ok_or_else(|| key_error(key, "is missing"))?;
        let size = value.as_u64().filter(|size| (1..=max).contains(size));
        size.ok_or_else(|| wrong(key, value, &format!("a whole number from 1 to {max}")))
    }

    fn size_or(&self, key: &str, default: u64, max: u64) -> Result<u64, ShapeError> {
        if self.given(key).is_none() { Ok(default) } else { self.size(key, max) }
    }

    /// A number in the range that `fits` knows and `range` names.
    fn number_or(&self, key: &str, default: f64, range: &str, fits: impl Fn(f64) -> bool) -> Result<f64, ShapeError> {
        let Some(value) = self.given(key) else { return Ok(default) };
        let number = value.as_f64().filter(|number| fits(*number));
        number.ok_or_else(|| wrong(key, value, &format!("a number {range}")))
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, ShapeError> {
        let value = self.given(key);
        value.map(|value| value.as_bool().ok_or_else(|| wrong(key, value, "true or false"))).transpose()
    }
}

fn experts(read: &Config<'_>) -> Result<Option<ExpertsShape>, ShapeError> {
    if read.given("num_experts").is_none() {
        return Ok(None);
    }
    Ok(Some(ExpertsShape {
        count: read.size("num_experts", EXPERTS_MAX)?,
        active: read.size("num_experts_per_tok", EXPERTS_MAX)?,
        ffn: read.size("moe_intermediate_size", FFN_MAX)?,
        shared_ffn: read.size("shared_expert_intermediate_size", FFN_MAX)?,
    }))
}

fn dtype(read: &Config<'_>) -> Result<Option<Dtype>, ShapeError> {
    let keys = ["dtype", "torch_dtype"];
    let Some((key, value)) = keys.into_iter().find_map(|key| Some((key, read.given(key)?))) else { return Ok(None) };
    match value.as_str() {
        Some("float32") => Ok(Some(Dtype::F32)),
        Some("bfloat16") => Ok(Some(Dtype::Bf16)),
        Some("float16") => Ok(Some(Dtype::F16)),
        _ => Err(wrong(key, value, "float32, bfloat16 or float16")),
    }
}

fn quantization(config: &Config<'_>) -> Result<Option<Quantization>, ShapeError> {
    let Some(value) = config.given("quantization") else { return Ok(None) };
    let table = value.as_object().ok_or_else(|| wrong("quantization", value, "a table"))?;
    let default = packing("quantization", value)?;
    let mut overrides = BTreeMap::new();
    for (path, value) in table.iter().filter(|(_, value)| value.is_object() || value.is_boolean()) {
        let packing = match value {
            Value::Bool(true) => Some(default),
            Value::Bool(false) => None,
            table => Some(packing(path, table)?),
        };
        overrides.insert(path.clone(), packing);
    }
    Ok(Some(Quantization { default, overrides }))
}

/// How the module at `path` is packed.
fn packing(path: &str, table: &Value) -> Result<Packing, ShapeError> {
    match table.get("mode").map_or(Some("affine"), Value::as_str) {
        Some("affine") => {}
        _ => return Err(wrong(path, &table["mode"], "packed by mode `affine`")),
    }
    let one_of = |key: &str, allowed: &[u64]| {
        let value = table.get(key).ok_or_else(|| key_error(path, format!("has no {key}")))?;
        let found = value.as_u64().filter(|number| allowed.contains(number));
        let list = || allowed.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| wrong(key, value, &format!("one of {} (in {path})", list())))
    };
    Ok(Packing { group_size: one_of("group_size", &GROUP_SIZES)?, bits: one_of("bits", &BITS)? })
}
