use super::*;
use crate::row::Message;

fn chat(turns: &[(Role, &str)]) -> Body {
    let messages = turns.iter().map(|(role, text)| Message::new(*role, *text)).collect();
    Body::Chat { messages, tools: None }
}

fn asked(question: &str, answer: &str) -> Body {
    chat(&[(Role::System, "Be brief."), (Role::User, question), (Role::Assistant, answer)])
}

#[test]
fn equal_rows_equal_prompts_and_near_rows_are_counted_each_by_itself() {
    let long: Vec<String> = (0..80).map(|n| format!("word{n}")).collect();
    let (long, nearly) = (long.join(" "), long[1..].join(" "));
    let train =
        [asked("Add a score.", "Done, it is there."), asked("What is a part?", "A brick."), asked("One?", &long)];
    let equal = train[0].clone();
    let same_prompt = chat(&[(Role::User, "what is a PART"), (Role::Assistant, "Something that one can stand upon.")]);
    let near = asked("Two?", &nearly);
    let new = asked("Is anything new?", "No.");
    let sides = Plain {
        train: train.iter().collect(),
        valid: vec![&equal, &same_prompt, &new],
        test: vec![&near, &near, &same_prompt],
    };
    let leak = Leak::of(&sides, JACCARD);
    let crossing = |of, on, equal, prompts, near| Crossing { of, on, rows: 3, equal, prompts, near };
    let wanted = [
        crossing(Side::Valid, Side::Train, 1, 2, 1),
        crossing(Side::Test, Side::Train, 0, 1, 2),
        crossing(Side::Test, Side::Valid, 1, 1, 1),
    ];
    assert_eq!(leak.crossings, wanted);
    assert!(!leak.is_none());
    let first = &leak.examples[0];
    assert_eq!(
        (first.kind, &first.row, &first.like),
        (Kind::Equal, &equal.id().to_string(), &train[0].id().to_string())
    );
    assert!(leak.examples.iter().any(|it| it.kind == Kind::Near && it.jaccard.is_some_and(|jaccard| jaccard > 0.9)));
    let json = serde_json::to_string(&leak).unwrap();
    assert_eq!(serde_json::from_str::<Leak>(&json).unwrap(), leak);
}

#[test]
fn sides_that_share_nothing_have_no_leak_and_empty_ones_neither() {
    let (one, other) = (asked("Add a score.", "Done."), asked("Take it away again.", "It is gone now."));
    let sides = Plain { train: vec![&one], valid: vec![&other], test: Vec::new() };
    assert!(Leak::of(&sides, JACCARD).is_none());
    assert!(Leak::of(&Plain::default(), JACCARD).is_none());
}

#[test]
fn a_prompt_is_all_that_comes_before_the_last_answer() {
    let turns = [(Role::User, "a"), (Role::Assistant, "b"), (Role::User, "c"), (Role::Assistant, "d")];
    let with = |n: usize, text| {
        let mut turns = turns;
        turns[n].1 = text;
        prompt(&chat(&turns))
    };
    assert_eq!(with(3, "x"), prompt(&chat(&turns)));
    assert_ne!(with(1, "x"), prompt(&chat(&turns)));
    assert_ne!(prompt(&chat(&turns[..2])), prompt(&chat(&turns)));
    assert_eq!(prompt(&chat(&[(Role::System, "s"), (Role::Assistant, "d")])), None);
    assert_eq!(prompt(&Body::Text("a b c".to_owned())), None);
}

#[test]
fn many_leaks_are_counted_and_few_named() {
    let row = asked("Add a score.", "Done, it is there.");
    let sides = Plain { train: vec![&row; 1000], valid: vec![&row; 500], test: Vec::new() };
    let leak = Leak::of(&sides, JACCARD);
    assert_eq!(leak.crossings[0].equal, 500);
    assert_eq!(leak.examples.len(), EXAMPLES_MAX);
}
