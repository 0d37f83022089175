//! `vertigo data diff`: which rows two datasets do not share, and which have moved.
//!
//! A row is known by what it teaches. Why one is missing from a curated dataset, that dataset's provenance tells.

use crate::cli::DiffArgs;
use crate::coordinator::Coordinator;
use crate::curations;
use crate::datasets;
use crate::error::{CliError, Result};
use crate::render::curation::render_end;
use crate::render::output::{Output, bold, pairs, short_id};
use crate::render::safe;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use vertigo_curation::row::RowId;

/// A row of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Held {
    /// Where it is written, and so its side: `valid.jsonl:7`.
    place: String,
    /// The side: the file's name without its ending.
    side: String,
    /// How often it is drawn.
    weight: f64,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Other {
    id: String,
    before: Option<Held>,
    after: Option<Held>,
    /// What left it out of the dataset that lacks it.
    why: Option<String>,
}

/// What differs.
#[derive(Debug, Default)]
struct Diff {
    before: usize,
    after: usize,
    only_before: Vec<Other>,
    only_after: Vec<Other>,
    moved: Vec<Other>,
    reweighed: Vec<Other>,
}

pub(super) async fn run(args: &DiffArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let scratch = tempfile::tempdir().map_err(|e| CliError::refused(format!("no temporary folder: {e}")))?;
    let is_read = |path: &str| path.ends_with(".jsonl");
    let found = async |name: &str| {
        datasets::found(name, "`vertigo data diff`", is_read, scratch.path(), coordinator, output).await
    };
    let (before, after) = (found(&args.before).await?, found(&args.after).await?);
    let mut diff = diff(&held(&before.folder)?, &held(&after.folder)?);
    explain(&mut diff.only_before, &before.folder, &after.folder)?;
    explain(&mut diff.only_after, &after.folder, &before.folder)?;
    output.show(|| document(args, &diff), || render(args, &diff));
    Ok(())
}

/// The rows of a folder by what they teach. Of one that stands there twice, the first counts.
fn held(folder: &Path) -> Result<BTreeMap<RowId, Held>> {
    let (rows, book) = curations::rows(folder)?;
    let mut held = BTreeMap::new();
    for row in rows {
        let origin = &book.of(&row).origin;
        let side = origin.file.trim_end_matches(".jsonl").to_owned();
        let weight = row.facts.get("weight").and_then(Value::as_f64).unwrap_or(1.0);
        held.entry(row.body.id()).or_insert(Held { place: origin.to_string(), side, weight });
    }
    Ok(held)
}

fn diff(before: &BTreeMap<RowId, Held>, after: &BTreeMap<RowId, Held>) -> Diff {
    let mut diff = Diff { before: before.len(), after: after.len(), ..Diff::default() };
    let other = |id: &RowId| Other {
        id: id.to_string(),
        before: before.get(id).cloned(),
        after: after.get(id).cloned(),
        why: None,
    };
    // Where neither is split, files are no sides.
    let is_split = |rows: &BTreeMap<RowId, Held>| rows.values().any(|row| row.side == "valid" || row.side == "test");
    let has_sides = is_split(before) && is_split(after);
    for (id, was) in before {
        match after.get(id) {
            None => diff.only_before.push(other(id)),
            Some(is) if has_sides && is.side != was.side => diff.moved.push(other(id)),
            Some(is) if is.weight != was.weight => diff.reweighed.push(other(id)),
            Some(_) => {}
        }
    }
    diff.only_after = after.keys().filter(|id| !before.contains_key(id)).map(other).collect();
    diff
}

/// Says of rows that are in `has` alone what left them out of `lacks`, where its provenance knows them. A row that was repaired in `has` is
/// known there by the id that it was read under.
fn explain(rows: &mut [Other], has: &Path, lacks: &Path) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut by_id: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (n, row) in rows.iter().enumerate() {
        by_id.entry(row.id.clone()).or_default().push(n);
    }
    for line in curations::provenance(has)?.into_iter().flatten() {
        let line = line?;
        let numbers: Vec<usize> = line.rows().filter_map(|id| by_id.get(id)).flatten().copied().collect();
        if let (Some(id), false) = (line.id, numbers.is_empty()) {
            by_id.entry(id).or_default().extend(numbers);
        }
    }
    for line in curations::provenance(lacks)?.into_iter().flatten() {
        let line = line?;
        let Some(numbers) = line.id.as_ref().and_then(|id| by_id.get(id)) else { continue };
        let why = match line.end() {
            Some(end) => render_end(end),
            None if line.side.is_some() => "it was changed there".to_owned(),
            None => continue,
        };
        for n in numbers {
            rows[*n].why.get_or_insert_with(|| why.clone());
        }
    }
    Ok(())
}

fn document(args: &DiffArgs, diff: &Diff) -> Value {
    json!({
        "before": {"name": args.before, "rows": diff.before},
        "after": {"name": args.after, "rows": diff.after},
        "only_before": diff.only_before,
        "only_after": diff.only_after,
        "moved": diff.moved,
        "reweighed": diff.reweighed,
    })
}

