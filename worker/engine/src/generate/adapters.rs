//! Adapters beside a model that answers: read, checked against it, and laid out by layer.

use super::request::AdapterId;
use crate::beside::{Factors, LayerFactors};
use crate::error::{EngineError, Result};
use crate::fuse;
use crate::model::layer_prefix;
use mlx_rs::Dtype;
use mlx_rs::transforms::eval;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use vertigo_model::shape::Shape;

/// An adapter's factors, layer by layer.
#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) layers: Vec<LayerFactors>,
}

impl Adapter {
    /// Reads mlx-lm's two files from `folder`.
    ///
    /// # Errors
    /// [`EngineError::Input`] where it is not low-rank or does not fit a base of this shape.
    pub(super) fn read(folder: &Path, shape: &Shape) -> Result<Adapter> {
        let config = fuse::read_json(&folder.join("adapter_config.json"))?;
        if config.get("fine_tune_type").and_then(Value::as_str) == Some("full") {
            return Err(EngineError::input(format!(
                "the adapter in {} holds full weights, which cannot stand beside the base's: fuse it (`vertigo fuse`) and serve the fused \
                 model",
                folder.display()
            )));
        }
        let (parameters, scale) = fuse::low_rank_adapter(shape, folder)?;
        let mut layers: Vec<LayerFactors> = (0..shape.layers).map(|_| LayerFactors::new()).collect();
        for (index, layer) in layers.iter_mut().enumerate() {
            let prefix = layer_prefix(index);
            for (name, a) in &parameters {
                let path = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".lora_a"));
                let Some(path) = path else { continue };
                let b = parameters.get(&format!("{prefix}{path}.lora_b"));
                let b = b.ok_or_else(|| EngineError::input(format!("the adapter has no `{prefix}{path}.lora_b`")))?;
                let [a, b] = [a.as_dtype(Dtype::Float32)?, b.as_dtype(Dtype::Float32)?];
                layer.insert(path.to_owned(), Factors::new(&a, &b, scale as f32)?);
            }
        }
        eval(layers.iter().flat_map(BTreeMap::values).flat_map(Factors::arrays))?;
        Ok(Adapter { layers })
    }
}

/// All adapters of a model.
#[derive(Debug, Default)]
pub(super) struct Adapters {
    loaded: BTreeMap<AdapterId, Adapter>,
    count: u32,
}

impl Adapters {
    pub(super) fn add(&mut self, adapter: Adapter) -> AdapterId {
        self.count += 1;
        self.loaded.insert(AdapterId(self.count), adapter);
        AdapterId(self.count)
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, id: AdapterId) -> bool {
        self.loaded.remove(&id).is_some()
    }

    pub(super) fn get(&self, id: AdapterId) -> Option<&Adapter> {
        self.loaded.get(&id)
    }
}
