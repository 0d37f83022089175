//! From recipe files to plans: every check that can be made before anything is queued.
//!
//! In three steps, since the writer's thread serves everybody and an estimate takes time: [`find`] asks the state what the recipes
//! name; [`check`] reads shapes, fits and estimates, beside the writer and without the state; [`Checked::plan`] asks the state
//! again, for what finished attempts have taught by then. Artifacts are immutable and stay, so what was found still holds.

use super::bounds::{self, invalid};
use crate::core::{Artifact, Core, FactorKey, Factors, Index, MemoryPart, Plan};
use serde_json::Value;
use tonic::Status;
use vertigo::bytes::Bytes;
use vertigo::estimate::{Engine, Part, bytes_written, estimate, fit};
use vertigo::id::Digest;
use vertigo::manifest::Kind;
use vertigo::recipe::Recipe;
use vertigo::shape::Shape;
use vertigo::v1::RecipeFile;

/// An artifact that a request names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
}

/// A recipe, read, and what its base's name stands for.
pub(super) struct Found {
    recipe: Recipe,
    yaml: String,
    base: Base,
}

/// What a recipe trains.
enum Base {
    /// An artifact, and what its manifest has for a `config.json`.
    Imported(Input, Value),
    /// Nothing that is imported. The built-in table may know it; if not, this is the answer.
    Absent(Status),
}

/// A recipe that can train its base, with the memory that it needs.
pub(super) struct Checked {
    recipe: Recipe,
    yaml: String,
    /// The base, where it is imported.
    pub(super) input: Option<Input>,
    /// Bytes of the base.
    base_bytes: Bytes,
    /// Whether the base's sizes are read from a config.json.
    confirmed: bool,
    method: String,
    parts: Vec<MemoryPart>,
    /// What a run writes on its worker's disk.
    disk: Bytes,
}

/// Whether a base has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bases {
    /// To run.
    Imported,
    /// To plan: the built-in table will do.
    OrNamed,
}

/// Reads the files.
pub(super) fn read(files: &[RecipeFile]) -> Result<Vec<(Recipe, String)>, Status> {
    if files.is_empty() {
        return Err(Status::invalid_argument("no recipe: name at least one"));
    }
    let parse = |file: &RecipeFile| {
        let recipe = Recipe::parse(&file.name, &file.yaml).map_err(invalid)?;
        bounds::recipe(&recipe)?;
        Ok((recipe, file.yaml.clone()))
    };
    files.iter().map(parse).collect()
}

/// Finds each recipe's base.
pub(super) fn find(core: &Core, recipes: Vec<(Recipe, String)>) -> Result<Vec<Found>, Status> {
    let find = |(recipe, yaml): (Recipe, String)| Ok(Found { base: base(core, &recipe)?, recipe, yaml });
    recipes.into_iter().map(find).collect()
}

fn base(core: &Core, recipe: &Recipe) -> Result<Base, Status> {
    let (name, model) = (&recipe.name, &recipe.model);
    let Some((digest, artifact)) = resolve(core, model)? else {
        let near = near(core.index(), Kind::Base, model);
        let import = format!("import it with `vertigo base import {model} DIR`");
        let absent = format!("recipe `{name}`: base `{model}` is not imported; {import}{near}");
        return Ok(Base::Absent(Status::not_found(absent)));
    };
    if artifact.manifest.kind() != Kind::Base {
        let kind = artifact.manifest.kind();
        return Err(Status::invalid_argument(format!(
            "recipe `{name}`: `{model}` is no base but an artifact of kind {kind}"
        )));
    }
    let config = artifact.manifest.fact("config").cloned().unwrap_or(Value::Null);
    Ok(Base::Imported(Input { digest, bytes: artifact.manifest.bytes() }, config))
}

/// Checks that each recipe can train its base, and estimates what that takes, on a thread that nobody waits for.
pub(super) async fn check(found: Vec<Found>, bases: Bases) -> Result<Vec<Checked>, Status> {
    let check = move || found.into_iter().map(|found| check_one(found, bases)).collect();
    tokio::task::spawn_blocking(check).await.map_err(|error| Status::internal(error.to_string()))?
}

