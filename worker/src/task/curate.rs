//! The kind `curate`: a dataset to train on, of raw ones.
//!
//! Promise: the same data, suites, base and config make the same files and the same facts, byte for byte: nothing of the machine, the time
//! or the version goes into them. It keeps no checkpoint: one that is killed begins anew, and makes the same.

use super::suites::{self, bad, here};
use super::{Done, Event, Input, Product, Spec};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vertigo::bytes::Bytes;
use vertigo::files::AtPath;
use vertigo::id::Digest;
use vertigo::task::{Failure, role, split_number};
use vertigo_curation::config::Config;
use vertigo_curation::curate::{CurateError, Curated, Inputs, Progress, RawFile, curate};
use vertigo_curation::read::ReadError;
use vertigo_curation::report::Report;
use vertigo_curation::rule::Stage;
use vertigo_evaluation::suite::Suite;
use vertigo_model::dataset::{DatasetError, jsonl_files};
use vertigo_text::ChatTokenizer;

/// Between two reports of progress.
const PACE: Duration = Duration::from_secs(1);

/// Curates.
///
/// # Errors
/// What is wrong with config and inputs; what may not be in a dataset, such as a leak; this machine's.
pub fn run(spec: &Spec, config: &str, yaml: &str, say: &mut dyn FnMut(Event)) -> Result<(), Failure> {
    say(Event::begun());
    let before = peak();
    let parsed = Config::parse(yaml).map_err(|error| bad(format!("the config `{config}`: {error}")))?;
    let tokenizer = match spec.inputs.get(role::BASE) {
        Some(base) => Some(ChatTokenizer::load(&base.folder).map_err(|error| bad(error.to_string()))?),
        None => None,
    };
    let data = numbered(spec, role::DATA);
    let inputs = Inputs { files: files(&data)?, suites: suites(spec)?, tokenizer: tokenizer.as_ref() };
    let mut pace = Pace::default();
    let curated = curate(&parsed, inputs, &mut |progress| pace.tell(&progress, say));
    let curated = curated.map_err(|error| match &error {
        CurateError::Read(ReadError::File { .. }) => here(&error),
        _ => bad(error.to_string()),
    })?;
    let out = spec.out.join(role::DATA);
    std::fs::create_dir_all(&out).at(&out).map_err(|error| here(&error))?;
    curated.write(&out).at(&out).map_err(|error| here(&error))?;
    finish(spec, yaml, &curated, (&out, before), say);
    Ok(())
}

/// The inputs of a role of which there may be several, by their numbers.
fn numbered<'s>(spec: &'s Spec, role: &str) -> Vec<&'s Input> {
    let of_role = spec.inputs.iter().filter_map(|(name, input)| {
        let (found, number) = split_number(name)?;
        (found == role).then_some((number, input))
    });
    let by_number: BTreeMap<usize, &Input> = of_role.collect();
    by_number.into_values().collect()
}

/// The files of all datasets. One whose name another has too is called by its dataset's digest as well, so that the order in which
/// datasets are named changes nothing.
fn files(data: &[&Input]) -> Result<Vec<RawFile<'static>>, Failure> {
    let (mut found, mut seen, mut twice) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for input in data {
        let paths = jsonl_files(&input.folder).map_err(|error| match error {
            DatasetError::Read { .. } => here(&error),
            _ => bad(format!("the dataset {} has no .jsonl file", input.digest.short())),
        })?;
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !seen.insert(name.clone()) {
                twice.insert(name.clone());
            }
            found.push((input.digest, name, path));
        }
    }
    let open = |(digest, name, path): (Digest, String, PathBuf)| {
        let file = File::open(&path).at(&path).map_err(|error| here(&error))?;
        let name = if twice.contains(&name) { format!("{}/{name}", digest.short()) } else { name };
        Ok((name, Box::new(BufReader::new(file)) as Box<dyn BufRead>))
    };
    found.into_iter().map(open).collect()
}

