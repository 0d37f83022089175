//! What answers: a base, a fused model, or an adapter over the base that it knows by the facts of its manifest.

use super::inputs::trained_with;
use super::{KindError, added, given};
use crate::core::{Core, Found, Input};
use serde_json::Value;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::Kind;
use vertigo::task::{TaskKind, role};
use vertigo_model::estimate::Rank;
use vertigo_model::shape::Shape;

/// The model to load for what is named in the first of `roles`, and the bytes of an adapter over it. A base that nobody named in the
/// second is added. `None` for as long as an input is not there yet.
pub(super) fn over(
    core: &Core,
    kind: TaskKind,
    inputs: &[Input],
    (model_role, base_role): &(String, String),
    new: &mut Vec<Input>,
) -> Result<Option<(Found, Bytes)>, KindError> {
    let named = |role: &str| inputs.iter().find(|input| input.role == role);
    let Some(input) = named(model_role) else {
        return Err(KindError::Invalid(format!("no `{model_role}`: each model that answers is an input")));
    };
    let Some(model) = input.artifact else { return Ok(None) };
    let gone = || KindError::Missing { message: format!("`{model_role}` is not there"), hint: None };
    let manifest = core.manifest(&model.digest).ok_or_else(gone)?;
    if manifest.kind() != Kind::Adapter {
        return match named(base_role) {
            None => Ok(Some((model, Bytes::ZERO))),
            Some(_) => Err(KindError::Invalid(format!(
                "`{model_role}` is a {} and no adapter, so there is nothing to put over a base",
                manifest.kind()
            ))),
        };
    }
    if manifest.fact("rank").and_then(Value::as_str).and_then(Rank::parse) == Some(Rank::Full) {
        return Err(KindError::Invalid(format!(
            "`{model_role}` is an adapter of whole matrices, which replaces its base: fuse it with `vertigo fuse`, and {kind} the model"
        )));
    }
    let base = match named(base_role) {
        Some(input) => match given(inputs, &input.role) {
            Some(base) => base,
            None => return Ok(None),
        },
        None => {
            let takes = kind.input(base_role).map_or(&[][..], |input| input.takes);
            let base = trained_with(core, (&model.digest, manifest), role::BASE, takes, "`BASE@ADAPTER`")?;
            new.push(added(base_role, base));
            base
        }
    };
    Ok(Some((base, model.bytes)))
}

/// What a model's manifest has for a `config.json`; null where it has none.
pub(super) fn config(core: &Core, model: Found) -> Value {
    core.manifest(&model.digest).and_then(|manifest| manifest.fact("config")).cloned().unwrap_or(Value::Null)
}

/// The shape of a model that the engine runs.
pub(super) fn shape(model: &Digest, config: &Value) -> Result<Shape, KindError> {
    let told = |problem| KindError::Invalid(format!("the config.json of {}: {problem}", model.short()));
    let shape = Shape::from_config(config).map_err(|error| told(error.to_string()))?;
    match shape.experts {
        Some(_) => Err(told("mixtures of experts are planned for only; the engine runs dense models".to_owned())),
        None => Ok(shape),
    }
}
