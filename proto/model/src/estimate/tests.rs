use super::*;
use crate::recipe::Layers;
use crate::shape::{AttentionShape, Dtype, ExpertsShape, LinearShape, Packing, Quantization, Shape};
use proptest::prelude::*;

fn shape(name: &str) -> Shape {
    Shape::named(name).unwrap().shape
}

fn recipe(text: &str) -> Recipe {
    Recipe::parse("test", &format!("{{model: base, {text}}}")).unwrap()
}

fn gb(estimate: &Estimate) -> f64 {
    estimate.total().0 as f64 / 1e9
}

#[test]
fn engines_are_read_as_they_are_written() {
    for engine in [Engine::Vertigo, Engine::MlxLm] {
        assert_eq!(engine.to_string().parse(), Ok(engine));
    }
    assert!("mlx".parse::<Engine>().unwrap_err().to_string().contains("mlx-lm"));
}

/// The seed's own run: `4b.yaml` (all linears of 8 layers) took 27.3 GB with mlx-lm on a Mac.
#[test]
fn mlx_lms_estimate_is_within_a_tenth_of_the_seeds_run() {
    let four = shape("mlx-community/Qwen3.5-4B-4bit");
    let seed = recipe("num_layers: 8, batch_size: 1, max_seq_length: 2048, grad_checkpoint: true");
    let theirs = estimate(&four, &seed, Engine::MlxLm);
    assert!((27.3 * 0.9..27.3 * 1.1).contains(&gb(&theirs)), "{theirs:?}");
    let ours = estimate(&four, &seed, Engine::Vertigo);
    assert!(gb(&ours) < gb(&theirs) / 3.0, "{ours:?}");
}

#[test]
fn parts_are_all_there_is_and_none_is_empty() {
    for engine in [Engine::Vertigo, Engine::MlxLm] {
        let estimate = estimate(&shape("qwen3.5-9b-4bit"), &recipe("num_layers: 16"), engine);
        assert!(estimate.parts.iter().all(|part| part.bytes > Bytes::ZERO && !part.name.is_empty()));
        assert_eq!(estimate.total(), estimate.parts.iter().map(|part| part.bytes).sum());
        assert_eq!(estimate.parts[0].name, "weights");
    }
}

#[test]
fn adapters_are_counted_as_the_engine_makes_them() {
    let four = shape("qwen3.5-4b-4bit");
    // Layers 31 (attention) and 30: rank × (inputs + outputs) of each linear.
    let mlp = 2 * (2560 + 9216) + (9216 + 2560);
    let attention = (2560 + 8192) + 2 * (2560 + 1024) + (4096 + 2560);
    let delta = (2560 + 8192) + (2560 + 4096) + 2 * (2560 + 32) + (4096 + 2560);
    assert_eq!(trainable_parameters(&four, &recipe("num_layers: 1")), 8 * (mlp + attention));
    assert_eq!(trainable_parameters(&four, &recipe("num_layers: 2")), 8 * (2 * mlp + attention + delta));
    let keys = "num_layers: 2, lora_parameters: {rank: 4, keys: [self_attn.q_proj, mlp.up_proj]}";
    assert_eq!(trainable_parameters(&four, &recipe(keys)), 4 * (2 * (2560 + 9216) + 2560 + 8192));
    let full = recipe("fine_tune_type: full, num_layers: -1");
    let layers = four.parameters() - four.embedding_values() - four.hidden;
    assert_eq!(trainable_parameters(&four, &full), layers);
}

#[test]
fn experts_are_planned_for_though_they_are_not_trained() {
    let moe = shape("mlx-community/Qwen3.5-35B-A3B-4bit");
    let recipe = recipe(
        "batch_size: 2, max_seq_length: 8192, lora_parameters: {rank: 64, keys: [self_attn.q_proj, mlp.gate_proj]}",
    );
    let estimate = estimate(&moe, &recipe, Engine::Vertigo);
    assert!(estimate.parts[0].bytes > Bytes::gib(17) && estimate.total() < Bytes::gib(128), "{estimate:?}");
    let error = fit(&moe, &recipe).unwrap_err();
    assert!(error.to_string().contains("plans for but does not train"), "{error}");
    assert_eq!(notes(&moe, &recipe), ["key `mlp.gate_proj` names no linear of this base and adapts nothing"]);
}

