//! The kind `train`: an adapter by a recipe.

use super::{Done, Event, Gate, Order, Product, Spec, facts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::info_span;
use vertigo::id::Digest;
use vertigo::task::role;
use vertigo_engine::{
    Adapter, EngineError, Event as Said, Model, Outcome, RunFolder, Trainer, Wish, Written, device, training_data,
};
use vertigo_model::estimate::Rank;
use vertigo_model::recipe::{Method, Recipe};
use vertigo_telemetry::child_of;

/// Trains as the recipe says. Told to leave, it ends between two iterations with a checkpoint and without an adapter.
///
/// # Errors
/// The engine's.
pub fn run(
    spec: &Spec,
    name: &str,
    yaml: &str,
    gate: Arc<Gate>,
    parent: Option<&str>,
    say: &mut dyn FnMut(Event),
) -> Result<(), EngineError> {
    let recipe = Recipe::parse(name, yaml).map_err(|e| EngineError::Input(e.to_string()))?;
    let load =
        |run_folder| child_of(info_span!("load", recipe = name), parent).in_scope(|| begin(spec, &recipe, run_folder));
    let fresh = || RunFolder::fresh(&spec.out);
    let trainer = match &spec.checkpoint {
        None => load(fresh())?,
        Some(checkpoint) => match load(RunFolder::resumed(&spec.out, checkpoint)) {
            Err(refused @ EngineError::Checkpoint { .. }) => {
                // It would be refused each time; and the same run gives the same bits without it.
                warn(format!("the run begins anew: {refused}"), say);
                load(fresh())?
            }
            begun => begun?,
        },
    };
    child_of(info_span!("train", recipe = name), parent).in_scope(|| {
        let mut telling =
            Telling { spec, recipe: &recipe, yaml, iters: 0, weights_sum: None, mlx: device::mlx_version()? };
        let heeding = trainer.heeding(move || match gate.pass() {
            Order::Leave => Wish::Leave,
            Order::GoOn | Order::Pause => Wish::GoOn,
        });
        for said in heeding {
            match telling.event(said?) {
                Event::Warning { text } => warn(text, say),
                event => say(event),
            }
        }
        Ok(())
    })
}

/// Says what a person should know of, into the log as well, beside what came before and after.
fn warn(text: String, say: &mut dyn FnMut(Event)) {
    tracing::warn!("{text}");
    say(Event::Warning { text });
}

/// Reads what the run needs.
fn begin(spec: &Spec, recipe: &Recipe, run_folder: RunFolder) -> Result<Trainer, EngineError> {
    let (base, data) = (spec.input(role::BASE)?, spec.input(role::DATA)?);
    let data = training_data(&base.folder, &data.folder, recipe)?;
    for remark in data.remarks(recipe) {
        // No warning: a crash's last words are looked for among those.
        tracing::info!("data: {remark}");
    }
    let model = Model::load(&base.folder)?.of_digest(base.digest);
    tracing::info!(base = %base.folder.display(), parameters = model.shape().parameters(), "loaded");
    Trainer::new(model, data, recipe.clone(), run_folder)
}

/// The engine's events as the worker's. Remembers what is said once.
struct Telling<'a> {
    spec: &'a Spec,
    recipe: &'a Recipe,
    yaml: &'a str,
    iters: u64,
    weights_sum: Option<f64>,
    mlx: String,
}

