//! Reading a model folder's tensors: safetensors only, named as MLX names them, whoever wrote them.

use crate::error::{EngineError, Result};
use mlx_rs::Array;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use vertigo::files::AtPath;
use vertigo_model::tensors::canonical_name;

/// All tensors of a text model by MLX's names (`language_model.model.layers.0.…`).
pub(crate) type Tensors = BTreeMap<String, Array>;

/// Reads every tensor of the text model in `folder`.
pub(crate) fn read(folder: &Path, tied: bool) -> Result<Tensors> {
    let mut tensors: Tensors = open(folder, tied)?.into_iter().collect();
    if is_hugging_face(&tensors) {
        for (name, array) in tensors.iter_mut() {
            *array = in_mlx_layout(name, array)?;
        }
    }
    Ok(tensors)
}

/// Every tensor of the text model in `folder` by MLX's names, in the layout that it has there. MLX reads each when it is used.
pub(crate) fn open(folder: &Path, tied: bool) -> Result<HashMap<String, Array>> {
    let mut tensors = HashMap::new();
    for file in shards(folder)? {
        let loaded = Array::load_safetensors(&file)
            .map_err(|e| EngineError::input(format!("{} is not safetensors: {e}", file.display())))?;
        let named = loaded.into_iter().filter_map(|(name, array)| Some((canonical_name(&name, tied)?, array)));
        tensors.extend(named);
    }
    Ok(tensors)
}

/// The files of a model's tensors.
pub(crate) fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        return Ok(vec![folder.join("model.safetensors")]);
    }
    let text = fs::read_to_string(&index).at(&index)?;
    let json: Value =
        serde_json::from_str(&text).map_err(|e| EngineError::input(format!("{}: {e}", index.display())))?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| EngineError::input(format!("{} has no `weight_map`", index.display())))?;
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Hugging Face keeps the convolution as [channels, 1, kernel], MLX as [channels, kernel, 1].
fn is_hugging_face(tensors: &Tensors) -> bool {
    tensors.iter().any(|(name, array)| name.ends_with("conv1d.weight") && array.shape().last() != Some(&1))
}

/// A tensor of a base in Hugging Face's layout, in MLX's: convolutions turned, norms 1 larger, all else as it is.
pub(crate) fn in_mlx_layout(name: &str, array: &Array) -> Result<Array> {
    let shifted = [
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
        "model.norm.weight",
        "q_norm.weight",
        "k_norm.weight",
    ];
    if name.ends_with("conv1d.weight") {
        return Ok(array.transpose_axes(&[0, 2, 1])?);
    }
    if array.ndim() == 1 && shifted.iter().any(|ending| name.ends_with(ending)) {
        return Ok(array.add(&Array::from_f32(1.0).as_dtype(array.dtype())?)?);
    }
    Ok(array.clone())
}
