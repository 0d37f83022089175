//! The kind `train`: an adapter by a recipe.

use super::{Done, Event, Product, facts, traced};
use crate::attempt::Spec;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tracing::info_span;
use vertigo::task::role;
use vertigo_engine::{EngineError, Event as Said, Model, Outcome, Session, Trainer, Written, training_data};
use vertigo_model::recipe::Recipe;

/// Trains as the recipe says.
///
/// # Errors
/// The engine's.
pub fn run(
    spec: &Spec,
    name: &str,
    yaml: &str,
    parent: Option<&str>,
    say: &mut dyn FnMut(Event),
) -> Result<(), EngineError> {
    let recipe = Recipe::parse(name, yaml).map_err(|e| EngineError::Input(e.to_string()))?;
    let (base, data) = (spec.input(role::BASE)?, spec.input(role::DATA)?);
    let trainer = traced(info_span!("load", recipe = name), parent).in_scope(|| {
        let data = training_data(&base.folder, &data.folder, &recipe)?;
        for remark in data.remarks(&recipe) {
            // No warning: a crash's last words are looked for among those.
            tracing::info!("data: {remark}");
        }
        let model = Model::load(&base.folder)?;
        tracing::info!(base = %base.folder.display(), parameters = model.shape().parameters(), "loaded");
        let session = match &spec.checkpoint {
            None => Session::fresh(&spec.out),
            Some(checkpoint) => Session::resumed(&spec.out, checkpoint),
        };
        Trainer::new(model, data, recipe, session)
    })?;
    traced(info_span!("train", recipe = name), parent).in_scope(|| {
        let mut telling = Telling { spec, recipe: name, iters: 0 };
        for said in trainer {
            let event = telling.event(said?);
            if let Event::Warning { text } = &event {
                // Into the log as well, beside what came before and after.
                tracing::warn!("{text}");
            }
            say(event);
        }
        Ok(())
    })
}

/// The engine's events as the worker's. Remembers how long the run is.
struct Telling<'a> {
    spec: &'a Spec,
    recipe: &'a str,
    iters: u64,
}

impl Telling<'_> {
    fn event(&mut self, said: Said) -> Event {
        match said {
            Said::Started {
                trainable_parameters,
                train_examples,
                valid_examples,
                skipped_examples,
                caveats,
                resumed_at,
                iters,
            } => {
                self.iters = iters;
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
                let epoch = self.spec.epoch;
                let facts = facts([("iter", json!(iter)), ("recipe", json!(self.recipe)), ("epoch", json!(epoch))]);
                Event::Checkpoint { iter, folder, facts }
            }
            Said::Finished(outcome) => {
                let facts = self.adapter_facts(&outcome);
                let product = Product { role: role::ADAPTER.to_owned(), folder: outcome.folder, facts };
                let (remark, peak_bytes) = (String::new(), outcome.peak_bytes);
                Event::Finished(Done { products: vec![product], remark, peak_bytes })
            }
        }
    }

    /// An adapter's facts. A validation that there was none of is left out.
    fn adapter_facts(&self, outcome: &Outcome) -> BTreeMap<String, Value> {
        let mut facts = facts([
            ("recipe", json!(self.recipe)),
            ("iters", json!(outcome.iter)),
            ("trained_tokens", json!(outcome.trained_tokens)),
            ("peak_bytes", json!(outcome.peak_bytes)),
            ("engine", json!(vertigo::VERSION)),
        ]);
        for role in [role::BASE, role::DATA] {
            if let Some(input) = self.spec.inputs.get(role) {
                facts.insert(role.to_owned(), json!(input.digest));
            }
        }
        let losses = [("validation_before", outcome.validation_before), ("validation_after", outcome.validation_after)];
        facts.extend(losses.into_iter().filter_map(|(key, loss)| Some((key.to_owned(), json!(loss?)))));
        facts
    }
}

/// What a person should know of what could not be written.
fn unwritten(iter: u64, what: Written, reason: &str) -> String {
    match what {
        Written::Checkpoint => {
            format!("no checkpoint at {iter}: {reason}; training goes on, and the next save point tries again")
        }
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
    }
}