#[test]
fn what_does_not_fit_says_what_to_write() {
    let four = shape("qwen3.5-4b-4bit");
    let error = |text: &str| fit(&four, &recipe(text)).unwrap_err().to_string();
    for (text, message) in [
        ("fine_tune_type: full", "write lora, or name the base that is not quantised"),
        ("lora_parameters: {keys: [self_attn.qproj]}", "did you mean `self_attn.q_proj`?"),
        ("lora_parameters: {keys: [q_proj]}", "did you mean `self_attn.q_proj`?"),
        ("lora_parameters: {keys: [linear_attn.in_proj_qkvz]}", "did you mean `linear_attn.in_proj_qkv`?"),
        ("lora_parameters: {keys: [zzz]}", "it has linear_attn.in_proj_a, "),
        ("num_layers: 1, lora_parameters: {keys: [linear_attn.out_proj]}", "none of its keys is in the last 1 layers"),
    ] {
        let error = error(text);
        assert!(error.starts_with("recipe `test`: ") && error.contains(message), "{text}: {error}");
    }
}

#[test]
fn what_fits_is_not_kept_from_running_but_noted() {
    let four = shape("qwen3.5-4b-4bit");
    assert_eq!(fit(&four, &recipe("num_layers: 8")), Ok(Vec::new()));
    let notes = fit(&four, &recipe("num_layers: 40")).unwrap();
    assert_eq!(notes, ["num_layers is 40; the base has 32, and all are trained"]);
    let notes =
        fit(&four, &recipe("num_layers: 1, lora_parameters: {keys: [mlp.up_proj, linear_attn.out_proj]}")).unwrap();
    assert_eq!(notes, ["key `linear_attn.out_proj` is in none of the last 1 layers and adapts nothing"]);
    assert!(fit(&shape("Qwen/Qwen3.5-9B"), &recipe("fine_tune_type: full")).is_ok());
}

fn shapes() -> impl Strategy<Value = Shape> {
    let names = ["2b", "4b", "9b", "27b", "35b-a3b", "4b-4bit", "9b-8bit", "35b-a3b-4bit"];
    (prop::sample::select(names.to_vec()), any::<bool>()).prop_map(|(name, f32)| {
        let mut shape = shape(&format!("qwen3.5-{name}"));
        if f32 {
            shape.dtype = Dtype::F32;
        }
        shape
    })
}

fn engines() -> impl Strategy<Value = Engine> {
    prop_oneof![Just(Engine::Vertigo), Just(Engine::MlxLm)]
}

proptest! {
    /// Whatever grows in a recipe, its estimate does not shrink: a plan with more in it is never placed where less would not fit.
    #[test]
    fn more_never_takes_less(
        shape in shapes(), engine in engines(), full in any::<bool>(), layers in 1u64..80, batch in 1u64..8, tokens in 2u64..5000, rank in 1u64..128,
    ) {
        let of = |layers: u64, batch: u64, tokens: u64, rank: u64, accumulation: u64| {
            let kind = if full { "full" } else { "lora" };
            let text = format!(
                "fine_tune_type: {kind}, num_layers: {layers}, batch_size: {batch}, max_seq_length: {tokens}, \
                 gradient_accumulation: {accumulation}, lora_parameters: {{rank: {rank}}}"
            );
            estimate(&shape, &recipe(&text), engine).total()
        };
        let one = of(layers, batch, tokens, rank, 1);
        prop_assert!(one > shape.weight_bytes());
        prop_assert!(of(layers + 1, batch, tokens, rank, 1) >= one);
        prop_assert!(of(layers, batch + 1, tokens, rank, 1) >= one);
        prop_assert!(of(layers, batch, tokens + 32, rank, 1) >= one);
        prop_assert!(of(layers, batch, tokens, rank + 1, 1) >= one);
        prop_assert!(of(layers, batch, tokens, rank, 2) > one);
    }

    /// A recipe that fits trains something, and `fit` never panics.
    #[test]
    fn what_fits_trains_something(shape in shapes(), layers in 1u64..80, keys in prop::collection::vec("(self_attn|linear_attn|mlp)\\.(q|k|up|out|gate)_proj", 1..4)) {
        let recipe = recipe(&format!("num_layers: {layers}, lora_parameters: {{keys: [{}]}}", keys.join(", ")));
        match fit(&shape, &recipe) {
            Ok(_) => prop_assert!(trainable_parameters(&shape, &recipe) > 0),
            Err(error) => prop_assert!(error.to_string().contains("recipe `test`")),
        }
    }
}

