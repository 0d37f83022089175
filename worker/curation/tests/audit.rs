//! What the pipeline's real data has of its own benchmark, and that a curated set has none of it and no leak. Says SKIPPED where the data
//! is absent.

use serde_json::{Map, Value};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use vertigo_curation::audit::{Audit, audit};
use vertigo_curation::book::{Book, Effect};
use vertigo_curation::config::{Act, Duplicates, Split};
use vertigo_curation::contamination::{self, How};
use vertigo_curation::leak::{self, Leak, Plain};
use vertigo_curation::row::{Body, Call, Message, Origin, Role, Row};
use vertigo_curation::{duplicates, split};
use vertigo_evaluation::suite::{self, Suite};
use vertigo_testkit::shared;

fn benchmark() -> Option<Suite> {
    let text = fs::read_to_string(shared("data/vertigo/benchmark.jsonl")?).unwrap();
    Some(suite::benchmark("vertigo", &text, None).unwrap_or_else(|e| panic!("{e}")))
}

/// A message as plainly as these tests need it; how lines are read in earnest is tested where that is done.
fn message(value: &Value) -> Message {
    let role = match value["role"].as_str() {
        Some("system") => Role::System,
        Some("user") => Role::User,
        Some("tool") => Role::Tool,
        _ => Role::Assistant,
    };
    let mut message = Message::new(role, value["content"].as_str().unwrap_or_default());
    for call in value["tool_calls"].as_array().into_iter().flatten() {
        let arguments = match &call["function"]["arguments"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            other => other.clone(),
        };
        let name = call["function"]["name"].as_str().unwrap_or_default().into();
        message.calls.push(Call { id: None, name, arguments: arguments.as_object().cloned().unwrap_or_default() });
    }
    message
}

fn rows() -> Option<(Vec<Row>, Book)> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(shared("data/vertigo/raw")?).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut rows, mut book) = (Vec::new(), Book::default());
    for path in files {
        let name: Arc<str> = path.file_name().unwrap().to_str().unwrap().into();
        for (line, n) in fs::read_to_string(&path).unwrap().lines().zip(1..) {
            let mut facts: Map<String, Value> = serde_json::from_str(line).unwrap();
            let messages = facts.remove("messages").unwrap();
            let tools = facts.remove("tools").and_then(|tools| tools.as_array().cloned());
            let messages = messages.as_array().unwrap().iter().map(message).collect();
            let entry = book.enter(Origin { file: name.clone(), line: n });
            rows.push(Row { entry, body: Body::Chat { messages, tools }, facts });
        }
    }
    Some((rows, book))
}

fn prompts(audit: &Audit, file: &str) -> u64 {
    audit.files.get(file).map_or(0, |file| file.prompt)
}

/// pipeline.md, E1: of the benchmark's 30 questions rejection_sampled has 24, word by word, and teacher_distillation 13.
#[test]
fn the_audit_names_the_rows_that_have_the_benchmarks_questions() {
    let (Some(suite), Some((rows, book))) = (benchmark(), rows()) else { return };
    let audit = audit(&rows, &suite, &book);
    assert_eq!((audit.tasks, audit.rows), (30, 1804));
    assert_eq!(prompts(&audit, "rejection_sampled.jsonl"), 24);
    assert_eq!(prompts(&audit, "teacher_distillation.jsonl"), 13);
    assert_eq!(prompts(&audit, "luau_tests.jsonl"), 0);
    let named = |file: &str| {
        let tasks = audit.found.values();
        tasks.filter(|task| task.rows.iter().any(|row| row.file == file && row.how == How::Prompt)).count()
    };
    assert_eq!((named("rejection_sampled.jsonl"), named("teacher_distillation.jsonl")), (24, 13));
    for (name, task) in &audit.found {
        let question = suite.task(name).unwrap().asked();
        for found in task.rows.iter().filter(|found| found.how == How::Prompt) {
            let row = rows.iter().find(|row| {
                let origin = &book.of(row).origin;
                *origin.file == *found.file && origin.line == found.line
            });
            let row = row.unwrap();
            assert_eq!(row.body.id().to_string(), found.id);
            assert!(row.body.messages().iter().any(|message| message.text().contains(&*question)), "{name}: {found:?}");
        }
    }
    let json = serde_json::to_string(&audit).unwrap();
    assert_eq!(serde_json::from_str::<Audit>(&json).unwrap(), audit);
}

