//! A fused model in the fewest bits that keep what its adapter has learned: tries one width after the other, measures each, and takes the
//! first that does.
//!
//! Promises:
//! - Every try is a whole model, measured on held-out data as it will be used; the last is taken whatever it keeps, and says what that is.
//! - One model is on the disk at a time.
//! - Rounding is calibrated on the training split, so that what is held out judges what it had no part in.

use crate::EngineError;
use crate::error::Result;
use crate::fuse::{Fused, Options, Rounding, Width, fuse, read_json};
use crate::measure::{Kept, holds_out, measure};
use std::fs;
use std::path::Path;
use vertigo::files::AtPath;
use vertigo::task::Bits;
use vertigo_model::fusing::tries;
use vertigo_model::shape::Shape;

/// What to make a model of, and where.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// The base.
    pub base: &'a Path,
    /// The adapter.
    pub adapter: &'a Path,
    /// The dataset to calibrate rounding by and to measure on; `None` where nothing is measured.
    pub data: Option<&'a Path>,
    /// The fused model's.
    pub out: &'a Path,
}

/// A model that was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Try {
    /// How its matrices are stored.
    pub width: Width,
    /// What was written.
    pub fused: Fused,
    /// What it kept; `None` where nothing could be measured.
    pub kept: Option<Kept>,
}

/// What is told on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Told {
    /// Bytes written of a model, and all that it has.
    Written(u64, u64),
    /// Held-out examples measured, and all that there are.
    Measured(u64, u64),
    /// A try has come to its end.
    Tried(Try),
}

/// Fuses in each width that `bits` allows until one keeps what the adapter has learned. All tries in their order; the last is the model in
/// `out`.
///
/// # Errors
/// Those of [`fuse`] and [`measure`].
pub fn fewest_bits(folders: Folders<'_>, bits: Bits, tell: &mut dyn FnMut(Told)) -> Result<Vec<Try>> {
    let Folders { base, adapter, data, out } = folders;
    let path = base.join("config.json");
    let invalid = |e: &dyn std::fmt::Display| EngineError::input(format!("{}: {e}", path.display()));
    let shape = Shape::from_config(&read_json(&path)?).map_err(|e| invalid(&e))?;
    let mut made: Vec<Try> = Vec::new();
    // Without what is held out there is no measurement to go by.
    let is_measured = data.map_or(Ok(false), |data| holds_out(base, adapter, data))?;
    for width in tries(bits, &shape, is_measured) {
        if !made.is_empty() {
            fs::remove_dir_all(out).at(out)?;
        }
        let rounding = data.map_or(Rounding::Nearest, |data| Rounding::Calibrated { data: data.to_owned() });
        let options = Options { width, rounding, ..Options::default() };
        let fused = fuse(base, adapter, out, &options, &mut |done, all| tell(Told::Written(done, all)))?;
        let mut measured = |done, all| tell(Told::Measured(done, all));
        let kept = data.map_or(Ok(None), |data| measure(base, adapter, out, data, &mut measured))?;
        let one = Try { width, fused, kept };
        tell(Told::Tried(one));
        made.push(one);
        if kept.is_none_or(|kept| kept.is_kept()) {
            break;
        }
    }
    Ok(made)
}
