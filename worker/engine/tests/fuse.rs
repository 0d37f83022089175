//! A base and an adapter as one model: what `mlx_lm.fuse` makes of them, what is left as it was, and that the result is a base.

mod support;

use mlx_rs::ops::indexing::argmax_axis;
use mlx_rs::{Array, Dtype};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::peer::{python, run_peer};
use support::{
    VOCAB, config, data, packed, recipe, relative_difference, relative_length, tensors, text, write, write_base,
};
use vertigo_engine::fuse::{Fused, Options, Width, fuse};
use vertigo_engine::{Event, Model, Parameters, RunFolder, Trainer, adapter};

/// An adapter trained on `base`, lively enough that forgetting it shows.
fn train(base: &Path, recipe_text: &str, out: &Path) -> PathBuf {
    let recipe = recipe(&format!("{recipe_text}, iters: 6, batch_size: 4, save_every: 100, learning_rate: 0.001"));
    let trainer = Trainer::new(Model::load(base).unwrap(), data(&recipe), recipe, RunFolder::fresh(out)).unwrap();
    let Some(Event::Finished(outcome)) = trainer.map(Result::unwrap).last() else { panic!("not finished") };
    outcome.adapter.folder
}

const LORA: &str = "num_layers: 3, lora_parameters: {rank: 4, scale: 10, dropout: 0.0}";
const SOME_KEYS: &str = "num_layers: -1, lora_parameters: {rank: 3, scale: 10, dropout: 0.0, keys: [linear_attn.in_proj_qkv, mlp.down_proj]}";
const FULL: &str = "fine_tune_type: full, num_layers: 2";

fn write_packed(folder: &Path, bits: i32) {
    let mut config = config(true);
    let plain = tensors(&config);
    let tensors = packed(&mut config, plain, bits);
    write(folder, &config, &tensors);
}

fn fused(base: &Path, adapter: &Path, out: &Path, width: Width) -> Fused {
    fuse(base, adapter, out, &Options { width, ..Options::default() }, &mut |_, _| {}).unwrap()
}

/// Every tensor in a folder's shards.
fn all(folder: &Path) -> BTreeMap<String, Array> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let shards = files.filter(|path| path.extension().is_some_and(|e| e == "safetensors"));
    shards.flat_map(|path| Array::load_safetensors(path).unwrap()).collect()
}

fn bytes(x: &Array) -> Vec<u8> {
    x.contiguous().unwrap().view_dtype(Dtype::Uint8).unwrap().as_slice::<u8>().to_vec()
}

fn logits(folder: &Path, parameters: &Parameters, scale: f64) -> Array {
    let ids: Vec<i32> = (0..90).map(|n| (n * 37 + 5) % VOCAB as i32).collect();
    Model::load(folder).unwrap().logits(&Array::from_slice(&ids, &[2, 45]), parameters, scale).unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_fused_model_computes_what_base_and_adapter_compute() {
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    for (name, recipe_text, scale) in [("lora", LORA, 10.0), ("keys", SOME_KEYS, 10.0), ("full", FULL, 1.0)] {
        let adapter = train(dir.path(), recipe_text, &dir.path().join(name));
        let out = dir.path().join(format!("{name}-fused"));
        let made = fused(dir.path(), &adapter, &out, Width::Same);
        assert!(made.changed > 0 && made.changed < made.matrices, "{made:?}");
        let both = logits(dir.path(), &adapter::load(&adapter).unwrap(), scale);
        let one = logits(&out, &Parameters::new(), 1.0);
        let difference = relative_difference(&one, &both);
        assert!(difference < 1e-5, "{name}: {difference}");
        let change = relative_difference(&logits(dir.path(), &Parameters::new(), 1.0), &both);
        assert!(change > 1e-3, "{name}: the adapter changes the logits by {change} only; the comparison says nothing");
        let greedy = |x: &Array| argmax_axis(x, -1, false).unwrap().as_slice::<u32>().to_vec();
        assert_eq!(greedy(&one), greedy(&both), "{name}");
    }
}

#[test]
fn what_the_adapter_does_not_touch_is_copied_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_packed(&base, 4);
    std::fs::write(base.join("tokenizer.json"), "{}").unwrap();
    std::fs::write(base.join("chat_template.jinja"), "{{ messages }}").unwrap();
    let adapter = train(&base, SOME_KEYS, &dir.path().join("run"));
    let out = dir.path().join("fused");
    fused(&base, &adapter, &out, Width::Same);
    let (before, after) = (all(&base), all(&out));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    let touched = |name: &str| name.contains("in_proj_qkv") || name.contains("mlp.down_proj");
    for (name, x) in &before {
        if !touched(name) {
            assert_eq!(bytes(x), bytes(&after[name]), "{name}");
        }
    }
    assert!(before.iter().any(|(name, x)| touched(name) && bytes(x) != bytes(&after[name])), "nothing changed");
    for file in ["tokenizer.json", "chat_template.jinja"] {
        assert_eq!(std::fs::read(base.join(file)).unwrap(), std::fs::read(out.join(file)).unwrap());
    }
}

