//! All that a run needs to go on bit for bit: weights, optimizer, half-made gradients, data cursor, counters.
//!
//! Random draws need no state: shuffling, dropout and first values come from the seed and the iteration.
//!
//! `adapters.safetensors` has the weights as the forward pass uses them. Where these are of 16 bits, `optimizer.safetensors` has the
//! other half of what was learned, beside the moments. `best.safetensors` has the weights of the best validation so far, so that a run
//! that goes on after that ends with the same ones; checkpoints share the file until there is a better one.
//!
//! Promise: a checkpoint's folder is complete and on the disk, or not there. It says which run it is of, by which engine and MLX, and no
//! other run goes on from it.

use crate::adapter;
use crate::batch::Cursor;
use crate::device::mlx_version;
use crate::error::{EngineError, Result};
use crate::folder::{take_file, whole};
use crate::master::low_dtype;
use crate::model::{Model, Parameters};
use crate::optimizer::Adam;
use crate::training_data::TrainingData;
use mlx_rs::Dtype;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use vertigo::files::AtPath;
use vertigo::id::Digest;
use vertigo_model::recipe::Recipe;

/// What makes two runs the same run: only where all of this is equal does a checkpoint lead to the bits of a run that never stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// The base: its artifact's digest where whoever loaded it knew that, else the digest of its shape, because its weights are gigabytes.
    pub base: String,
    /// Digest of the recipe, but for its name.
    pub recipe: String,
    /// Digest of the tokens.
    pub data: String,
    /// MLX's version.
    pub mlx: String,
    /// The engine's version.
    pub engine: String,
}

impl Identity {
    /// Of a run of `recipe` on `data` from `model`, by this engine.
    ///
    /// # Errors
    /// MLX's.
    pub fn new(model: &Model, recipe: &Recipe, data: &TrainingData) -> Result<Identity> {
        let recipe = Recipe { name: String::new(), ..recipe.clone() };
        let base = model.digest().map_or_else(|| digest(model.shape()), |digest| digest.to_string());
        Ok(Identity {
            base,
            recipe: digest(&recipe),
            data: data.digest().to_string(),
            mlx: mlx_version()?,
            engine: vertigo::VERSION.to_owned(),
        })
    }

    /// How this run, of which there is a checkpoint, differs from `other`, which wants to go on from it.
    fn differs(&self, other: &Identity) -> Option<String> {
        let parts = [
            ("base", &self.base, &other.base),
            ("recipe", &self.recipe, &other.recipe),
            ("dataset", &self.data, &other.data),
            ("version of MLX", &self.mlx, &other.mlx),
            ("version of the engine", &self.engine, &other.engine),
        ];
        let (what, of_checkpoint, of_run) = parts.into_iter().find(|(_, one, another)| one != another)?;
        let said = if of_checkpoint.is_empty() { "none that it names" } else { of_checkpoint };
        Some(format!("it is of another {what}: {said}, and this run's is {of_run}"))
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
    pub grad_norm: f64,
    /// Validation loss before the first iteration.
    pub validation_before: Option<f64>,
    /// Loss of the newest validation.
    pub newest_validation: Option<f64>,
    /// The best validation so far, from the first iteration on.
    pub best: Option<Best>,
}

/// The validation of the lowest loss so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Mean loss of a token.
    pub loss: f64,
    /// Iterations done by then.
    pub iter: u64,
    /// Validations since, of which none was better.
    pub since: u64,
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
    /// The file of the weights of the best validation: in f32, with all that was learned. They are not in memory.
    pub best: Option<PathBuf>,
}

const PROGRESS: &str = "progress.json";
const STATE: &str = "optimizer.safetensors";
const BEST: &str = "best.safetensors";

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
        ];
        for (prefix, arrays) in groups {
            let named = arrays.into_iter().flatten().map(|(name, x)| (format!("{prefix}{name}"), x.clone()));
            state.extend(named);
        }
        let text = serde_json::to_string_pretty(&self.progress).map_err(|e| EngineError::input(e.to_string()))?;
        whole(folder, |folder| {
            adapter::write(folder, &self.parameters, recipe)?;
            adapter::save_arrays(&folder.join(STATE), &state)?;
            if let Some(best) = &self.best {
                take_file(best, &folder.join(BEST))?;
            }
            let path = folder.join(PROGRESS);
            Ok(fs::write(&path, &text).at(&path)?)
        })
    }

    /// That this is a checkpoint of the run `identity`, which trains the parameters `initial`; says what differs.
    pub(crate) fn check(&self, identity: &Identity, initial: &Parameters) -> std::result::Result<(), String> {
        if let Some(difference) = self.progress.identity.differs(identity) {
            return Err(difference);
        }
        // Their header alone is read here.
        let best = self.best.as_ref().map(|file| adapter::load_arrays(file)).transpose().map_err(|e| e.to_string())?;
        if best.is_some() != self.progress.best.is_some() {
            return Err(format!("`{BEST}` is {}", if best.is_some() { "of no validation" } else { "missing" }));
        }
        for (name, x) in initial {
            let low = low_dtype(x.dtype()).map(|dtype| ("low.", Some(&self.adam.low), dtype));
            let groups = [
                ("", Some(&self.parameters), x.dtype()),
                ("m.", Some(&self.adam.m), Dtype::Float32),
                ("v.", Some(&self.adam.v), Dtype::Float32),
                ("g.", self.accumulated.as_ref(), x.dtype()),
                ("best.", best.as_ref(), Dtype::Float32),
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
        let best = folder.join(BEST);
        Ok(Checkpoint {
            adam: Adam { m: group("m."), v: group("v."), low: group("low."), step: progress.optimizer_step },
            parameters,
            accumulated: Some(group("g.")).filter(|arrays| !arrays.is_empty()),
            best: best.exists().then_some(best),
            progress,
        })
    }
}
