//! The job kind `train`: what its child does, and what its events and files mean to the coordinator.

use crate::attempt::Spec;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tracing::info_span;
use vertigo::id::{Digest, Epoch};
use vertigo::recipe::Recipe;
use vertigo::telemetry;
use vertigo::v1::report::Body;
use vertigo::v1::{Started, Step, Validation, Warning};
use vertigo_engine::{EngineError, Event, Model, Outcome, Session, Trainer, Written, training_data};

/// Trains as `spec` says, and hands each event to `say`. `parent` is the trace to be part of.
///
/// # Errors
/// The engine's.
pub fn run(spec: &Spec, parent: Option<&str>, say: &mut dyn FnMut(Event)) -> Result<(), EngineError> {
    let span = |span: tracing::Span| {
        if let Some(parent) = parent {
            telemetry::set_parent(&span, parent);
        }
        span
    };
    let recipe = Recipe::parse(&spec.recipe, &spec.yaml).map_err(|e| EngineError::Input(e.to_string()))?;
    let trainer = span(info_span!("load", recipe = spec.recipe)).in_scope(|| {
        let data = training_data(&spec.base, &spec.data, &recipe)?;
        for remark in data.remarks(&recipe) {
            // No warning: a crash's last words are looked for among those.
            tracing::info!("data: {remark}");
        }
        let model = Model::load(&spec.base)?;
        tracing::info!(base = %spec.base.display(), parameters = model.shape().parameters(), "loaded");
        let session = match &spec.checkpoint {
            None => Session::fresh(&spec.out),
            Some(checkpoint) => Session::resumed(&spec.out, checkpoint),
        };
        Trainer::new(model, data, recipe, session)
    })?;
    span(info_span!("train", recipe = spec.recipe)).in_scope(|| {
        for event in trainer {
            let event = event?;
            if let Some(text) = warning(&event) {
                // Into the log as well, beside what came before and after.
                tracing::warn!("{text}");
            }
            say(event);
        }
        Ok(())
    })
}

/// What a person should know of an event.
fn warning(event: &Event) -> Option<String> {
    let Event::Unwritten { iter, what, reason } = event else { return None };
    Some(match what {
        Written::Checkpoint => {
            format!("no checkpoint at {iter}: {reason}; training goes on, and the next save point tries again")
        }
        Written::Adapter => format!(
            "the adapter cannot be written: {reason}; it is kept in memory and tried again until it can be: make room on this disk"
        ),
    })
}

/// Events as reports. Remembers how long the run is.
#[derive(Debug, Default)]
pub struct Reports {
    iters: u64,
}

impl Reports {
    /// The report that an event is by itself. `None` for those that are reported when their files are up.
    pub fn of(&mut self, event: &Event) -> Option<Body> {
        match *event {
            Event::Started {
                trainable_parameters,
                train_examples,
                valid_examples,
                skipped_examples,
                caveats,
                resumed_at,
                iters,
            } => {
                self.iters = iters;
                Some(Body::Started(Started {
                    trainable_parameters,
                    train_examples,
                    valid_examples,
                    skipped_examples,
                    caveats: Some(caveats.into()),
                    resumed_at,
                    iters,
                }))
            }
            Event::Step { iter, loss, learning_rate, tokens_per_second, trained_tokens, peak_bytes, grad_norm } => {
                Some(Body::Step(Step {
                    iter,
                    iters: self.iters,
                    loss,
                    learning_rate,
                    tokens_per_second,
                    trained_tokens,
                    peak_bytes,
                    grad_norm,
                }))
            }
            Event::Validation { iter, loss, tokens } => Some(Body::Validation(Validation { iter, loss, tokens })),
            Event::Unwritten { .. } => warning(event).map(|text| Body::Warning(Warning { text })),
            Event::Checkpoint { .. } | Event::Finished(_) => None,
        }
    }
}

/// A checkpoint's facts.
pub fn checkpoint_facts(recipe: &str, epoch: Epoch, iter: u64) -> BTreeMap<String, Value> {
    [("iter", json!(iter)), ("recipe", json!(recipe)), ("epoch", json!(epoch))]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

/// An adapter's facts. A validation that there was none of is left out.
pub fn adapter_facts(recipe: &str, base: Digest, data: Digest, outcome: &Outcome) -> BTreeMap<String, Value> {
    let mut facts: BTreeMap<String, Value> = [
        ("recipe", json!(recipe)),
        ("base", json!(base)),
        ("data", json!(data)),
        ("iters", json!(outcome.iter)),
        ("trained_tokens", json!(outcome.trained_tokens)),
        ("peak_bytes", json!(outcome.peak_bytes)),
        ("engine", json!(vertigo::VERSION)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    for (key, loss) in
        [("validation_before", outcome.validation_before), ("validation_after", outcome.validation_after)]
    {
        if let Some(loss) = loss {
            facts.insert(key.to_owned(), json!(loss));
        }
    }
    facts
}
