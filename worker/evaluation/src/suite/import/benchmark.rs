//! The pipeline's benchmark: tasks one a line, with patterns to be found, and its system prompt in a file of its own.

use crate::suite::fields::{Place, SuiteError};
use crate::suite::folder::whole;
use crate::suite::{About, Defaults, Suite, Task, Thinking, reading};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The suite of a benchmark's JSONL, asked and scored as the pipeline does: the system prompt first, 2048 tokens, one answer at
/// temperature 0.1, the pipeline's own scorer alone.
///
/// # Errors
/// Names the line and what is wrong with it.
pub fn read(name: &str, jsonl: &str, system: Option<&str>) -> Result<Suite, SuiteError> {
    let defaults = Defaults { tokens_max: 2048, samples: 1, thinking: Thinking::Off, temperature: 0.1 };
    let about = About {
        name: name.to_owned(),
        description: "Vertigo's benchmark as the pipeline scores it: a pattern match, which an echo passes.".to_owned(),
        // A file ends in a line's end, which the pipeline's constant does not.
        system: system.map(|text| text.strip_suffix('\n').unwrap_or(text).to_owned()),
        categories: BTreeMap::new(),
        defaults,
    };
    let mut tasks = Vec::new();
    for (n, line) in jsonl.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let file = format!("{name}:{}", n + 1);
        tasks.push((file.clone(), task(&file, line)?));
    }
    whole(about, tasks)
}

fn task(file: &str, line: &str) -> Result<Task, SuiteError> {
    let place = Place::at(file);
    let row: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| place.error(format!("no JSON object: {error}")))?;
    let get = |key: &str| row.get(key).cloned().unwrap_or_default();
    let lacking = ["id", "category", "prompt", "expected_patterns"].into_iter().find(|key| !row.contains_key(*key));
    if let Some(key) = lacking {
        return Err(
            place.error(format!("lacks `{key}`; a line of the benchmark has id, category, prompt, expected_patterns"))
        );
    }
    // What else a row says is its author's own.
    let ours = json!({
        "id": get("id"), "category": get("category"), "difficulty": get("difficulty"), "prompt": get("prompt"),
        "tools": get("tools"), "checks": {"benchmark_v2": get("expected_patterns")},
    });
    reading::task(file, ours, &BTreeMap::new())
}
