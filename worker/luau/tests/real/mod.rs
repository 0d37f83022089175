//! The Luau in the real data: every block of every answer, and the code in tool calls' arguments.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use vertigo_luau::blocks;

/// A piece of Luau, and where it is from.
pub(crate) struct Real {
    /// The file's name without its ending.
    pub(crate) file: String,
    /// The Luau.
    pub(crate) source: String,
}

/// The folder of the real data, where it is there.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vertigo/raw");
    beside.is_dir().then_some(beside)
}

/// All of it, in the order of the files' names.
pub(crate) fn blocks(folder: &Path) -> Vec<Real> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        for row in fs::read_to_string(&path).unwrap().lines() {
            let row: Value = serde_json::from_str(row).unwrap();
            for message in row["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "assistant") {
                let answer = message["content"].as_str().unwrap_or_default();
                let sources = blocks::of(answer).into_iter().map(|block| block.source).chain(called(message));
                found.extend(sources.map(|source| Real { file: file.clone(), source }));
            }
        }
    }
    found
}

/// The code in a message's tool calls.
fn called(message: &Value) -> impl Iterator<Item = String> {
    message["tool_calls"].as_array().into_iter().flatten().filter_map(|call| {
        let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str()?).ok()?;
        arguments["code"].as_str().map(str::to_owned)
    })
}