/// The suites, in the order of their digests.
fn suites(spec: &Spec) -> Result<Vec<Suite>, Failure> {
    let mut inputs = numbered(spec, role::SUITE);
    inputs.sort_by_key(|input| input.digest);
    inputs.dedup_by_key(|input| input.digest);
    inputs.into_iter().map(suites::read).collect()
}

/// Says what was found. What it took is what the process has held more than `before`: that grows with the rows, and is what is predicted.
fn finish(spec: &Spec, yaml: &str, curated: &Curated, (out, before): (&Path, Bytes), say: &mut dyn FnMut(Event)) {
    let report = curated.report();
    for passage in report.funnel.iter().filter(|passage| passage.left < passage.entered) {
        say(Event::Measured { name: format!("rows_after_{}", passage.stage.as_str()), value: passage.left as f64 });
    }
    let digests = |role: &str| {
        let digests: BTreeSet<Digest> = numbered(spec, role).iter().map(|input| input.digest).collect();
        json!(digests)
    };
    let mut facts = known(report);
    let given = [
        ("config_digest", json!(Digest::of(yaml.as_bytes()))),
        ("made_of", digests(role::DATA)),
        ("held_against", digests(role::SUITE)),
        ("base", json!(spec.inputs.get(role::BASE).map(|base| base.digest))),
    ];
    // As an imported dataset says it: only where rows weigh differently.
    let weights_sum = curated.made().weights_sum().map(|sum| ("weights_sum", json!(sum)));
    facts.extend(given.into_iter().chain(weights_sum).map(|(name, value): (&str, Value)| (name.to_owned(), value)));
    let product = Product { role: role::DATA.to_owned(), folder: out.to_owned(), facts };
    let remark = report.remarks.join("; ");
    say(Event::Finished(Done { products: vec![product], remark, peak_bytes: peak().0.saturating_sub(before.0) }));
}

/// What is known of the dataset without reading it: how many rows each side has, and what it has of the suites that it was held against.
fn known(report: &Report) -> BTreeMap<String, Value> {
    let sides = report.sides;
    let audits = report.audits.iter().map(|audit| {
        let found: Vec<&String> = audit.found.keys().collect();
        json!({"suite": audit.suite, "digest": audit.digest, "tasks": audit.tasks, "rows": audit.rows_found, "found": found})
    });
    super::facts([
        // As an imported one says it: what is trained on and what validates.
        ("examples", json!(sides.train + sides.valid)),
        ("train", json!(sides.train)),
        ("valid", json!(sides.valid)),
        ("test", json!(sides.test)),
        ("read", json!(report.files.iter().map(|file| file.rows).sum::<u64>())),
        ("leaks", json!(!report.leak.is_none())),
        ("audits", audits.collect()),
    ])
}

/// The most memory that this process has held: MLX has nothing to do with it.
fn peak() -> Bytes {
    use nix::sys::resource::{UsageWho, getrusage};
    let held = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss());
    // macOS counts bytes, Linux units of 1024.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    Bytes(u64::try_from(held).unwrap_or_default() * unit)
}

/// Progress at a pace that a journal can take: each stage once, and no more.
#[derive(Default)]
struct Pace {
    stage: Option<Stage>,
    told: Option<Instant>,
}

impl Pace {
    fn tell(&mut self, progress: &Progress, say: &mut dyn FnMut(Event)) {
        let is_due = self.told.is_none_or(|told| told.elapsed() >= PACE);
        if self.stage == Some(progress.stage) || !is_due {
            return;
        }
        (self.stage, self.told) = (Some(progress.stage), Some(Instant::now()));
        let done = Stage::ALL.iter().position(|stage| *stage == progress.stage).unwrap_or_default() as u64;
        let unit = format!("stages, at {}", progress.stage.as_str());
        say(Event::Progress { done, total: Stage::ALL.len() as u64, unit, peak_bytes: 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_something() {
        assert!(peak() > Bytes::mib(1) && peak() < Bytes::gib(1 << 10), "{}", peak());
    }
}
