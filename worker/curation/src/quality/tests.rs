use super::*;
use crate::row::{Message, Origin};
use proptest::prelude::*;
use serde_json::{Value, json};

fn row(messages: &[(Role, &str)], facts: Value) -> Row {
    let messages = messages.iter().map(|(role, text)| Message::new(*role, *text)).collect();
    Row { entry: 0, body: Body::Chat { messages, tools: None }, facts: facts.as_object().unwrap().clone() }
}

fn answer(text: &str) -> Row {
    row(&[(Role::Assistant, text)], json!({}))
}

#[test]
fn the_score_is_the_sum_of_its_parts() {
    let near = |row: &Row, expected: f64| {
        let score = pipeline_quality(row);
        assert!((score - expected).abs() < 1e-12, "{score} and not {expected}: {row:?}");
    };
    let one_turn = 0.2 / 4.0;
    near(&answer(""), 0.2 * 0.1 + one_turn);
    near(&answer("<think>"), 0.25 + 0.2 * 0.1 + one_turn);
    near(&answer(": string --!strict"), 0.2 * 0.1 + 0.2 * 2.0 / 3.0 + one_turn);
    near(&answer("task.wait @native math.lerp table.create"), 0.2 * 0.1 + 0.15 + one_turn);
    // By characters, and not by bytes.
    for (chars, part) in
        [(99, 0.1), (100, 0.4), (199, 0.4), (200, 1.0), (2_999, 1.0), (3_000, 0.7), (7_999, 0.7), (8_000, 0.4)]
    {
        near(&answer(&"é".repeat(chars)), 0.2 * part + one_turn);
    }
    // Only the person's and the model's turns count, and only the model's words.
    let turns = [(Role::System, "<think>"), (Role::User, "<think>"), (Role::Tool, "<think>")];
    near(&row(&turns, json!({})), 0.2 * 0.1 + one_turn);
    near(&row(&[(Role::User, "a"); 9], json!({})), 0.2 * 0.1 + 0.2);
    // Answers stand one behind the other with nothing between them.
    near(&row(&[(Role::Assistant, "<thi"), (Role::Assistant, "nk>")], json!({})), 0.25 + 0.2 * 0.1 + 2.0 * one_turn);
}

#[test]
fn lines_of_code_are_counted_within_fences_after_the_language() {
    for (text, expected) in [
        ("", 0),
        ("local x", 0),
        ("```lua\nlocal x\n\n  \nreturn x\n```", 2),
        // What looks like code in the first line is no language.
        ("```\nlocal x\nreturn x\n```", 2),
        ("```\nx = 1\nreturn x\n```", 1),
        ("```-- a\n```", 1),
        ("```lua```", 0),
        ("``````", 0),
        ("````lua\na\nb\n````", 2),
        // Never closed.
        ("```lua\na\nb", 0),
        ("```lua\na\n``` text ```lua\nb\n```", 2),
        // Every end of a line that Python knows, and one that it does not.
        ("```lua\ra\u{b}b\u{c}c\u{1c}d\u{1d}e\u{1e}f\u{85}g\u{2028}h\u{2029}i\r\nj```", 10),
        ("```lua\na\u{1f}b```", 1),
        // Space of any kind is blank.
        ("```lua\na\n\u{3000}\u{1f}\nb```", 2),
    ] {
        assert_eq!(pipeline_code_lines(&answer(text)), expected, "{text:?}");
    }
    // Whoever speaks, and from one to the next.
    let both = row(&[(Role::User, "```lua\na"), (Role::Assistant, "b\n```")], json!({}));
    assert_eq!(pipeline_code_lines(&both), 2);
    let text = Row { body: Body::Text("```lua\na\n```".to_owned()), ..both };
    assert_eq!(pipeline_code_lines(&text), 1);
}

#[test]
fn facts_are_found_by_name_and_path() {
    let facts = json!({"eval_score": 1, "provenance": {"eval_score": 0.5, "a": {"b": 2}}, "x.y": 3, "x": {"y": 4}, "s": "1", "t": true});
    let row = row(&[(Role::User, "u"), (Role::Assistant, "é b")], facts);
    for (name, expected) in [
        ("eval_score", Some(1.0)),
        ("provenance.eval_score", Some(0.5)),
        ("provenance.a.b", Some(2.0)),
        ("x.y", Some(3.0)),
        ("provenance", None),
        ("provenance.a", None),
        ("eval_score.a", None),
        ("s", None),
        ("t", None),
        ("", None),
        (".", None),
        ("answer_chars", Some(3.0)),
        ("answer_words", Some(2.0)),
        ("turns", Some(2.0)),
        ("pipeline_code_lines", Some(0.0)),
    ] {
        assert_eq!(fact(&row, name), expected, "{name}");
    }
    let coded = answer("```luau\nlocal x = 1\n\nreturn x\n```\n```luau\nlocal = \n```");
    assert_eq!((fact(&coded, "luau_lines"), fact(&coded, "pipeline_code_lines")), (Some(2.0), Some(3.0)));
    for (name, _) in COMPUTED {
        assert!(fact(&row, name).is_some(), "{name}");
    }
}

#[test]
fn a_row_stays_that_has_all_that_is_asked_for() {
    let mut book = Book::default();
    let rows = [json!({"a": 1, "b": 2}), json!({"a": 0.9, "b": 2}), json!({"a": 1}), json!({"a": "1", "b": 2})];
    let enter = |facts: &Value| {
        let entry = book.enter(Origin { file: "f".into(), line: 1 });
        Row { entry, ..row(&[], facts.clone()) }
    };
    let rows: Vec<Row> = rows.iter().map(enter).collect();
    let asked = [QualityFilter { fact: "a".into(), min: 1.0 }, QualityFilter { fact: "b".into(), min: 2.0 }];
    let kept = apply(rows.clone(), &asked, &mut book);
    assert_eq!(kept, rows[..1]);
    let ends = book.entries.iter().map(|entry| entry.end().map(|touch| (touch.rule.name, &*touch.detail)));
    assert_eq!(
        ends.collect::<Vec<_>>(),
        [
            None,
            Some(("fact_below_min", "a is 0.9, less than 1")),
            Some(("fact_absent", "there is no number b")),
            Some(("fact_absent", "there is no number a")),
        ]
    );
}

proptest! {
    #[test]
    fn a_score_is_from_0_to_1_and_nothing_crashes(texts in prop::collection::vec("(```|`|\\PC|\n|local|--!strict|<think>){0,40}", 0..5)) {
        let messages: Vec<(Role, &str)> = texts.iter().map(|text| (Role::Assistant, &**text)).collect();
        let row = row(&messages, json!({}));
        prop_assert!((0.0..=1.0 + 1e-9).contains(&pipeline_quality(&row)));
        // Several fences may stand in one line.
        let lines: usize = texts.iter().map(|text| lines(text).count() + text.matches("```").count()).sum();
        prop_assert!(pipeline_code_lines(&row) <= lines);
    }
}
