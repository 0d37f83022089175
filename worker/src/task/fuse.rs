//! The kind `fuse`: one model of an adapter and its base, and what it kept of the adapter.

use super::{Done, Event, Product, Spec, facts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};
use tracing::info_span;
use vertigo::files::AtPath;
use vertigo::task::{Bits, role};
use vertigo_engine::fuse::{Fused, Options, fuse};
use vertigo_engine::measure::{Kept, measure};
use vertigo_engine::{EngineError, device};
use vertigo_telemetry::child_of;

/// Between two reports of progress.
const PACE: Duration = Duration::from_secs(1);

/// Fuses, and measures where that is wanted.
///
/// # Errors
/// The engine's.
pub fn run(
    spec: &Spec,
    bits: Bits,
    is_measured: bool,
    parent: Option<&str>,
    say: &mut dyn FnMut(Event),
) -> Result<(), EngineError> {
    let (base, adapter) = (spec.input(role::BASE)?, spec.input(role::ADAPTER)?);
    say(Event::Started {
        trainable_parameters: 0,
        train_examples: 0,
        valid_examples: 0,
        skipped_examples: 0,
        caveats: None,
        resumed_at: 0,
        iters: 0,
    });
    let out = spec.out.join(role::MODEL);
    let fused = child_of(info_span!("fuse", bits = %bits), parent).in_scope(|| {
        let options = Options { bits, ..Options::default() };
        let mut pace = Pace::new("bytes");
        fuse(&base.folder, &adapter.folder, &out, &options, &mut |done, total| pace.tell(done, total, say))
    })?;
    tracing::info!(changed = fused.changed, matrices = fused.matrices, shards = fused.shards, "fused");
    let kept = match is_measured.then(|| spec.input(role::DATA)).transpose()? {
        None => None,
        Some(data) => child_of(info_span!("measure"), parent).in_scope(|| {
            let mut pace = Pace::new("examples");
            let mut told = |done, total| pace.tell(done, total, say);
            measure(&base.folder, &adapter.folder, &out, &data.folder, &mut told)
        })?,
    };
    for (name, value) in kept.iter().flat_map(numbers) {
        say(Event::Measured { name: name.to_owned(), value });
    }
    let remark = remark(bits, is_measured, kept.as_ref());
    let facts = model_facts(spec, bits, &fused, kept.as_ref(), read_config(&out)?)?;
    let product = Product { role: role::MODEL.to_owned(), folder: out, facts };
    say(Event::Finished(Done { products: vec![product], remark, peak_bytes: device::peak_memory()?.0 }));
    Ok(())
}

/// The config that says what the model is: what a base's manifest has, too.
fn read_config(folder: &std::path::Path) -> Result<Value, EngineError> {
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).at(&path)?;
    serde_json::from_str(&text).map_err(|error| EngineError::Input(format!("{}: {error}", path.display())))
}

/// What a person has to know of the model: that it has lost what the adapter had learned, or that nobody can tell.
fn remark(bits: Bits, is_measured: bool, kept: Option<&Kept>) -> String {
    match kept {
        Some(kept) => kept.remark(bits).unwrap_or_default(),
        None if is_measured => {
            "what the model kept of the adapter could not be measured: the dataset holds out no example".to_owned()
        }
        None => String::new(),
    }
}

/// What was measured, by name: a fact and a report each.
fn numbers(kept: &Kept) -> [(&'static str, f64); 5] {
    [
        ("loss_base", kept.loss_base),
        ("loss_adapter", kept.loss_adapter),
        ("loss_fused", kept.loss_fused),
        ("kl_adapter_base", kept.kl_adapter_base),
        ("kl_adapter_fused", kept.kl_adapter_fused),
    ]
}

/// The model's facts. It says what it came from: base, adapter and data by digest, the recipe too, engine and MLX by version.
fn model_facts(
    spec: &Spec,
    bits: Bits,
    fused: &Fused,
    kept: Option<&Kept>,
    config: Value,
) -> Result<BTreeMap<String, Value>, EngineError> {
    let mut facts = facts([
        ("config", config),
        ("bits", json!(bits.to_string())),
        ("matrices_changed", json!(fused.changed)),
        ("engine", json!(vertigo::VERSION)),
        ("mlx", json!(device::mlx_version()?)),
        ("measured", json!(kept.is_some())),
    ]);
    // The recipe as the adapter says it: its name, and the digest of its text.
    let adapter = spec.input(role::ADAPTER)?;
    let recipe = ["recipe", "recipe_digest"].into_iter().filter_map(|key| Some((key, adapter.facts.get(key)?)));
    facts.extend(recipe.map(|(key, value)| (key.to_owned(), value.clone())));
    facts.extend(spec.inputs.iter().map(|(role, input)| (role.clone(), json!(input.digest))));
    if let Some(kept) = kept {
        facts.insert("measured_tokens".to_owned(), json!(kept.tokens));
        facts.extend(numbers(kept).map(|(name, value)| (name.to_owned(), json!(value))));
    }
    Ok(facts)
}

/// Progress at a pace that a journal can take: the first, the last, and one in a while between.
struct Pace {
    unit: &'static str,
    last: Option<Instant>,
}

impl Pace {
    fn new(unit: &'static str) -> Pace {
        Pace { unit, last: None }
    }

    fn tell(&mut self, done: u64, total: u64, say: &mut dyn FnMut(Event)) {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= PACE);
        if is_due || done == total {
            self.last = Some(Instant::now());
            let peak_bytes = device::peak_memory().map_or(0, |peak| peak.0);
            say(Event::Progress { done, total, unit: self.unit.to_owned(), peak_bytes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_measured_is_said_and_what_nobody_asked_for_is_not() {
        assert!(remark(Bits::Same, true, None).contains("could not be measured"));
        assert_eq!(remark(Bits::Same, false, None), "");
    }

    #[test]
    fn progress_comes_first_last_and_now_and_then() {
        let (mut pace, mut told) = (Pace::new("bytes"), Vec::new());
        (0..=1000).for_each(|done| pace.tell(done, 1000, &mut |event| told.push(event)));
        let done = |event: &Event| if let Event::Progress { done, .. } = event { *done } else { panic!("{event:?}") };
        assert_eq!((told.first().map(done), told.last().map(done)), (Some(0), Some(1000)));
        assert!(told.len() < 100, "{}", told.len());
    }
}
