use super::*;
use crate::recipe::Layers;
use proptest::prelude::*;

/// The moments of every half of every layer, one after the other: what [`moments`] finds the worst of without looking at each.
fn walk(shape: &Shape, recipe: &Recipe) -> Vec<Moment> {
    let size = Sizes::new(shape, recipe);
    let places: Vec<(u64, Half)> = (0..shape.layers).flat_map(Half::of).collect();
    let layers = trained_layers(shape, recipe);
    let run = Run::new(shape, recipe);
    let values = |&(index, half): &(u64, Half)| match layers.contains(&index) {
        true => run.values(shape.mixer(index), half),
        false => 0.0,
    };
    let trained: Vec<f64> = places.iter().map(values).collect();
    let first = trained.iter().position(|&values| values > 0.0).unwrap_or(places.len());
    let all_gradients = trained.iter().sum::<f64>() * value_size(shape, recipe);
    let summed = if recipe.grad_accumulation_steps > 1 { all_gradients } else { 0.0 };
    let kept = |until: usize| (until.saturating_sub(first) + 1) as f64 * size.stream();
    let forward = |&(index, half): &(u64, Half)| size.forward(shape.mixer(index), half, layers.contains(&index));
    let backward = |n: usize, &(index, half): &(u64, Half)| {
        size.backward(shape.mixer(index), half, layers.contains(&index), n == first)
    };
    let mut all = Vec::new();
    for (n, place) in places.iter().enumerate() {
        all.push(Moment { name: "", gradients: summed, inputs: kept(n), work: forward(place) });
    }
    all.push(Moment { name: "", gradients: summed, inputs: kept(places.len()), work: size.loss() });
    let mut gradients = summed;
    for (n, place) in places.iter().enumerate().skip(first).rev() {
        gradients += trained[n] * value_size(shape, recipe);
        all.push(Moment { name: "", gradients, inputs: kept(n + 1), work: backward(n, place) });
    }
    all
}

/// The worst of the moments that are not the optimizer's, whose own formula has no layers in it.
fn worst(moments: Vec<Moment>) -> f64 {
    let of_layers = moments.iter().filter(|moment| moment.name != "the optimizer's update");
    of_layers.map(Moment::bytes).fold(0.0, f64::max)
}

fn recipe(text: &str) -> Recipe {
    Recipe::parse("test", &format!("{{model: base, {text}}}")).unwrap()
}

prop_compose! {
    fn shapes()(
        layers in 1u64..40, every in 1u64..12, hidden in 1u64..2000, ffn in 1u64..4000, heads in 1u64..40, value_heads in 1u64..40,
        dim in 1u64..200,
    ) -> Shape {
        let mut shape = Shape::named("qwen3.5-4b").unwrap().shape;
        (shape.layers, shape.full_attention_interval, shape.hidden, shape.ffn) = (layers, every, hidden, ffn);
        shape.attention.heads = heads;
        (shape.linear.value_heads, shape.linear.value_dim) = (value_heads, dim);
        shape
    }
}

prop_compose! {
    fn recipes()(
        full in any::<bool>(), layers in 1u64..50, length in 2u64..2000, rank in 1u64..3000, accumulation in 1u64..3,
        keys in prop::collection::vec(prop::sample::select(vec![
            "self_attn.q_proj", "self_attn.o_proj", "linear_attn.out_proj", "mlp.up_proj", "mlp.down_proj",
        ]), 0..3),
    ) -> Recipe {
        let keys = if keys.is_empty() { String::new() } else { format!(", keys: [{}]", keys.join(", ")) };
        recipe(&format!(
            "fine_tune_type: {}, num_layers: {layers}, max_seq_length: {length}, gradient_accumulation: {accumulation}, \
             lora_parameters: {{rank: {rank}{keys}}}",
            if full { "full" } else { "lora" },
        ))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_worst_moment_is_that_of_the_walk_over_all_layers(shape in shapes(), recipe in recipes()) {
        let (ours, theirs) = (worst(moments(&shape, &recipe)), worst(walk(&shape, &recipe)));
        prop_assert!((ours / theirs - 1.0).abs() < 1e-9, "{ours} and {theirs}");
    }
}

#[test]
fn as_many_moments_are_looked_at_for_any_depth() {
    for every in [1, 2, 4, 1000, u64::MAX] {
        for layers in [32, 1_000_000_000_000, u64::MAX] {
            for recipe in [recipe("num_layers: 8"), recipe("fine_tune_type: full, num_layers: -1")] {
                let mut shape = Shape::named("qwen3.5-4b").unwrap().shape;
                (shape.layers, shape.full_attention_interval) = (layers, every);
                let looked_at = moments(&shape, &recipe).len();
                assert!(looked_at <= 100, "{looked_at} moments for {layers} layers, every {every} full");
            }
        }
    }
}

#[test]
fn a_base_whose_first_trained_half_lies_deep_keeps_inputs_from_there() {
    let mut shape = Shape::named("qwen3.5-4b").unwrap().shape;
    shape.full_attention_interval = 1_000_000_000;
    shape.layers = 3_000_000_001;
    let mut recipe = recipe("lora_parameters: {keys: [self_attn.q_proj]}");
    recipe.layers = Layers::All;
    assert_eq!(Run::new(&shape, &recipe).first, Some((999_999_999, Half::Mixer)));
}
