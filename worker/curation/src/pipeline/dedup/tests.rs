use super::*;
use crate::row::{Body, Call, Message, Origin};
use proptest::prelude::*;
use serde_json::Map;
use std::collections::HashSet;

/// A conversation whose score is enough because it thinks.
fn thinking(answer: &str) -> Vec<Message> {
    vec![Message::new(Role::User, "?"), Message::new(Role::Assistant, format!("<think> {answer}"))]
}

fn entered(conversations: Vec<Vec<Message>>) -> (Vec<Row>, Book) {
    let mut book = Book::default();
    let enter = |(n, messages)| Row {
        entry: book.enter(Origin { file: "f.jsonl".into(), line: n as u32 + 1 }),
        body: Body::Chat { messages, tools: None },
        facts: Map::new(),
    };
    (conversations.into_iter().enumerate().map(enter).collect(), book)
}

fn words_verdicts(conversations: Vec<Vec<Message>>) -> Vec<&'static str> {
    verdicts(&entered(conversations).0).into_iter().map(Verdict::as_str).collect()
}

#[test]
fn each_verdict_has_its_reason() {
    let rows = vec![
        vec![Message::new(Role::Assistant, "<think> alone")],
        vec![Message::new(Role::System, "s"), Message::new(Role::User, "u")],
        vec![Message::new(Role::User, "u"), Message::new(Role::Assistant, "short")],
        thinking("a b c d e f g h i j k l"),
        thinking(" a b  c\nd e f g h i j k l"),
        thinking("a b c d e f g h i j k m"),
        thinking("a b c d e f x h i j k l"),
    ];
    let (rows, mut book) = entered(rows);
    let kept: Vec<u32> = apply(rows, &mut book).iter().map(|row| row.entry).collect();
    assert_eq!(kept, [3, 6]);
    let ends: Vec<Option<(&str, &str)>> =
        book.entries.iter().map(|entry| entry.end().map(|touch| (touch.rule.name, &*touch.detail))).collect();
    assert_eq!(
        ends,
        [
            Some(("pipeline_too_few_messages", "")),
            Some(("pipeline_no_assistant", "")),
            Some(("pipeline_below_threshold", "0.120")),
            None,
            Some(("pipeline_exact_duplicate", "f.jsonl:4")),
            // 10 of 12 runs.
            Some(("pipeline_near_duplicate", "0.833 like f.jsonl:4")),
            None,
        ]
    );
}

#[test]
fn a_text_has_no_messages() {
    let row = Row { entry: 0, body: Body::Text("<think> a b c".to_owned()), facts: Map::new() };
    assert_eq!(verdicts(&[row]), [Verdict::TooFewMessages]);
}

#[test]
fn five_hundred_characters_of_each_message_are_compared() {
    let long = |rest: &str| {
        let mut row = thinking("x");
        row[0] = Message::new(Role::User, format!("{}{rest}", "é ".repeat(250)));
        row
    };
    // What differs comes behind; white space at its end is one of the 500.
    assert_eq!(words_verdicts(vec![long("a"), long("b")]), ["kept", "exact_duplicate"]);
    let shorter = |text: String| vec![Message::new(Role::User, text), thinking("x")[1].clone()];
    let both = vec![shorter("é".repeat(499) + " a"), shorter("é".repeat(499) + "\u{1c}b")];
    assert_eq!(words_verdicts(both), ["kept", "exact_duplicate"]);
    assert_eq!(words_verdicts(vec![shorter("é".repeat(499) + "a"), shorter("é".repeat(499) + "b")]), ["kept", "kept"]);
}

#[test]
fn tool_calls_and_who_speaks_are_not_compared_and_bars_join_messages() {
    let mut calling = thinking("x");
    calling[1].calls.push(Call { id: None, name: "run".into(), arguments: Map::new() });
    assert_eq!(words_verdicts(vec![thinking("x"), calling]), ["kept", "exact_duplicate"]);
    let said = |texts: &[&str]| {
        let before = texts.iter().map(|text| Message::new(Role::User, *text));
        before.chain([thinking("x")[1].clone()]).collect::<Vec<_>>()
    };
    assert_eq!(words_verdicts(vec![said(&["a", "b"]), said(&["a|b"])]), ["kept", "exact_duplicate"]);
}

