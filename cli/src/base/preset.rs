//! Smoke bases' sizes: Qwen3.5's architecture in miniature, every part of it there.
//!
//! Every 4th layer is full attention; value heads are twice the key heads; a quarter of a head's dimensions is rotated; the
//! smaller ties its embedding and the larger does not: all as in the real 4B and 9B. Widths are multiples of 64, so that weights
//! can be packed in groups of 64.

use super::tokenizer::SmokeTokenizer;
use crate::cli::{FloatType, Preset};
use serde_json::{Value, json};

/// Rows of the embedding, special tokens among them.
pub(crate) const VOCABULARY: u64 = 2048;

/// Weights that share a scale and a bias where they are packed.
const GROUP: u64 = 64;

/// `config.json` of a smoke base.
pub(crate) fn config(preset: Preset, dtype: FloatType, bits: Option<&str>, tokenizer: &SmokeTokenizer) -> Value {
    let (hidden, ffn, layers, tied) = match preset {
        Preset::Mini4b => (128, 512, 8, true),
        Preset::Mini9b => (192, 576, 12, false),
    };
    let dtype = match dtype {
        FloatType::F32 => "float32",
        FloatType::Bf16 => "bfloat16",
    };
    let mut config = json!({
        "model_type": "qwen3_5",
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "tie_word_embeddings": tied,
        "eos_token_id": tokenizer.end_of_turn,
        "text_config": {
            "model_type": "qwen3_5_text",
            "dtype": dtype,
            "hidden_size": hidden,
            "intermediate_size": ffn,
            "num_hidden_layers": layers,
            "full_attention_interval": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "attention_bias": false,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 64,
            "linear_value_head_dim": 64,
            "linear_conv_kernel_dim": 4,
            "rms_norm_eps": 1e-6,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": 32768,
            "tie_word_embeddings": tied,
            "eos_token_id": tokenizer.end_of_turn,
            "rope_parameters": {
                "type": "default",
                "rope_type": "default",
                "mrope_section": [4, 2, 2],
                "rope_theta": 10_000_000,
                "partial_rotary_factor": 0.25
            }
        }
    });
    if let Some(bits) = bits.and_then(|bits| bits.parse::<u64>().ok()) {
        config["quantization"] = json!({"group_size": GROUP, "bits": bits, "mode": "affine"});
    }
    config
}
