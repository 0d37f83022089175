use super::*;
use crate::shape::{Dtype, ExpertsShape, Quantization};
use proptest::prelude::*;

/// The memory of the weights, one layer after the other: what [`Shape::weight_bytes`] adds up by kind.
fn walk(shape: &Shape) -> Bytes {
    let bytes = |path: &str, values: u64| {
        let packing = shape.quantization.as_ref().and_then(|q| q.of(path));
        shape.packed_bytes(packing, values)
    };
    let embeddings = ["language_model.model.embed_tokens", "language_model.lm_head"];
    let embeddings = embeddings.iter().take(if shape.tied { 1 } else { 2 });
    let mut sum = embeddings.map(|path| bytes(path, shape.vocab * shape.hidden)).sum::<Bytes>();
    sum += Bytes(shape.hidden * shape.dtype.size());
    for index in 0..shape.layers {
        let layer = format!("language_model.model.layers.{index}");
        let (linears, values) = (shape.linears(shape.mixer(index)), shape.layer_values(shape.mixer(index)));
        for linear in &linears {
            sum += bytes(&format!("{layer}.{}", linear.path), linear.inputs * linear.outputs);
        }
        let experts = values.matrices - linears.iter().map(|l| l.inputs * l.outputs).sum::<u64>();
        sum += bytes(&format!("{layer}.mlp.switch_mlp"), experts);
        sum += Bytes(values.other * shape.dtype.size());
    }
    sum
}

fn packings() -> impl Strategy<Value = Packing> {
    (prop::sample::select(vec![32, 64, 128]), prop::sample::select(vec![2, 3, 4, 5, 6, 8]))
        .prop_map(|(group_size, bits)| Packing { group_size, bits })
}

/// Paths of modules of some layer that may not be there, and of what is none.
fn paths() -> impl Strategy<Value = String> {
    let modules = vec![
        "self_attn.q_proj",
        "linear_attn.in_proj_qkv",
        "mlp.up_proj",
        "mlp.switch_mlp",
        "mlp.shared_expert.up_proj",
        "mlp",
        "input_layernorm",
    ];
    let of_layer = (prop::sample::select(vec!["", "0", "+"]), 0u64..14, prop::sample::select(modules));
    let of_layer = of_layer.prop_map(|(sign, index, module)| format!("{LAYERS}{sign}{index}.{module}"));
    let others = vec!["language_model.model.embed_tokens", "language_model.lm_head", "layers.0.mlp.up_proj", ""];
    prop_oneof![8 => of_layer, 1 => prop::sample::select(others).prop_map(str::to_owned)]
}

prop_compose! {
    fn shapes()(
        layers in 0u64..12, every in 0u64..6, hidden in 1u64..300, ffn in 1u64..300, tied in any::<bool>(), experts in any::<bool>(),
        dtype in prop::sample::select(vec![Dtype::F32, Dtype::Bf16]), default in prop::option::of(packings()),
        overrides in prop::collection::btree_map(paths(), prop::option::of(packings()), 0..12),
    ) -> Shape {
        let mut shape = Shape::named("qwen3.5-4b").unwrap().shape;
        (shape.layers, shape.full_attention_interval, shape.hidden, shape.ffn) = (layers, every, hidden, ffn);
        (shape.tied, shape.dtype) = (tied, dtype);
        shape.experts = experts.then_some(ExpertsShape { count: 3, active: 2, ffn: 40, shared_ffn: 24 });
        shape.quantization = default.map(|default| Quantization { default, overrides });
        shape
    }
}

proptest! {
    #[test]
    fn sums_by_kind_are_sums_over_layers(shape in shapes()) {
        prop_assert_eq!(shape.weight_bytes(), walk(&shape));
        let values = (0..shape.layers).map(|index| shape.layer_values(shape.mixer(index)).total()).sum::<u64>();
        prop_assert_eq!(shape.parameters(), values + shape.embedding_values() + shape.hidden);
    }

    #[test]
    fn layers_are_counted_as_they_are(every in 0u64..9, start in 0u64..30, count in 0u64..30) {
        let mut shape = Shape::named("qwen3.5-4b").unwrap().shape;
        shape.full_attention_interval = every;
        for mixer in [Mixer::Full, Mixer::Linear] {
            let counted = (start..start + count).filter(|&index| shape.mixer(index) == mixer).count() as u64;
            prop_assert_eq!(shape.layers_with(mixer, start..start + count), counted);
        }
    }
}

#[test]
fn layers_weigh_as_often_as_they_are_there() {
    let mut shape = Shape::named("qwen3.5-4b-4bit").unwrap().shape;
    let of = |shape: &mut Shape, layers: u64| {
        shape.layers = layers;
        shape.weight_bytes().0
    };
    let outside = of(&mut shape, 0);
    let four = of(&mut shape, 4) - outside;
    assert_eq!(of(&mut shape, 4_000_000_000), outside + 1_000_000_000 * four);
    assert_eq!(of(&mut shape, u64::MAX), u64::MAX);
    shape.layers = 10_000_000_000;
    let before = shape.weight_bytes().0;
    let quantization = shape.quantization.as_mut().unwrap();
    quantization.overrides.insert(format!("{LAYERS}9999999999.mlp.up_proj"), None);
    let (packed, plain) = (2560 * 9216 / 2 + 2560 * 9216 / 64 * 4, 2560 * 9216 * 2);
    assert_eq!(shape.weight_bytes().0, before - packed + plain);
}
