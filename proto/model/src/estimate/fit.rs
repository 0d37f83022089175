//! Whether a recipe can train a base at all.

use super::{adapted, trained_layers, trained_mixers};
use crate::recipe::{Layers, LoraParameters, Method, Recipe};
use crate::shape::{Mixer, Shape};
use vertigo::spelling::likeness;

/// Why a recipe cannot train a base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// The base is a mixture of experts.
    #[error(
        "recipe `{recipe}`: `{model}` is a mixture of experts, which Vertigo plans for but does not train yet; \
         name a dense base"
    )]
    Experts {
        /// The recipe's name.
        recipe: String,
        /// The base.
        model: String,
    },
    /// Full fine-tuning of packed weights.
    #[error(
        "recipe `{recipe}`: `{model}` is quantised, and fine_tune_type full needs weights that are not; \
         write lora, or name the base that is not quantised"
    )]
    FullOnQuantized {
        /// The recipe's name.
        recipe: String,
        /// The base.
        model: String,
    },
    /// A key that names no linear of the base.
    #[error("recipe `{recipe}`: key `{key}` names no linear of `{model}`; {}", hint(near.as_deref(), known))]
    UnknownKey {
        /// The recipe's name.
        recipe: String,
        /// The base.
        model: String,
        /// The key.
        key: String,
        /// The linear that is spelled most like it, if any is close.
        near: Option<String>,
        /// Every linear of the base.
        known: Vec<String>,
    },
    /// The keys are of layers that the recipe leaves alone.
    #[error(
        "recipe `{recipe}`: none of its keys is in the last {layers} layers of `{model}`, so nothing would be trained; \
         raise num_layers or add keys"
    )]
    NothingTrained {
        /// The recipe's name.
        recipe: String,
        /// The base.
        model: String,
        /// How many layers the recipe trains.
        layers: u64,
    },
}

fn hint(near: Option<&str>, known: &[String]) -> String {
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", known.join(", ")),
    }
}

/// Checks that `recipe` can train a base of `shape`; gives what a person should know before it does ([`notes`]).
///
/// # Errors
/// Says what keeps the two apart, and what to write instead.
pub fn fit(shape: &Shape, recipe: &Recipe) -> Result<Vec<String>, FitError> {
    let (name, model) = (recipe.name.clone(), recipe.model.clone());
    if shape.experts.is_some() {
        return Err(FitError::Experts { recipe: name, model });
    }
    match &recipe.method {
        Method::Full if shape.quantization.is_some() => return Err(FitError::FullOnQuantized { recipe: name, model }),
        Method::Full => {}
        Method::Lora(lora) => {
            if let Some(key) = foreign_keys(shape, lora).next() {
                let known: Vec<String> = shape.linear_paths().into_iter().map(str::to_owned).collect();
                let near = nearest(key, &known);
                return Err(FitError::UnknownKey { recipe: name, model, key: key.to_owned(), near, known });
            }
            let layers = trained_layers(shape, recipe);
            if trained_mixers(shape, recipe).iter().all(|&mixer| adapted(shape, recipe, mixer).is_empty()) {
                return Err(FitError::NothingTrained { recipe: name, model, layers: layers.end - layers.start });
            }
        }
    }
    Ok(notes(shape, recipe))
}

/// What a person should know about `recipe` on a base of `shape` that does not keep it from running. Each is one line.
///
/// For a base that [`fit`] refuses, too: plans are made for mixtures of experts, whose linears have other names.
pub fn notes(shape: &Shape, recipe: &Recipe) -> Vec<String> {
    let mut notes = Vec::new();
    if let Layers::Last(n) = recipe.layers
        && n > shape.layers
    {
        notes.push(format!("num_layers is {n}; the base has {}, and all are trained", shape.layers));
    }
    if let Method::Lora(lora) = &recipe.method {
        notes.extend(
            foreign_keys(shape, lora).map(|key| format!("key `{key}` names no linear of this base and adapts nothing")),
        );
        notes.extend(unreached_keys(shape, recipe, lora));
    }
    notes
}

/// Keys that name no linear of any layer.
fn foreign_keys<'a>(shape: &Shape, lora: &'a LoraParameters) -> impl Iterator<Item = &'a str> {
    let known = shape.linear_paths();
    lora.keys.iter().flatten().map(String::as_str).filter(move |key| !known.contains(key))
}

/// Keys that name a linear, but of no layer that is trained.
fn unreached_keys<'a>(
    shape: &Shape,
    recipe: &Recipe,
    lora: &'a LoraParameters,
) -> impl Iterator<Item = String> + use<'a> {
    let layers = trained_layers(shape, recipe);
    let count = layers.end - layers.start;
    let paths = |mixers: &[Mixer]| -> Vec<&'static str> {
        mixers.iter().flat_map(|&mixer| shape.linears(mixer)).map(|linear| linear.path).collect()
    };
    let all = paths(&[Mixer::Full, Mixer::Linear]);
    let trained = paths(&trained_mixers(shape, recipe));
    let unreached = move |key: &&String| all.contains(&key.as_str()) && !trained.contains(&key.as_str());
    let note = move |key: &String| format!("key `{key}` is in none of the last {count} layers and adapts nothing");
    lora.keys.iter().flatten().filter(unreached).map(note)
}

/// The linear that `key` was most likely meant to name.
fn nearest(key: &str, known: &[String]) -> Option<String> {
    let likely = |path: &str| {
        // People leave the module out, or write another model's.
        let name = |path: &str| path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        likeness(key, path).max(likeness(&name(key), &name(path)) - 0.01)
    };
    let best = known.iter().max_by(|a, b| likely(a).total_cmp(&likely(b)))?;
    (likely(best) > 0.8).then(|| best.clone())
}
