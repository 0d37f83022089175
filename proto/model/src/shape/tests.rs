use super::config::{
    CONV_KERNEL_MAX, EXPERTS_MAX, FFN_MAX, HEAD_DIM_MAX, HEADS_MAX, HIDDEN_MAX, LAYERS_MAX, VOCAB_MAX,
};
use super::*;
use crate::estimate::{Engine, estimate};
use crate::recipe::Recipe;
use proptest::prelude::*;
use serde_json::{Value, json};
use vertigo::bytes::Bytes;

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

/// A configuration in which the key at `path` is `value`.
fn with(path: &[&str], value: Value) -> Value {
    let mut config = config();
    let (last, tables) = path.split_last().unwrap();
    let table = tables.iter().fold(&mut config, |table, key| &mut table[*key]);
    table[*last] = value;
    config
}

/// Every key that is read, and for the sizes their largest value.
const KEYS: [(&[&str], Option<u64>); 25] = [
    (&["text_config", "hidden_size"], Some(HIDDEN_MAX)),
    (&["text_config", "intermediate_size"], Some(FFN_MAX)),
    (&["text_config", "num_hidden_layers"], Some(LAYERS_MAX)),
    (&["text_config", "vocab_size"], Some(VOCAB_MAX)),
    (&["text_config", "num_attention_heads"], Some(HEADS_MAX)),
    (&["text_config", "num_key_value_heads"], Some(HEADS_MAX)),
    (&["text_config", "head_dim"], Some(HEAD_DIM_MAX)),
    (&["text_config", "linear_num_key_heads"], Some(HEADS_MAX)),
    (&["text_config", "linear_num_value_heads"], Some(HEADS_MAX)),
    (&["text_config", "linear_key_head_dim"], Some(HEAD_DIM_MAX)),
    (&["text_config", "linear_value_head_dim"], Some(HEAD_DIM_MAX)),
    (&["text_config", "linear_conv_kernel_dim"], Some(CONV_KERNEL_MAX)),
    (&["text_config", "full_attention_interval"], Some(LAYERS_MAX)),
    (&["text_config", "num_experts"], Some(EXPERTS_MAX)),
    (&["text_config", "num_experts_per_tok"], Some(EXPERTS_MAX)),
    (&["text_config", "moe_intermediate_size"], Some(FFN_MAX)),
    (&["text_config", "shared_expert_intermediate_size"], Some(FFN_MAX)),
    (&["text_config", "rms_norm_eps"], None),
    (&["text_config", "rope_parameters", "rope_theta"], None),
    (&["text_config", "rope_parameters", "partial_rotary_factor"], None),
    (&["text_config", "tie_word_embeddings"], None),
    (&["text_config", "dtype"], None),
    (&["quantization", "group_size"], None),
    (&["quantization", "bits"], None),
    (&["quantization", "language_model.model.layers.0.mlp.gate_proj", "bits"], None),
];

#[test]
fn sizes_out_of_their_range_are_refused_by_their_key() {
    for (path, max) in KEYS {
        let Some(max) = max else { continue };
        let key = path.last().unwrap();
        for value in [json!(max + 1), json!(u64::MAX), json!(0), json!(-1), json!(1.5), json!("8"), json!([8])] {
            let mut config = with(path, value.clone());
            // Experts' sizes are read only where there are experts.
            let experts = KEYS[13..17].iter().map(|(path, _)| path[1]);
            let experts: Vec<_> = experts.collect();
            for other in experts.iter().filter(|other| experts.contains(key) && *other != key) {
                config["text_config"][*other] = json!(4);
            }
            let error = Shape::from_config(&config).unwrap_err().to_string();
            let named = error.starts_with(&format!("`{key}` is {value};")) && error.contains(&format!("1 to {max}"));
            assert!(named, "{error}");
        }
    }
}

