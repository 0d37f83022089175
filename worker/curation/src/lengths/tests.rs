use super::*;
use crate::read::read;
use crate::row::{Message, Role};
use proptest::prelude::*;
use serde_json::json;
use std::io::BufReader;
use std::path::PathBuf;
use vertigo_text::ChatTokenizer;

/// A tokenizer whose tokens are bytes, but for two special ones.
fn tokenizer() -> ChatTokenizer {
    let folder = tempfile::tempdir().unwrap();
    vertigo_testkit::tokenizer::write(folder.path());
    ChatTokenizer::load(folder.path()).unwrap()
}

/// Bytes around a message's content: `<|im_start|>` and `<|im_end|>` are a token each, and a line break follows the role and the end.
fn length(role: &str, content: &str) -> usize {
    1 + role.len() + 1 + content.len() + 1 + 1
}

fn rows(lines: &[Value]) -> (Vec<Row>, Book) {
    let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let mut book = Book::default();
    (read(vec![("a.jsonl".to_owned(), text.as_bytes())], &mut book).unwrap(), book)
}

fn chat(turns: &[(&str, &str)]) -> Value {
    let messages = turns.iter().map(|(role, content)| json!({"role": role, "content": content}));
    json!({"messages": messages.collect::<Vec<_>>(), "source": "s"})
}

fn lengths(tokens_max: u32, overlength: Overlength) -> Lengths {
    Lengths { tokens_max: Some(tokens_max), overlength }
}

const SHORT: [(&str, &str); 2] = [("user", "q"), ("assistant", "a")];
const LONG: [(&str, &str); 7] = [
    ("system", "s"),
    ("user", "one"),
    ("assistant", "first"),
    ("user", "two"),
    ("assistant", "second, which is too long by itself alone, whatever is asked"),
    ("user", "three"),
    ("assistant", "third"),
];

#[test]
fn tokens_are_counted_by_the_bases_template() {
    let tokenizer = tokenizer();
    let (rows, _) = rows(&[chat(&SHORT), json!({"text": "abc"})]);
    let counted: Vec<usize> = rows.iter().map(|row| tokens(&tokenizer, &row.body).unwrap()).collect();
    // A text is ended.
    assert_eq!(counted, [length("user", "q") + length("assistant", "a"), 4]);
}

#[test]
fn without_a_base_nobody_measures_and_nobody_may_ask_for_it() {
    let (rows, mut book) = rows(&[chat(&SHORT)]);
    let (left, report) = apply(rows.clone(), &Lengths::default(), None, &mut book).unwrap();
    assert_eq!((&left, report), (&rows, None));
    let error = apply(rows, &lengths(100, Overlength::Drop), None, &mut book).unwrap_err().to_string();
    assert!(error.contains("`lengths.tokens_max`") && error.contains("no base"), "{error}");
}

#[test]
fn what_is_too_long_is_an_error_or_dropped() {
    let tokenizer = tokenizer();
    let (given, mut book) = rows(&[chat(&SHORT), chat(&LONG), chat(&LONG)]);
    let error = apply(given.clone(), &lengths(100, Overlength::Error), Some(&tokenizer), &mut book).unwrap_err();
    let tokens: usize = LONG.iter().map(|(role, content)| length(role, content)).sum();
    let said = format!("a.jsonl:2 has {tokens} tokens, and `lengths.tokens_max` is 100 (1 more rows are too long); ");
    assert!(error.to_string().starts_with(&said), "{error}");
    let (left, report) = apply(given.clone(), &lengths(100, Overlength::Drop), Some(&tokenizer), &mut book).unwrap();
    assert_eq!(left, given[..1]);
    let end = book.entries[1].end().unwrap();
    assert_eq!((end.rule, &*end.detail), (TOO_MANY_TOKENS, &*format!("{tokens} tokens, 100 allowed")));
    let report = report.unwrap();
    assert_eq!((report.before.rows, report.before.max, report.after.rows), (3, tokens as u64, 1));
}