fn render(args: &DiffArgs, diff: &Diff) -> String {
    let shared = diff.before - diff.only_before.len();
    let (before, after) = (&args.before, &args.after);
    let rows = [
        ("rows", format!("{} before, {} after, {shared} in both", diff.before, diff.after)),
        ("moved", format!("{} to another side", diff.moved.len())),
        ("weights", format!("{} changed", diff.reweighed.len())),
    ];
    let mut text = format!("{} → {}\n{}", bold(before), bold(after), pairs(rows));
    let parts = [
        (format!("only in {before}"), &diff.only_before),
        (format!("only in {after}"), &diff.only_after),
        ("moved".to_owned(), &diff.moved),
        ("weight changed".to_owned(), &diff.reweighed),
    ];
    for (what, rows) in parts.iter().filter(|(_, rows)| !rows.is_empty()) {
        text += &format!("\n{} {}\n", bold(what), rows.len());
        for row in rows.iter().take(args.examples) {
            text += &format!("  {}  {}\n", short_id(&row.id), safe::line(&said(row)));
        }
        if rows.len() > args.examples {
            text += &format!("  and {} more; --examples {} lists them\n", rows.len() - args.examples, rows.len());
        }
    }
    text
}

/// A difference in a line.
fn said(row: &Other) -> String {
    match (&row.before, &row.after) {
        (Some(before), Some(after)) if before.side != after.side => format!("{} → {}", before.place, after.place),
        (Some(before), Some(after)) => format!("{}: {} → {}", after.place, before.weight, after.weight),
        (one, other) => {
            let place = one.as_ref().or(other.as_ref()).map(|held| held.place.clone()).unwrap_or_default();
            row.why.as_ref().map_or(place.clone(), |why| format!("{place}: {why}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;
    use std::fs;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }

    fn text(words: &str, more: &str) -> String {
        format!("{{\"text\": \"{words}\"{more}}}\n")
    }

    #[test]
    fn rows_are_compared_by_what_they_teach() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let (same, gone, moves, heavier) = (text("same", ""), text("gone", ""), text("moves", ""), text("heavier", ""));
        write(&a, &[("train.jsonl", &(same.clone() + &gone + &moves + &heavier)), ("valid.jsonl", &text("v", ""))]);
        let again = same.replace(": ", ":").replace('}', ", \"source\": \"elsewhere\"}");
        let train = text("new", "") + &again + &text("heavier", ", \"weight\": 2.5");
        write(&b, &[("train.jsonl", &train), ("valid.jsonl", &(moves + &text("v", "")))]);
        let (before, after) = (held(&a).unwrap(), held(&b).unwrap());
        let diff = diff(&before, &after);
        let places = |rows: &[Other]| rows.iter().map(said).collect::<Vec<_>>();
        assert_eq!((diff.before, diff.after), (5, 5));
        assert_eq!(places(&diff.only_before), ["train.jsonl:2"]);
        assert_eq!(places(&diff.only_after), ["train.jsonl:1"]);
        assert_eq!(places(&diff.moved), ["train.jsonl:3 → valid.jsonl:1"]);
        assert_eq!(places(&diff.reweighed), ["train.jsonl:3: 1 → 2.5"]);
        let args = DiffArgs { before: "a".to_owned(), after: "b".to_owned(), examples: 0 };
        let shown = plain(&render(&args, &diff));
        assert!(shown.contains("4 in both") && shown.contains("and 1 more"), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }

    #[test]
    fn a_missing_row_is_explained_by_the_provenance_of_what_lacks_it() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        write(&a, &[("train.jsonl", &(text("redacted", "") + &text("plain", "")))]);
        write(&b, &[("train.jsonl", &text("other", ""))]);
        let ids: BTreeMap<String, RowId> =
            held(&a).unwrap().iter().map(|(id, held)| (held.place.clone(), *id)).collect();
        let line = |id: &str, end: bool, made: &[String]| {
            let touched = if end {
                json!([{"stage": "filters", "rule": "refusal", "effect": "dropped", "detail": "turn 2"}])
            } else {
                json!([])
            };
            let side = (!end).then_some("train");
            let rights = json!({"license": null, "basis": null});
            let line = json!({"id": id, "file": "r.jsonl", "line": 1, "rights": rights, "touched": touched, "side": side, "made": made});
            format!("{line}\n")
        };
        // In `a` one row is another than it was read as.
        let made = ids["train.jsonl:1"].to_string();
        write(&a, &[("provenance.jsonl", &line("00ff", false, &[made]))]);
        let plain = ids["train.jsonl:2"].to_string();
        write(&b, &[("provenance.jsonl", &(line("00ff", true, &[]) + &line(&plain, true, &[])))]);
        let mut diff = diff(&held(&a).unwrap(), &held(&b).unwrap());
        explain(&mut diff.only_before, &a, &b).unwrap();
        assert_eq!(diff.only_before.len(), 2);
        for row in &diff.only_before {
            let why = row.why.as_deref().unwrap_or_default();
            assert!(why.contains("refusal") && why.contains("turn 2"), "{row:?}");
        }
    }
}
