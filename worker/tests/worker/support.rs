//! What an attempt reads, laid where a worker keeps it: a tiny base and a few examples.

pub(crate) use vertigo_testkit::base::write as write_base;
pub(crate) use vertigo_testkit::waiting::{DEADLINE, eventually, soon};

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::v1;

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
