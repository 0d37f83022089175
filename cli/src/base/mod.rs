//! Folders of base models: checked before they go up, or made, small and with random weights.

mod folder;
mod language;
mod preset;
mod tokenizer;
mod weights;

pub(crate) use folder::{BaseFolder, read_config};

use crate::cli::NewBaseArgs;
use crate::error::{CliError, Result};
use std::fs;
use std::path::Path;
use vertigo_model::dataset::Dataset;
use vertigo_model::shape::Shape;

/// Makes a smoke base in `dir`, with a tokenizer that is trained on `dataset`.
pub(crate) fn write_base(dir: &Path, args: &NewBaseArgs, dataset: &Dataset) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| CliError::refused(format!("cannot write {}: {e}", dir.display()));
    fs::create_dir_all(dir).map_err(|e| failed(&e))?;
    let tokenizer = tokenizer::train(dataset, preset::VOCABULARY as usize).map_err(|e| failed(&e))?;
    let config = preset::config(args.preset, args.dtype, args.bits.as_deref(), &tokenizer);
    let shape = Shape::from_config(&config).map_err(|e| failed(&e))?;
    tokenizer.write(dir).map_err(|e| failed(&e))?;
    weights::write(&dir.join("model.safetensors"), &shape, args.seed).map_err(|e| failed(&e))?;
    fs::write(dir.join("config.json"), format!("{config:#}\n")).map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests;