/// Vertigo's own suite was written after this data. Thirteen words in a row are so seldom the same by chance that one passage is enough.
#[test]
fn what_nobody_copied_is_not_found() {
    let Some((rows, book)) = rows() else { return };
    let ours = Suite::parse(&suite::ours()).unwrap_or_else(|e| panic!("{e}"));
    let audit = audit(&rows, &ours, &book);
    assert!(audit.found.values().all(|task| task.prompt + task.near_prompt == 0), "{audit:?}");
    assert!(audit.rows_found <= 2, "{audit:?}");
}

/// The real data through the stages that find things alike.
fn curated() -> Option<(split::Sides, Book)> {
    let (suite, (rows, mut book)) = (benchmark()?, rows()?);
    let read = rows.len();
    let made = duplicates::run(rows, &Duplicates::default(), &|_| 0.5, &mut book);
    let rows = contamination::run(made.rows, &[suite], Effect::Dropped, &mut book);
    assert!(rows.len() > read / 2, "{} of {read} are left", rows.len());
    let sides = split::run(rows, &Split::default(), Duplicates::default().near, &mut book);
    Some((sides, book))
}

#[test]
fn a_curated_set_has_nothing_of_the_benchmark_and_no_leak() {
    let (Some(suite), Some((sides, book))) = (benchmark(), curated()) else { return };
    let all: Vec<Row> = [&sides.train, &sides.valid, &sides.test].into_iter().flatten().cloned().collect();
    let audit = audit(&all, &suite, &book);
    assert!(audit.is_clean(), "{audit:?}");
    let leak = Leak::of(&sides.plain(), leak::JACCARD);
    assert!(leak.is_none(), "{leak:?}");
    assert!(sides.valid.len() > 50 && sides.test.len() > 50, "{} and {}", sides.valid.len(), sides.test.len());
    let ended = book.entries.iter().filter(|entry| entry.end().is_some()).count();
    assert_eq!(ended + all.len(), book.entries.len());
}

/// A program that shares nothing with this crate reads the three files and compares all with all.
#[test]
fn a_plain_program_finds_no_leak_either_and_finds_one_that_was_made() {
    let python = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !python {
        return vertigo_testkit::skipped("there is no python3");
    }
    let sides = match curated() {
        Some((sides, _)) => sides,
        // What the program says is worth something without the real data too.
        None => made(),
    };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rows: &[&Body]| {
        let lines: String = rows.iter().map(|body| format!("{}\n", body.to_value())).collect();
        fs::write(folder.path().join(name), lines).unwrap();
    };
    let Plain { mut train, valid, test } = sides.plain();
    for (name, rows) in [("train.jsonl", &train), ("valid.jsonl", &valid), ("test.jsonl", &test)] {
        write(name, rows);
    }
    let peer = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/peer/leaks.py");
    let look = || {
        let output = Command::new("python3").arg(&peer).arg(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
        (output.status.success(), found)
    };
    let (is_clean, found) = look();
    assert!(is_clean, "{found}");
    assert_eq!(found["rows"], (train.len() + valid.len() + test.len()) as u64);
    train.push(test[0]);
    write("train.jsonl", &train);
    let (is_clean, found) = look();
    assert!(!is_clean);
    assert_eq!((&found["equal"], &found["near"]), (&Value::from(1), &Value::from(1)), "{found}");
}

/// A hundred rows, some of them alike.
fn made() -> split::Sides {
    let mut book = Book::default();
    let rows = (0..100u32).map(|n| {
        let answer: String =
            (0..60).map(|word| format!("w{} ", if word == n % 60 { n } else { n / 4 * 1000 + word })).collect();
        let messages = vec![Message::new(Role::User, format!("Question {n}?")), Message::new(Role::Assistant, answer)];
        let entry = book.enter(Origin { file: Arc::from("made.jsonl"), line: n + 1 });
        Row { entry, body: Body::Chat { messages, tools: None }, facts: Map::new() }
    });
    let rows: Vec<Row> = rows.collect();
    let asked = Duplicates { code: Act::Off, ..Duplicates::default() };
    let made = duplicates::run(rows, &asked, &|_| 0.5, &mut book);
    split::run(made.rows, &Split::default(), asked.near, &mut book)
}
