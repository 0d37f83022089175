//! Suites, wherever they are: in a folder or a file, with the coordinator, or in Vertigo itself.

use crate::bounded;
use crate::coordinator::Coordinator;
use crate::download::pull;
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use std::collections::BTreeMap;
use std::path::Path;
use vertigo::folder::Folder;
use vertigo::manifest::Kind;
use vertigo_evaluation::suite::{self, FILE_BYTES_MAX, FILES_MAX, Suite};

/// The largest file of tasks, one a line, in bytes.
const TASKS_BYTES_MAX: u64 = 256 << 20;

/// All that is read of a folder, in bytes.
const FOLDER_BYTES_MAX: u64 = 512 << 20;

/// Folders within one another.
const DEPTH_MAX: usize = 16;

/// What a suite's folder has, and a checkout of OpenGameEval has not.
const ABOUT: &str = "suite.yaml";

/// The suite that comes with Vertigo.
pub(crate) fn ours() -> Result<Suite> {
    Suite::parse(&suite::ours()).map_err(CliError::refused)
}

/// The suite at a path: a folder of a suite, a benchmark's .jsonl, or a checkout of OpenGameEval. A benchmark and a checkout are
/// called `name`; a benchmark alone has its system prompt in a file.
pub(crate) fn read(name: &str, path: &Path, system: Option<&Path>) -> Result<Suite> {
    let told = |error: &dyn std::fmt::Display| CliError::refused(format!("{}: {error}", path.display()));
    if !path.is_dir() {
        let text = bounded::read(path, TASKS_BYTES_MAX).map_err(|error| {
            told(&error).hint("name a suite's folder, a benchmark's .jsonl or a checkout of OpenGameEval")
        })?;
        let system = system.map(|file| {
            let text = bounded::read(file, FILE_BYTES_MAX as u64);
            text.map_err(|error| CliError::refused(format!("{}: {error}", file.display())))
        });
        return suite::benchmark(name, &text, system.transpose()?.as_deref()).map_err(|error| told(&error));
    }
    if system.is_some() {
        return Err(CliError::new(Exit::Usage, "--system belongs to a benchmark's .jsonl")
            .hint("a suite's folder has its system prompt in suite.yaml"));
    }
    let files = texts(path).map_err(|error| told(&error))?;
    if files.contains_key(ABOUT) {
        return Suite::parse(&files).map_err(|error| told(&error));
    }
    let is_checkout = files.keys().any(|path| path.contains("Evals/"));
    if !is_checkout {
        return Err(told(&"it has no suite.yaml, and no Evals/ of OpenGameEval")
            .hint("write suite.yaml with at least `name: …`, and tasks below tasks/"));
    }
    suite::opengameeval(name, &files).map_err(|error| told(&error))
}

/// The texts of a folder's files by path, `/` between parts. What begins with a dot, such as `.git`, is passed over, and so is
/// what a suite does not read.
fn texts(path: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let other = std::io::Error::other;
    let folder = Folder::at(path)?;
    let (mut files, mut left) = (BTreeMap::new(), FOLDER_BYTES_MAX);
    let mut waiting = vec![(String::new(), 0)];
    while let Some((below, depth)) = waiting.pop() {
        for entry in std::fs::read_dir(path.join(&below))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let inner = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            if name.starts_with('.') {
                continue;
            }
            // A link to a folder is not gone into, so that no walk comes back to where it was.
            if entry.file_type()?.is_dir() {
                if depth >= DEPTH_MAX {
                    return Err(other(format!("{inner}: folders lie at most {DEPTH_MAX} deep in one another")));
                }
                waiting.push((inner, depth + 1));
            } else if is_read(&inner) {
                let most = if inner.ends_with(".jsonl") { TASKS_BYTES_MAX } else { FILE_BYTES_MAX as u64 };
                let bytes = folder.read(&inner, most.min(left)).map_err(|e| other(format!("{inner}: {e}")))?;
                left -= bytes.len() as u64;
                let text = String::from_utf8(bytes).map_err(|_| other(format!("{inner}: it is not UTF-8")))?;
                files.insert(inner, text);
                if files.len() > FILES_MAX {
                    return Err(other(format!("it has more than the {FILES_MAX} files that are read")));
                }
            }
        }
    }
    Ok(files)
}

