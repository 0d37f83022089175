//! Bases as different people lay them out, and what is wrong with some.

mod support;

use mlx_rs::ops::dequantize;
use mlx_rs::{Array, Dtype};
use serde_json::json;
use std::path::Path;
use support::{Tensors, VOCAB, config, hugging_face, pack, packed, relative_difference, tensors, write, write_base};
use vertigo_engine::Model;

fn logits(folder: &Path) -> Array {
    let ids: Vec<i32> = (0..90).map(|n| (n * 37 + 5) % VOCAB as i32).collect();
    let model = Model::load(folder).unwrap();
    let logits = model.logits(&Array::from_slice(&ids, &[2, 45]), &Default::default(), 1.0).unwrap();
    logits.eval().unwrap();
    logits
}

#[test]
fn hugging_faces_layout_gives_the_same_logits() {
    let dir = tempfile::tempdir().unwrap();
    for (tied, name) in [(true, "tied"), (false, "untied")] {
        let config = config(tied);
        let mlx = tensors(&config);
        write(&dir.path().join(name), &config, &mlx);
        let mut theirs = hugging_face(&mlx);
        // What a text model has no use for.
        theirs.insert("model.visual.blocks.0.weight".to_owned(), Array::from_slice(&[1.0f32], &[1]));
        theirs.insert("mtp.norm.weight".to_owned(), Array::from_slice(&[1.0f32], &[1]));
        if tied {
            theirs.insert("lm_head.weight".to_owned(), mlx["language_model.model.embed_tokens.weight"].clone());
        }
        let folder = dir.path().join(format!("{name}-hf"));
        write(&folder, &config, &theirs);
        let difference = relative_difference(&logits(&folder), &logits(&dir.path().join(name)));
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}

#[test]
fn shards_are_one_model() {
    let dir = tempfile::tempdir().unwrap();
    write_base(&dir.path().join("one"));
    let config = config(true);
    let all = tensors(&config);
    let (first, second): (Tensors, Tensors) = all.into_iter().partition(|(name, _)| name.len() % 2 == 0);
    let folder = dir.path().join("two");
    write(&folder, &config, &first);
    std::fs::rename(folder.join("model.safetensors"), folder.join("a.safetensors")).unwrap();
    write(&folder, &config, &second);
    std::fs::rename(folder.join("model.safetensors"), folder.join("b.safetensors")).unwrap();
    let entry = |names: &Tensors, file: &str| names.keys().map(|n| (n.clone(), json!(file))).collect::<Vec<_>>();
    let map: serde_json::Map<_, _> =
        entry(&first, "a.safetensors").into_iter().chain(entry(&second, "b.safetensors")).collect();
    std::fs::write(folder.join("model.safetensors.index.json"), json!({"weight_map": map}).to_string()).unwrap();
    assert_eq!(relative_difference(&logits(&folder), &logits(&dir.path().join("one"))), 0.0);
}

/// A packed base gives the logits of the same weights unpacked, whatever its bits and overrides.
#[test]
fn packed_bases_are_their_unpacked_weights() {
    let dir = tempfile::tempdir().unwrap();
    for bits in [4, 8] {
        let mut config = config(bits == 4);
        let original = tensors(&config);
        let mut all = packed(&mut config, original.clone(), bits);
        // One module packed otherwise, one not at all.
        let (finer, plain) =
            ("language_model.model.layers.1.mlp.gate_proj", "language_model.model.layers.3.self_attn.o_proj");
        for module in [finer, plain] {
            for suffix in ["weight", "scales", "biases"] {
                all.remove(&format!("{module}.{suffix}"));
            }
            all.insert(format!("{module}.weight"), original[&format!("{module}.weight")].clone());
        }
        pack(&mut all, finer, 32, 8);
        config["quantization"][finer] = json!({"group_size": 32, "bits": 8});
        config["quantization"][plain] = json!(false);
        let folder = dir.path().join(format!("packed{bits}"));
        write(&folder, &config, &all);

        let mut unpacked = Tensors::new();
        for (name, x) in &all {
            let Some(module) = name.strip_suffix(".weight") else {
                if !name.ends_with(".scales") && !name.ends_with(".biases") {
                    unpacked.insert(name.clone(), x.clone());
                }
                continue;
            };
            let x = match all.get(&format!("{module}.scales")) {
                None => x.clone(),
                Some(scales) => {
                    let (group, bits) = if module == finer { (32, 8) } else { (64, bits) };
                    dequantize(x, scales, all.get(&format!("{module}.biases")), group, bits).unwrap()
                }
            };
            unpacked.insert(name.clone(), x);
        }
        config.as_object_mut().unwrap().remove("quantization");
        let plain = dir.path().join(format!("unpacked{bits}"));
        write(&plain, &config, &unpacked);
        let difference = relative_difference(&logits(&folder), &logits(&plain));
        assert!(difference < 1e-4, "{bits} bits: {difference}");
    }
}

#[test]
fn a_wrong_tensor_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(true);
    let name = "language_model.model.layers.2.linear_attn.in_proj_z.weight";
    let problem = |change: &dyn Fn(&mut Tensors)| {
        let mut all = tensors(&config);
        change(&mut all);
        write(dir.path(), &config, &all);
        Model::load(dir.path()).err().expect("refused").to_string()
    };
    let missing = problem(&|all| drop(all.remove(name)));
    assert!(missing.contains(&format!("tensor `{name}` is missing")), "{missing}");
    let extra =
        problem(&|all| drop(all.insert("language_model.model.layers.9.mlp.x".to_owned(), Array::from_f32(1.0))));
    assert!(extra.contains("`language_model.model.layers.9.mlp.x`"), "{extra}");
    let misshapen = problem(&|all| drop(all.insert(name.to_owned(), Array::zeros::<f32>(&[3, 64]).unwrap())));
    assert!(misshapen.contains(name) && misshapen.contains("[3, 64]"), "{misshapen}");
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1000]).unwrap();
    assert!(Model::load(dir.path()).is_err());
    std::fs::write(&path, b"no safetensors").unwrap();
    let error = Model::load(dir.path()).err().expect("refused").to_string();
    assert!(error.contains("model.safetensors is not safetensors"), "{error}");
}

#[test]
fn a_bf16_base_is_near_its_f32_original() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(true);
    write_base(&dir.path().join("f32"));
    let half = |(name, x): (String, Array)| {
        let dtype = if name.ends_with("A_log") { Dtype::Float32 } else { Dtype::Bfloat16 };
        (name, x.as_dtype(dtype).unwrap())
    };
    write(&dir.path().join("bf16"), &config, &tensors(&config).into_iter().map(half).collect());
    let difference = support::relative_length(&logits(&dir.path().join("bf16")), &logits(&dir.path().join("f32")));
    assert!(difference > 0.0 && difference < 0.1, "{difference}");
}
