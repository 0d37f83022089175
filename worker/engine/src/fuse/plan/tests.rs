use super::*;
use proptest::prelude::*;
use std::path::Path;
use vertigo_model::estimate::fused_bytes;
use vertigo_model::shape::Quantization;

/// Headers of a sound base: packed where `shape` says so.
fn stored(shape: &Shape) -> BTreeMap<String, Stored> {
    let mut all = BTreeMap::new();
    let mut add = |name: String, dtype, shape: &[u64]| {
        let shape = shape.iter().map(|&n| n as usize).collect();
        all.insert(name, Stored { dtype, shape, file: Path::new("model.safetensors").into(), range: 0..0 });
    };
    for matrix in matrices(shape) {
        match shape.quantization.as_ref().and_then(|q| packing(q, &matrix.module)) {
            None => add(format!("{}.weight", matrix.module), Dtype::BF16, &[matrix.outputs, matrix.inputs]),
            Some(packing) => {
                let [weight, scales, biases] = matrix.packed(packing);
                add(weight.0, Dtype::U32, &weight.1);
                add(scales.0, Dtype::BF16, &scales.1);
                add(biases.0, Dtype::BF16, &biases.1);
            }
        }
    }
    for (name, size) in vectors(shape) {
        add(name, Dtype::BF16, &size);
    }
    all
}

fn shape(bits: Option<u64>) -> Shape {
    let mut shape = Shape::named("qwen3.5-4b").unwrap().shape;
    shape.layers = 4;
    shape.quantization =
        bits.map(|bits| Quantization { default: Packing { group_size: 64, bits }, overrides: BTreeMap::new() });
    shape
}

fn widths() -> impl Strategy<Value = Width> {
    prop::sample::select(vec![
        Width::Same,
        Width::Four,
        Width::Eight,
        Width::Sixteen,
        Width::ChangedEight,
        Width::ChangedSixteen,
    ])
}

