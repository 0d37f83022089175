use super::*;
use crate::row::{Body, Message, Role};
use serde_json::{Map, Value, json};

fn of(facts: Value) -> Row {
    let Value::Object(facts) = facts else { panic!("{facts}") };
    Row { entry: 0, body: Body::Chat { messages: vec![Message::new(Role::User, "")], tools: None }, facts }
}

fn of_source(source: &str) -> Row {
    of(json!({ "source": source }))
}

#[test]
fn a_family_is_told_by_the_first_field_that_is_there() {
    let name = |facts: Value| family(&of(facts)).map(|family| FAMILIES[family].name);
    for (facts, expected) in [
        (json!({"source": "mcp_tool_calling"}), Some("trajectory")),
        (json!({"source": "bug_fix_pairs"}), None),
        (json!({"source_file": "bugfix_pairs.jsonl", "source": "mcp_x"}), Some("critic")),
        (json!({"source_file": "", "source": null, "category": "critic_x"}), Some("critic")),
        (json!({"source_file": "data/raw/luau_tests.jsonl"}), Some("sft")),
        (json!({"source_file": "luau_tests/other.jsonl"}), None),
        // A person's own system divides by another sign, and Python on a Mac does not.
        (json!({"source_file": "raw\\luau_tests.jsonl"}), None),
        (json!({"source": "studio_trajectory"}), Some("trajectory")),
        (json!({"category": "Mcp_x"}), None),
        (json!({}), None),
    ] {
        assert_eq!(name(facts.clone()), expected, "{facts}");
    }
}

#[test]
fn families_get_their_shares_and_the_others_come_as_they_are() {
    let mut rows = vec![of_source("synthetic"); 100];
    rows.extend(vec![of_source("mcp_x"); 10]);
    rows.extend(vec![of_source("critic_repair"); 60]);
    rows.extend(vec![of_source("whatever"); 5]);
    let mixed = mix(&rows, 42).unwrap();
    let all: Vec<&Row> = mixed.train.iter().chain(&mixed.valid).chain(&mixed.test).collect();
    let count = |source: &str| all.iter().filter(|row| row.facts["source"] == source).count();
    // 60 of 0.15 are a mix of 400; of which 0.575 are a little less than 230, as floats go here and in Python.
    let counts = [count("synthetic"), count("mcp_x"), count("critic_repair"), count("whatever")];
    assert_eq!(counts, [229, 110, 60, 5]);
    assert_eq!((mixed.train.len(), mixed.valid.len(), mixed.test.len()), (323, 40, 41));
    assert!(mixed.fell_back.is_empty());
    assert_eq!(mix(&rows, 42).unwrap(), mixed);
}

#[test]
fn a_family_that_is_too_large_is_cut_down() {
    // Many others make the mix larger than any family asks for, and few rows of the families are left of their shares.
    let mut rows = vec![of_source("synthetic"); 3];
    rows.extend(vec![of_source("mcp_x"); 1]);
    rows.extend(vec![of_source("critic_repair"); 2]);
    let total = (2.0_f64 / 0.15) as usize;
    assert_eq!(total, 13);
    let mixed = mix(&rows, 1).unwrap();
    let all = mixed.train.iter().chain(&mixed.valid).chain(&mixed.test);
    // 7, 3 and, because a whole mix has one row less than two critics stand for, 1 of the 2.
    assert_eq!(all.filter(|row| row.facts["source"] == "critic_repair").count(), 1);
    assert_eq!(mixed.train.len() + mixed.valid.len() + mixed.test.len(), 11);
}

#[test]
fn without_a_family_the_balanced_mix_is_made_and_said() {
    let rows = vec![of_source("synthetic"), of_source("critic_repair")];
    let mixed = mix(&rows, 1).unwrap();
    assert_eq!(mixed.fell_back, ["trajectory"]);
    assert_eq!(Mixed { fell_back: vec![], ..mixed }, balanced::mix(&rows, 1).unwrap());
    assert_eq!(mix(&[], 1).unwrap().fell_back, ["sft", "trajectory", "critic"]);
    let none = Row { facts: Map::new(), ..rows[0].clone() };
    assert_eq!(family(&none), None);
}

#[test]
fn the_stem_of_a_path_is_python_s() {
    for (path, expected) in
        [("a/b.jsonl", "b"), ("a/.b", ".b"), ("a/b.", "b."), ("a/b.c.d", "b.c"), ("a/b/", "b"), ("/", ""), ("a/b", "b")]
    {
        assert_eq!(stem(path), expected, "{path}");
    }
}
