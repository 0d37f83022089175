//! Smoke bases against what they promise, and folders with something wrong.

use super::*;
use crate::cli::{FloatType, Preset};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use tokenizers::Tokenizer;
use vertigo_model::shape::{Dtype, Mixer};

fn luau() -> Dataset {
    Dataset::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/luau")).unwrap()
}

fn args(preset: Preset, bits: Option<&str>, seed: u64) -> NewBaseArgs {
    NewBaseArgs {
        name: "mini".to_owned(),
        preset,
        bits: bits.map(str::to_owned),
        dtype: FloatType::F32,
        data: String::new(),
        seed,
        out: None,
    }
}

fn made(preset: Preset, bits: Option<&str>) -> (tempfile::TempDir, BaseFolder) {
    let dir = tempfile::tempdir().unwrap();
    write_base(dir.path(), &args(preset, bits, 0), &luau()).unwrap();
    let base = BaseFolder::check(dir.path()).unwrap();
    (dir, base)
}

#[test]
fn smoke_bases_pass_as_anyones_do_and_are_the_real_ones_in_miniature() {
    for (preset, bits, parameters, tied) in [
        (Preset::Mini4b, None, 2.5e6..3.5e6, true),
        (Preset::Mini4b, Some("4"), 2.5e6..3.5e6, true),
        (Preset::Mini9b, None, 6.5e6..7.5e6, false),
        (Preset::Mini9b, Some("8"), 6.5e6..7.5e6, false),
    ] {
        let (dir, base) = made(preset, bits);
        let shape = &base.shape;
        assert!(parameters.contains(&(shape.parameters() as f64)), "{}", shape.parameters());
        assert_eq!((shape.tied, shape.dtype), (tied, Dtype::F32));
        assert_eq!((shape.mixer(2), shape.mixer(3)), (Mixer::Linear, Mixer::Full));
        assert_eq!(shape.linear.value_heads, 2 * shape.linear.key_heads);
        assert_eq!(shape.quantization.as_ref().map(|q| q.default.bits.to_string()).as_deref(), bits);
        let file = fs::metadata(dir.path().join("model.safetensors")).unwrap().len();
        let weights = shape.weight_bytes().0;
        assert!((weights..weights + (64 << 10)).contains(&file), "{file} bytes for {weights}");
    }
}

#[test]
fn the_same_seed_gives_the_same_base_and_another_seed_another() {
    let write = |seed| {
        let dir = tempfile::tempdir().unwrap();
        write_base(dir.path(), &args(Preset::Mini4b, Some("4"), seed), &luau()).unwrap();
        ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
            .map(|name| vertigo::id::Digest::of(&fs::read(dir.path().join(name)).unwrap()))
    };
    let (one, again, other) = (write(1), write(1), write(2));
    assert_eq!(one, again);
    assert_ne!(one[1], other[1]);
    assert_eq!(one[2], other[2], "the tokenizer is the dataset's");
}