/// Whether a suite, or a checkout, may be read from a file of this name.
fn is_read(path: &str) -> bool {
    [".yaml", ".yml", ".jsonl", ".luau", ".lua"].iter().any(|end| path.ends_with(end))
}

/// The suite that is there under a path, or else the one that the coordinator has under a name.
pub(crate) async fn named(name: &str, scratch: &Path, coordinator: &Coordinator, output: Output) -> Result<Suite> {
    let path = Path::new(name);
    if path.exists() {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
        return read(stem, path, None);
    }
    kept(name, scratch, coordinator, output).await
}

/// The suite that the coordinator has under a name.
pub(crate) async fn kept(name: &str, scratch: &Path, coordinator: &Coordinator, output: Output) -> Result<Suite> {
    let found = coordinator.transfer().manifest(name).await;
    let (digest, manifest) = found.map_err(|e| {
        let error = coordinator.transfer_error(&e);
        let hint =
            format!("import it with `vertigo suite import {name} PATH`; `vertigo artifacts --kind suite` lists suites");
        if error.exit == Exit::NotFound { error.hint(hint) } else { error }
    })?;
    if manifest.kind() != Kind::Suite {
        return Err(CliError::refused(format!("`{name}` is no suite but an artifact of kind {}", manifest.kind()))
            .hint("`vertigo artifacts --kind suite` lists suites"));
    }
    let folder = scratch.join(format!("suite-{}", digest.short()));
    if !folder.exists() {
        pull(&manifest, name, &folder, coordinator, output).await?;
    }
    read(name, &folder, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_suite_is_read_from_a_folder_a_benchmark_or_a_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let mine = dir.path().join("mine");
        fs::create_dir_all(mine.join(".git")).unwrap();
        fs::write(mine.join(".git/a.yaml"), "no task").unwrap();
        for (path, text) in ours().unwrap().files() {
            fs::write(mine.join(path), text).unwrap();
        }
        assert_eq!(read("other", &mine, None).unwrap(), ours().unwrap());
        let line = r#"{"id":"a","category":"coding","prompt":"p","expected_patterns":["x"]}"#;
        let (file, system) = (dir.path().join("b.jsonl"), dir.path().join("system.txt"));
        fs::write(&file, line).unwrap();
        fs::write(&system, "Be good.\n").unwrap();
        let benchmark = read("v2", &file, Some(&system)).unwrap();
        assert_eq!((benchmark.about.name.as_str(), benchmark.about.system.as_deref()), ("v2", Some("Be good.")));
        assert_eq!(read("mine", &mine, Some(&system)).unwrap_err().exit, Exit::Usage);
        let checkout = dir.path().join("ogv");
        fs::create_dir_all(checkout.join("Evals")).unwrap();
        let turn = r#"{role = "user", content = "Make a part."}"#;
        let eval = format!(r#"local eval = {{scenario_name = "a", place = "a.rbxl", prompt = {{{{ {turn} }}}}}}"#);
        fs::write(checkout.join("Evals/a.lua"), eval).unwrap();
        assert_eq!(read("ogv", &checkout, None).unwrap().tasks.len(), 1);
    }

    #[test]
    fn what_is_no_suite_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let error = read("x", dir.path(), None).unwrap_err();
        assert!(error.message.contains("no suite.yaml") && error.hint.is_some(), "{error:?}");
        let error = read("x", &dir.path().join("none"), None).unwrap_err();
        assert!(error.hint.unwrap().contains("a suite's folder"));
        fs::write(dir.path().join("suite.yaml"), "name: x\nsistem: y\n").unwrap();
        let error = read("x", dir.path(), None).unwrap_err();
        assert!(error.message.contains("suite.yaml") && error.message.contains("sistem"), "{}", error.message);
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("a.yaml")).unwrap();
        assert!(read("x", dir.path(), None).unwrap_err().message.contains("outside of its folder"));
    }
}