fn check_one(Found { recipe, yaml, base }: Found, bases: Bases) -> Result<Checked, Status> {
    let (input, shape, confirmed) = match base {
        Base::Imported(input, config) => (Some(input), shape(&recipe, &config)?, true),
        Base::Absent(absent) => match Shape::named(&recipe.model).filter(|_| bases == Bases::OrNamed) {
            Some(known) => (None, known.shape, known.confirmed),
            None => return Err(absent),
        },
    };
    // The table's mixtures of experts are planned for only.
    if input.is_some() || shape.experts.is_none() {
        fit(&shape, &recipe).map_err(invalid)?;
    }
    let part = |part: &Part| MemoryPart { name: part.name.to_owned(), bytes: part.bytes };
    let parts = estimate(&shape, &recipe, Engine::Vertigo).parts.iter().map(part).collect();
    let base_bytes = input.map_or_else(|| shape.weight_bytes(), |input| input.bytes);
    let method = recipe.method_name(shape.quantization.is_some());
    let disk = bytes_written(&shape, &recipe);
    Ok(Checked { recipe, yaml, input, base_bytes, confirmed, method, parts, disk })
}

fn shape(recipe: &Recipe, config: &Value) -> Result<Shape, Status> {
    let Recipe { name, model, .. } = recipe;
    Shape::from_config(config)
        .map_err(|error| invalid(format!("recipe `{name}`: the config.json of base `{model}`: {error}")))
}

/// The dataset that a request names.
pub(super) fn data(core: &Core, reference: &str) -> Result<Input, Status> {
    if reference.is_empty() {
        return Err(Status::invalid_argument("no dataset: name one with --data"));
    }
    let Some((digest, artifact)) = resolve(core, reference)? else {
        let near = near(core.index(), Kind::Dataset, reference);
        let import = format!("import it with `vertigo data import {reference} DIR`");
        return Err(Status::not_found(format!("dataset `{reference}` is not imported; {import}{near}")));
    };
    match artifact.manifest.kind() {
        Kind::Dataset => Ok(Input { digest, bytes: artifact.manifest.bytes() }),
        kind => Err(Status::invalid_argument(format!("`{reference}` is no dataset but an artifact of kind {kind}"))),
    }
}

/// Refuses a name that its output's tag cannot have, or that names something that training must not replace.
pub(super) fn check_name(core: &Core, name: &str) -> Result<(), Status> {
    Index::check_tag(name).map_err(invalid)?;
    let tagged = core.index().tagged(name).and_then(|digest| core.index().get(&digest));
    match tagged.map(|artifact| artifact.manifest.kind()) {
        None | Some(Kind::Adapter) => Ok(()),
        Some(kind) => {
            Err(Status::invalid_argument(format!("`{name}` names an artifact of kind {kind}; choose another --name")))
        }
    }
}

/// An artifact by tag, digest, or a prefix of it.
fn resolve<'a>(core: &'a Core, reference: &str) -> Result<Option<(Digest, &'a Artifact)>, Status> {
    match core.index().resolve(reference)[..] {
        [] => Ok(None),
        [digest] => Ok(core.index().get(&digest).map(|artifact| (digest, artifact))),
        _ => Err(Status::invalid_argument(format!(
            "`{reference}` is the beginning of several digests: write more of it"
        ))),
    }
}

fn near(index: &Index, kind: Kind, reference: &str) -> String {
    match index.near_tags(kind, reference)[..] {
        [] => String::new(),
        ref near => format!(" (did you mean `{}`?)", near.join("` or `")),
    }
}

impl Checked {
    /// The base's name where its sizes are guessed.
    pub(super) fn unconfirmed(&self) -> Option<&str> {
        (!self.confirmed).then_some(self.recipe.model.as_str())
    }

    /// The plan, with its memory predicted by what finished attempts have taught.
    pub(super) fn plan(self, factors: &Factors) -> Plan {
        let key = FactorKey { method: self.method, engine: vertigo::VERSION.to_owned() };
        Plan {
            factor: factors.factor(&key),
            // A base that is not imported has no digest. Its plan is shown and never run.
            base: self.input.map_or_else(|| Digest::of(self.recipe.model.as_bytes()), |input| input.digest),
            base_bytes: self.base_bytes,
            disk: self.disk,
            recipe: self.recipe.name,
            yaml: self.yaml,
            model: self.recipe.model,
            method: key.method,
            engine: key.engine,
            parts: self.parts,
            raised: None,
            resume: None,
            caveats: None,
        }
    }
}

#[cfg(test)]
mod tests;
