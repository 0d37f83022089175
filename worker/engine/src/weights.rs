//! Reading a model folder's tensors: safetensors only, named as MLX names them, whoever wrote them.

use crate::error::{AtPath, EngineError, Result};
use mlx_rs::Array;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use vertigo::tensors::canonical_name;

/// All tensors of a text model by MLX's names (`language_model.model.layers.0.…`).
pub(crate) type Tensors = BTreeMap<String, Array>;

/// Reads every tensor of the text model in `folder`.
pub(crate) fn read(folder: &Path, tied: bool) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    for file in shards(folder)? {
        let loaded = Array::load_safetensors(&file)
            .map_err(|e| EngineError::input(format!("{} is not safetensors: {e}", file.display())))?;
        for (name, array) in loaded {
            if let Some(name) = canonical_name(&name, tied) {
                tensors.insert(name, array);
            }
        }
    }
    if is_hugging_face(&tensors) {
        convert_from_hugging_face(&mut tensors)?;
    }
    Ok(tensors)
}

fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
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

fn convert_from_hugging_face(tensors: &mut Tensors) -> Result<()> {
    let shifted = [
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
        "model.norm.weight",
        "q_norm.weight",
        "k_norm.weight",
    ];
    for (name, array) in tensors.iter_mut() {
        if name.ends_with("conv1d.weight") {
            *array = array.transpose_axes(&[0, 2, 1])?;
        } else if array.ndim() == 1 && shifted.iter().any(|ending| name.ends_with(ending)) {
            let one = Array::from_f32(1.0).as_dtype(array.dtype())?;
            *array = array.add(&one)?;
        }
    }
    Ok(())
}
