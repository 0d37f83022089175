//! The kind `fuse`: one model of an adapter and its base, and what it kept of the adapter.

use super::{Done, Event, Product, Spec, facts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};
use tracing::info_span;
use vertigo::files::AtPath;
use vertigo::task::{Bits, role};
use vertigo_engine::fewest_bits::{Folders, Told, Try, fewest_bits};
use vertigo_engine::fuse::Width;
use vertigo_engine::measure::Kept;
use vertigo_engine::{EngineError, device};
use vertigo_telemetry::child_of;

/// Between two reports of progress.
const PACE: Duration = Duration::from_secs(1);

/// Fuses, and measures where that is wanted; for auto as often as it takes.
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
    say(Event::begun());
    let out = spec.out.join(role::MODEL);
    let data = is_measured.then(|| spec.input(role::DATA)).transpose()?.map(|data| data.folder.as_path());
    let folders = Folders { base: &base.folder, adapter: &adapter.folder, data, out: &out };
    let tries = child_of(info_span!("fuse", bits = %bits), parent).in_scope(|| {
        let (mut written, mut measured) = (Pace::new("bytes"), Pace::new("examples"));
        fewest_bits(folders, bits, &mut |told| match told {
            Told::Written(done, total) => written.tell(done, total, say),
            Told::Measured(done, total) => measured.tell(done, total, say),
            Told::Tried(one) => tell_try(bits, &one, say),
        })
    })?;
    let made = tries.last().ok_or_else(|| EngineError::Input("no width was tried".to_owned()))?;
    for (name, value) in made.kept.iter().flat_map(numbers) {
        say(Event::Measured { name: name.to_owned(), value });
    }
    let remark = remark(bits, is_measured, made);
    let facts = model_facts(spec, bits, &tries, made, read_config(&out)?)?;
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

/// Says what one of several tries kept. The numbers of the last follow by their own names.
fn tell_try(bits: Bits, one: &Try, say: &mut dyn FnMut(Event)) {
    let Try { width, fused, kept } = one;
    let (changed, calibrated, matrices, shards) = (fused.changed, fused.calibrated, fused.matrices, fused.shards);
    tracing::info!(%width, changed, calibrated, matrices, shards, "fused");
    let Some(kept) = kept.filter(|_| bits == Bits::Auto) else { return };
    let width = width.to_string().replace(' ', "_");
    let share = kept.share().map(|share| (format!("gain_kept_{width}"), share));
    for (name, value) in share.into_iter().chain([(format!("kl_fused_{width}"), kept.kl_adapter_fused)]) {
        say(Event::Measured { name, value });
    }
}

/// What a person has to know of the model: that it has lost what the adapter had learned, or that nobody can tell.
fn remark(bits: Bits, is_measured: bool, made: &Try) -> String {
    let unmeasured = "what the model kept of the adapter could not be measured: the dataset holds out no example";
    let unpacked = format!(
        "its bits are {}: without a measurement nothing shows that fewer keep what the adapter had learned; name them \
         with --bits to have them nonetheless",
        made.width
    );
    // A base that is not packed has no bits to choose from.
    let is_guarded = bits == Bits::Auto && made.width != Width::Same;
    match &made.kept {
        Some(kept) => kept.remark(bits).unwrap_or_default(),
        None if is_measured && is_guarded => format!("{unmeasured}; {unpacked}"),
        None if is_measured => unmeasured.to_owned(),
        None if is_guarded => unpacked,
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
    tries: &[Try],
    made: &Try,
    config: Value,
) -> Result<BTreeMap<String, Value>, EngineError> {
    let mut facts = facts([
        ("config", config),
        ("bits", json!(made.width.to_string())),
        ("bits_asked", json!(bits.to_string())),
        ("tries", tries.iter().map(|one| try_fact(one, one == made)).collect()),
        ("matrices_changed", json!(made.fused.changed)),
        ("matrices_calibrated", json!(made.fused.calibrated)),
        ("engine", json!(vertigo::VERSION)),
        ("mlx", json!(device::mlx_version()?)),
        ("measured", json!(made.kept.is_some())),
    ]);
    // The recipe as the adapter says it: its name, and the digest of its text.
    let adapter = spec.input(role::ADAPTER)?;
    let recipe = ["recipe", "recipe_digest"].into_iter().filter_map(|key| Some((key, adapter.facts.get(key)?)));
    facts.extend(recipe.map(|(key, value)| (key.to_owned(), value.clone())));
    facts.extend(spec.inputs.iter().map(|(role, input)| (role.clone(), json!(input.digest))));
    if let Some(kept) = &made.kept {
        facts.insert("measured_tokens".to_owned(), json!(kept.tokens));
        facts.extend(numbers(kept).map(|(name, value)| (name.to_owned(), json!(value))));
    }
    Ok(facts)
}

/// What is to be known of a try: its bits, how it was rounded, what it kept, and whether it is the model.
fn try_fact(one: &Try, is_taken: bool) -> Value {
    let rounding = if one.fused.calibrated > 0 { "calibrated" } else { "nearest" };
    json!({
        "bits": one.width.to_string(),
        "rounding": rounding,
        "bytes": one.fused.bytes,
        "loss_fused": one.kept.map(|kept| kept.loss_fused),
        "kl_adapter_fused": one.kept.map(|kept| kept.kl_adapter_fused),
        "gain_kept": one.kept.and_then(|kept| kept.share()),
        "taken": is_taken,
    })
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
    use vertigo_engine::fuse::Fused;

    #[test]
    fn what_could_not_be_measured_is_said_and_what_nobody_asked_for_is_not() {
        let fused = Fused { matrices: 9, changed: 3, calibrated: 0, bytes: 1, shards: 1 };
        let made = |width| Try { width, fused, kept: None };
        assert!(remark(Bits::Same, true, &made(Width::Same)).contains("could not be measured"));
        assert_eq!(remark(Bits::Same, false, &made(Width::Same)), "");
        assert_eq!(remark(Bits::Auto, false, &made(Width::Same)), "", "the base is not packed");
        // Auto chooses by what it measures. Where it could not, it says what it did, and how to get something else.
        let guarded = remark(Bits::Auto, false, &made(Width::ChangedSixteen));
        assert!(guarded.contains("16 where changed") && guarded.contains("--bits"), "{guarded}");
        let neither = remark(Bits::Auto, true, &made(Width::ChangedSixteen));
        assert!(neither.contains("could not be measured") && neither.contains("16 where changed"), "{neither}");
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
