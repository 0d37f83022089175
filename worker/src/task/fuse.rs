//! The kind `fuse`: one model of an adapter and its base, and what it kept of the adapter.

use super::{Done, Event, Product, facts, traced};
use crate::attempt::Spec;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};
use tracing::info_span;
use vertigo::task::{Bits, role};
use vertigo_engine::fuse::measure::{Measured, Measurement, measure};
use vertigo_engine::fuse::{Fused, Options, fuse};
use vertigo_engine::{EngineError, device};

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
    let fused = traced(info_span!("fuse", bits = %bits), parent).in_scope(|| {
        let options = Options { bits, ..Options::default() };
        let mut pace = Pace::new("bytes");
        fuse(&base.folder, &adapter.folder, &out, &options, &mut |done, total| pace.tell(done, total, say))
    })?;
    tracing::info!(changed = fused.changed, matrices = fused.matrices, shards = fused.shards, "fused");
    let measurement = match is_measured.then(|| spec.input(role::DATA)).transpose()? {
        None => None,
        Some(data) => Some(traced(info_span!("measure"), parent).in_scope(|| {
            let mut pace = Pace::new("examples");
            let mut told = |done, total| pace.tell(done, total, say);
            measure(&base.folder, &adapter.folder, &out, &data.folder, &mut told)
        })?),
    };
    let measured = measurement.as_ref().and_then(|it| match it {
        Measurement::Taken(measured) => Some(*measured),
        Measurement::Impossible(_) => None,
    });
    for (name, value) in measured.iter().flat_map(numbers) {
        say(Event::Measured { name: name.to_owned(), value });
    }
    let remark = measurement.and_then(|it| remark(bits, &it)).unwrap_or_default();
    let facts = model_facts(spec, bits, &fused, measured, read_config(&out)?);
    let product = Product { role: role::MODEL.to_owned(), folder: out, facts };
    say(Event::Finished(Done { products: vec![product], remark, peak_bytes: device::peak_memory()?.0 }));
    Ok(())
}

/// The config that says what the model is: what a base's manifest has, too.
fn read_config(folder: &std::path::Path) -> Result<Value, EngineError> {
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).map_err(|error| EngineError::File { path: path.clone(), error })?;
    serde_json::from_str(&text).map_err(|error| EngineError::Input(format!("{}: {error}", path.display())))
}

/// What a person has to know of the model: that it has lost what the adapter had learned, and what would keep it.
fn remark(bits: Bits, measurement: &Measurement) -> Option<String> {
    let measured = match measurement {
        Measurement::Impossible(why) => {
            return Some(format!("what the model kept of the adapter could not be measured: {why}"));
        }
        Measurement::Taken(measured) if measured.is_lost() => measured,
        Measurement::Taken(_) => return None,
    };
    let cure = match bits {
        Bits::Same | Bits::Four => "; fuse with `--bits 8`, or with `--bits 16` if that is not enough",
        Bits::Eight => "; fuse with `--bits 16`",
        Bits::Sixteen => "",
    };
    Some(format!(
        "the model has lost what the adapter learned: it is {:.2e} nats a token away from the base with its adapter, and the \
         bare base is {:.2e}{cure}",
        measured.kl_adapter_fused, measured.kl_adapter_base
    ))
}

/// What was measured, by name: a fact and a report each.
fn numbers(measured: &Measured) -> [(&'static str, f64); 5] {
    [
        ("loss_base", measured.loss_base),
        ("loss_adapter", measured.loss_adapter),
        ("loss_fused", measured.loss_fused),
        ("kl_adapter_base", measured.kl_adapter_base),
        ("kl_adapter_fused", measured.kl_adapter_fused),
    ]
}

fn model_facts(
    spec: &Spec,
    bits: Bits,
    fused: &Fused,
    measured: Option<Measured>,
    config: Value,
) -> BTreeMap<String, Value> {
    let mut facts = facts([
        ("config", config),
        ("bits", json!(bits.to_string())),
        ("matrices_changed", json!(fused.changed)),
        ("engine", json!(vertigo::VERSION)),
        ("measured", json!(measured.is_some())),
    ]);
    facts.extend(spec.inputs.iter().map(|(role, input)| (role.clone(), json!(input.digest))));
    if let Some(measured) = measured {
        facts.insert("measured_tokens".to_owned(), json!(measured.tokens));
        facts.extend(numbers(&measured).map(|(name, value)| (name.to_owned(), json!(value))));
    }
    facts
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
    fn a_model_that_lost_its_adapter_says_so_and_what_would_keep_it() {
        let of = |kl_adapter_fused| {
            let (loss_base, loss_adapter, loss_fused) = (2.0, 1.0, 1.9);
            let (examples, tokens, kl_adapter_base) = (1, 9, 0.5);
            Measurement::Taken(Measured {
                examples,
                tokens,
                loss_base,
                loss_adapter,
                loss_fused,
                kl_adapter_base,
                kl_adapter_fused,
            })
        };
        assert_eq!(remark(Bits::Four, &of(0.01)), None);
        let lost = remark(Bits::Four, &of(0.4)).unwrap();
        assert!(["4.00e-1", "5.00e-1", "--bits 8", "--bits 16"].iter().all(|word| lost.contains(word)), "{lost}");
        let lost = remark(Bits::Eight, &of(0.4)).unwrap();
        assert!(lost.contains("--bits 16") && !lost.contains("--bits 8"), "{lost}");
        assert!(!remark(Bits::Sixteen, &of(0.4)).unwrap().contains("--bits"));
        let impossible = Measurement::Impossible("the dataset holds no example out".to_owned());
        assert!(remark(Bits::Same, &impossible).unwrap().ends_with("holds no example out"));
    }
}