#[test]
fn numbers_flags_and_names_of_another_type_or_range_are_refused_by_their_key() {
    let rope = |key: &'static str| ["text_config", "rope_parameters", key];
    let cases: [(&[&str], Vec<Value>); 8] = [
        (
            &["text_config", "rms_norm_eps"],
            vec![json!("x"), json!(0), json!(1), json!(-1e-6), json!(1e-60), json!(true)],
        ),
        (&rope("rope_theta"), vec![json!("x"), json!(0), json!(-1), json!(1e300), json!([])]),
        // 0.1 of 32 dimensions are 3, 0.01 none.
        (&rope("partial_rotary_factor"), vec![json!("x"), json!(-1), json!(0), json!(1.01), json!(0.1), json!(0.01)]),
        (&["text_config", "tie_word_embeddings"], vec![json!("x"), json!(1)]),
        (&["text_config", "dtype"], vec![json!("int8"), json!(32)]),
        (&["quantization"], vec![json!("x"), json!(4)]),
        (&["quantization", "group_size"], vec![json!("x"), json!(0), json!(7), json!(1u64 << 40)]),
        (&["quantization", "bits"], vec![json!("x"), json!(0), json!(7), json!(64)]),
    ];
    for (path, values) in cases {
        for value in values {
            let error = Shape::from_config(&with(path, value.clone())).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{}` ", path.last().unwrap())), "{value}: {error}");
        }
    }
    // What is not written has its default; so has null.
    for key in ["rms_norm_eps", "rope_parameters", "tie_word_embeddings", "dtype"] {
        let shape = Shape::from_config(&with(&["text_config", key], Value::Null)).unwrap();
        assert_eq!((shape.rms_eps, shape.rope_theta, shape.partial_rotary), (1e-6, 1e7, 0.25));
    }
    // Among the sizes, as older files have it.
    let mut flat = with(&["text_config", "rope_parameters"], Value::Null);
    flat["text_config"]["partial_rotary_factor"] = json!("x");
    assert!(Shape::from_config(&flat).unwrap_err().to_string().starts_with("`partial_rotary_factor` is \"x\""));
}

#[test]
fn an_error_shows_the_beginning_of_a_long_value() {
    let error = Shape::from_config(&with(&["text_config", "hidden_size"], json!("x".repeat(100_000)))).unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
}

/// What is computed from a shape, for plans of every kind.
fn compute(shape: &Shape) {
    let _ = (shape.parameters(), shape.weight_bytes(), shape.linear_paths());
    let recipes = ["num_layers: -1", "fine_tune_type: full, num_layers: -1"];
    for (text, engine) in recipes.into_iter().flat_map(|text| [(text, Engine::Vertigo), (text, Engine::MlxLm)]) {
        let recipe = Recipe::parse("test", &format!("{{model: base, {text}}}")).unwrap();
        let _ = estimate(shape, &recipe, engine).total();
    }
}

#[test]
fn with_every_size_at_its_bound_nothing_overflows() {
    let mut largest = KEYS.into_iter().fold(config(), |mut config, (path, max)| {
        if let (["text_config", key], Some(max)) = (path, max) {
            config["text_config"][*key] = json!(max);
        }
        config
    });
    for quantization in [json!({"group_size": 32, "bits": 8}), Value::Null] {
        largest["quantization"] = quantization;
        let shape = Shape::from_config(&largest).unwrap();
        assert!(shape.parameters() < 1 << 60, "{}", shape.parameters());
        assert!(shape.weight_bytes().0 > shape.parameters(), "it did not wrap");
        compute(&shape);
    }
}

/// Any JSON that a key may have: numbers of every size, and what is no number.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => any::<u64>().prop_map(|n| json!(n)),
        // Small ones, which get further.
        8 => (0u64..5000).prop_map(|n| json!(n)),
        2 => any::<i64>().prop_map(|n| json!(n)),
        4 => any::<f64>().prop_map(|n| json!(n)),
        2 => (0.0f64..1.0).prop_map(|n| json!(n)),
        1 => any::<bool>().prop_map(|b| json!(b)),
        1 => ".{0,10}".prop_map(|text| json!(text)),
        1 => Just(json!([1])),
        1 => Just(json!({"group_size": 64, "bits": 4})),
        1 => Just(Value::Null),
    ]
}

proptest! {
    #[test]
    fn any_value_of_any_key_is_a_shape_that_can_be_computed_with_or_an_error(
        changes in proptest::collection::vec((0..KEYS.len(), any_value()), 1..6),
    ) {
        let mut config = config();
        for (n, value) in changes {
            let (last, tables) = KEYS[n].0.split_last().unwrap();
            let table = tables.iter().fold(&mut config, |table, key| &mut table[*key]);
            table[*last] = value;
        }
        if let Ok(shape) = Shape::from_config(&config) {
            compute(&shape);
        }
    }
}