proptest! {
    /// What is written is a base again: every tensor that the shape asks for once, in its size, packed as the config will say.
    #[test]
    fn what_is_written_is_a_base(
        from in prop::sample::select(vec![None, Some(4), Some(8)]), width in widths(), picks in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut shape = shape(from);
        let modules: Vec<String> = matrices(&shape).into_iter().map(|m| m.module).collect();
        let changed: Vec<String> =
            modules.iter().zip(picks.iter().cycle()).filter(|(_, pick)| **pick).map(|(m, _)| m.clone()).collect();
        let stored = stored(&shape);
        let plan = plan(&shape, &stored, &Changed { modules: changed.clone(), vectors: Vec::new() }, width);
        let tensors: Vec<&Tensor> = plan.pieces.iter().flat_map(|piece| &piece.tensors).collect();
        let sizes: vertigo_model::tensors::Sizes =
            tensors.iter().map(|t| (t.name.clone(), t.shape.iter().map(|&n| n as u64).collect())).collect();
        prop_assert_eq!(sizes.len(), tensors.len(), "no tensor twice");
        shape.quantization = default_packing(&shape, width).map(|default| Quantization { default, overrides: plan.packings.clone() });
        prop_assert_eq!(vertigo_model::tensors::check(&shape, &sizes), Ok(()));
        // Nothing is computed that could be copied, and what is copied is what the base has.
        for piece in &plan.pieces {
            match &piece.work {
                Work::Copy { name } => {
                    let base = &stored[name];
                    prop_assert_eq!((&piece.tensors[0].shape, piece.tensors[0].dtype), (&base.shape, base.dtype));
                    let module = name.rsplit_once('.').unwrap().0;
                    prop_assert!(!changed.iter().any(|m| m == module), "{} changes", name);
                }
                Work::Matrix { from, to, changed, .. } => prop_assert!(*changed || from != to),
                Work::Convert { .. } | Work::Replace { .. } => prop_assert!(false, "of another kind of base or adapter"),
            }
        }
        if width == Width::Sixteen {
            prop_assert!(plan.packings.values().all(Option::is_none));
        }
    }

    /// The estimate of disk and memory is never less than what is written, and no more than that where the adapter changes what
    /// makes it large.
    #[test]
    fn the_estimate_of_a_fused_models_bytes_is_what_is_written(
        from in prop::sample::select(vec![None, Some(4), Some(8)]), width in widths(), tied in any::<bool>(),
        picks in prop::collection::vec(any::<bool>(), 40), odd in any::<bool>(), own in prop::option::of(0usize..30),
    ) {
        let mut shape = shape(from);
        shape.tied = tied;
        if odd && from.is_none() {
            shape.ffn += 8; // rows that are no whole number of groups
        }
        let of_layers: Vec<String> =
            matrices(&shape).into_iter().map(|m| m.module).filter(|module| module.contains(".layers.")).collect();
        if let (Some(quantization), Some(own)) = (&mut shape.quantization, own) {
            let packing = Packing { group_size: 32, bits: 6 };
            quantization.overrides.insert(of_layers[own % of_layers.len()].clone(), Some(packing));
        }
        let stored = stored(&shape);
        let written = |modules: Vec<String>| {
            let plan = plan(&shape, &stored, &Changed { modules, vectors: Vec::new() }, width);
            plan.pieces.iter().map(Piece::bytes).sum::<u64>()
        };
        let estimated = fused_bytes(&shape, width).0;
        let some = of_layers.iter().zip(picks.iter().cycle()).filter(|(_, pick)| **pick).map(|(m, _)| m.clone()).collect();
        prop_assert!(written(some) <= estimated);
        if shape.quantization.as_ref().is_none_or(|quantization| quantization.overrides.is_empty()) {
            prop_assert_eq!(written(of_layers).max(written(Vec::new())), estimated);
        }
    }

    /// Shards are all pieces in order, none larger than allowed unless it is one piece.
    #[test]
    fn shards_hold_every_piece_once(sizes in prop::collection::vec(1usize..100, 1..50), bytes_max in 1u64..300) {
        let piece = |n: &usize| Piece {
            work: Work::Copy { name: String::new() },
            tensors: vec![Tensor { name: String::new(), dtype: Dtype::U8, shape: vec![*n] }],
        };
        let pieces: Vec<Piece> = sizes.iter().map(piece).collect();
        let shards = shards(&pieces, bytes_max);
        let indices: Vec<usize> = shards.iter().cloned().flatten().collect();
        prop_assert_eq!(indices, (0..pieces.len()).collect::<Vec<_>>());
        for shard in shards {
            let bytes: u64 = pieces[shard.clone()].iter().map(Piece::bytes).sum();
            prop_assert!(bytes <= bytes_max || shard.len() == 1);
        }
    }
}

#[test]
fn bits_change_what_changes_and_what_is_not_packed_yet() {
    let four = Some(Packing { group_size: 64, bits: 4 });
    let wide = Some(Packing { group_size: 32, bits: 4 });
    let eight = Some(Packing { group_size: 64, bits: 8 });
    let cases = [
        (Width::Same, four, true, four),
        (Width::Same, None, true, None),
        (Width::Eight, four, true, eight),
        (Width::Eight, four, false, four),
        (Width::Eight, None, false, eight),
        (Width::Eight, wide, true, Some(Packing { group_size: 32, bits: 8 })),
        (Width::Four, eight, false, eight),
        (Width::Four, None, true, four),
        (Width::Sixteen, four, false, None),
    ];
    for (width, from, changed, to) in cases {
        let default = default_packing(&shape(None), width).or(four.filter(|_| width == Width::Same));
        assert_eq!(packing_after(from, changed, width, default, 2560), to, "{width:?} {from:?} {changed}");
    }
    assert_eq!(packing_after(None, true, Width::Eight, eight, 100), None, "rows of 100 are no whole number of groups");
}
