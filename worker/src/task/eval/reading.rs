//! What an evaluation reads: the suite, who answers by their digests, and the data that the model has learned from.

use super::super::{Spec, codes};
use super::Options;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use vertigo::files::AtPath;
use vertigo::manifest::Kind;
use vertigo::task::{Cure, Failure, role};
use vertigo_engine::device;
use vertigo_evaluation::contamination::{Contamination, Index};
use vertigo_evaluation::report::Model;
use vertigo_evaluation::suite::{FILE_BYTES_MAX, Suite};
use vertigo_model::dataset::PROVENANCE;

/// The suite, or those of its tasks that are asked for.
pub(super) fn suite(spec: &Spec, tasks: &[String]) -> Result<Suite, Failure> {
    let input = spec.inputs.get(role::SUITE).ok_or_else(|| bad("the evaluation has no input `suite`"))?;
    let suite = Suite::parse(&texts(&input.folder)?).map_err(|error| bad(error.to_string()))?;
    suite.only(tasks).map_err(bad)
}

/// Who answers.
pub(super) fn model(spec: &Spec, options: &Options) -> Result<Model, Failure> {
    if let Some(server) = &options.server {
        return Ok(Model::Api { url: server.url.clone(), model: server.model.clone() });
    }
    let model = spec.inputs.get(role::MODEL).ok_or_else(|| bad("the evaluation has no input `model`"))?;
    let name = model.digest.short();
    Ok(match spec.inputs.get(role::BASE) {
        Some(base) => Model::Adapted { name, base: base.digest, adapter: model.digest },
        // What was fused says what it was fused from.
        None if model.facts.contains_key(Kind::Adapter.as_str()) => Model::Fused { name, model: model.digest },
        None => Model::Base { name, base: model.digest },
    })
}

/// What makes the answers, as reports say it; empty where a server elsewhere does.
pub(super) fn engine(options: &Options) -> Result<String, Failure> {
    match options.server {
        Some(_) => Ok(String::new()),
        None => {
            let mlx = device::mlx_version().map_err(|error| super::super::of_engine(&error))?;
            Ok(format!("vertigo {}, MLX {mlx}", vertigo::VERSION))
        }
    }
}

/// Which of the suite's tasks stand in the data that the model has learned from; `None` where nobody knows that data.
pub(super) fn contamination(spec: &Spec, suite: &Suite) -> Result<Option<Contamination>, Failure> {
    let Some(data) = spec.inputs.get(role::DATA) else { return Ok(None) };
    let index = Index::of(suite);
    let mut found = Contamination::default();
    for file in files(&data.folder)? {
        // What was left out of a curated dataset, the model has not learned.
        if !file.ends_with(".jsonl") || file == PROVENANCE {
            continue;
        }
        let path = data.folder.join(&file);
        let text = fs::read_to_string(&path).at(&path).map_err(|error| here(&error))?;
        for (n, line) in text.lines().enumerate() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            index.look(&file, u32::try_from(n + 1).unwrap_or(u32::MAX), &said(&row), &mut found);
        }
    }
    Ok(Some(found))
}

/// All that is said in a row of any of mlx-lm's shapes.
fn said(row: &serde_json::Value) -> Vec<String> {
    let messages = row["messages"].as_array().into_iter().flatten().filter_map(|message| message["content"].as_str());
    let fields = ["prompt", "completion", "text"].into_iter().filter_map(|key| row[key].as_str());
    messages.chain(fields).map(str::to_owned).collect()
}

/// The paths of a folder's files, sorted. The folder is an artifact's, so that there is nothing else in it, and not much.
fn files(root: &Path) -> Result<Vec<String>, Failure> {
    fn walk(root: &Path, below: &str, found: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(root.join(below))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            if entry.path().is_dir() { walk(root, &path, found)? } else { found.push(path) }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(root, "", &mut found).at(root).map_err(|error| here(&error))?;
    found.sort();
    Ok(found)
}

/// A folder's files that are text, by path.
fn texts(root: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let mut texts = BTreeMap::new();
    for path in files(root)? {
        let at = root.join(&path);
        let bytes = fs::metadata(&at).at(&at).map_err(|error| here(&error))?.len();
        // tasks.jsonl has a bound for each of its lines, which its reader knows.
        if bytes > FILE_BYTES_MAX as u64 && !path.ends_with(".jsonl") {
            return Err(bad(format!("{path} of the suite has {bytes} bytes, and at most {FILE_BYTES_MAX} are read")));
        }
        if let Ok(text) = fs::read_to_string(&at) {
            texts.insert(path, text);
        }
    }
    Ok(texts)
}

fn bad(problem: impl Into<String>) -> Failure {
    Failure::new(Cure::Never, codes::BAD_INPUT, problem)
}

fn here(error: &dyn std::error::Error) -> Failure {
    Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, error.to_string())
}
