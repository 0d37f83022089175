//! `vertigo data why`: what happened to a row of a curated dataset, and by which rule.

use crate::cli::{RowName, WhyArgs};
use crate::coordinator::Coordinator;
use crate::curations;
use crate::error::{CliError, Exit, Result};
use crate::render::curation::{render_line, side};
use crate::render::output::Output;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use vertigo_curation::provenance::{self, Line};
use vertigo_curation::report::{self, Report};

/// Lines that are shown: of a row that stands there a thousand times, nobody reads all.
const LINES_MAX: usize = 20;

/// Ids that an error lists.
const IDS_MAX: usize = 5;

pub(super) async fn run(args: &WhyArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let scratch = tempfile::tempdir().map_err(|e| CliError::refused(format!("no temporary folder: {e}")))?;
    let wanted = [provenance::FILE, report::FILE];
    let found = curations::curated(&args.data, "--data", &wanted, scratch.path(), coordinator, output).await?;
    let meanings = curations::report(&found.folder)?.map(|report| meanings(&report)).unwrap_or_default();
    let mut lines = Vec::new();
    for line in curations::provenance(&found.folder)?.into_iter().flatten() {
        let line = line?;
        if is_meant(&line, &args.row) {
            lines.push(line);
        }
    }
    check(&args.row, &args.data, &lines)?;
    let document =
        || json!({"data": args.data, "lines": lines.iter().map(|it| document(it, &meanings)).collect::<Value>()});
    output.show(document, || render(&lines, &meanings));
    Ok(())
}

/// What each rule means, by its name.
fn meanings(report: &Report) -> BTreeMap<String, String> {
    let rules = report.funnel.iter().flat_map(|passage| &passage.rules);
    rules.map(|applied| (applied.rule.clone(), applied.says.clone())).collect()
}

fn is_meant(line: &Line, row: &RowName) -> bool {
    match row {
        RowName::Place(file, number) => line.file == *file && line.line as usize == *number,
        RowName::Id(begin) => line.id.iter().map(String::as_str).chain(line.rows()).any(|id| id.starts_with(begin)),
    }
}

/// That the name means one row, wherever that was read.
fn check(row: &RowName, data: &str, lines: &[Line]) -> Result<()> {
    let missing = |what: String| CliError::new(Exit::NotFound, format!("`{data}` was not made of {what}"));
    match row {
        RowName::Place(file, number) if lines.is_empty() => Err(missing(format!("{file}:{number}"))
            .hint("a blank line is no row; a file is called as the raw data calls it")),
        RowName::Id(begin) if lines.is_empty() => {
            Err(missing(format!("a row {begin}…")).hint("name it by FILE:LINE, as the raw data has it"))
        }
        RowName::Id(begin) => {
            let meant = lines.iter().flat_map(|line| line.id.iter().map(String::as_str).chain(line.rows()));
            // A row that was repaired has two ids, and either names it.
            let as_read: BTreeSet<_> = lines.iter().map(|line| line.id.as_deref()).collect();
            let ids: BTreeSet<&str> = meant.filter(|id| id.starts_with(begin)).collect();
            if ids.len() < 2 || as_read.len() < 2 {
                return Ok(());
            }
            let few: Vec<&str> = ids.iter().take(IDS_MAX).map(|id| &id[..id.len().min(begin.len() + 8)]).collect();
            Err(CliError::refused(format!("{} rows begin with {begin}", ids.len()))
                .hint(format!("write more of it: {}", few.join(", "))))
        }
        RowName::Place(..) => Ok(()),
    }
}

/// A line for scripts: as the provenance has it, with what each rule means.
fn document(line: &Line, meanings: &BTreeMap<String, String>) -> Value {
    let mut document = json!(line);
    for touched in document["touched"].as_array_mut().into_iter().flatten() {
        touched["says"] = json!(touched["rule"].as_str().and_then(|rule| meanings.get(rule)));
    }
    document["rows"] = line.rows().collect();
    document["kept"] = json!(side(line).is_some());
    document
}

fn render(lines: &[Line], meanings: &BTreeMap<String, String>) -> String {
    let mut text: String = lines.iter().take(LINES_MAX).map(|line| render_line(line, meanings)).collect();
    if lines.len() > LINES_MAX {
        text += &format!("and {} more lines with this row\n", lines.len() - LINES_MAX);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;
    use vertigo_curation::book::{Effect, Rights, Side};
    use vertigo_curation::provenance::Touched;

    fn line(id: &str, number: u32, fate: Option<&str>, made: &[&str]) -> Line {
        let touched = fate.map(|rule| Touched {
            stage: "filters".to_owned(),
            rule: rule.to_owned(),
            effect: Effect::Dropped,
            detail: "at turn 2".to_owned(),
        });
        Line {
            id: Some(id.to_owned()),
            file: "a.jsonl".to_owned(),
            line: number,
            rights: Rights { license: Some("MIT".into()), ..Rights::default() },
            touched: touched.into_iter().collect(),
            side: fate.is_none().then_some(Side::Train),
            cluster: None,
            made: made.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    #[test]
    fn a_row_is_found_by_its_place_its_id_and_the_id_of_what_was_made_of_it() {
        let line = line("abcd1234", 7, None, &["ffff0000"]);
        let means = |row: &str| is_meant(&line, &row.parse().unwrap());
        assert!(means("a.jsonl:7") && means("abcd") && means("ffff0000"));
        assert!(!means("a.jsonl:8") && !means("b.jsonl:7") && !means("bcd1"));
    }

    #[test]
    fn a_name_of_nothing_and_a_name_of_several_rows_are_refused() {
        let of = |row: &str, lines: &[Line]| check(&row.parse().unwrap(), "d", lines);
        assert_eq!(of("a.jsonl:1", &[]).unwrap_err().exit, Exit::NotFound);
        assert_eq!(of("abcd", &[]).unwrap_err().exit, Exit::NotFound);
        let (one, other) = (line("abcd1111", 1, None, &[]), line("abcd2222", 2, None, &[]));
        let error = of("abcd", &[one.clone(), other]).unwrap_err();
        assert!(error.message.contains("2 rows") && error.hint.unwrap().contains("abcd1111, abcd2222"));
        assert_eq!(of("abcd", &[one.clone(), line("abcd1111", 9, Some("cut"), &[])]), Ok(()), "the same row twice");
    }

    #[test]
    fn it_says_what_each_rule_did_and_where_the_row_is_now() {
        let meanings = BTreeMap::from([("cut".to_owned(), "the answer ends in the middle".to_owned())]);
        let text = plain(&render(&[line("abcd1234", 7, Some("cut"), &[]), line("abcd1234", 9, None, &[])], &meanings));
        for words in
            ["a.jsonl:7", "MIT", "dropped", "cut", "the answer ends in the middle", "at turn 2", "a.jsonl:9", "train"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        let document = document(&line("abcd1234", 7, Some("cut"), &[]), &meanings);
        assert_eq!(document["touched"][0]["says"], "the answer ends in the middle");
        assert_eq!((&document["kept"], &document["rows"]), (&json!(false), &json!([])));
    }
}
