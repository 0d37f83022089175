use super::*;
use crate::config::Config;
use crate::row::{Body, Message, Origin, Role};
use serde_json::json;

/// Rows of these files, each with an answer and facts, through the stage: what the book says of each, `kept` where it went on.
fn applied(config: &str, rows: &[(&str, &str, Value)]) -> Vec<String> {
    let config = Config::parse(config).unwrap_or_else(|e| panic!("{e}"));
    let mut book = Book::default();
    let enter = |(file, answer, facts): &(&str, &str, Value)| Row {
        entry: book.enter(Origin { file: (*file).into(), line: 1 }),
        body: Body::Chat { messages: vec![Message::new(Role::Assistant, *answer)], tools: None },
        facts: facts.as_object().unwrap().clone(),
    };
    let rows: Vec<Row> = rows.iter().map(enter).collect();
    let kept = apply(rows, config.tiers.as_ref(), &config.excluded, &mut book);
    let is_kept = |entry: usize| kept.iter().any(|row| row.entry as usize == entry);
    let say = |(entry, it): (usize, &crate::book::Entry)| match it.end() {
        Some(touch) if !is_kept(entry) => format!("{} {}", touch.rule.name, touch.detail).trim().to_owned(),
        None if is_kept(entry) => "kept".to_owned(),
        _ => panic!("{it:?}"),
    };
    book.entries.iter().enumerate().map(say).collect()
}

#[test]
fn a_file_s_tier_is_the_last_that_names_it_and_what_is_excluded_stays_out() {
    let config = "tiers: {copy: ['a*'], verified: [v], filter_code: {files: [ab, c]}, filter_score: {files: [ac]}}\nexcluded: [a_not]";
    let files = ["a", "ab", "ac", "a_not", "v", "c", "d"];
    let rows: Vec<(&str, &str, Value)> = files.iter().map(|file| (*file, "", json!({}))).collect();
    let found = applied(config, &rows);
    assert_eq!(
        found,
        [
            "kept",
            "tier_few_code_lines 0 of 5",
            "tier_low_score eval_score is 0, less than 0.6",
            "file_excluded",
            "kept",
            "tier_few_code_lines 0 of 5",
            "no_tier",
        ]
    );
}

#[test]
fn without_tiers_every_file_enters_that_is_not_excluded() {
    let rows = [("a", "", json!({})), ("b", "", json!({}))];
    assert_eq!(applied("", &rows), ["kept", "kept"]);
    assert_eq!(applied("excluded: ['[ac]']", &rows), ["file_excluded", "kept"]);
}

#[test]
fn scores_are_compared_as_python_compares_them() {
    let config = "tiers: {filter_score: {files: ['*'], min_score: 1, score_field: a.b}}";
    let scores = [json!(1), json!(1.0), json!(0.999), json!(true), json!(false), json!(null), json!("2"), json!([2])];
    let rows: Vec<(&str, &str, Value)> = scores.iter().map(|score| ("f", "", json!({ "a.b": score }))).collect();
    assert_eq!(
        applied(config, &rows),
        [
            "kept",
            "kept",
            "tier_low_score a.b is 0.999, less than 1",
            "kept",
            "tier_low_score a.b is 0, less than 1",
            "tier_low_score a.b is no number",
            "tier_low_score a.b is no number",
            "tier_low_score a.b is no number",
        ]
    );
    // The field's name is no path, and a row without it has 0.
    assert_eq!(applied(config, &[("f", "", json!({"a": {"b": 2}}))]), ["tier_low_score a.b is 0, less than 1"]);
    assert_eq!(applied(&config.replace("min_score: 1", "min_score: -1"), &[("f", "", json!({}))]), ["kept"]);
}

#[test]
fn code_lines_are_asked_for_as_the_tier_says() {
    let config = "tiers: {filter_code: {files: ['*'], min_code_lines: 2}}";
    let rows = [("f", "```lua\na\n\nb\n```", json!({})), ("f", "```lua\na\n```", json!({})), ("f", "a\nb", json!({}))];
    assert_eq!(applied(config, &rows), ["kept", "tier_few_code_lines 1 of 2", "tier_few_code_lines 0 of 2"]);
    assert_eq!(applied(&config.replace("lines: 2", "lines: 0"), &rows), ["kept", "kept", "kept"]);
}
