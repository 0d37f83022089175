//! What an evaluation reads: the suite, who answers by their digests, and the data that the model has learned from.

use super::super::Spec;
use super::super::suites::{self, bad, files, here};
use super::Options;
use std::fs;
use vertigo::files::AtPath;
use vertigo::manifest::Kind;
use vertigo::task::{Failure, role};
use vertigo_engine::device;
use vertigo_evaluation::contamination::{Contamination, Index};
use vertigo_evaluation::report::Model;
use vertigo_evaluation::suite::Suite;
use vertigo_model::dataset::PROVENANCE;

/// The suite, or those of its tasks that are asked for.
pub(super) fn suite(spec: &Spec, tasks: &[String]) -> Result<Suite, Failure> {
    let input = spec.inputs.get(role::SUITE).ok_or_else(|| bad("the evaluation has no input `suite`"))?;
    suites::read(input)?.only(tasks).map_err(bad)
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