#[test]
fn weights_have_the_spread_that_they_should() {
    for bits in [None, Some("4"), Some("8")] {
        let (dir, base) = made(Preset::Mini4b, bits);
        let bytes = fs::read(dir.path().join("model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let floats = |name: &str| -> Vec<f64> {
            let view = tensors.tensor(name).unwrap();
            view.data().chunks_exact(4).map(|x| f64::from(f32::from_le_bytes(x.try_into().unwrap()))).collect()
        };
        let module = "language_model.model.layers.0.mlp.gate_proj";
        let values: Vec<f64> = match bits {
            None => floats(&format!("{module}.weight")),
            Some(bits) => {
                let bits: u32 = bits.parse().unwrap();
                let (scale, bias) = (floats(&format!("{module}.scales"))[0], floats(&format!("{module}.biases"))[0]);
                let codes = tensors.tensor(&format!("{module}.weight")).unwrap().data().to_vec();
                let words = codes.chunks_exact(4).map(|x| u32::from_le_bytes(x.try_into().unwrap()));
                let unpack = |word: u32| (0..32 / bits).map(move |n| word >> (n * bits) & ((1 << bits) - 1));
                words.flat_map(unpack).map(|code| scale * f64::from(code) + bias).collect()
            }
        };
        let n = values.len() as f64;
        assert_eq!(values.len() as u64, base.shape.hidden * base.shape.ffn);
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let expected = (base.shape.hidden as f64).powf(-0.5);
        assert!(
            mean.abs() < 0.02 * expected && (std / expected - 1.0).abs() < 0.02,
            "{bits:?}: {mean} {std} {expected}"
        );
        assert!(floats("language_model.model.layers.0.linear_attn.A_log").iter().all(|a| (0.0..2.8).contains(a)));
        assert!(floats("language_model.model.layers.0.linear_attn.dt_bias").iter().all(|b| b.is_finite() && *b < -2.0));
    }
}

#[test]
fn the_tokenizer_reads_back_every_text_and_knows_the_special_tokens() {
    let (dir, base) = made(Preset::Mini4b, None);
    let tokenizer = Tokenizer::from_file(dir.path().join("tokenizer.json")).unwrap();
    assert!(tokenizer.get_vocab_size(true) as u64 <= base.shape.vocab);
    let text = "local x = 1 -- näïve 漢字 🦀\n\tif x then return end\r\n";
    let encoding = tokenizer.encode(text, false).unwrap();
    assert_eq!(tokenizer.decode(encoding.get_ids(), false).unwrap(), text);
    assert!(encoding.len() < text.len(), "what it was trained on takes less than a token a byte");
    for token in ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>", "<tool_call>"] {
        let ids = tokenizer.encode(token, false).unwrap().get_ids().to_vec();
        assert_eq!(ids.len(), 1, "{token}");
        assert!(u64::from(ids[0]) < base.shape.vocab);
    }
}

/// Renders as Hugging Face does, but for the spaces in JSON.
fn render(context: Value) -> String {
    let mut environment = minijinja::Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().unwrap());
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", |value: minijinja::Value| serde_json::to_string(&value).unwrap());
    environment.add_template("chat", include_str!("chat_template.jinja")).unwrap();
    environment.get_template("chat").unwrap().render(minijinja::Value::from(Serde(context))).unwrap()
}

#[test]
fn the_chat_template_is_chatml_with_tools() {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "How many"}, {"type": "text", "text": " parts?"}]},
        {"role": "assistant", "content": "", "reasoning_content": "Count.", "tool_calls": [
            {"type": "function", "function": {"name": "run", "arguments": "{\"a\": 1}"}},
            {"name": "stop", "arguments": {"b": 2}}]},
        {"role": "tool", "content": "37"},
        {"role": "assistant", "content": "37."}]);
    let tools = json!([{"type": "function", "function": {"name": "run"}}]);
    insta::assert_snapshot!(render(json!({"messages": messages, "tools": tools})), @r#"
    <|im_start|>system
    Be brief.

    You may call these functions:
    {"type":"function","function":{"name":"run"}}
    A call is JSON within <tool_call></tool_call>: {"name": the function, "arguments": an object}.<|im_end|>
    <|im_start|>user
    How many parts?<|im_end|>
    <|im_start|>assistant
    <think>
    Count.
    </think>

    <tool_call>
    {"name": "run", "arguments": {"a": 1}}
    </tool_call>
    <tool_call>
    {"name": "stop", "arguments": {"b":2}}
    </tool_call><|im_end|>
    <|im_start|>user
    <tool_response>
    37
    </tool_response><|im_end|>
    <|im_start|>assistant
    37.<|im_end|>
    "#);
}

#[test]
fn a_prompt_is_the_beginning_of_its_chat() {
    // What is masked is the prompt's tokens: training rests on this.
    for row in luau().train {
        let vertigo_model::dataset::Example::Chat { messages, tools } = row.example else { continue };
        let (_, before) = messages.split_last().unwrap();
        let whole = render(json!({"messages": messages, "tools": tools}));
        let prompt = render(json!({"messages": before, "tools": tools, "add_generation_prompt": true}));
        assert!(whole.starts_with(&prompt), "{prompt}\n---\n{whole}");
    }
}