#[test]
fn what_is_taken_apart_keeps_its_system_turn_and_ends_with_answers() {
    let tokenizer = tokenizer();
    let (given, mut book) =
        rows(&[chat(&LONG), json!({"text": "t".repeat(200)}), chat(&[("user", "q"), ("assistant", &"a".repeat(100))])]);
    let (left, report) = apply(given, &lengths(80, Overlength::Split), Some(&tokenizer), &mut book).unwrap();
    let said: Vec<String> =
        left.iter().map(|row| row.body.messages().iter().map(Message::text).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(said, ["s one first", "s three third"]);
    assert!(left.iter().all(|row| row.entry == 0 && row.facts["source"] == "s"));
    let touched =
        |n: usize| book.entries[n].touched.iter().map(|touch| (touch.rule, &*touch.detail)).collect::<Vec<_>>();
    let tokens: usize = LONG.iter().map(|(role, content)| length(role, content)).sum();
    assert_eq!(
        touched(0),
        [(TAKEN_APART, &*format!("{tokens} tokens, 80 allowed: 2 rows; 1 answers too long for any"))]
    );
    assert!(book.entries[0].end().is_none());
    assert!(touched(1)[0].0 == TOO_MANY_TOKENS && touched(2)[0].0 == TOO_MANY_TOKENS);
    assert_eq!(report.unwrap().after.rows, 2);
}

#[test]
fn what_the_template_refuses_is_left_out_by_name() {
    let folder = tempfile::tempdir().unwrap();
    vertigo_testkit::tokenizer::write(folder.path());
    let strict = "{% if messages[0].role != 'system' %}{{ raise_exception('no system turn') }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}";
    std::fs::write(folder.path().join("chat_template.jinja"), strict).unwrap();
    let tokenizer = ChatTokenizer::load(folder.path()).unwrap();
    let (given, mut book) = rows(&[chat(&SHORT), chat(&LONG)]);
    let (left, _) = apply(given, &Lengths::default(), Some(&tokenizer), &mut book).unwrap();
    assert_eq!(left.len(), 1);
    let end = book.entries[0].end().unwrap();
    assert!(end.rule == TEMPLATE_REFUSES && end.detail.contains("no system turn"), "{end:?}");
}

#[test]
fn the_pipelines_rows_are_measured_and_taken_apart() {
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let (base, file) = (shared.join("fixtures/f32"), shared.join("data/vertigo/raw/studio_trajectories.jsonl"));
    if !base.exists() || !file.exists() {
        vertigo_testkit::skipped(&format!("{} is not there", file.display()));
        return;
    }
    let tokenizer = ChatTokenizer::load(&base).unwrap();
    let mut book = Book::default();
    let given = read(vec![("a".to_owned(), BufReader::new(std::fs::File::open(file).unwrap()))], &mut book).unwrap();
    let counted: Vec<usize> = given.iter().map(|row| tokens(&tokenizer, &row.body).unwrap()).collect();
    let median = {
        let mut sorted = counted.clone();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    let (left, report) =
        apply(given.clone(), &lengths(median as u32, Overlength::Split), Some(&tokenizer), &mut book).unwrap();
    assert_eq!(report.unwrap().before, Histogram::of(counted));
    for row in &left {
        assert!(tokens(&tokenizer, &row.body).unwrap() <= median);
        assert_eq!(row.body.messages().last().unwrap().role, Role::Assistant);
    }
}

proptest! {
    #[test]
    fn every_answer_is_in_one_part_or_in_none(
        turns in proptest::collection::vec((prop::sample::select(vec!["user", "assistant", "tool"]), 1usize..30), 1..12),
        has_system in any::<bool>(),
        most in 16u32..120,
    ) {
        let tokenizer = tokenizer();
        let numbered = turns.iter().enumerate().map(|(n, (role, length))| (*role, format!("{n}.{}", "x".repeat(*length))));
        let system = has_system.then_some(("system", "s".to_owned()));
        let turns: Vec<(&str, String)> = system.into_iter().chain(numbered).collect();
        let turns: Vec<(&str, &str)> = turns.iter().map(|(role, content)| (*role, &content[..])).collect();
        let (given, mut book) = rows(&[chat(&turns)]);
        let whole: Vec<String> = given.iter().flat_map(|row| row.body.messages()).map(|message| message.text().to_owned()).collect();
        let (left, _) = apply(given, &lengths(most, Overlength::Split), Some(&tokenizer), &mut book).unwrap();
        prop_assert_eq!(left.is_empty(), book.entries[0].end().is_some());
        let mut answers = Vec::new();
        for row in &left {
            prop_assert!(tokens(&tokenizer, &row.body).unwrap() <= most as usize);
            let messages = row.body.messages();
            prop_assert_eq!(messages.last().unwrap().role, Role::Assistant);
            prop_assert_eq!(messages[0].role == Role::System, has_system);
            // Whole turns of the conversation, one after another, and nothing that was not in it.
            let body: Vec<&str> = messages.iter().skip(usize::from(has_system)).map(Message::text).collect();
            let at = whole.iter().position(|text| *text == body[0]).unwrap();
            prop_assert_eq!(&whole[at..at + body.len()], &body[..]);
            answers.extend(messages.iter().filter(|message| message.role == Role::Assistant).map(|message| message.text().to_owned()));
        }
        let count = answers.len();
        answers.dedup();
        prop_assert_eq!(count, answers.len());
    }
}
