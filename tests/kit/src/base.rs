//! A tiny base: Qwen3.5's architecture with all its parts, in widths that can be packed in groups of 64.

use serde_json::{Value, json};

/// Rows of the embedding.
pub const VOCAB: u64 = 320;

/// Its configuration by itself: 4 layers, of which the last is full attention.
pub fn text_config() -> Value {
    json!({
        "model_type": "qwen3_5_text", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "rms_norm_eps": 1e-6, "vocab_size": VOCAB,
        "max_position_embeddings": 4096, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
        "linear_key_head_dim": 32, "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4,
        "tie_word_embeddings": true, "attention_bias": false, "full_attention_interval": 4, "dtype": "float32",
        "rope_parameters": {"type": "default", "mrope_section": [4, 2, 2], "rope_theta": 10_000_000,
                            "partial_rotary_factor": 0.25},
    })
}

/// The same as a model has it that sees, too.
pub fn config(tied: bool) -> Value {
    let mut text = text_config();
    text["tie_word_embeddings"] = tied.into();
    json!({"model_type": "qwen3_5", "text_config": text})
}

#[cfg(feature = "base")]
pub use folder::{write, write_of};

#[cfg(feature = "base")]
mod folder {
    use super::text_config;
    use crate::tokenizer;
    use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
    use serde_json::Value;
    use std::fs;
    use std::path::Path;
    use vertigo_model::shape::Shape;
    use vertigo_model::tensors::{matrices, vectors};

    /// Writes the base in f32, with a tokenizer of bytes: the same each time.
    ///
    /// # Panics
    /// Where the folder cannot be written.
    pub fn write(folder: &Path) {
        write_of(folder, &text_config());
    }

    /// The same, of another configuration.
    ///
    /// # Panics
    /// As [`write`], and where it is no base's.
    pub fn write_of(folder: &Path, config: &Value) {
        fs::create_dir_all(folder).expect("the test's folder can be written");
        fs::write(folder.join("config.json"), config.to_string()).expect("the test's folder can be written");
        let shape = Shape::from_config(config).expect("the configuration is a base's");
        write_weights(&shape, &folder.join("model.safetensors"));
        tokenizer::write(folder);
    }

    fn write_weights(shape: &Shape, path: &Path) {
        let mut state = 1u64;
        // A congruential generator is random enough to train on.
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let matrices = matrices(shape).into_iter().map(|m| (format!("{}.weight", m.module), vec![m.outputs, m.inputs]));
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = matrices
            .chain(vectors(shape))
            .map(|(name, size)| {
                let size: Vec<usize> = size.into_iter().map(|n| n as usize).collect();
                let norm = name.ends_with("norm.weight");
                let values = (0..size.iter().product()).map(|_| if norm { 1.0 } else { 0.3 * random() });
                let bytes = values.flat_map(f32::to_le_bytes).collect();
                (name, size, bytes)
            })
            .collect();
        let view = |size: &[usize], bytes| {
            TensorView::new(Dtype::F32, size.to_vec(), bytes).expect("as many bytes as the size says")
        };
        let views = tensors.iter().map(|(name, size, bytes)| (name.as_str(), view(size, bytes)));
        serialize_to_file(views, None, path).expect("the test's folder can be written");
    }
}
