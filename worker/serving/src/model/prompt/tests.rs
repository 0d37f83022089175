use super::*;
use crate::api::read_chat;
use proptest::prelude::*;
use std::sync::LazyLock;

/// Tokens that the model reads.
const CONTEXT: usize = 100_000;

/// A tokenizer of bytes with ChatML.
static PLAIN: LazyLock<ChatTokenizer> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a temporary folder");
    vertigo_testkit::tokenizer::write(dir.path());
    ChatTokenizer::load(dir.path()).expect("a tokenizer")
});

fn prepared(messages: Value) -> Prepared {
    let asked = read_chat(&json!({"model": "m", "messages": messages})).unwrap();
    prepare(&PLAIN, &asked, CONTEXT).unwrap().pop().unwrap()
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
    assert!(prepare(&PLAIN, &asked, CONTEXT).is_ok());
    let empty = read_chat(&json!({"model": "m", "messages": [{"role": "user", "content": ""}]})).unwrap();
    assert!(!prepare(&PLAIN, &empty, CONTEXT).unwrap()[0].tokens.is_empty());
}

#[test]
fn several_answers_share_their_prompt_and_a_text_is_shared_as_a_whole() {
    let one = prepared(json!([{"role": "user", "content": "Hi"}]));
    let asked = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "n": 2});
    let several = prepare(&PLAIN, &read_chat(&asked).unwrap(), CONTEXT).unwrap().pop().unwrap();
    assert_eq!(several.tokens, one.tokens);
    assert_eq!(several.borders, [&one.borders[..], &[one.tokens.len() - 1]].concat());
    let text = |prompt: &str| {
        let asked = crate::api::read_completion(&json!({"model": "m", "prompt": prompt})).unwrap();
        prepare(&PLAIN, &asked, CONTEXT).unwrap().pop().unwrap().borders
    };
    assert_eq!((text("Hello"), text("H")), (vec![4], vec![]));
}

#[test]
fn what_is_too_long_is_refused_before_it_is_encoded_and_before_its_turns_are_told_apart() {
    let asked = |content: String| {
        read_chat(&json!({"model": "m", "messages": [{"role": "user", "content": content}], "max_tokens": 5})).unwrap()
    };
    let error = |asked: &Asked| prepare(&PLAIN, asked, 100).unwrap_err();
    let by_tokens = error(&asked("a".repeat(200)));
    assert!(by_tokens.message.contains("100 in all"), "{by_tokens}");
    let by_bytes = error(&asked("a".repeat(100 * TOKEN_BYTES_MAX)));
    assert!(by_bytes.message.contains("more than 12800 bytes"), "{by_bytes}");
    for error in [by_tokens, by_bytes] {
        assert_eq!((error.status, error.code), (400, Some("context_length_exceeded")));
    }
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