#[test]
fn a_run_writes_what_it_needs_to_go_on_twice_and_both_its_adapters() {
    let four = shape("qwen3.5-4b-4bit");
    let values = |recipe: &Recipe| 4 * trainable_parameters(&four, recipe);
    let small = Bytes::mib(1).0;
    let plain = recipe("num_layers: 2");
    assert_eq!(bytes_written(&four, &plain).0, small + values(&plain) * (2 * 4 + 2));
    let more = recipe("num_layers: 2, grad_accumulation_steps: 4");
    assert_eq!(bytes_written(&four, &more).0, small + values(&more) * (2 * 5 + 2));
    let full = recipe("fine_tune_type: full, num_layers: -1");
    // Weights, moments and best weights of 3.6 billion values, twice, and two adapters: what a Mac's disk has to have free.
    let gb = bytes_written(&shape("qwen3.5-4b"), &full).0 as f64 / 1e9;
    assert!((130.0..155.0).contains(&gb), "{gb}");
}

/// Sizes that a file may claim, small ones and any others.
fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 1u64..5000, 1 => any::<u64>(), 1 => Just(u64::MAX), 1 => Just(1 << 63), 1 => Just(0)]
}

prop_compose! {
    fn any_shapes()(s in prop::array::uniform20(sizes()), tied in any::<bool>(), experts in any::<bool>(), packed in any::<bool>()) -> Shape {
        let mut shape = shape("qwen3.5-4b");
        (shape.hidden, shape.ffn, shape.layers, shape.vocab, shape.full_attention_interval) = (s[0], s[1], s[2], s[3], s[4]);
        shape.attention = AttentionShape { heads: s[5], kv_heads: s[6], head_dim: s[7] };
        shape.linear = LinearShape { key_heads: s[8], value_heads: s[9], key_dim: s[10], value_dim: s[11], conv_kernel: s[12] };
        shape.tied = tied;
        shape.experts = experts.then_some(ExpertsShape { count: s[13], active: s[14], ffn: s[15], shared_ffn: s[16] });
        let packing = Packing { group_size: s[17], bits: s[18] };
        let overrides = [(format!("language_model.model.layers.{}.mlp.up_proj", s[19]), Some(packing))].into();
        shape.quantization = packed.then_some(Quantization { default: packing, overrides });
        shape
    }
}

proptest! {
    /// No sizes make the arithmetic panic, wrap or take long: what is too large is the largest number that there is.
    #[test]
    fn any_shape_has_an_estimate(
        shape in any_shapes(), engine in engines(), full in any::<bool>(), s in prop::array::uniform5(sizes()),
    ) {
        let mut recipe = recipe(if full { "fine_tune_type: full" } else { "lora_parameters: {rank: 8}" });
        recipe.layers = Layers::Last(s[0]);
        (recipe.batch_size, recipe.max_seq_length, recipe.grad_accumulation_steps) = (s[1], s[2], s[3]);
        if let Method::Lora(lora) = &mut recipe.method {
            lora.rank = s[4];
        }
        let predicted = estimate(&shape, &recipe, engine);
        // Parts are computed in f64, of which 53 bits are sure.
        let at_least = |one: Bytes, other: Bytes| one.0 as f64 >= other.0 as f64 * (1.0 - 1e-9);
        prop_assert!(at_least(predicted.total(), shape.weight_bytes()));
        prop_assert!(shape.parameters() >= shape.embedding_values());
        prop_assert!(trainable_parameters(&shape, &recipe) <= shape.parameters() || !full);
        let _ = (fit(&shape, &recipe), notes(&shape, &recipe));
        // One size more of anything is not less: nothing has wrapped.
        let mut larger = shape.clone();
        larger.hidden = larger.hidden.saturating_add(larger.hidden / 2 + 1);
        prop_assert!(at_least(estimate(&larger, &recipe, engine).total(), predicted.total()));
        let mut deeper = shape.clone();
        deeper.layers = deeper.layers.saturating_add(deeper.layers / 2 + 1);
        prop_assert!(deeper.weight_bytes() >= shape.weight_bytes());
    }
}