#[test]
fn more_bits_keep_what_few_round_away() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_packed(&base, 4);
    let adapter = train(&base, LORA, &dir.path().join("run"));
    let both = logits(&base, &adapter::load(&adapter).unwrap(), 10.0);
    let mut errors = Vec::new();
    for (width, name) in [(Width::Same, "same"), (Width::Eight, "8"), (Width::Sixteen, "16")] {
        let out = dir.path().join(name);
        fused(&base, &adapter, &out, width);
        errors.push(relative_length(&logits(&out, &Parameters::new(), 1.0), &both));
    }
    assert!(errors[0] > 2.0 * errors[1] && errors[1] > errors[2], "{errors:?}");
    assert!(errors[2] < 1e-5, "nothing is rounded away without packing: {errors:?}");
    let config = read(&dir.path().join("8/config.json"));
    assert_eq!(config["quantization"]["bits"], 8);
    assert_eq!(config["quantization"], config["quantization_config"]);
    // The embedding was not changed, so its 4 bits are kept.
    assert_eq!(config["quantization"]["language_model.model.embed_tokens"]["bits"], 4);
    assert!(read(&dir.path().join("16/config.json")).get("quantization").is_none());
}

#[test]
fn shards_and_their_index_are_one_model_and_a_base_again() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let adapter = train(&base, LORA, &dir.path().join("run"));
    let (one, many) = (dir.path().join("one"), dir.path().join("many"));
    fused(&base, &adapter, &one, Width::Same);
    let options = Options { shard_bytes_max: 200_000, ..Options::default() };
    let (mut told, mut total) = (0, 0);
    let made = fuse(&base, &adapter, &many, &options, &mut |done, all| {
        assert!(done > told && done <= all, "{done} of {all} after {told}");
        (told, total) = (done, all);
    })
    .unwrap();
    assert!(made.shards > 2 && told == total && total == made.bytes, "{made:?} {told} of {total}");
    let index = read(&many.join("model.safetensors.index.json"));
    let map = index["weight_map"].as_object().unwrap();
    for (name, x) in all(&one) {
        let file = many.join(map[&name].as_str().unwrap());
        assert_eq!(bytes(&Array::load_safetensors(file).unwrap()[&name]), bytes(&x), "{name}");
    }
    // Another run on top of it, and fused again.
    let again = train(&many, LORA, &dir.path().join("again"));
    let twice = dir.path().join("twice");
    fused(&many, &again, &twice, Width::Same);
    let both = logits(&many, &adapter::load(&again).unwrap(), 10.0);
    assert!(relative_difference(&logits(&twice, &Parameters::new(), 1.0), &both) < 1e-5);
}

#[test]
fn hugging_faces_layout_comes_out_in_mlxs() {
    let dir = tempfile::tempdir().unwrap();
    let (mlx, hf) = (dir.path().join("mlx"), dir.path().join("hf"));
    write_base(&mlx);
    let config = config(true);
    write(&hf, &config, &support::hugging_face(&tensors(&config)));
    for (name, recipe_text) in [("lora", LORA), ("full", FULL)] {
        let adapter = train(&mlx, recipe_text, &dir.path().join(name));
        let outs = [&mlx, &hf].map(|base| {
            let out = dir.path().join(format!("{name}-{}", base.file_name().unwrap().display()));
            fused(base, &adapter, &out, Width::Same);
            logits(&out, &Parameters::new(), 1.0)
        });
        assert!(relative_difference(&outs[0], &outs[1]) < 1e-5, "{name}");
    }
}

