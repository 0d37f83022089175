//! A base and an adapter as one model that needs no adapter: W + scale·(A·B)ᵀ for an adapter of low rank, W′ for full weights.
//!
//! ```no_run,standalone_crate
//! use vertigo_engine::fuse::{Options, fuse};
//! # fn run() -> Result<(), vertigo_engine::EngineError> {
//! let fused = fuse("base".as_ref(), "adapter".as_ref(), "fused".as_ref(), &Options::default(), &mut |_, _| {})?;
//! println!("{} of {} matrices changed", fused.changed, fused.matrices);
//! # Ok(()) }
//! ```
//!
//! What comes out is a folder that mlx-lm and this engine load as a base, in MLX's names and layout: `config.json` whose `quantization`
//! says how each module is packed, weights in shards with their index, and every other file of the base's (tokenizer, chat template,
//! generation config) as it was.
//!
//! Promises:
//! - Memory holds one matrix and its change at a time, never the model.
//! - A tensor that nothing changes is copied bit for bit from the base's file. Bases in Hugging Face's layout have their convolutions
//!   turned and their norms shifted, as every loader of MLX does.
//! - A changed matrix is computed as `mlx_lm.fuse` computes it: unpacked, added to in its own dtype, packed again.
//! - The folder is whole or not there.
//!
//! Packing again rounds. A change that lies below half a step of a coarse grid is rounded away without a trace, so what a fused model
//! kept of its adapter has to be measured: [`measure`](crate::measure) does.

mod change;
mod config;
mod plan;

use crate::error::{EngineError, Result};
use crate::folder::whole;
use crate::model::Parameters;
use crate::tensor_files::{self, Stored, TensorWriter};
use crate::weights;
use change::Change;
use mlx_rs::Array;
use mlx_rs::ops::{dequantize, quantize};
use plan::{Piece, Plan, Work};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use vertigo::files::AtPath;
pub use vertigo::task::Bits;
use vertigo_model::shape::{Packing, Shape};
use vertigo_model::tensors::{self, Sizes};

/// Bytes of a shard at the most, unless one matrix alone is larger.
pub const SHARD_BYTES_MAX: u64 = 5_000_000_000;

/// How to fuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How matrices are stored.
    pub bits: Bits,
    /// Bytes of a shard at the most.
    pub shard_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { bits: Bits::Same, shard_bytes_max: SHARD_BYTES_MAX }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fused {
    /// Matrices of the model.
    pub matrices: usize,
    /// Matrices that the adapter changed.
    pub changed: usize,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// Files of tensors.
    pub shards: usize,
}

