//! Curations: configs, read before anything is asked of the coordinator, and datasets as a curation reads and leaves them.

use crate::bounded;
use crate::coordinator::Coordinator;
use crate::datasets::{self, Found};
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use vertigo::bounds::CURATION_BYTES_MAX;
use vertigo::folder::Folder;
use vertigo_curation::book::Book;
use vertigo_curation::config::Config;
use vertigo_curation::provenance::{self, Line};
use vertigo_curation::read::read;
use vertigo_curation::report::{self, Report};
use vertigo_curation::row::Row;
use vertigo_model::dataset::jsonl_files;

/// The largest report that is read. Its examples are few and short.
const REPORT_BYTES_MAX: u64 = 64 << 20;

/// The longest line of a provenance that is read.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// A config's file and what it says.
#[derive(Debug, Clone)]
pub(crate) struct ConfigOnDisk {
    /// The file's name without its ending.
    pub(crate) name: String,
    pub(crate) yaml: String,
    pub(crate) config: Config,
}

impl ConfigOnDisk {
    /// That there is a base where the config asks how long rows are.
    pub(crate) fn check_base(&self, has_base: bool) -> Result<()> {
        if has_base || self.config.lengths.tokens_max.is_none() {
            return Ok(());
        }
        let message = format!("the config `{}` has `lengths`, and nothing counts tokens", self.name);
        Err(CliError::new(Exit::Usage, message).hint("name the base whose tokenizer counts, or take `lengths` out"))
    }
}

/// Reads a config, so that a wrong key is named before anything is queued.
pub(crate) fn read_config(path: &Path) -> Result<ConfigOnDisk> {
    let unreadable = |e: &dyn std::fmt::Display| {
        CliError::new(Exit::Usage, format!("cannot read the config {}: {e}", path.display()))
            .hint("name a curation's config; `vertigo curate --example` prints one")
    };
    let yaml = bounded::read(path, CURATION_BYTES_MAX as u64).map_err(|e| unreadable(&e))?;
    let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| unreadable(&"its name is not UTF-8"))?;
    let config = Config::parse(&yaml).map_err(|e| {
        CliError::refused(format!("{}: {e}", path.display())).hint("`vertigo curate --example` has every key")
    })?;
    Ok(ConfigOnDisk { name: name.to_owned(), yaml, config })
}

/// The files of rows in a folder, open.
pub(crate) fn files(folder: &Path) -> Result<Vec<(String, Box<dyn BufRead>)>> {
    let paths = jsonl_files(folder).map_err(|e| datasets::told(&e))?;
    let root = Folder::at(folder).map_err(CliError::refused)?;
    let open = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| CliError::refused(format!("the name of {} is not UTF-8", path.display())))?;
        let file = root.open(name).map_err(|error| CliError::refused(format!("{}: {error}", path.display())))?;
        Ok((name.to_owned(), Box::new(BufReader::new(file)) as Box<dyn BufRead>))
    };
    paths.iter().map(open).collect()
}

/// The rows of a folder, and the book that says which lines are none.
pub(crate) fn rows(folder: &Path) -> Result<(Vec<Row>, Book)> {
    let mut book = Book::default();
    let rows = read(files(folder)?, &mut book).map_err(CliError::refused)?;
    Ok((rows, book))
}

/// What a curated dataset says of itself; `None` of one that is not curated.
pub(crate) fn report(folder: &Path) -> Result<Option<Report>> {
    let path = folder.join(report::FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let told = |error: &dyn std::fmt::Display| CliError::refused(format!("{}: {error}", path.display()));
    let text = bounded::read(&path, REPORT_BYTES_MAX).map_err(|error| told(&error))?;
    let version = |version: u32| format!("it is of version {version}, and this vertigo reads {}", report::VERSION);
    match serde_json::from_str::<Report>(&text) {
        Ok(report) if report.version == report::VERSION => Ok(Some(report)),
        Ok(report) => Err(told(&version(report.version)).hint("update vertigo, or curate the data anew")),
        Err(error) => Err(told(&error).hint("curate the data anew")),
    }
}

/// What each line of a curated dataset was made of; `None` of one that is not curated.
pub(crate) fn provenance(folder: &Path) -> Result<Option<impl Iterator<Item = Result<Line>>>> {
    let path = folder.join(provenance::FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let told = move |error: String| CliError::refused(format!("{}: {error}", path.display()));
    let file =
        Folder::at(folder).map_err(CliError::refused)?.open(provenance::FILE).map_err(|e| told(e.to_string()))?;
    let (mut lines, mut number) = (BufReader::new(file), 0);
    Ok(Some(std::iter::from_fn(move || {
        let mut text = Vec::new();
        number += 1;
        let told = |error: &dyn std::fmt::Display| Some(Err(told(format!("line {number}: {error}"))));
        match lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text) {
            Ok(0) => None,
            Ok(_) => match serde_json::from_slice(&text) {
                Ok(line) => Some(Ok(line)),
                Err(error) => told(&error),
            },
            Err(error) => told(&error),
        }
    })))
}

/// The folder of a curated dataset with those of its files that are `wanted`.
pub(crate) async fn curated(
    name: &str,
    argument: &str,
    wanted: &[&str],
    scratch: &Path,
    coordinator: &Coordinator,
    output: Output,
) -> Result<Found> {
    let found = datasets::found(name, argument, |path| wanted.contains(&path), scratch, coordinator, output).await?;
    match wanted.iter().find(|file| !found.folder.join(file).is_file()) {
        None => Ok(found),
        Some(missing) => Err(CliError::refused(format!("`{name}` has no {missing}: it is not curated"))
            .hint(format!("make one that is: vertigo curate CONFIG.yaml --data {name} --name NAME"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_wrong_config_is_named_with_its_file_and_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.yaml");
        fs::write(&path, "filters: {refusl: drop}\n").unwrap();
        let error = read_config(&path).unwrap_err();
        assert!(error.message.contains("c.yaml") && error.message.contains("refusal"), "{}", error.message);
        assert!(error.hint.unwrap().contains("--example"));
        assert_eq!(read_config(&dir.path().join("none.yaml")).unwrap_err().exit, Exit::Usage);
        fs::write(&path, "lengths: {tokens_max: 100}\n").unwrap();
        let config = read_config(&path).unwrap();
        assert_eq!(config.check_base(false).unwrap_err().exit, Exit::Usage);
        assert_eq!((config.name.as_str(), config.check_base(true)), ("c", Ok(())));
    }

    #[test]
    fn what_is_not_curated_has_neither_report_nor_provenance_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(report(dir.path()).unwrap().is_none() && provenance(dir.path()).unwrap().is_none());
        fs::write(dir.path().join(report::FILE), "{}").unwrap();
        assert!(report(dir.path()).unwrap_err().message.contains("report.json"));
        let line =
            r#"{"id":null,"file":"a.jsonl","line":1,"rights":{"license":null,"basis":null},"touched":[],"side":null}"#;
        fs::write(dir.path().join(provenance::FILE), format!("{line}\n{{\n")).unwrap();
        let mut lines = provenance(dir.path()).unwrap().unwrap();
        assert_eq!(lines.next().unwrap().unwrap().file, "a.jsonl");
        let error = lines.next().unwrap().unwrap_err();
        assert!(error.message.contains("provenance.jsonl: line 2"), "{}", error.message);
    }
}
