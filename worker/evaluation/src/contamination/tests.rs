use super::*;
use proptest::prelude::*;

const QUESTION: &str =
    "Write a module that keeps a list of scores and says which of the players has the highest one at any time.";

fn suite(prompts: &[&str]) -> Suite {
    let rows = prompts.iter().enumerate().map(|(n, prompt)| {
        serde_json::json!({"id": format!("t{n}"), "category": "c", "prompt": prompt, "expected_patterns": ["x"]})
            .to_string()
    });
    crate::suite::benchmark("b", &rows.collect::<Vec<_>>().join("\n"), None).unwrap()
}

fn found(prompts: &[&str], examples: &[&str]) -> Contamination {
    let index = Index::of(&suite(prompts));
    let mut contamination = Contamination::default();
    for (n, example) in examples.iter().enumerate() {
        index.look("data", n as u32 + 1, &[(*example).to_owned()], &mut contamination);
    }
    contamination
}

#[test]
fn a_question_is_found_whatever_its_punctuation_and_its_surroundings() {
    let changed = QUESTION.to_uppercase().replace(' ', "  \n").replace('.', "!");
    let around = format!("Please. {QUESTION} Thank you.");
    for example in [QUESTION, &changed, &around] {
        let all = found(&[QUESTION], &["something else altogether", example]);
        let task = &all.found["t0"];
        assert_eq!((task.likeness, task.part, task.line, task.share), (Likeness::Exact, Part::Question, 2, 1.0));
        assert_eq!(all.examples, 2);
    }
}

#[test]
fn half_of_a_question_is_near_and_less_is_nothing() {
    let words: Vec<&str> = QUESTION.split(' ').collect();
    let begin = words[..16].join(" ");
    let task = &found(&[QUESTION], &[&begin]).found["t0"];
    assert_eq!(task.likeness, Likeness::Near);
    assert!(task.share >= NEAR_SHARE && task.share < 1.0, "{}", task.share);
    assert!(found(&[QUESTION], &[&words[..12].join(" ")]).found.is_empty());
    let mut backwards = words.clone();
    backwards.reverse();
    assert!(found(&[QUESTION], &[&backwards.join(" ")]).found.is_empty(), "the order of words is theirs");
}

#[test]
fn a_short_question_is_found_only_where_a_message_is_nothing_else() {
    assert!(
        found(&["Make it red"], &["First make it red, then blue, and then leave it alone for good."]).found.is_empty()
    );
    assert!(found(&["Make it red"], &["make it blue"]).found.is_empty());
    assert_eq!(found(&["Make it red"], &["make it red!"]).found["t0"].likeness, Likeness::Exact);
}

#[test]
fn an_examples_texts_are_its_messages_and_what_it_calls() {
    let example = serde_json::json!({"messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{\"code\": \"b\"}"}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "c"}]},
    ], "prompt": "d", "text": "e", "source": "f"});
    assert_eq!(texts(&example), ["a", "{\"code\": \"b\"}", "text", "c", "e", "d"]);
    assert!(texts(&serde_json::json!([1])).is_empty());
}

proptest! {
    #[test]
    fn what_is_found_does_not_depend_on_the_order_and_is_what_a_slow_search_finds(
        examples in prop::collection::vec(prop::collection::vec("[ab]", 0..30), 1..8), turned in 0usize..8,
    ) {
        let question = "a b a a b b a b a b a a";
        let texts: Vec<String> = examples.iter().map(|words| words.join(" ")).collect();
        let index = Index::of(&suite(&[question]));
        let look = |order: &[usize]| {
            let mut contamination = Contamination::default();
            for n in order {
                index.look("data", *n as u32, &[texts[*n].clone()], &mut contamination);
            }
            contamination
        };
        let mut order: Vec<usize> = (0..texts.len()).collect();
        let straight = look(&order);
        let by = turned % order.len();
        order.rotate_left(by);
        order.reverse();
        prop_assert_eq!(&straight, &look(&order));
        let runs = |text: &str| -> HashSet<String> {
            let words: Vec<&str> = text.split(' ').collect();
            words.windows(RUN_WORDS).map(|run| run.join(" ")).collect()
        };
        let wanted = runs(question);
        let share = |text: &String| runs(text).intersection(&wanted).count() as f64 / wanted.len() as f64;
        let is_found = texts.iter().any(|text| share(text) >= NEAR_SHARE);
        prop_assert_eq!(straight.found.contains_key("t0"), is_found);
        let is_exact = texts.iter().any(|text| text.contains(question));
        prop_assert_eq!(straight.found.get("t0").is_some_and(|found| found.likeness == Likeness::Exact), is_exact);
    }
}