/// Writes to the folder `out` the model that the base and the adapter in these folders make together. `progress` is told of bytes
/// written, and of all that there are.
///
/// # Errors
/// [`EngineError::Input`] where the base is no base or the adapter does not fit it, naming the tensor; [`EngineError::File`] where
/// `out` cannot be written.
pub fn fuse(
    base: &Path,
    adapter: &Path,
    out: &Path,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Fused> {
    let config_path = base.join("config.json");
    let config: Value = read_json(&config_path)?;
    let shape = Shape::from_config(&config)
        .map_err(|problem| EngineError::input(format!("{}: {problem}", config_path.display())))?;
    if shape.experts.is_some() {
        return Err(EngineError::input("mixtures of experts are planned for only; the engine fuses dense models"));
    }
    let stored = tensor_files::read_headers(base, shape.tied)?;
    check(base, &shape, &stored)?;
    let change = Change::read(adapter, &shape, &stored)?;
    let plan = plan::plan(&shape, &stored, &change.kinds(), options.bits);
    let shards = plan::shards(&plan.pieces, options.shard_bytes_max);
    let bytes = plan.pieces.iter().map(Piece::bytes).sum();
    let mut source = Source { base: weights::open(base, shape.tied)?, stored: &stored, change };
    whole(out, |out| {
        let mut written = 0;
        let mut weight_map = BTreeMap::new();
        for (index, shard) in shards.iter().enumerate() {
            let name = shard_name(index, shards.len());
            let tensors = plan.pieces[shard.clone()].iter().flat_map(|piece| &piece.tensors);
            let mut writer = TensorWriter::create(&out.join(&name), tensors.clone())?;
            for piece in &plan.pieces[shard.clone()] {
                source.write(piece, &mut writer)?;
                written += piece.bytes();
                progress(written, bytes);
            }
            writer.finish()?;
            weight_map.extend(tensors.map(|tensor| (tensor.name.clone(), name.clone())));
        }
        let index = json!({"metadata": {"total_size": bytes}, "weight_map": weight_map});
        write_json(&out.join("model.safetensors.index.json"), &index)?;
        write_json(&out.join("config.json"), &config::fused(config.clone(), &shape, &plan.packings, options.bits))?;
        carry_over(base, out)
    })?;
    let Plan { packings, changed, .. } = plan;
    Ok(Fused { matrices: packings.len(), changed, bytes, shards: shards.len() })
}

/// The adapter in a folder, checked against the base in another of this shape: its tensors and their scale.
pub(crate) fn adapter_of(base: &Path, shape: &Shape, adapter: &Path) -> Result<(Parameters, f64)> {
    let stored = tensor_files::read_headers(base, shape.tied)?;
    Ok(Change::read(adapter, shape, &stored)?.into_parameters())
}

/// The adapter in a folder, which is low-rank, checked against a base of this shape: its tensors and their scale.
pub(crate) fn low_rank_adapter(shape: &Shape, adapter: &Path) -> Result<(Parameters, f64)> {
    // Only full weights ask what the base has.
    Ok(Change::read(adapter, shape, &BTreeMap::new())?.into_parameters())
}

/// That the base has the tensors that its config asks for.
fn check(base: &Path, shape: &Shape, stored: &BTreeMap<String, Stored>) -> Result<()> {
    let sizes: Sizes =
        stored.iter().map(|(name, tensor)| (name.clone(), tensor.shape.iter().map(|&n| n as u64).collect())).collect();
    tensors::check(shape, &tensors::in_mlx_layout(sizes))
        .map_err(|problem| EngineError::input(format!("{}: {problem}", base.display())))
}

fn shard_name(index: usize, count: usize) -> String {
    if count == 1 {
        "model.safetensors".to_owned()
    } else {
        format!("model-{:05}-of-{count:05}.safetensors", index + 1)
    }
}

/// What pieces are made from.
struct Source<'a> {
    /// The base's tensors by MLX's names, read when they are used and let go of afterwards.
    base: HashMap<String, Array>,
    stored: &'a BTreeMap<String, Stored>,
    change: Change,
}

impl Source<'_> {
    fn write(&mut self, piece: &Piece, writer: &mut TensorWriter) -> Result<()> {
        match &piece.work {
            Work::Copy { name } => writer.copy(&self.stored[name]),
            Work::Convert { name } => {
                let tensor = self.take(name)?;
                writer.write(&weights::in_mlx_layout(name, &tensor)?)
            }
            Work::Replace { name } => {
                let value = self.change.take(name)?;
                let dtype = self.take(name)?.dtype();
                writer.write(&value.as_dtype(dtype)?)
            }
            Work::Matrix { module, from, to, changed } => {
                let mut weight = self.unpacked(module, *from)?;
                if *changed {
                    weight = self.change.apply(module, &weight)?;
                }
                // Evaluated before it is packed: three results are made from it.
                weight.eval()?;
                match to {
                    None => writer.write(&weight),
                    Some(Packing { group_size, bits }) => {
                        let (weight, scales, biases) = quantize(&weight, *group_size as i32, *bits as i32)?;
                        [weight, scales, biases].iter().try_for_each(|tensor| writer.write(tensor))
                    }
                }
            }
        }
    }

    /// The matrix of `module` as values.
    fn unpacked(&mut self, module: &str, packing: Option<Packing>) -> Result<Array> {
        let weight = self.take(&format!("{module}.weight"))?;
        let Some(Packing { group_size, bits }) = packing else { return Ok(weight) };
        let scales = self.take(&format!("{module}.scales"))?;
        let biases = self.take(&format!("{module}.biases"))?;
        Ok(dequantize(&weight, &scales, &biases, group_size as i32, bits as i32)?)
    }

    fn take(&mut self, name: &str) -> Result<Array> {
        self.base.remove(name).ok_or_else(|| EngineError::input(format!("the base has no tensor `{name}`")))
    }
}

/// Copies every file of the base that is neither weights nor config.
fn carry_over(base: &Path, out: &Path) -> Result<()> {
    for entry in fs::read_dir(base).at(base)? {
        let path = entry.at(base)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let made_here =
            name == "config.json" || name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
        if path.is_file() && !made_here {
            fs::copy(&path, out.join(&name)).at(&path)?;
        }
    }
    Ok(())
}

pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).at(path)?;
    serde_json::from_str(&text).map_err(|e| EngineError::input(format!("{}: {e}", path.display())))
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    Ok(fs::write(path, format!("{value:#}\n")).at(path)?)
}