#[test]
fn what_does_not_fit_is_named_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let adapter = train(&base, LORA, &dir.path().join("run"));
    let out = dir.path().join("fused");
    let config_path = adapter.join("adapter_config.json");
    let good = std::fs::read_to_string(&config_path).unwrap();
    let mut broken = adapter::load(&adapter).unwrap();
    // MLX reads lazily, and the file is about to change.
    mlx_rs::transforms::eval(broken.values()).unwrap();
    let name = "language_model.model.layers.2.mlp.up_proj.lora_a";
    type Damage<'a> = &'a dyn Fn(&mut Parameters);
    let cases: [(&str, Damage<'_>); 3] = [
        ("is missing", &|all| drop(all.remove(name))),
        ("the matrix has 64 inputs", &|all| drop(all.insert(name.to_owned(), Array::zeros::<f32>(&[63, 4]).unwrap()))),
        ("names no matrix", &|all| drop(all.insert("model.layers.9.x.lora_a".to_owned(), Array::from_f32(1.0)))),
    ];
    for (message, damage) in cases {
        let sound = broken.clone();
        damage(&mut broken);
        let named = broken.iter().map(|(name, x)| (name.as_str(), x));
        Array::save_safetensors(named, None, adapter.join("adapters.safetensors")).unwrap();
        let error = fuse(&base, &adapter, &out, &Options::default(), &mut |_, _| {}).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("does not fit this base"), "{error}");
        broken = sound;
    }
    for (wrong, message) in
        [(good.replace("\"lora\"", "\"dora\""), "is dora"), (good.replace("scale", "scales"), "scale")]
    {
        std::fs::write(&config_path, wrong).unwrap();
        let error = fuse(&base, &adapter, &out, &Options::default(), &mut |_, _| {}).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("adapter_config.json"), "{error}");
    }
    assert!(!out.exists());
}

/// The same files through mlx-lm's own code: values to 1e-6, packed words, scales and biases bit for bit.
fn beside_mlx_lm(base: &Path, recipe_text: &str, width: Width) {
    let Some(python) = python() else { return };
    let work = tempfile::tempdir().unwrap();
    let adapter = train(base, recipe_text, &work.path().join("run"));
    let (ours, theirs) = (work.path().join("ours"), work.path().join("theirs"));
    fused(base, &adapter, &ours, width);
    let unpack = if width == Width::Sixteen { "unpack" } else { "same" };
    run_peer(python, &["fuse", text(base), text(&adapter), unpack, text(&theirs)]);
    let (ours, theirs) = (all(&ours), all(&theirs));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    let (mut different, mut values) = (0, 0);
    for (name, x) in &ours {
        let y = &theirs[name];
        assert_eq!((x.dtype(), x.shape()), (y.dtype(), y.shape()), "{name}");
        if x.dtype() == Dtype::Uint32 || name.ends_with(".scales") || name.ends_with(".biases") {
            values += x.size();
            different += bytes(x).chunks(4).zip(bytes(y).chunks(4)).filter(|(a, b)| a != b).count();
        } else {
            let difference = relative_difference(x, y);
            assert!(difference <= 1e-6, "{name}: {difference}");
        }
    }
    assert_eq!(different, 0, "of {values} packed words");
}

#[test]
fn values_are_mlx_lms() {
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path());
    beside_mlx_lm(dir.path(), LORA, Width::Same);
    beside_mlx_lm(dir.path(), FULL, Width::Same);
}

#[test]
fn packed_tensors_are_mlx_lms() {
    for bits in [4, 8] {
        let dir = tempfile::tempdir().unwrap();
        write_packed(dir.path(), bits);
        beside_mlx_lm(dir.path(), LORA, Width::Same);
        beside_mlx_lm(dir.path(), LORA, Width::Sixteen);
    }
}