#[test]
fn runs_of_words_go_from_answer_to_answer() {
    let split = |at: usize| {
        let words: Vec<&str> = "<think> b c d e f".split(' ').collect();
        let answer = |words: &[&str]| Message::new(Role::Assistant, words.join(" "));
        vec![Message::new(Role::User, at.to_string()), answer(&words[..at]), answer(&words[at..])]
    };
    assert_eq!(words_verdicts(vec![split(2), split(4)]), ["kept", "near_duplicate"]);
}

#[test]
fn answers_of_fewer_words_than_a_run_are_like_none() {
    let asked = |n: u32| vec![Message::new(Role::User, n.to_string()), Message::new(Role::Assistant, "<think> a")];
    assert_eq!(words_verdicts(vec![asked(1), asked(2)]), ["kept", "kept"]);
}

/// Every pair, by the formulas; scores and rejections as they are.
fn plainly<'r>(rows: &'r [Row]) -> Vec<&'static str> {
    let (mut keys, mut kept): (HashSet<String>, Vec<HashSet<Vec<&'r str>>>) = Default::default();
    let verdict = |row: &'r Row| {
        let messages = row.body.messages();
        if messages.len() < 2 {
            return "too_few_messages";
        }
        if messages.iter().all(|message| message.role != Role::Assistant) {
            return "no_assistant";
        }
        if pipeline_quality(row) < 0.3 {
            return "below_threshold";
        }
        let begin = |message: &Message| words(message.text()).collect::<Vec<_>>().join(" ").chars().take(500).collect();
        let begins: Vec<String> = messages.iter().map(begin).collect();
        if !keys.insert(begins.join("|")) {
            return "exact_duplicate";
        }
        let said: Vec<&'r str> = row.body.answers().flat_map(words).collect();
        let runs: HashSet<Vec<&str>> = said.windows(3).map(<[&str]>::to_vec).collect();
        let is_like = |other: &HashSet<Vec<&str>>| {
            runs.intersection(other).count() as f64 / runs.union(other).count().max(1) as f64 > 0.7
        };
        if kept.iter().any(is_like) {
            return "near_duplicate";
        }
        kept.push(runs);
        "kept"
    };
    rows.iter().map(verdict).collect()
}

fn conversations() -> impl Strategy<Value = Vec<Vec<Message>>> {
    let word =
        prop::sample::select(&["a", "b", "c", "|", "<think>", "\u{1c}", "\u{3000}", "é", "--!strict", "@native"][..]);
    let text = prop::collection::vec(word, 0..14).prop_map(|words| words.join(" "));
    // Few texts, so that rows are often nearly the same.
    let texts = prop::collection::vec(text, 1..6);
    let role = prop::sample::select(&[Role::User, Role::Assistant, Role::Assistant, Role::System][..]);
    let message = (role, any::<prop::sample::Index>(), any::<prop::sample::Index>());
    (texts, prop::collection::vec(prop::collection::vec(message, 0..5), 0..30)).prop_map(|(texts, rows)| {
        let message = |(role, a, b): &(Role, prop::sample::Index, prop::sample::Index)| {
            Message::new(*role, format!("{} {}", a.get(&texts), b.get(&texts)))
        };
        rows.iter().map(|row| row.iter().map(message).collect()).collect()
    })
}

proptest! {
    #[test]
    fn verdicts_are_those_of_comparing_every_pair(conversations in conversations()) {
        let (rows, mut book) = entered(conversations);
        let verdicts: Vec<&str> = verdicts(&rows).into_iter().map(Verdict::as_str).collect();
        prop_assert_eq!(&verdicts, &plainly(&rows));
        // The stage gives those that are kept, the best first, and says of all others why not.
        let kept = apply(rows, &mut book);
        prop_assert_eq!(kept.len(), verdicts.iter().filter(|verdict| **verdict == "kept").count());
        prop_assert!(kept.is_sorted_by(|a, b| pipeline_quality(a) >= pipeline_quality(b)));
        prop_assert_eq!(book.entries.iter().filter(|entry| entry.end().is_none()).count(), kept.len());
    }

    #[test]
    fn what_was_kept_is_kept_again_in_its_order(conversations in conversations()) {
        let (rows, mut book) = entered(conversations);
        let kept = apply(rows, &mut book);
        let again = apply(kept.clone(), &mut book);
        prop_assert_eq!(again, kept);
    }
}
