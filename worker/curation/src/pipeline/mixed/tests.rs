use super::*;
use crate::pipeline::balanced;
use crate::row::Call;
use proptest::prelude::*;
use serde_json::{Map, json};
use std::collections::BTreeMap;

fn chat(entry: u32, messages: Vec<Message>, tools: Option<Vec<Value>>, facts: Value) -> Row {
    let Value::Object(facts) = facts else { panic!("{facts}") };
    Row { entry, body: Body::Chat { messages, tools }, facts }
}

fn of_category(entry: u32, category: &str) -> Row {
    let said = vec![Message::new(Role::User, entry.to_string()), Message::new(Role::Assistant, "yes")];
    chat(entry, said, None, json!({ "category": category }))
}

fn calling(tool: &str) -> Message {
    let call = Call { id: None, name: tool.into(), arguments: Map::new() };
    Message { content: None, calls: vec![call], ..Message::new(Role::Assistant, "") }
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

fn all(mixed: &Mixed) -> impl Iterator<Item = &Row> {
    mixed.train.iter().chain(&mixed.valid).chain(&mixed.test)
}

#[test]
fn a_conversation_with_calls_becomes_a_row_for_each_answer_with_the_called_tools() {
    let messages = vec![
        Message::new(Role::User, "do"),
        calling("run"),
        Message { answers: Some("1".into()), ..Message::new(Role::Tool, "done") },
        Message { name: Some("n".into()), thought: Some("t".into()), ..Message::new(Role::Assistant, "it is done") },
        Message::new(Role::User, "thanks"),
    ];
    let row = chat(7, messages.clone(), Some(vec![tool("other"), tool("run")]), json!({"source": "s"}));
    let rows = to_rows(&row);
    let lengths: Vec<usize> = rows.iter().map(|row| row.body.messages().len()).collect();
    assert_eq!(lengths, [2, 4]);
    for row in &rows {
        let Body::Chat { tools, .. } = &row.body else { panic!("{row:?}") };
        assert_eq!(tools.as_deref(), Some(&[tool("run")][..]));
        assert_eq!((row.entry, &row.facts["source"]), (7, &json!("s")));
    }
    assert_eq!(rows[1].body.messages()[3], Message::new(Role::Assistant, "it is done"));
    // No tool that is offered is called, or none is offered: a plain chat, whole.
    for tools in [Some(vec![tool("other")]), None] {
        let rows = to_rows(&chat(7, messages.clone(), tools, json!({})));
        let [Row { body: Body::Chat { messages, tools: None }, .. }] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(messages.len(), 5);
    }
}

#[test]
fn a_small_category_is_filled_up_to_a_third_of_the_largest() {
    let rows: Vec<Row> = (0..100)
        .map(|n| {
            of_category(
                n,
                if n < 95 {
                    "large"
                } else if n < 98 {
                    "small"
                } else {
                    "one"
                },
            )
        })
        .collect();
    let mixed = balanced::mix(&rows, 1).unwrap();
    let mut counts = BTreeMap::new();
    all(&mixed).for_each(|row| *counts.entry(row.facts["category"].as_str().unwrap()).or_insert(0) += 1);
    // A third of 95, without what is left.
    assert_eq!(counts, BTreeMap::from([("large", 95), ("one", 31), ("small", 31)]));
    assert_eq!((mixed.train.len(), mixed.valid.len(), mixed.test.len()), (125, 16, 16));
    assert_eq!(balanced::mix(&rows, 1).unwrap(), mixed);
    assert_ne!(balanced::mix(&rows, 2).unwrap(), mixed);
}

#[test]
fn the_draws_are_the_same_on_every_machine() {
    let rows: Vec<Row> =
        (0..20).map(|n| of_category(n, if n < 15 { "large" } else { ["a", "b"][n as usize % 2] })).collect();
    let mixed = balanced::mix(&rows, 42).unwrap();
    let entries = |rows: &[Row]| rows.iter().map(|row| row.entry.to_string()).collect::<Vec<_>>().join(" ");
    let sides = [entries(&mixed.train), entries(&mixed.valid), entries(&mixed.test)];
    assert_eq!(sides, ["5 10 8 18 18 11 3 15 14 17 13 15 1 18 16 7 19 2 12 19", "4 6", "0 16 9"]);
}

#[test]
fn what_would_be_copied_without_end_is_refused() {
    // One large category, and so many small ones that each would be filled up to a third of it.
    let rows: Vec<Row> =
        (0..6_000).map(|n| of_category(n, &if n < 3_000 { "large".to_owned() } else { n.to_string() })).collect();
    let error = balanced::mix(&rows, 1).unwrap_err();
    assert_eq!(error, MixError::TooMany { rows: 6_000, mixed: 3_003_000 });
    assert!(error.to_string().contains("1000000 are taken"), "{error}");
}

#[test]
fn a_row_without_a_category_is_of_the_unknown_one() {
    let mut rows: Vec<Row> = (0..9).map(|n| of_category(n, "unknown")).collect();
    rows.push(chat(9, vec![Message::new(Role::User, "")], None, json!({})));
    rows.push(chat(10, vec![Message::new(Role::User, "")], None, json!({"category": null})));
    // Ten of the unknown category, and one of none.
    assert_eq!(all(&balanced::mix(&rows, 1).unwrap()).count(), 13);
}

proptest! {
    #[test]
    fn every_row_is_in_the_mix_and_the_sides_are_the_pipeline_s(
        categories in prop::collection::vec(0_usize..6, 0..60), seed in any::<u64>(),
    ) {
        let rows: Vec<Row> = categories.iter().enumerate().map(|(n, c)| of_category(n as u32, &c.to_string())).collect();
        let mixed = balanced::mix(&rows, seed).unwrap();
        let mut entries: Vec<u32> = all(&mixed).map(|row| row.entry).collect();
        let total = entries.len();
        entries.sort_unstable();
        entries.dedup();
        prop_assert_eq!(entries.len(), rows.len());
        prop_assert_eq!(mixed.train.len(), (total as f64 * 0.8) as usize);
        prop_assert_eq!(mixed.train.len() + mixed.valid.len(), (total as f64 * 0.9) as usize);
    }
}
