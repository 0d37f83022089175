//! All that a run needs to go on bit for bit: weights, optimizer, half-made gradients, data cursor, counters.
//!
//! Random draws need no state: shuffling, dropout and first values come from the seed and the iteration.
//!
//! `adapters.safetensors` has the weights as the forward pass uses them. Where these are of 16 bits, `optimizer.safetensors` has the
//! other half of what was learned, beside the moments.
//!
//! Promise: a checkpoint's folder is complete and on the disk, or not there. It says which run it is of, and no other run goes on
//! from it.

use crate::adapter;
use crate::batch::Cursor;
use crate::error::{AtPath, EngineError, Result};
use crate::folder::whole;
use crate::master::{low_dtype, untrained};
use crate::model::Parameters;
use crate::optimizer::Adam;
use crate::trainer::TrainingData;
use mlx_rs::Dtype;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use vertigo::id::Digest;
use vertigo_model::recipe::Recipe;
use vertigo_model::shape::Shape;

/// What makes two runs the same run, as digests. Of the base only the shape goes in: its weights are gigabytes, and whoever hands out
/// bases by digest knows them already.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// Of the base's shape.
    pub base: String,
    /// Of the recipe, but for its name.
    pub recipe: String,
    /// Of the tokens.
    pub data: String,
}

impl Identity {
    /// Of a run of `recipe` on `data`.
    pub fn new(base: &Shape, recipe: &Recipe, data: &TrainingData) -> Identity {
        let recipe = Recipe { name: String::new(), ..recipe.clone() };
        Identity { base: digest(base), recipe: digest(&recipe), data: data.digest().to_string() }
    }
}

fn digest(plain: &impl Serialize) -> String {
    // Numbers, strings, and lists and structs of them: all of these have a JSON form.
    let json = serde_json::to_string(plain).expect("a shape and a recipe are plain data");
    Digest::of(json.as_bytes()).to_string()
}

/// The counters of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Which run this is.
    pub identity: Identity,
    /// Iterations done.
    pub iter: u64,
    /// Where in the data.
    pub cursor: Cursor,
    /// Optimizer steps taken.
    pub optimizer_step: u64,
    /// Tokens learned from.
    pub trained_tokens: u64,
    /// Tokens behind the gradients that wait for the next optimizer step.
    pub accumulated_tokens: u64,
    /// Sum of losses and tokens since the last report, so that a resumed run reports the same.
    pub report: (f64, u64),
    /// The gradient's norm at the newest optimizer step, which reports repeat until the next one; 0 before the first.
    #[serde(default)]
    pub grad_norm: f64,
    /// Validation loss before the first iteration.
    pub validation_before: Option<f64>,
    /// The best validation so far, and how many since were no better.
    pub best: Option<(f64, u64)>,
}

/// A run at one iteration.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The counters.
    pub progress: Progress,
    /// What is trained, as the forward pass uses it.
    pub parameters: Parameters,
    /// The optimizer.
    pub adam: Adam,
    /// Gradients that wait for the next optimizer step.
    pub accumulated: Option<Parameters>,
    /// The parameters of the best validation, where the recipe stops early: in f32, with all that was learned.
    pub best: Option<Parameters>,
}

const PROGRESS: &str = "progress.json";
const STATE: &str = "optimizer.safetensors";

impl Checkpoint {
    /// Writes the checkpoint's folder; one that is there already is replaced.
    ///
    /// # Errors
    /// [`EngineError::File`] where it cannot be written.
    pub fn save(&self, folder: &Path, recipe: &Recipe) -> Result<()> {
        let mut state = Parameters::new();
        let groups = [
            ("m.", Some(&self.adam.m)),
            ("v.", Some(&self.adam.v)),
            ("low.", Some(&self.adam.low)),
            ("g.", self.accumulated.as_ref()),
            ("best.", self.best.as_ref()),
        ];
        for (prefix, arrays) in groups {
            let named = arrays.into_iter().flatten().map(|(name, x)| (format!("{prefix}{name}"), x.clone()));
            state.extend(named);
        }
        let text = serde_json::to_string_pretty(&self.progress).map_err(|e| EngineError::input(e.to_string()))?;
        whole(folder, |folder| {
            adapter::write(folder, &self.parameters, recipe)?;
            adapter::save_arrays(&folder.join(STATE), &state)?;
            let path = folder.join(PROGRESS);
            fs::write(&path, &text).at(&path)
        })
    }

    /// That this is a checkpoint of the run `identity`, which trains the parameters `initial`; says what differs.
    pub(crate) fn check(&self, identity: &Identity, initial: &Parameters) -> std::result::Result<(), String> {
        let ours = &self.progress.identity;
        let parts = [
            ("base", &ours.base, &identity.base),
            ("recipe", &ours.recipe, &identity.recipe),
            ("dataset", &ours.data, &identity.data),
        ];
        for (what, of_checkpoint, of_run) in parts {
            if of_checkpoint != of_run {
                return Err(format!("it is of another {what}; start afresh, or resume with the {what} that made it"));
            }
        }
        for (name, x) in initial {
            let low = low_dtype(x.dtype()).map(|dtype| ("low.", Some(&self.adam.low), dtype));
            let groups = [
                ("", Some(&self.parameters), x.dtype()),
                ("m.", Some(&self.adam.m), Dtype::Float32),
                ("v.", Some(&self.adam.v), Dtype::Float32),
                ("g.", self.accumulated.as_ref(), x.dtype()),
                ("best.", self.best.as_ref(), Dtype::Float32),
            ];
            for (group, arrays, dtype) in groups.into_iter().chain(low) {
                let Some(arrays) = arrays else { continue };
                if arrays.get(name).is_none_or(|y| y.shape() != x.shape() || y.dtype() != dtype) {
                    return Err(format!("tensor `{group}{name}` is missing or not {dtype:?} {:?}", x.shape()));
                }
            }
        }
        match self.parameters.keys().find(|name| !initial.contains_key(*name)) {
            Some(name) => Err(format!("tensor `{name}` is not trained by this recipe")),
            None => Ok(()),
        }
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`EngineError::Input`] naming the file that is missing or broken.
    pub fn load(folder: &Path) -> Result<Checkpoint> {
        let path = folder.join(PROGRESS);
        let text = fs::read_to_string(&path).at(&path)?;
        let progress: Progress =
            serde_json::from_str(&text).map_err(|e| EngineError::input(format!("{}: {e}", path.display())))?;
        let state = adapter::load_arrays(&folder.join(STATE))?;
        let parameters = adapter::load(folder)?;
        let group = |prefix: &str| -> Parameters {
            let named = state.iter().filter_map(|(name, x)| Some((name.strip_prefix(prefix)?.to_owned(), x.clone())));
            named.collect()
        };
        let some = |arrays: Parameters| (!arrays.is_empty()).then_some(arrays);
        // Earlier engines kept moments and best weights in the weights' dtype, and no low parts: widened, they are what they were.
        let widened = |prefix: &str| -> Result<Parameters> {
            group(prefix).into_iter().map(|(name, x)| Ok((name, x.as_dtype(Dtype::Float32)?))).collect()
        };
        let low = some(group("low.")).map_or_else(|| untrained(&parameters), Ok)?;
        Ok(Checkpoint {
            adam: Adam { m: widened("m.")?, v: widened("v.")?, low, step: progress.optimizer_step },
            parameters,
            accumulated: some(group("g.")),
            best: some(widened("best.")?),
            progress,
        })
    }
}
