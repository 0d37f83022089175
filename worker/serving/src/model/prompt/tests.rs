use super::*;
use crate::api::read_chat;
use proptest::prelude::*;
use std::sync::LazyLock;

/// A tokenizer of bytes with ChatML.
static PLAIN: LazyLock<ChatTokenizer> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a temporary folder");
    vertigo_testkit::tokenizer::write(dir.path());
    ChatTokenizer::load(dir.path()).expect("a tokenizer")
});

fn prepared(messages: Value) -> Prepared {
    let asked = read_chat(&json!({"model": "m", "messages": messages})).unwrap();
    prepare(&PLAIN, &asked).unwrap().pop().unwrap()
}

/// The text of a prompt up to each of its borders.
fn texts(prepared: &Prepared) -> Vec<String> {
    prepared.borders.iter().map(|border| PLAIN.decode(&prepared.tokens[..*border]).unwrap()).collect()
}

#[test]
fn the_system_prompt_and_each_turn_have_an_end() {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]);
    let expected = [
        "system\nBe brief.\nuser\n",
        "system\nBe brief.\nuser\nHi\n",
        "system\nBe brief.\nuser\nHi\nassistant\nHello\n",
        "system\nBe brief.\nuser\nHi\nassistant\nHello\nuser\nBye\n",
    ];
    assert_eq!(texts(&prepared(messages)), expected);
}

#[test]
fn a_long_conversation_tells_the_ends_of_its_latest_turns() {
    let mut messages = vec![json!({"role": "system", "content": "s"})];
    messages.extend(
        (0..200)
            .map(|n| json!({"role": if n % 2 == 0 { "user" } else { "assistant" }, "content": format!("turn {n}")})),
    );
    let prepared = prepared(messages.into());
    assert!(prepared.borders.len() <= BORDERS_MAX, "{}", prepared.borders.len());
    let texts = texts(&prepared);
    assert!(texts[0].ends_with("user\n") && texts.last().unwrap().ends_with("turn 199\n"), "{texts:?}");
}

#[test]
fn what_a_template_refuses_is_the_messages_fault() {
    let asked = read_chat(&json!({"model": "m", "messages": [{"role": "user", "content": "a"}],
        "chat_template_kwargs": {"x": 1}}))
    .unwrap();
    assert!(prepare(&PLAIN, &asked).is_ok());
    let empty = read_chat(&json!({"model": "m", "messages": [{"role": "user", "content": ""}]})).unwrap();
    assert!(!prepare(&PLAIN, &empty).unwrap()[0].tokens.is_empty());
}

proptest! {
    #[test]
    fn borders_ascend_within_the_prompt_and_are_borders_of_its_tokens(
        contents in proptest::collection::vec("(<\\|im_end\\|>|[aé\n ]){0,4}", 1..7), has_system: bool,
    ) {
        let role = |n: usize| match (n, has_system) {
            (0, true) => "system",
            (n, _) if n % 2 == usize::from(has_system) => "user",
            _ => "assistant",
        };
        let messages: Vec<Value> =
            contents.iter().enumerate().map(|(n, content)| json!({"role": role(n), "content": content})).collect();
        let prepared = prepared(messages.into());
        prop_assert!(prepared.borders.is_sorted_by(|a, b| a < b));
        for border in &prepared.borders {
            prop_assert!(*border > 0 && *border < prepared.tokens.len());
        }
    }
}
