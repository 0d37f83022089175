//! The fused model's `config.json`.

use super::Width;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use vertigo_model::fusing::default_packing;
use vertigo_model::shape::{Packing, Shape};

/// The base's config for the fused model: what it says of packing is what `packings`, by module, say. As mlx-lm writes it,
/// `quantization` stands there twice, under the name that Hugging Face reads too, and the vision tower, whose weights are not
/// there, is not mentioned.
pub(super) fn fused(
    mut config: Value,
    shape: &Shape,
    packings: &BTreeMap<String, Option<Packing>>,
    width: Width,
) -> Value {
    let Some(object) = config.as_object_mut() else { return config };
    for key in ["_name_or_path", "vision_config", "quantization", "quantization_config"] {
        object.remove(key);
    }
    if let Some(quantization) = quantization(default_packing(shape, width), packings) {
        object.insert("quantization".to_owned(), quantization.clone());
        object.insert("quantization_config".to_owned(), quantization);
    }
    config
}

/// A default, and each module that is packed otherwise; `None` where nothing is packed.
fn quantization(default: Option<Packing>, packings: &BTreeMap<String, Option<Packing>>) -> Option<Value> {
    let default = default.filter(|_| packings.values().any(Option::is_some))?;
    let table = |packing: Packing| json!({"group_size": packing.group_size, "bits": packing.bits, "mode": "affine"});
    let mut all = Map::new();
    if let Value::Object(table) = table(default) {
        all.extend(table);
    }
    for (module, packing) in packings.iter().filter(|(_, packing)| **packing != Some(default)) {
        all.insert(module.clone(), packing.map_or(Value::Bool(false), table));
    }
    Some(Value::Object(all))
}
