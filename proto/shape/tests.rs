use super::*;
use crate::bytes::Bytes;
use serde_json::json;

fn config() -> Value {
    json!({"model_type": "qwen3_5", "text_config": {
        "model_type": "qwen3_5_text", "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 8,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "rms_norm_eps": 1e-6, "vocab_size": 768,
        "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 32,
        "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4, "tie_word_embeddings": true,
        "full_attention_interval": 4, "dtype": "float32",
        "rope_parameters": {"rope_theta": 10000000, "partial_rotary_factor": 0.25}},
        "quantization": {"group_size": 64, "bits": 4, "mode": "affine",
            "language_model.model.layers.0.mlp.gate_proj": {"group_size": 32, "bits": 8},
            "language_model.model.embed_tokens": false}})
}

#[test]
fn reads_a_config_with_its_text_config_and_overrides() {
    let shape = Shape::from_config(&config()).unwrap();
    assert_eq!((shape.hidden, shape.layers, shape.tied), (64, 8, true));
    assert_eq!(shape.dtype, Dtype::F32);
    assert_eq!((shape.mixer(3), shape.mixer(4)), (Mixer::Full, Mixer::Linear));
    let q = shape.quantization.unwrap();
    assert_eq!(q.of("language_model.model.layers.0.mlp.gate_proj"), Some(Packing { group_size: 32, bits: 8 }));
    assert_eq!(q.of("language_model.model.embed_tokens"), None);
    assert_eq!(q.of("anything.else"), Some(Packing { group_size: 64, bits: 4 }));
}

#[test]
fn weights_are_counted_as_each_module_is_packed() {
    let shape = Shape::from_config(&config()).unwrap();
    let packed = |values: u64, bits: u64, group: u64| values * bits / 8 + values / group * 8;
    let (embedding, gate) = (768 * 64, 64 * 160);
    let matrices: u64 = (0..8).map(|i| shape.layer_values(shape.mixer(i)).matrices).sum();
    let rest = shape.parameters() - matrices - embedding;
    let expected = embedding * 4 + packed(gate, 8, 32) + packed(matrices - gate, 4, 64) + rest * 4;
    assert_eq!(shape.weight_bytes(), Bytes(expected));
}

#[test]
fn names_the_key_that_is_wrong() {
    let mut missing = config();
    missing["text_config"].as_object_mut().unwrap().remove("hidden_size");
    assert_eq!(Shape::from_config(&missing).unwrap_err().to_string(), "`hidden_size` is missing");
    let mut other = config();
    other["text_config"]["model_type"] = json!("llama");
    assert!(Shape::from_config(&other).unwrap_err().to_string().contains("`llama`"));
    let mut heads = config();
    heads["text_config"]["num_attention_heads"] = json!(3);
    assert!(Shape::from_config(&heads).unwrap_err().to_string().contains("num_attention_heads"));
}

#[test]
fn the_table_knows_the_names_that_configs_use() {
    let four = Shape::named("mlx-community/Qwen3.5-4B-4bit").unwrap();
    assert!(four.confirmed);
    // The published 4B has 4.2e9 text parameters; packed to 4 bits with scales and biases, 2.4 GB.
    assert!((4.1e9..4.4e9).contains(&(four.shape.parameters() as f64)), "{}", four.shape.parameters());
    assert!((2.2e9..2.6e9).contains(&(four.shape.weight_bytes().0 as f64)), "{}", four.shape.weight_bytes());
    let moe = Shape::named("Qwen/Qwen3.5-35B-A3B").unwrap().shape;
    assert!((33e9..37e9).contains(&(moe.parameters() as f64)), "{}", moe.parameters());
    assert_eq!(Shape::named("mlx-community/Qwen3.5-4B-MLX-8bit").unwrap().shape.quantization.unwrap().default.bits, 8);
    assert!(!Shape::named("mlx-community/Qwen3.5-2B-4bit").unwrap().confirmed);
    assert!(Shape::named("Qwen/Qwen3.5-35B-A3B-4bit").is_some());
    assert!(Shape::named("meta/Llama-3-8B").is_none());
}
