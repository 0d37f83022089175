use super::*;
use crate::config::{Config, Secrets};
use crate::read::read;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::PathBuf;

fn real() -> Option<(Vec<Row>, Book)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vertigo/raw");
    if !folder.exists() {
        vertigo_testkit::skipped(&format!("{} is not there", folder.display()));
        return None;
    }
    let files = std::fs::read_dir(folder).unwrap().map(|file| {
        let path = file.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), BufReader::new(std::fs::File::open(path).unwrap()))
    });
    let mut book = Book::default();
    let rows = read(files.collect(), &mut book).unwrap();
    Some((rows, book))
}

#[test]
fn real_data_is_touched_where_a_reader_would_touch_it() {
    let Some((rows, mut book)) = real() else { return };
    let filters = Filters { code_lines_min: None, secrets: Secrets::Note, ..Filters::default() };
    let left = apply(rows, &filters, &mut book);
    assert_eq!(left.len(), book.entries.len());
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for entry in &book.entries {
        for touch in entry.touched.iter().filter(|touch| touch.rule.stage == Stage::Filters) {
            *counts.entry((touch.rule.name, entry.origin.file.to_string())).or_default() += 1;
            if std::env::var_os("SHOW_HITS").is_some() {
                println!("{} {} {}", touch.rule.name, entry.origin, touch.detail);
            }
        }
    }
    // Canned thoughts, echoes and loose code were looked at in samples and where they are least sure, the others hit by hit.
    let expected = [
        ("canned_thought", "evolved.jsonl", 120),
        ("canned_thought", "gameplay_sessions.jsonl", 167),
        ("canned_thought", "luau_tests.jsonl", 16),
        ("canned_thought", "opengameeval_tasks.jsonl", 72),
        ("canned_thought", "roblox_creator_docs.jsonl", 915),
        ("canned_thought", "selene_lint.jsonl", 13),
        ("cut_answer", "rejection_sampled.jsonl", 31),
        ("cut_answer", "teacher_distillation.jsonl", 4),
        ("echo", "luau_tests.jsonl", 16),
        ("leaked_thinking", "rejection_sampled.jsonl", 6),
        ("loose_code", "api_docs.jsonl", 100),
        ("loose_code", "evolved.jsonl", 120),
        ("loose_code", "rejection_sampled.jsonl", 1),
        ("loose_code", "tool_calling_sft.jsonl", 1),
        ("unclosed_fence", "rejection_sampled.jsonl", 30),
        ("unclosed_fence", "teacher_distillation.jsonl", 4),
    ];
    let counts: Vec<_> = counts.iter().map(|((rule, file), count)| (*rule, &file[..], *count)).collect();
    assert_eq!(counts, expected);
}

/// Rows with these answers to one question.
fn rows(answers: &[&str]) -> (Vec<Row>, Book) {
    let line =
        |answer| json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]});
    let lines: Vec<String> = answers.iter().map(|answer| line(*answer).to_string()).collect();
    let mut book = Book::default();
    let rows = read(vec![("a".to_owned(), lines.join("\n").as_bytes())], &mut book).unwrap();
    (rows, book)
}

fn filters(yaml: &str) -> Filters {
    Config::parse(&format!("filters: {yaml}")).unwrap().filters
}

/// What befell each row: `noted refusal`.
fn befell(book: &Book) -> Vec<String> {
    let said = |entry: &crate::book::Entry| {
        let touches =
            entry.touched.iter().map(|touch| format!("{:?} {}", touch.effect, touch.rule.name).to_lowercase());
        touches.collect::<Vec<String>>().join(", ")
    };
    book.entries.iter().map(said).collect()
}

const BAD: [&str; 4] = [
    "I cannot assist with that.",
    "```luau\nlocal a = {",
    "Thinking Process:\n\n1. Read.",
    "local a = 1\nlocal b = 2\nreturn a + b",
];

