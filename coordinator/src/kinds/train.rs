//! The kind `train`: an adapter by a recipe.

use super::inputs::{missing, resolve};
use super::{Appraised, Findings, KindError, Purpose, added, given, parts};
use crate::core::{Core, Found, Input};
use serde_json::Value;
use vertigo::bounds::REFERENCE_BYTES_MAX;
use vertigo::manifest::Manifest;
use vertigo::task::{Slot, TaskKind, role};
use vertigo::v1;
use vertigo_model::estimate::{Engine, bytes_written, estimate, fit};
use vertigo_model::recipe::Recipe;
use vertigo_model::shape::Shape;

/// What a recipe asks for.
#[derive(Debug, Clone)]
pub(crate) struct Train {
    recipe: Recipe,
}

/// A recipe and what its base's name stands for.
#[derive(Debug)]
pub(crate) struct Appraisal {
    recipe: Recipe,
    base: Base,
}

/// What a recipe trains.
#[derive(Debug)]
enum Base {
    /// An artifact: what its manifest has for a `config.json`.
    Imported(Value),
    /// Nothing that is imported, but a name that the built-in table may know; if not, this is the answer.
    Named(KindError),
}

impl Train {
    pub(super) fn read(task: &v1::Train) -> Result<Train, KindError> {
        let recipe = Recipe::parse(&task.recipe, &task.yaml).map_err(|error| KindError::Invalid(error.to_string()))?;
        // Lists show it.
        let (name, bytes) = (&recipe.name, recipe.model.len());
        if bytes > REFERENCE_BYTES_MAX {
            let long = format!("recipe `{name}`: model has {bytes} bytes, and at most {REFERENCE_BYTES_MAX} are taken");
            return Err(KindError::Invalid(long));
        }
        Ok(Train { recipe })
    }

    pub(super) fn model(&self) -> &str {
        &self.recipe.model
    }

    pub(super) fn find(&self, core: &Core, inputs: &[Input], purpose: Purpose) -> Result<Findings, KindError> {
        let Recipe { name, model, .. } = &self.recipe;
        if inputs.iter().any(|input| input.role == role::BASE && input.artifact.is_none()) {
            // Another job makes it.
            return Ok(Findings::default());
        }
        let (base, new) = match given(inputs, role::BASE) {
            Some(found) => (imported(core, found), None),
            None => match resolve(core, model)? {
                Some((digest, artifact)) => {
                    check_kind(name, model, &artifact.manifest)?;
                    let found = Found { digest, bytes: artifact.manifest.bytes() };
                    (imported(core, found), Some(added(role::BASE, found)))
                }
                None => {
                    let absent = missing(core, TaskKind::Train, role::BASE, model);
                    let absent = absent.of(&format!("recipe `{name}`"));
                    if purpose == Purpose::Run {
                        return Err(absent);
                    }
                    (Base::Named(absent), None)
                }
            },
        };
        let appraisal = super::Appraisal::Train(Box::new(Appraisal { recipe: self.recipe.clone(), base }));
        Ok(Findings { added: new.into_iter().collect(), appraisal: Some(appraisal) })
    }
}

fn imported(core: &Core, found: Found) -> Base {
    let config = core.manifest(&found.digest).and_then(|manifest| manifest.fact("config"));
    Base::Imported(config.cloned().unwrap_or(Value::Null))
}

fn check_kind(recipe: &str, model: &str, manifest: &Manifest) -> Result<(), KindError> {
    let kind = manifest.kind();
    match TaskKind::Train.input(role::BASE) {
        Some(base) if !base.takes.contains(&kind) => {
            Err(KindError::Invalid(format!("recipe `{recipe}`: `{model}` is no base but an artifact of kind {kind}")))
        }
        _ => Ok(()),
    }
}

impl Appraisal {
    pub(super) fn appraise(self) -> Result<Appraised, KindError> {
        let Appraisal { recipe, base } = self;
        let (shape, is_imported, is_confirmed) = match base {
            Base::Imported(config) => (shape(&recipe, &config)?, true, true),
            Base::Named(absent) => match Shape::named(&recipe.model) {
                Some(known) => (known.shape, false, known.confirmed),
                None => return Err(absent),
            },
        };
        // The table's mixtures of experts are planned for only.
        if is_imported || shape.experts.is_none() {
            fit(&shape, &recipe).map_err(|error| KindError::Invalid(error.to_string()))?;
        }
        Ok(Appraised {
            method: recipe.method_name(shape.quantization.is_some()),
            parts: parts(&estimate(&shape, &recipe, Engine::Vertigo)),
            disk: bytes_written(&shape, &recipe),
            slot: Slot::Gpu,
            guessed: (!is_confirmed).then_some(recipe.model),
        })
    }
}

fn shape(recipe: &Recipe, config: &Value) -> Result<Shape, KindError> {
    let Recipe { name, model, .. } = recipe;
    let told = |problem| KindError::Invalid(format!("recipe `{name}`: the config.json of base `{model}`: {problem}"));
    Shape::from_config(config).map_err(|error| told(error.to_string()))
}
