//! What an adapter does to a base: read from mlx-lm's two files, and checked against the base before anything is computed.

use super::plan::Changed;
use super::read_json;
use crate::adapter;
use crate::error::{EngineError, Result};
use crate::model::Parameters;
use crate::tensor_files::Stored;
use mlx_rs::Array;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use vertigo_model::shape::Shape;
use vertigo_model::tensors::{Matrix, matrices, vectors};

/// An adapter that fits a base.
#[derive(Debug)]
pub(super) struct Change {
    /// Its tensors by MLX's names, read when they are used.
    tensors: Parameters,
    kind: Kind,
    changed: Changed,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Two factors for a matrix, and the factor on their product.
    Lora { scale: f32 },
    /// Weights in place of the base's.
    Full,
}

impl Change {
    /// Reads the adapter in `folder`.
    ///
    /// # Errors
    /// [`EngineError::Input`] naming the key of its config that is wrong, or the tensor that does not fit the base.
    pub(super) fn read(folder: &Path, shape: &Shape, base: &BTreeMap<String, Stored>) -> Result<Change> {
        let path = folder.join("adapter_config.json");
        let kind = kind(&read_json(&path)?).map_err(|e| EngineError::input(format!("{}: {e}", path.display())))?;
        let tensors = adapter::load(folder)?;
        let sizes =
            tensors.iter().map(|(name, x)| (name.as_str(), x.shape().iter().map(|&n| n as u64).collect())).collect();
        let changed = match kind {
            Kind::Lora { .. } => check_lora(&sizes, shape),
            Kind::Full => check_full(&sizes, shape, base),
        };
        let changed = changed.map_err(|problem| {
            EngineError::input(format!("the adapter in {} does not fit this base: {problem}", folder.display()))
        })?;
        Ok(Change { tensors, kind, changed })
    }

    /// All of its tensors, and the factor on the product of two factors (1 where there are none).
    pub(super) fn into_parameters(self) -> (Parameters, f64) {
        match self.kind {
            Kind::Lora { scale } => (self.tensors, f64::from(scale)),
            Kind::Full => (self.tensors, 1.0),
        }
    }

    /// What changes.
    pub(super) fn kinds(&self) -> Changed {
        self.changed.clone()
    }

    /// The tensor that comes in place of the base's.
    pub(super) fn take(&mut self, name: &str) -> Result<Array> {
        self.tensors.remove(name).ok_or_else(|| EngineError::input(format!("the adapter has no tensor `{name}`")))
    }

    /// The matrix `weight` [outputs, inputs] of `module` after the change, in its own dtype.
    pub(super) fn apply(&mut self, module: &str, weight: &Array) -> Result<Array> {
        let Kind::Lora { scale } = self.kind else {
            return Ok(self.take(&format!("{module}.weight"))?.as_dtype(weight.dtype())?);
        };
        let a = self.take(&format!("{module}.lora_a"))?;
        let b = self.take(&format!("{module}.lora_b"))?;
        // In the order of mlx-lm's own: (scale·Bᵀ)·Aᵀ.
        let scaled = b.swap_axes(0, 1)?.multiply(Array::from_f32(scale))?;
        let delta = scaled.matmul(a.swap_axes(0, 1)?)?.as_dtype(weight.dtype())?;
        Ok(weight.add(delta)?)
    }
}

fn kind(config: &Value) -> std::result::Result<Kind, String> {
    match config.get("fine_tune_type").map_or(Some("lora"), Value::as_str) {
        Some("full") => Ok(Kind::Full),
        Some("lora") => match config.pointer("/lora_parameters/scale").and_then(Value::as_f64) {
            Some(scale) if scale.is_finite() => Ok(Kind::Lora { scale: scale as f32 }),
            _ => Err("`lora_parameters.scale` is missing or no number".to_owned()),
        },
        Some("dora") => Err("`fine_tune_type` is dora; lora and full can be fused".to_owned()),
        _ => Err("`fine_tune_type` is neither lora nor full".to_owned()),
    }
}

type AdapterSizes<'a> = BTreeMap<&'a str, Vec<u64>>;

fn check_lora(sizes: &AdapterSizes<'_>, shape: &Shape) -> std::result::Result<Changed, String> {
    let all: BTreeMap<String, Matrix> = matrices(shape).into_iter().map(|m| (m.module.clone(), m)).collect();
    let mut changed = Changed::default();
    for (name, size) in sizes {
        let (module, factor) = name.rsplit_once('.').unwrap_or((name, ""));
        let matrix = all.get(module).ok_or_else(|| format!("`{name}` names no matrix of it"))?;
        let other = |factor: &str| {
            let name = format!("{module}.{factor}");
            sizes.get(name.as_str()).ok_or_else(|| format!("`{name}` is missing"))
        };
        let fits = match (factor, size.as_slice()) {
            ("lora_a", &[inputs, rank]) => inputs == matrix.inputs && other("lora_b")?.first() == Some(&rank),
            ("lora_b", &[rank, outputs]) => outputs == matrix.outputs && other("lora_a")?.last() == Some(&rank),
            _ => false,
        };
        if !fits {
            let (inputs, outputs) = (matrix.inputs, matrix.outputs);
            return Err(format!("`{name}` is {size:?}; the matrix has {inputs} inputs and {outputs} outputs"));
        }
        if factor == "lora_a" {
            changed.modules.push(module.to_owned());
        }
    }
    if changed.modules.is_empty() {
        return Err("it has no tensor".to_owned());
    }
    Ok(changed)
}

fn check_full(
    sizes: &AdapterSizes<'_>,
    shape: &Shape,
    base: &BTreeMap<String, Stored>,
) -> std::result::Result<Changed, String> {
    let matrices: BTreeMap<String, Matrix> = matrices(shape).into_iter().map(|m| (m.module.clone(), m)).collect();
    let vectors: BTreeMap<String, Vec<u64>> = vectors(shape).into_iter().collect();
    let mut changed = Changed::default();
    for (name, size) in sizes {
        let module = name.strip_suffix(".weight").filter(|module| matrices.contains_key(*module));
        let expected = match module {
            Some(module) => {
                if base.contains_key(&format!("{module}.scales")) {
                    return Err(format!(
                        "`{name}` is packed in the base; full weights were trained on a base that is not"
                    ));
                }
                vec![matrices[module].outputs, matrices[module].inputs]
            }
            None => vectors.get(*name).ok_or_else(|| format!("`{name}` is no tensor of it"))?.clone(),
        };
        if *size != expected {
            return Err(format!("`{name}` is {size:?}; the base's is {expected:?}"));
        }
        match module {
            Some(module) => changed.modules.push(module.to_owned()),
            None => changed.vectors.push((*name).to_owned()),
        }
    }
    if sizes.is_empty() {
        return Err("it has no tensor".to_owned());
    }
    Ok(changed)
}
