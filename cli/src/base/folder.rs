//! A base's folder, checked before gigabytes of it go anywhere: config, the headers of its safetensors, its tokenizer.
//!
//! Promise: a folder that passes has every tensor that the engine will ask for, in its size; and [`BaseFolder::files`] names all
//! files that training and inference need, none that could run code.

use safetensors::tensor::Metadata;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use vertigo::shape::{Shape, ShapeError};
use vertigo::tensors::{self, Sizes, TensorError, canonical_name};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: [&str; 2] = ["tokenizer.json", "tokenizer_config.json"];

/// Files that go along where they are there.
const COMPANIONS: [&str; 7] = [
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];

/// Endings of weights that run code when they are loaded, or that nothing here reads.
const REFUSED: [&str; 6] = ["bin", "pt", "pth", "ckpt", "npz", "gguf"];

/// A header larger than this is no header (the format's own limit).
const MAX_HEADER: u64 = 100_000_000;

/// What is wrong with a base's folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{} is missing: {why}", path.display())]
    Missing { path: PathBuf, why: String },
    #[error("{}: {problem}", path.display())]
    Broken { path: PathBuf, problem: String },
    #[error("{}: {error}", path.display())]
    Config { path: PathBuf, error: ShapeError },
    #[error("{}: {error}", path.display())]
    Tensor { path: PathBuf, error: TensorError },
    #[error("{} is a mixture of experts, which Vertigo plans for but does not train yet; import a dense base", .0.display())]
    Experts(PathBuf),
}

type Result<T> = std::result::Result<T, FolderError>;

/// A base's folder that has passed.
#[derive(Debug)]
pub(crate) struct BaseFolder {
    pub(crate) shape: Shape,
    pub(crate) config: Value,
    /// What goes up, by name, relative to the folder.
    pub(crate) files: Vec<String>,
}

impl BaseFolder {
    /// Checks a folder as Hugging Face or MLX lay it out.
    pub(crate) fn check(folder: &Path) -> Result<BaseFolder> {
        let (config, shape) = read_config(folder)?;
        if shape.experts.is_some() {
            return Err(FolderError::Experts(folder.to_owned()));
        }
        let shards = shards(folder)?;
        let mut sizes = Sizes::new();
        for shard in &shards {
            read_sizes(&folder.join(shard), shape.tied, &mut sizes)?;
        }
        let tensor = |error| FolderError::Tensor { path: folder.to_owned(), error };
        tensors::check(&shape, &tensors::in_mlx_layout(sizes)).map_err(tensor)?;
        for name in TOKENIZER {
            let path = folder.join(name);
            if !path.is_file() {
                let why = "without it no text becomes tokens; a Hugging Face snapshot has it".to_owned();
                return Err(FolderError::Missing { path, why });
            }
        }
        let mut files: BTreeSet<String> = shards.into_iter().collect();
        files.extend(TOKENIZER.map(str::to_owned));
        files.insert(CONFIG.to_owned());
        let companions = COMPANIONS.into_iter().chain([INDEX]).filter(|name| folder.join(name).is_file());
        files.extend(companions.map(str::to_owned));
        Ok(BaseFolder { shape, config, files: files.into_iter().collect() })
    }
}

/// Reads a folder's config.json and the shape that it describes.
pub(crate) fn read_config(folder: &Path) -> Result<(Value, Shape)> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        return Err(FolderError::Missing { path, why: no_model(folder) });
    }
    let config = read_json(&path)?;
    match Shape::from_config(&config) {
        Ok(shape) => Ok((config, shape)),
        Err(error) => Err(FolderError::Config { path, error }),
    }
}

/// What `folder` is instead of a model's.
fn no_model(folder: &Path) -> String {
    // Hugging Face's cache has models in models--ORG--NAME/snapshots/COMMIT.
    let snapshots = fs::read_dir(folder.join("snapshots")).into_iter().flatten().flatten().map(|entry| entry.path());
    match snapshots.filter(|path| path.join(CONFIG).is_file()).max() {
        Some(snapshot) => format!("{} is a cache of models; import {}", folder.display(), snapshot.display()),
        None => format!("{} is no folder of a model", folder.display()),
    }
}

fn read_json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).map_err(|error| FolderError::Read { path: path.to_owned(), error })?;
    serde_json::from_str(&text).map_err(|e| broken(path, format!("not JSON: {e}")))
}

fn broken(path: &Path, problem: impl Into<String>) -> FolderError {
    FolderError::Broken { path: path.to_owned(), problem: problem.into() }
}

/// The files that hold the weights.
fn shards(folder: &Path) -> Result<Vec<String>> {
    let index = folder.join(INDEX);
    if !index.is_file() {
        let path = folder.join(WEIGHTS);
        return if path.is_file() { Ok(vec![WEIGHTS.to_owned()]) } else { Err(no_weights(folder, path)) };
    }
    let json = read_json(&index)?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| broken(&index, "has no `weight_map`"))?;
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    for name in &names {
        // What an index names is uploaded, so it must be a file beside the index.
        if name.contains(['/', '\\']) || !name.ends_with(".safetensors") {
            return Err(broken(&index, format!("`{name}` is no safetensors file of this folder")));
        }
        if !folder.join(name).is_file() {
            let why = format!("{INDEX} names it; fetch the rest of the model");
            return Err(FolderError::Missing { path: folder.join(name), why });
        }
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

fn no_weights(folder: &Path, path: PathBuf) -> FolderError {
    let ending = |path: &Path| path.extension().and_then(|ending| ending.to_str()).map(str::to_owned);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let entries: Vec<PathBuf> = entries.collect();
    let first = |endings: &[&str]| {
        let found = entries.iter().find(|path| ending(path).is_some_and(|it| endings.contains(&it.as_str())));
        found.and_then(|path| path.file_name()).map(|name| name.to_string_lossy())
    };
    let why = if let Some(name) = first(&["safetensors"]) {
        format!("there is {name}, but no {INDEX} that names it; fetch the index too")
    } else if let Some(name) = first(&REFUSED) {
        format!("only safetensors are read, not {name}; fetch the safetensors")
    } else {
        "the folder holds no weights".to_owned()
    };
    FolderError::Missing { path, why }
}

/// Adds the sizes of a file's tensors, by MLX's names. Reads the header alone: 8 bytes of its length, then JSON.
fn read_sizes(path: &Path, tied: bool, into: &mut Sizes) -> Result<()> {
    let metadata = read_header(path)?;
    let tensors: BTreeMap<_, _> = metadata.tensors().into_iter().collect();
    for (name, info) in tensors {
        let Some(canonical) = canonical_name(&name, tied) else { continue };
        let size = info.shape.iter().map(|&n| n as u64).collect();
        if into.insert(canonical, size).is_some() {
            return Err(broken(path, format!("tensor `{name}` is in another file too")));
        }
    }
    Ok(())
}

fn read_header(path: &Path) -> Result<Metadata> {
    let read = |error| FolderError::Read { path: path.to_owned(), error };
    let mut file = File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let mut length = [0; 8];
    let cut = || broken(path, "not safetensors, or cut off; fetch it again");
    file.read_exact(&mut length).map_err(|_| cut())?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length + 8 > size {
        return Err(cut());
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(read)?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|e| broken(path, format!("not safetensors: {e}")))?;
    let expected = 8 + length + metadata.data_len() as u64;
    if size != expected {
        return Err(broken(path, format!("has {size} bytes where its header says {expected}; fetch it again")));
    }
    Ok(metadata)
}
