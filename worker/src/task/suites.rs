//! Suites as tasks read them: an artifact's folder of texts.

use super::{Input, codes};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use vertigo::files::AtPath;
use vertigo::task::{Cure, Failure};
use vertigo_evaluation::suite::{FILE_BYTES_MAX, Suite};

/// The suite of an input.
///
/// # Errors
/// What is wrong with it, or with this machine's disk.
pub(super) fn read(input: &Input) -> Result<Suite, Failure> {
    Suite::parse(&texts(&input.folder)?).map_err(|error| bad(error.to_string()))
}

/// The paths of a folder's files, sorted. The folder is an artifact's, so that there is nothing else in it, and not much.
///
/// # Errors
/// The disk's.
pub(super) fn files(root: &Path) -> Result<Vec<String>, Failure> {
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

/// Input that fails anywhere.
pub(super) fn bad(problem: impl Into<String>) -> Failure {
    Failure::new(Cure::Never, codes::BAD_INPUT, problem)
}

/// This machine's own failure.
pub(super) fn here(error: &dyn std::error::Error) -> Failure {
    Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, error.to_string())
}