impl Telling<'_> {
    fn event(&mut self, said: Said) -> Event {
        match said {
            Said::Started {
                trainable_parameters,
                train_examples,
                weights_sum,
                valid_examples,
                skipped_examples,
                caveats,
                resumed_at,
                iters,
            } => {
                self.iters = iters;
                self.weights_sum = weights_sum;
                let caveats = Some(caveats);
                Event::Started {
                    trainable_parameters,
                    train_examples,
                    valid_examples,
                    skipped_examples,
                    caveats,
                    resumed_at,
                    iters,
                }
            }
            Said::Step { iter, loss, learning_rate, tokens_per_second, trained_tokens, peak_bytes, grad_norm } => {
                let iters = self.iters;
                Event::Step {
                    iter,
                    iters,
                    loss,
                    learning_rate,
                    tokens_per_second,
                    trained_tokens,
                    peak_bytes,
                    grad_norm,
                }
            }
            Said::Validation { iter, loss, tokens } => Event::Validation { iter, loss, tokens },
            Said::Unwritten { iter, what, reason } => Event::Warning { text: unwritten(iter, what, &reason) },
            Said::Checkpoint { iter, folder } => {
                let mut facts = self.lineage();
                facts.extend([("iter".to_owned(), json!(iter)), ("epoch".to_owned(), json!(self.spec.epoch))]);
                Event::Checkpoint { iter, folder, facts }
            }
            Said::Finished(outcome) => {
                let product = |role: &str, made: &Adapter| Product {
                    role: role.to_owned(),
                    folder: made.folder.clone(),
                    facts: self.adapter_facts(&outcome, made),
                };
                let products = vec![product(role::ADAPTER, &outcome.adapter), product(role::BEST, &outcome.best)];
                Event::Finished(Done { products, remark: String::new(), peak_bytes: outcome.peak_bytes })
            }
        }
    }

    /// What something of this run came from: by digest what has one, else by version.
    fn lineage(&self) -> BTreeMap<String, Value> {
        let mut facts = facts([
            ("recipe", json!(self.recipe.name)),
            ("recipe_digest", json!(Digest::of(self.yaml.as_bytes()))),
            ("engine", json!(vertigo::VERSION)),
            ("mlx", json!(self.mlx)),
        ]);
        for role in [role::BASE, role::DATA] {
            if let Some(input) = self.spec.inputs.get(role) {
                facts.insert(role.to_owned(), json!(input.digest));
            }
        }
        facts
    }

    /// An adapter's facts. A validation that there was none of is left out, and the sum of weights that are all 1. Adapters of a run that
    /// are the same have the same facts, and so are one artifact.
    fn adapter_facts(&self, outcome: &Outcome, made: &Adapter) -> BTreeMap<String, Value> {
        let mut facts = self.lineage();
        let rank = match &self.recipe.method {
            Method::Lora(_) => Rank::Low,
            Method::Full => Rank::Full,
        };
        let said = [
            ("rank", json!(rank.as_str())),
            // Of these weights, and of the run.
            ("iter", json!(made.iter)),
            ("iters", json!(outcome.iter)),
            ("trained_tokens", json!(outcome.trained_tokens)),
            ("peak_bytes", json!(outcome.peak_bytes)),
        ];
        facts.extend(said.map(|(key, value)| (key.to_owned(), value)));
        let some = [
            ("validation_before", outcome.validation_before),
            ("validation_after", made.validation),
            ("weights_sum", self.weights_sum),
        ];
        facts.extend(some.into_iter().filter_map(|(key, number)| Some((key.to_owned(), json!(number?)))));
        facts
    }
}

/// What a person should know of what could not be written.
fn unwritten(iter: u64, what: Written, reason: &str) -> String {
    match what {
        Written::Checkpoint => {
            format!("no checkpoint at {iter}: {reason}; training goes on, and the next save point tries again")
        }
        Written::Best => format!(
            "the best adapter so far, of {iter}, cannot be written: {reason}; training waits and tries again until it can be: make room \
             on this disk"
        ),
        Written::Adapter => format!(
            "the adapter cannot be written: {reason}; it is kept in memory and tried again until it can be: make room on this disk"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_told_with_what_follows() {
        let text = unwritten(20, Written::Checkpoint, "out/00000020: no space left");
        assert!(text.starts_with("no checkpoint at 20: out/00000020: no space left; training goes on"), "{text}");
        assert!(unwritten(20, Written::Adapter, "full").contains("make room on this disk"));
        assert!(unwritten(20, Written::Best, "full").contains("of 20, cannot be written: full; training waits"));
    }
}
