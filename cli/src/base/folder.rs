//! A base's folder, checked before gigabytes of it go anywhere: config, the headers of its safetensors, its tokenizer.
//!
//! Promise: a folder that passes has every tensor that the engine will ask for, in its size, and a tokenizer that it can read; and
//! [`BaseFolder::files`] names all files that training and inference need, none that could run code, none that lies outside of the
//! folder by a link (`vertigo::folder`), and none that is not what its name says.

use super::language;
use safetensors::tensor::Metadata;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use vertigo::folder::{Folder, Unfit};
use vertigo_model::shape::{Shape, ShapeError};
use vertigo_model::tensors::{self, Sizes, TensorError, canonical_name};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A config.json of Qwen3.5 has some 10 KiB, and one that packs each module in its own way a few hundred.
const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// An index has about 100 bytes a tensor.
const INDEX_BYTES_MAX: u64 = 64 << 20;

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
    pub(crate) fn check(path: &Path) -> Result<BaseFolder> {
        let (config, shape) = read_config(path)?;
        if shape.experts.is_some() {
            return Err(FolderError::Experts(path.to_owned()));
        }
        let folder = Opened::at(path)?;
        let shards = shards(&folder)?;
        let mut sizes = Sizes::new();
        for shard in &shards {
            read_sizes(&folder, shard, shape.tied, &mut sizes)?;
        }
        let tensor = |error| FolderError::Tensor { path: path.to_owned(), error };
        tensors::check(&shape, &tensors::in_mlx_layout(sizes)).map_err(tensor)?;
        let mut files: BTreeSet<String> = shards.into_iter().collect();
        files.extend(language::check(&folder, shape.vocab)?.into_iter().map(str::to_owned));
        files.insert(CONFIG.to_owned());
        if folder.has(INDEX)? {
            files.insert(INDEX.to_owned());
        }
        Ok(BaseFolder { shape, config, files: files.into_iter().collect() })
    }
}

/// A folder whose files are read, with errors that name them.
pub(super) struct Opened<'a> {
    path: &'a Path,
    folder: Folder,
}

impl Opened<'_> {
    fn at(path: &Path) -> Result<Opened<'_>> {
        let folder = Folder::at(path).map_err(|error| FolderError::Read { path: path.to_owned(), error })?;
        Ok(Opened { path, folder })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn has(&self, name: &str) -> Result<bool> {
        self.folder.has(name).map_err(|unfit| self.unread(name, unfit))
    }

    pub(super) fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>> {
        self.folder.read(name, bytes_max).map_err(|unfit| self.unread(name, unfit))
    }

    pub(super) fn json(&self, name: &str, bytes_max: u64) -> Result<Value> {
        serde_json::from_slice(&self.read(name, bytes_max)?).map_err(|e| self.broken(name, format!("not JSON: {e}")))
    }

    pub(super) fn broken(&self, name: &str, problem: impl Into<String>) -> FolderError {
        FolderError::Broken { path: self.path(name), problem: problem.into() }
    }

    fn unread(&self, name: &str, unfit: Unfit) -> FolderError {
        FolderError::Read { path: self.path(name), error: unfit.into() }
    }
}

/// Reads a folder's config.json and the shape that it describes.
pub(crate) fn read_config(folder: &Path) -> Result<(Value, Shape)> {
    let path = folder.join(CONFIG);
    let missing = || FolderError::Missing { path: path.clone(), why: no_model(folder) };
    // Where there is no folder there is no config either, and that says more.
    let opened = Opened::at(folder).map_err(|_| missing())?;
    if !opened.has(CONFIG)? {
        return Err(missing());
    }
    let config = opened.json(CONFIG, CONFIG_BYTES_MAX)?;
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

/// The files that hold the weights.
fn shards(folder: &Opened<'_>) -> Result<Vec<String>> {
    if !folder.has(INDEX)? {
        let alone = folder.has(WEIGHTS)?;
        return if alone { Ok(vec![WEIGHTS.to_owned()]) } else { Err(no_weights(folder.path, folder.path(WEIGHTS))) };
    }
    let json = folder.json(INDEX, INDEX_BYTES_MAX)?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| folder.broken(INDEX, "has no `weight_map`"))?;
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    for name in &names {
        // What an index names is uploaded, so it must be a file beside the index.
        if name.contains(['/', '\\']) || !name.ends_with(".safetensors") {
            return Err(folder.broken(INDEX, format!("`{name}` is no safetensors file of this folder")));
        }
        if !folder.has(name)? {
            let why = format!("{INDEX} names it; fetch the rest of the model");
            return Err(FolderError::Missing { path: folder.path(name), why });
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
fn read_sizes(folder: &Opened<'_>, shard: &str, tied: bool, into: &mut Sizes) -> Result<()> {
    let metadata = read_header(folder, shard)?;
    let tensors: BTreeMap<_, _> = metadata.tensors().into_iter().collect();
    for (name, info) in tensors {
        let Some(canonical) = canonical_name(&name, tied) else { continue };
        let size = info.shape.iter().map(|&n| n as u64).collect();
        if into.insert(canonical, size).is_some() {
            return Err(folder.broken(shard, format!("tensor `{name}` is in another file too")));
        }
    }
    Ok(())
}

fn read_header(folder: &Opened<'_>, shard: &str) -> Result<Metadata> {
    let read = |error| folder.unread(shard, Unfit::Io(error));
    let mut file = folder.folder.open(shard).map_err(|unfit| folder.unread(shard, unfit))?;
    let size = file.metadata().map_err(read)?.len();
    let mut length = [0; 8];
    let cut = || folder.broken(shard, "not safetensors, or cut off; fetch it again");
    file.read_exact(&mut length).map_err(|_| cut())?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length + 8 > size {
        return Err(cut());
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(read)?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|e| folder.broken(shard, format!("not safetensors: {e}")))?;
    let expected = 8 + length + metadata.data_len() as u64;
    if size != expected {
        let problem = format!("has {size} bytes where its header says {expected}; fetch it again");
        return Err(folder.broken(shard, problem));
    }
    Ok(metadata)
}
