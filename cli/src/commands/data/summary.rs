//! `vertigo data show` without a recipe: what a dataset has, by side, rights and, where it is curated, by stage.

use crate::coordinator::Coordinator;
use crate::curations;
use crate::datasets::{self, Found};
use crate::error::{CliError, Result};
use crate::render::curation;
use crate::render::output::{Output, bold, pairs, short_id, table};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use vertigo_curation::report;

/// What is known of a dataset that is not curated.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Summary {
    files: Vec<File>,
    /// Rows by the licence that their lines say; the empty one where they say none.
    licenses: BTreeMap<String, u64>,
    /// Rows by what is wrong with their lines.
    rejected: BTreeMap<String, u64>,
}

/// A file of rows.
#[derive(Debug, PartialEq, Serialize)]
struct File {
    name: String,
    rows: u64,
    rejected: u64,
}

pub(super) async fn run(name: &str, coordinator: &Coordinator, output: Output) -> Result<()> {
    let scratch = tempfile::tempdir().map_err(|e| CliError::refused(format!("no temporary folder: {e}")))?;
    let find = async |wanted: &dyn Fn(&str) -> bool| {
        datasets::found(name, "`vertigo data show`", wanted, scratch.path(), coordinator, output).await
    };
    // Of a curated dataset the report is enough.
    let found = find(&|path| path == report::FILE).await?;
    if let Some(report) = curations::report(&found.folder)? {
        output.show(
            || json!({"name": name, "digest": digest(&found), "report": report}),
            || curation::render(name, &report),
        );
        return Ok(());
    }
    let folder = scratch.path().join("rows");
    let found = match found.kept {
        None => found,
        Some(_) => datasets::found(name, "`vertigo data show`", |_| true, &folder, coordinator, output).await?,
    };
    let summary = tokio::task::block_in_place(|| summary(&found.folder))?;
    output.show(|| document(name, &found, &summary), || render(name, &found, &summary));
    Ok(())
}

fn digest(found: &Found) -> Option<String> {
    found.kept.as_ref().map(|(digest, _)| digest.to_string())
}

fn summary(folder: &Path) -> Result<Summary> {
    let (rows, book) = curations::rows(folder)?;
    let mut summary = Summary::default();
    for entry in &book.entries {
        let name = &entry.origin.file;
        if summary.files.last().is_none_or(|last| *last.name != **name) {
            summary.files.push(File { name: name.to_string(), rows: 0, rejected: 0 });
        }
        let Some(file) = summary.files.last_mut() else { continue };
        match entry.end() {
            None => file.rows += 1,
            Some(end) => {
                file.rejected += 1;
                *summary.rejected.entry(end.rule.says.to_owned()).or_default() += 1;
            }
        }
    }
    for row in &rows {
        let license = row.facts.get("license").and_then(Value::as_str).unwrap_or_default();
        *summary.licenses.entry(license.to_owned()).or_default() += 1;
    }
    Ok(summary)
}

fn document(name: &str, found: &Found, summary: &Summary) -> Value {
    json!({
        "name": name,
        "digest": digest(found),
        "facts": found.kept.as_ref().map(|(_, manifest)| manifest.facts().collect::<BTreeMap<_, _>>()),
        "files": summary.files,
        "licenses": summary.licenses,
        "rejected": summary.rejected,
    })
}

fn render(name: &str, found: &Found, summary: &Summary) -> String {
    let rows: u64 = summary.files.iter().map(|file| file.rows).sum();
    let licenses = summary.licenses.iter().map(|(license, rows)| match license.as_str() {
        "" => format!("{rows} say none"),
        license => format!("{license} {rows}"),
    });
    let kept = found.kept.as_ref();
    let facts = [
        ("digest", kept.map(|(digest, _)| format!("sha256:{}", short_id(&digest.hex()))).unwrap_or_default()),
        ("rows", format!("{rows} in {} files", summary.files.len())),
        ("licences", licenses.collect::<Vec<_>>().join(", ")),
        ("size", kept.map(|(_, manifest)| manifest.bytes().to_string()).unwrap_or_default()),
    ];
    let mut text = format!("{}\n{}\n", bold(name), pairs(facts));
    let files = summary.files.iter().map(|file| [file.name.clone(), file.rows.to_string(), file.rejected.to_string()]);
    text += &table(["FILE", "ROWS", "NO ROW"], &[1, 2], files.collect());
    for (says, lines) in &summary.rejected {
        text += &format!("{lines} lines: {says}\n");
    }
    text + &format!("not curated: vertigo curate CONFIG.yaml --data {name} --name NAME\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    #[test]
    fn an_imported_dataset_is_told_by_files_licences_and_lines_that_are_no_rows() {
        let dir = tempfile::tempdir().unwrap();
        let rows = "{\"text\":\"a\",\"license\":\"MIT\"}\n{\"text\":\"b\"}\n{\n";
        std::fs::write(dir.path().join("a.jsonl"), rows).unwrap();
        std::fs::write(dir.path().join("b.jsonl"), "{\"text\":\"c\",\"license\":\"MIT\"}\n").unwrap();
        let found = Found { folder: dir.path().to_owned(), kept: None };
        let summary = summary(dir.path()).unwrap();
        let text = plain(&render("raw", &found, &summary));
        assert!(text.contains("3 in 2 files") && text.contains("1 say none, MIT 2"), "{text}");
        assert!(text.contains("a.jsonl     2       1"), "{text}");
        assert!(text.contains("1 lines: ") && text.contains("not curated"), "{text}");
        let document = document("raw", &found, &summary);
        assert_eq!((&document["files"][0]["rejected"], &document["licenses"]["MIT"]), (&json!(1), &json!(2)));
    }
}