#[test]
fn a_rule_notes_drops_or_is_off_as_the_config_says() {
    let (given, mut book) = rows(&BAD);
    let left = apply(given.clone(), &Filters::default(), &mut book);
    assert_eq!(left, given);
    let noted =
        ["noted refusal", "noted unclosed_fence, noted cut_answer", "noted leaked_thinking", "noted loose_code"];
    assert_eq!(befell(&book), noted);

    let (given, mut book) = rows(&BAD);
    let drop =
        "{refusal: drop, unclosed_fence: drop, cut_answer: drop, leaked_thinking: drop, echo: drop, loose_code: drop}";
    assert!(apply(given, &filters(drop), &mut book).is_empty());
    // The first rule that drops is the last that touches.
    let dropped = ["dropped refusal", "dropped unclosed_fence", "dropped leaked_thinking", "dropped loose_code"];
    assert_eq!(befell(&book), dropped);

    let (given, mut book) = rows(&BAD);
    let off = "{refusal: off, unclosed_fence: off, cut_answer: off, leaked_thinking: off, echo: off, loose_code: off}";
    assert_eq!(apply(given.clone(), &filters(off), &mut book), given);
    assert!(befell(&book).iter().all(String::is_empty));
}

#[test]
fn a_repaired_row_goes_on_with_its_fence_and_a_row_with_too_little_code_does_not() {
    let (given, mut book) = rows(&BAD);
    let left =
        apply(given, &filters("{loose_code: repair, code_lines_min: 2, refusal: off, cut_answer: off}"), &mut book);
    let texts: Vec<&str> = left.iter().flat_map(|row| row.body.answers()).collect();
    assert_eq!(texts, ["```luau\nlocal a = 1\nlocal b = 2\nreturn a + b\n```"]);
    assert_eq!(befell(&book)[3], "repaired loose_code");
    assert!(befell(&book)[..3].iter().all(|said| said == "dropped few_code_lines"));
}

#[test]
fn secrets_are_gone_before_a_rule_drops_the_row() {
    let (given, mut book) = rows(&["I cannot assist with jane@roblox-dev.io."]);
    assert!(apply(given, &filters("{refusal: drop}"), &mut book).is_empty());
    assert_eq!(befell(&book), ["repaired personal_data, dropped refusal"]);
}

#[test]
fn what_was_filtered_is_filtered_to_the_same_rows() {
    let Some((rows, mut book)) = real() else { return };
    let filters = filters(
        "{unclosed_fence: drop, cut_answer: drop, leaked_thinking: drop, refusal: drop, echo: drop, loose_code: repair, code_lines_min: 1}",
    );
    let once = apply(rows, &filters, &mut book);
    let twice = apply(once.clone(), &filters, &mut book);
    assert_eq!(once, twice);
    assert!(once.len() > 200 && once.len() < book.entries.len(), "{}", once.len());
}

/// Answers of anything that the rules look for, in any order.
fn answers() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("```luau\n"),
        Just("```\n"),
        Just("\n````\n"),
        Just("~~~\n"),
        Just("<think>"),
        Just("</think>\n"),
        Just("local a = 1\nlocal b = a\nprint(a, b)\n"),
        Just("local function f()\n\n\treturn 1\nend\n"),
        Just("function g("),
        Just("print(\"```\")\n"),
        Just("\n\n"),
        Just("\r\n"),
        Just("Thinking Process:\n"),
        Just("I'm sorry, but I can't help with that."),
        Just("It is \u{e9}, and then the "),
        Just("## Heading\n"),
        Just("| a | b |\n"),
        Just("- \n"),
        Just("jane@roblox-dev.io "),
    ];
    proptest::collection::vec(piece, 1..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_answer_is_looked_at_and_a_repair_adds_fences_and_nothing_else(answer in answers()) {
        let (given, mut book) = rows(&[&answer]);
        let noted = apply(given.clone(), &filters("{secrets: note, code_lines_min: 1}"), &mut book);
        prop_assert_eq!(noted.is_empty(), book.entries.iter().all(|entry| entry.end().is_some()));

        let (_, mut book) = rows(&[&answer]);
        let repair = filters("{secrets: note, loose_code: repair}");
        let once = apply(given.clone(), &repair, &mut book);
        let (_, mut book) = rows(&[&answer]);
        prop_assert_eq!(&apply(once.clone(), &repair, &mut book), &once);
        for (before, after) in given.iter().zip(&once) {
            let (before, after) = (before.body.messages()[1].text(), after.body.messages()[1].text());
            let mut left = before.split('\n').peekable();
            for line in after.split('\n') {
                if left.peek() == Some(&line) {
                    left.next();
                } else {
                    let mark = line.trim_start_matches('`');
                    prop_assert!(line.starts_with("```") && (mark.is_empty() || mark == "luau"), "{:?}", line);
                }
            }
            prop_assert_eq!(left.next(), None);
        }
    }
}
