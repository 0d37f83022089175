//! A base of a few thousand random values and a few examples, written by the test: small enough to train in a second.

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::v1;
use vertigo_model::shape::Shape;
use vertigo_model::tensors::{matrices, vectors};

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A recipe of `iters` iterations on the base.
pub(crate) fn recipe(iters: u64) -> String {
    format!(
        "model: tiny\nnum_layers: 2\niters: {iters}\nbatch_size: 2\nmax_seq_length: 64\nlearning_rate: 1e-3\n\
         steps_per_report: 2\nsteps_per_eval: 4\nsave_every: 2\nlora_parameters: {{rank: 2, scale: 2.0, dropout: 0.0}}\n"
    )
}

/// Training by that recipe's text, called `tiny`.
pub(crate) fn train(yaml: String) -> v1::Task {
    let train = v1::Train { recipe: "tiny".to_owned(), yaml };
    v1::Task { kind: Some(v1::task::Kind::Train(train)) }
}

/// What a task reads, as it is assigned.
pub(crate) fn given(inputs: &[(&str, Digest)]) -> Vec<v1::Given> {
    let given = |(role, digest): &(&str, Digest)| v1::Given { role: (*role).to_owned(), digest: digest.to_string() };
    inputs.iter().map(given).collect()
}

/// Writes a base in f32 with a tokenizer of bytes.
pub(crate) fn write_base(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let config = json!({"model_type": "qwen3_5_text", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 258, "rms_norm_eps": 1e-6,
        "linear_num_value_heads": 2, "linear_num_key_heads": 1, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
        "linear_conv_kernel_dim": 4, "tie_word_embeddings": true, "full_attention_interval": 4, "dtype": "float32"});
    let shape = Shape::from_config(&config).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    write_weights(&shape, &folder.join("model.safetensors"));
    write_tokenizer(folder);
}

fn write_weights(shape: &Shape, path: &Path) {
    let mut state = 1u64;
    // A congruential generator is random enough to train on.
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let matrices = matrices(shape).into_iter().map(|m| (format!("{}.weight", m.module), vec![m.outputs, m.inputs]));
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = matrices
        .chain(vectors(shape))
        .map(|(name, size)| {
            let size: Vec<usize> = size.into_iter().map(|n| n as usize).collect();
            let norm = name.ends_with("norm.weight");
            let values = (0..size.iter().product()).map(|_| if norm { 1.0 } else { 0.3 * random() });
            let bytes = values.flat_map(f32::to_le_bytes).collect();
            (name, size, bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, size, bytes)| (name.as_str(), TensorView::new(Dtype::F32, size.clone(), bytes).unwrap()));
    serialize_to_file(views, None, path).unwrap();
}

/// Token = byte, then two special ones.
fn write_tokenizer(folder: &Path) {
    // GPT-2's names of the bytes: those that print stand for themselves, the others follow from U+0100.
    let mut others = 0x100..;
    let vocabulary: Map<String, Value> = (0..=255u8)
        .map(|byte| {
            let shown = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            let code = if shown { Some(u32::from(byte)) } else { others.next() };
            (code.and_then(char::from_u32).unwrap().to_string(), byte.into())
        })
        .collect();
    let special = |(n, token): (usize, &str)| {
        json!({"id": 256 + n, "content": token, "special": true, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false})
    };
    let added: Vec<Value> = ["<|im_start|>", "<|im_end|>"].into_iter().enumerate().map(special).collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = json!({"version": "1.0", "added_tokens": added, "normalizer": null, "pre_tokenizer": bytes,
        "post_processor": null, "decoder": bytes, "truncation": null, "padding": null,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []}});
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(folder.join("tokenizer_config.json"), r#"{"eos_token": "<|im_end|>"}"#).unwrap();
}

/// Writes a dataset: examples to train on, and some held out.
pub(crate) fn write_data(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let lines = |n| (0..n).map(|n| format!("{{\"text\":\"local x{n} = {n} * {n}\"}}\n")).collect::<String>();
    fs::write(folder.join("train.jsonl"), lines(8)).unwrap();
    fs::write(folder.join("valid.jsonl"), lines(2)).unwrap();
}

/// The digests of the inputs that [`lay_inputs`] lays: the same each time.
pub(crate) static INPUTS: LazyLock<(Digest, Digest)> =
    LazyLock::new(|| lay_inputs(tempfile::tempdir().expect("a folder for a moment").path()));

/// Lays the base and the data into a worker's cache, as if they had been fetched. Gives their digests.
pub(crate) fn lay_inputs(cache: &Path) -> (Digest, Digest) {
    (lay(cache, Kind::Base, write_base), lay(cache, Kind::Dataset, write_data))
}

/// Lays the files that `write` makes into a worker's cache, as an artifact.
pub(crate) fn lay(cache: &Path, kind: Kind, write: fn(&Path)) -> Digest {
    let new = cache.join("new");
    write(&new);
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        let path = entry.file_name().into_string().unwrap();
        FileEntry { path, digest: Digest::of(&bytes), bytes: Bytes(bytes.len() as u64) }
    };
    let files = fs::read_dir(&new).unwrap().map(file).collect();
    let manifest = Manifest::new(kind, files, Default::default()).unwrap();
    let digest = manifest.digest();
    fs::write(cache.join(format!(".{}.manifest", digest.hex())), manifest.to_json()).unwrap();
    fs::rename(&new, cache.join(digest.hex())).unwrap();
    digest
}

/// Waits until `done` gives something.
pub(crate) async fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(started.elapsed() < DEADLINE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
