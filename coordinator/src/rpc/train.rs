//! From recipe files to plans: every check that can be made before anything is queued.

use crate::core::{Artifact, Core, FactorKey, Factors, Index, MemoryPart, Plan};
use tonic::Status;
use vertigo::bytes::Bytes;
use vertigo::estimate::{Engine, bytes_written, estimate, fit};
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

/// A recipe, read, with its base.
pub(super) struct Checked {
    recipe: Recipe,
    yaml: String,
    base: Base,
}

/// What a recipe trains.
pub(super) enum Base {
    /// An artifact.
    Imported(Input, Box<Shape>),
    /// A model that the built-in table knows and that is not imported.
    Named(Box<Shape>, bool),
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
    let parse = |file: &RecipeFile| Recipe::parse(&file.name, &file.yaml).map(|recipe| (recipe, file.yaml.clone()));
    files.iter().map(|file| parse(file).map_err(|error| Status::invalid_argument(error.to_string()))).collect()
}

/// Finds each recipe's base and checks that the recipe can train it.
pub(super) fn check(core: &Core, recipes: Vec<(Recipe, String)>, bases: Bases) -> Result<Vec<Checked>, Status> {
    let check = |(recipe, yaml): (Recipe, String)| {
        let base = base(core, &recipe, bases)?;
        let refused = |error: vertigo::estimate::FitError| Status::invalid_argument(error.to_string());
        match &base {
            // The table's mixtures of experts are planned for only.
            Base::Named(shape, _) if shape.experts.is_some() => {}
            Base::Imported(_, shape) | Base::Named(shape, _) => drop(fit(shape, &recipe).map_err(refused)?),
        }
        Ok(Checked { recipe, yaml, base })
    };
    recipes.into_iter().map(check).collect()
}

fn base(core: &Core, recipe: &Recipe, bases: Bases) -> Result<Base, Status> {
    let (name, model) = (&recipe.name, &recipe.model);
    let Some((digest, artifact)) = find(core, model)? else {
        let named = Shape::named(model).filter(|_| bases == Bases::OrNamed);
        return named.map(|known| Base::Named(Box::new(known.shape), known.confirmed)).ok_or_else(|| {
            let near = near(core.index(), Kind::Base, model);
            let import = format!("import it with `vertigo base import {model} DIR`");
            Status::not_found(format!("recipe `{name}`: base `{model}` is not imported; {import}{near}"))
        });
    };
    if artifact.manifest.kind() != Kind::Base {
        let kind = artifact.manifest.kind();
        return Err(Status::invalid_argument(format!(
            "recipe `{name}`: `{model}` is no base but an artifact of kind {kind}"
        )));
    }
    let config = artifact.manifest.fact("config").unwrap_or(&serde_json::Value::Null);
    let shape = Shape::from_config(config).map_err(|error| {
        Status::invalid_argument(format!("recipe `{name}`: the config.json of base `{model}`: {error}"))
    })?;
    Ok(Base::Imported(Input { digest, bytes: artifact.manifest.bytes() }, Box::new(shape)))
}

/// The dataset that a request names.
pub(super) fn data(core: &Core, reference: &str) -> Result<Input, Status> {
    if reference.is_empty() {
        return Err(Status::invalid_argument("no dataset: name one with --data"));
    }
    let Some((digest, artifact)) = find(core, reference)? else {
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
    Index::check_tag(name).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let tagged = core.index().tagged(name).and_then(|digest| core.index().get(&digest));
    match tagged.map(|artifact| artifact.manifest.kind()) {
        None | Some(Kind::Adapter) => Ok(()),
        Some(kind) => {
            Err(Status::invalid_argument(format!("`{name}` names an artifact of kind {kind}; choose another --name")))
        }
    }
}

/// An artifact by tag, digest, or a prefix of it.
fn find<'a>(core: &'a Core, reference: &str) -> Result<Option<(Digest, &'a Artifact)>, Status> {
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
    /// The recipe's name where its base's sizes are guessed.
    pub(super) fn unconfirmed(&self) -> Option<&str> {
        matches!(self.base, Base::Named(_, false)).then_some(self.recipe.model.as_str())
    }

    /// The plan, with its memory predicted by what finished attempts have taught.
    pub(super) fn plan(self, factors: &Factors) -> Plan {
        // A base that is not imported has no digest. Its plan is shown and never run.
        let (input, shape) = match self.base {
            Base::Imported(input, shape) => (input, shape),
            Base::Named(shape, _) => {
                (Input { digest: Digest::of(self.recipe.model.as_bytes()), bytes: shape.weight_bytes() }, shape)
            }
        };
        let method = self.recipe.method_name(shape.quantization.is_some());
        let parts = estimate(&shape, &self.recipe, Engine::Vertigo).parts;
        let key = FactorKey { method, engine: vertigo::VERSION.to_owned() };
        Plan {
            factor: factors.factor(&key),
            disk: bytes_written(&shape, &self.recipe),
            recipe: self.recipe.name,
            yaml: self.yaml,
            model: self.recipe.model,
            base: input.digest,
            base_bytes: input.bytes,
            method: key.method,
            engine: key.engine,
            parts: parts.iter().map(|part| MemoryPart { name: part.name.to_owned(), bytes: part.bytes }).collect(),
            raised: None,
            resume: None,
        }
    }
}
