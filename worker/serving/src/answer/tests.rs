//! The parts together, on tokens that are cut anywhere.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn reading(stops: &[&str]) -> Reading {
    let schema = json!({"properties": {"where": {"type": "string"}}});
    Reading {
        tags: Some(("<think>", "</think>")),
        is_within_thought: true,
        stops: stops.iter().map(|stop| (*stop).to_owned()).collect(),
        tools: Some(Tools::new([("go".to_owned(), schema)])),
    }
}

/// All parts, those of one kind that follow one another as one.
fn read<'a>(reading: Reading, tokens: impl IntoIterator<Item = &'a [u8]>) -> Vec<Part> {
    let mut answer = Answer::new(reading);
    let mut all: Vec<Part> = Vec::new();
    let mut add = |part: Part| match (all.last_mut(), part) {
        (Some(Part::Text(before)), Part::Text(text)) | (Some(Part::Thought(before)), Part::Thought(text)) => {
            *before += &text
        }
        (_, part) => all.push(part),
    };
    for token in tokens {
        answer.push(token).into_iter().for_each(&mut add);
        assert!(answer.settled() <= answer.bytes());
    }
    answer.finish().into_iter().for_each(add);
    all
}

const WHOLE: &str = "Où? 😀\n</think>\n\nI go é.\n<tool_call>\n<function=go>\n<parameter=where>\n名前\n</parameter>\n</function>\n</tool_call>";

#[test]
fn an_answer_has_its_thought_its_text_and_its_calls() {
    let call = Call { name: "go".to_owned(), arguments: r#"{"where":"名前"}"#.to_owned() };
    let expected = vec![Part::Thought("Où? 😀".to_owned()), Part::Text("I go é.".to_owned()), Part::Call(call)];
    assert_eq!(read(reading(&[]), [WHOLE.as_bytes()]), expected);
}

#[test]
fn a_stop_string_ends_the_answer_and_not_the_thought() {
    let expected = vec![Part::Thought("Où? 😀".to_owned()), Part::Text("I ".to_owned())];
    assert_eq!(read(reading(&["go", "😀"]), WHOLE.as_bytes().chunks(1)), expected);
    // A call that is cut by one is the text that it was.
    let expected =
        vec![Part::Thought("Où? 😀".to_owned()), Part::Text("I go é.\n<tool_call>\n<function=go>\n".to_owned())];
    assert_eq!(read(reading(&["<parameter"]), WHOLE.as_bytes().chunks(5)), expected);
}

#[test]
fn what_a_stop_string_may_still_take_away_is_not_settled() {
    let mut answer = Answer::new(Reading { stops: vec!["STOP".to_owned()], ..Reading::default() });
    answer.push(b"ab ST");
    assert_eq!((answer.settled(), answer.bytes()), (3, 5));
    answer.push(b"x");
    assert_eq!(answer.settled(), 6);
    answer.push(b" STOP and");
    assert_eq!((answer.is_over(), answer.settled()), (true, 7));
}

proptest! {
    #[test]
    fn the_parts_do_not_depend_on_the_tokens(sizes in proptest::collection::vec(1usize..20, 1..10), stop in 0usize..4) {
        let stops = [&[][..], &["go"], &["\n\n", "é."], &["</tool_call>"]][stop];
        let bytes = WHOLE.as_bytes();
        let (mut tokens, mut rest, mut sizes) = (Vec::new(), bytes, sizes.into_iter().cycle());
        while !rest.is_empty() {
            let (token, later) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            tokens.push(token);
            rest = later;
        }
        prop_assert_eq!(read(reading(stops), tokens), read(reading(stops), [bytes]));
    }
}