#[test]
fn a_folder_with_something_wrong_is_refused_and_told_what() {
    let refusal = |spoil: &dyn Fn(&Path)| {
        let (dir, _) = made(Preset::Mini4b, None);
        spoil(dir.path());
        BaseFolder::check(dir.path()).unwrap_err().to_string()
    };
    let remove = |name: &'static str| move |dir: &Path| fs::remove_file(dir.join(name)).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        let error = refusal(&remove(name));
        assert!(error.contains(&format!("{name} is missing")), "{error}");
    }
    let error = refusal(&|dir| fs::rename(dir.join("model.safetensors"), dir.join("pytorch_model.bin")).unwrap());
    assert!(error.contains("only safetensors are read, not pytorch_model.bin"), "{error}");
    let part = "model-00001-of-00002.safetensors";
    let error = refusal(&|dir| fs::rename(dir.join("model.safetensors"), dir.join(part)).unwrap());
    assert!(error.contains(part) && error.contains("fetch the index too"), "{error}");
    let error = refusal(&|dir| edit_config(dir, |config| config["text_config"]["num_hidden_layers"] = json!(9)));
    assert!(error.contains("tensor `language_model.model.layers.8.") && error.contains("is missing"), "{error}");
    let error = refusal(&|dir| edit_config(dir, |config| config["text_config"]["intermediate_size"] = json!(640)));
    assert!(error.contains("mlp.") && error.contains("640"), "{error}");
    let error = refusal(&|dir| edit_config(dir, |config| config["text_config"]["model_type"] = json!("llama")));
    assert!(error.contains("`llama`"), "{error}");
    let error = refusal(&|dir| {
        let file = fs::OpenOptions::new().write(true).open(dir.join("model.safetensors")).unwrap();
        file.set_len(1 << 20).unwrap();
    });
    assert!(error.contains("fetch it again"), "{error}");
    let error = refusal(&|dir| fs::write(dir.join("model.safetensors"), "PK").unwrap());
    assert!(error.contains("not safetensors"), "{error}");
    let error = refusal(&|dir| {
        let index = json!({"weight_map": {"x": "../../etc/passwd.safetensors"}});
        fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
    });
    assert!(error.contains("no safetensors file of this folder"), "{error}");
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_refused_before_anything_goes_up() {
    let (dir, _) = made(Preset::Mini4b, None);
    let secrets = tempfile::tempdir().unwrap();
    fs::write(secrets.path().join("passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let secret = fs::canonicalize(secrets.path().join("passwd")).unwrap();
    // What lies at `name` instead of what belongs there.
    let refusal = |name: &str, spoil: &dyn Fn(&Path)| {
        let (path, kept) = (dir.path().join(name), dir.path().join("kept"));
        let there = fs::rename(&path, &kept).is_ok();
        spoil(&path);
        let error = BaseFolder::check(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        fs::remove_file(&path).unwrap();
        if there {
            fs::rename(&kept, &path).unwrap();
        }
        error
    };
    let ours = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    for name in ours.into_iter().chain(["vocab.json", "merges.txt", "chat_template.jinja"]) {
        let error = refusal(name, &|path| symlink(&secret, path).unwrap());
        assert!(error.contains(&format!("a link to {}, outside", secret.display())), "{error}");
        let error = refusal(name, &|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap());
        assert!(error.contains("a FIFO and no regular file"), "{error}");
        let error = refusal(name, &|path| fs::write(path, b"\xff\0 no text").unwrap());
        assert!(error.contains(": not "), "{error}");
    }
    let sparse = |path: &Path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "merges.txt", "model.safetensors.index.json"]
    {
        let error = refusal(name, &sparse);
        assert!(error.contains("1099511627776 bytes, and no more than"), "{error}");
    }
    let told = |name: &str, json: Value| refusal(name, &|path| fs::write(path, json.to_string()).unwrap());
    assert!(told("tokenizer.json", json!({"model": {}})).contains("not a tokenizer"));
    assert!(told("tokenizer_config.json", json!([])).contains("not a JSON object"));
    assert!(told("vocab.json", json!("x")).contains("not a JSON object"));
    let config = |edit: &dyn Fn(&mut Value)| {
        let text = fs::read(dir.path().join("tokenizer_config.json")).unwrap();
        let mut config = serde_json::from_slice(&text).unwrap();
        edit(&mut config);
        told("tokenizer_config.json", config)
    };
    assert!(config(&|it| it["eos_token"] = Value::Null).contains("no `eos_token`"));
    assert!(config(&|it| it["eos_token"] = json!("<|nowhere|>")).contains("`<|nowhere|>`"));
    assert!(config(&|it| it["chat_template"] = json!({"a": 1})).contains("`chat_template` is neither"));
    assert!(config(&|it| it["chat_template"] = json!([{"name": "tool_use", "template": ""}])).contains("`default`"));
    assert!(config(&|it| it["chat_template"] = json!([{"name": "default"}])).contains("one of it is no"));
    BaseFolder::check(dir.path()).unwrap();
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let (dir, base) = made(Preset::Mini4b, None);
    let mut tokenizer = Tokenizer::from_file(dir.path().join("tokenizer.json")).unwrap();
    let more = (0..base.shape.vocab).map(|n| tokenizers::AddedToken::from(format!("<|{n}|>"), true));
    tokenizer.add_special_tokens(more).unwrap();
    tokenizer.save(dir.path().join("tokenizer.json"), false).unwrap();
    let error = BaseFolder::check(dir.path()).unwrap_err().to_string();
    assert!(error.contains("another model's") && error.contains(&base.shape.vocab.to_string()), "{error}");
}

fn edit_config(dir: &Path, edit: impl Fn(&mut Value)) {
    let path = dir.join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(&path, config.to_string()).unwrap();
}

#[test]
fn a_hugging_face_snapshot_passes_and_only_what_matters_goes_up() {
    let (dir, base) = made(Preset::Mini4b, None);
    // Two shards, Hugging Face's names and convolutions, a vision tower, and files that must not go up.
    let bytes = fs::read(dir.path().join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let model = dir.path().join("models--mlx-community--mini");
    let snapshot = model.join("snapshots/0123abcd");
    fs::create_dir_all(&snapshot).unwrap();
    let mut shards = [Vec::new(), Vec::new()];
    let mut map = serde_json::Map::new();
    for (n, (name, view)) in tensors.tensors().into_iter().enumerate() {
        let mut size = view.shape().to_vec();
        if name.ends_with("conv1d.weight") {
            size.swap(1, 2);
        }
        let name = name.replace("language_model.model.", "model.language_model.");
        map.insert(name.clone(), json!(format!("part-{}.safetensors", n % 2)));
        shards[n % 2].push((name, safetensors::tensor::TensorView::new(view.dtype(), size, view.data()).unwrap()));
    }
    let vision = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
    shards[0].push(("model.visual.x".to_owned(), vision));
    for (n, shard) in shards.into_iter().enumerate() {
        safetensors::serialize_to_file(shard, None, &snapshot.join(format!("part-{n}.safetensors"))).unwrap();
    }
    fs::write(snapshot.join("model.safetensors.index.json"), json!({"weight_map": map}).to_string()).unwrap();
    fs::create_dir(model.join("blobs")).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        // As in Hugging Face's cache.
        fs::rename(dir.path().join(name), model.join("blobs").join(name)).unwrap();
        symlink(Path::new("../../blobs").join(name), snapshot.join(name)).unwrap();
    }
    for name in ["pytorch_model.bin", "README.md", "modeling.py", "merges.txt"] {
        fs::write(snapshot.join(name), "x").unwrap();
    }
    // Someone who names the cache's folder of the model is told which folder in it is meant.
    let error = BaseFolder::check(&model).unwrap_err().to_string();
    assert!(error.contains(&format!("import {}", snapshot.display())), "{error}");
    // The snapshot may be reached by a link.
    symlink(&snapshot, dir.path().join("link")).unwrap();
    assert_eq!(BaseFolder::check(&dir.path().join("link")).unwrap().shape, base.shape);
    let found = BaseFolder::check(&snapshot).unwrap();
    assert_eq!(found.shape, base.shape);
    let expected = [
        "config.json",
        "merges.txt",
        "model.safetensors.index.json",
        "part-0.safetensors",
        "part-1.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(found.files.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}
