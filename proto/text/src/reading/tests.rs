//! Readings beside the text of their conversations: whose tokens are learned, and that nothing is learned without its end.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use vertigo_model::dataset::{Dataset, Place, Weight};
use vertigo_testkit::{skipped, tokenizer};

/// Qwen's template in what matters here: an answer to the last question has a thought, an empty one where it has none, and earlier ones
/// have theirs taken out; what tools say in a row is one turn; there is no conversation without a question.
const QWEN: &str = "\
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}
{%- if ns.last < 0 %}{{- raise_exception('No user query found in messages.') }}{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if loop.index0 > ns.last %}{{- '<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' }}{%- endif %}
        {{- m.content + '<|im_end|>\\n' }}
    {%- elif m.role == 'tool' %}
        {%- if messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>' + m.content + '</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- else %}
        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}
";

/// A template whose turns have no borders that one could find: what the first message is decides how all of them are written.
const ODD: &str = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}<|im_end|>";

/// A tokenizer of bytes that knows a thought's marks, with `template`, or with the kit's own.
fn load(template: Option<&str>) -> ChatTokenizer {
    let dir = folder(template);
    ChatTokenizer::load(dir.path()).unwrap()
}

fn folder(template: Option<&str>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    tokenizer::write(dir.path());
    let path = dir.path().join("tokenizer.json");
    let mut written: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let added = written["added_tokens"].as_array_mut().unwrap();
    for (id, mark) in [(258, "<think>"), (259, "</think>")] {
        added.push(json!({"id": id, "content": mark, "special": false, "single_word": false, "lstrip": false,
                          "rstrip": false, "normalized": false}));
    }
    fs::write(&path, written.to_string()).unwrap();
    if let Some(template) = template {
        fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
    }
    dir
}

const PLAIN: Rules =
    Rules { mask: Mask::Last, overlength: Overlength::Cut, thinking: Thinking::EmptyOk, tokens_max: usize::MAX };

fn chat(turns: &[(&str, &str)]) -> Example {
    let messages = turns.iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    Example::Chat { messages, tools: None }
}

/// What is learned of each lesson, as text, a run of columns each.
fn learned(tokenizer: &ChatTokenizer, reading: &Reading) -> Vec<Vec<String>> {
    let text = |lesson: &Lesson, columns: &Range<usize>| tokenizer.decode_all(&lesson.ids[columns.clone()]).unwrap();
    let of = |lesson: &Lesson| lesson.learned.iter().map(|columns| text(lesson, columns)).collect();
    reading.lessons.iter().map(of).collect()
}

#[test]
fn each_mask_learns_the_turns_that_it_names() {
    let tokenizer = load(None);
    let example = chat(&[("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]);
    let of = |mask| learned(&tokenizer, &tokenizer.read_by(&example, &Rules { mask, ..PLAIN }).unwrap());
    assert_eq!(of(Mask::Last), [["d<|im_end|>\n"]]);
    assert_eq!(of(Mask::Assistant), [["b<|im_end|>\n", "d<|im_end|>\n"]]);
    assert_eq!(of(Mask::None)[0].len(), 1);
    assert!(of(Mask::None)[0][0].starts_with("<|im_start|>user\na<|im_end|>"));
    let asks = chat(&[("user", "a"), ("assistant", "b"), ("user", "c")]);
    let reading = tokenizer.read_by(&asks, &Rules { mask: Mask::Assistant, ..PLAIN }).unwrap();
    assert_eq!((learned(&tokenizer, &reading), reading.reasons.len()), (vec![vec!["b<|im_end|>\n".to_owned()]], 0));
    assert!(tokenizer.read_by(&asks, &PLAIN).unwrap().reasons.contains(&Reason::Unanswered));
}

#[test]
fn answers_that_a_template_rewrites_are_found_in_the_whole_conversation() {
    let tokenizer = load(Some(QWEN));
    let rules = Rules { mask: Mask::Assistant, thinking: Thinking::Keep, ..PLAIN };
    let example = chat(&[
        ("user", "a"),
        ("assistant", "call"),
        ("tool", "1"),
        ("tool", "2"),
        ("assistant", "b"),
        ("user", "c"),
        ("assistant", "d"),
    ]);
    let reading = tokenizer.read_by(&example, &rules).unwrap();
    // The last one's thought is empty, and so not learned.
    assert_eq!(learned(&tokenizer, &reading), [["call<|im_end|>\n", "b<|im_end|>\n", "d<|im_end|>\n"]]);
    assert_eq!((reading.fate, reading.reasons.contains(&Reason::Unlocated)), (Fate::Whole, false));
    let plain = tokenizer.tokenize(&example, true).unwrap();
    assert_eq!(reading.ids, plain.ids, "the tokens are those of the whole conversation");
}

#[test]
fn what_cannot_be_located_is_counted_and_not_learned() {
    let tokenizer = load(Some(ODD));
    let example = chat(&[("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]);
    let reading = tokenizer.read_by(&example, &Rules { mask: Mask::Assistant, ..PLAIN }).unwrap();
    assert_eq!((reading.fate, reading.lessons.len()), (Fate::LeftOut(Why::Nothing), 0));
    assert!(reading.reasons.contains(&Reason::Unlocated));
}

#[test]
fn a_thought_is_learned_an_empty_one_only_where_it_is_said_to_be() {
    let tokenizer = load(Some(QWEN));
    let of = |example: &Example, thinking| {
        let reading = tokenizer.read_by(example, &Rules { thinking, ..PLAIN }).unwrap();
        let is_told = reading.reasons.contains(&Reason::EmptyThought);
        (learned(&tokenizer, &reading)[0].concat(), is_told)
    };
    let none = chat(&[("user", "a"), ("assistant", "b")]);
    // As mlx-lm: what the prompt has opened is masked, and the rest of the empty thought learned.
    assert_eq!(of(&none, Thinking::EmptyOk), ("\n</think>\n\nb<|im_end|>\n".to_owned(), true));
    assert_eq!(of(&none, Thinking::Keep), ("b<|im_end|>\n".to_owned(), false));
    assert_eq!(of(&none, Thinking::Strip), ("b<|im_end|>\n".to_owned(), false));
    let Example::Chat { mut messages, .. } = none else { unreachable!("it is one") };
    messages[1]["reasoning"] = "so".into();
    let thought = Example::Chat { messages, tools: None };
    for thinking in [Thinking::EmptyOk, Thinking::Keep] {
        assert_eq!(of(&thought, thinking), ("so\n</think>\n\nb<|im_end|>\n".to_owned(), false));
    }
    assert_eq!(of(&thought, Thinking::Strip), ("b<|im_end|>\n".to_owned(), false));
    // Where everything is learned there is a gap instead.
    let everything = Rules { mask: Mask::None, thinking: Thinking::Keep, ..PLAIN };
    let reading = tokenizer.read_by(&chat(&[("user", "a"), ("assistant", "b")]), &everything).unwrap();
    let learned = learned(&tokenizer, &reading);
    assert_eq!(learned, [["<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n<think>\n", "b<|im_end|>\n"]]);
}

#[test]
fn an_example_that_is_too_long_has_the_fate_that_the_recipe_names() {
    let tokenizer = load(None);
    let example = chat(&[("system", "s"), ("user", "a"), ("assistant", "bcd"), ("user", "e"), ("assistant", "fgh")]);
    let whole = tokenizer.read_by(&example, &PLAIN).unwrap().ids.len();
    let of = |overlength, mask, tokens_max| {
        let reading = tokenizer.read_by(&example, &Rules { overlength, mask, tokens_max, ..PLAIN }).unwrap();
        (reading.fate, learned(&tokenizer, &reading))
    };
    assert_eq!(of(Overlength::Error, Mask::Last, whole).0, Fate::Whole);
    assert_eq!(of(Overlength::Error, Mask::Last, whole - 1).0, Fate::LeftOut(Why::Refused));
    assert_eq!(of(Overlength::Drop, Mask::Last, whole - 1).0, Fate::LeftOut(Why::Dropped));
    // The line break after the end of turn is lost; then the end; then the answer.
    assert_eq!(of(Overlength::Cut, Mask::Last, whole - 1).1, [["fgh<|im_end|>"]]);
    assert_eq!(of(Overlength::Cut, Mask::Last, whole - 2).0, Fate::LeftOut(Why::EndLost));
    assert_eq!(of(Overlength::Cut, Mask::Last, whole - 6).0, Fate::LeftOut(Why::Prompt));
    let (fate, left) = of(Overlength::Cut, Mask::Assistant, whole - 2);
    assert_eq!((fate, left), (Fate::Cut { tokens: 5, ends: true }, vec![vec!["bcd<|im_end|>\n".to_owned()]]));
    let (fate, left) = of(Overlength::Cut, Mask::None, whole - 2);
    assert!(matches!(fate, Fate::Cut { ends: true, .. }) && left[0][0].ends_with("e<|im_end|>\n"), "{fate:?} {left:?}");
    let (fate, left) = of(Overlength::Split, Mask::Last, whole - 2);
    assert_eq!(fate, Fate::Split { pieces: 2, left_out: 0 });
    assert_eq!(left, [["bcd<|im_end|>\n"], ["fgh<|im_end|>\n"]]);
    assert_eq!(of(Overlength::Split, Mask::Last, 20).0, Fate::LeftOut(Why::Apart));
}

#[test]
fn a_text_is_cut_or_taken_apart_anywhere() {
    let tokenizer = load(None);
    let of = |overlength| {
        let rules = Rules { overlength, tokens_max: 4, ..PLAIN };
        let reading = tokenizer.read_by(&Example::Text("abcdef".to_owned()), &rules).unwrap();
        (reading.fate, learned(&tokenizer, &reading).concat())
    };
    assert_eq!(of(Overlength::Cut), (Fate::Cut { tokens: 3, ends: false }, vec!["abcd".to_owned()]));
    assert_eq!(of(Overlength::Split).1, ["abcd", "def<|im_end|>"]);
    assert_eq!(of(Overlength::Drop).0, Fate::LeftOut(Why::Dropped));
}

/// Conversations in which each message is made of letters of its own, so that a token says whose it is.
fn conversations() -> impl Strategy<Value = Example> {
    let letters = |role: &str| match role {
        "user" => "u",
        "assistant" => "a",
        "tool" => "t",
        _ => "s",
    };
    let message = (prop::sample::select(vec!["user", "assistant", "assistant", "tool"]), 0usize..12, any::<bool>());
    (any::<bool>(), prop::collection::vec(message, 1..9)).prop_map(move |(has_system, rest)| {
        let system = has_system.then_some(("system", 2, false));
        let first = [("user", 3, false)];
        let all = system.into_iter().chain(first).chain(rest);
        let messages = all.map(|(role, length, thinks)| {
            let mut message = json!({"role": role, "content": letters(role).repeat(length)});
            if thinks && role == "assistant" {
                message["reasoning_content"] = "a".repeat(3).into();
            }
            message
        });
        Example::Chat { messages: messages.collect(), tools: None }
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let overlength = [Overlength::Error, Overlength::Drop, Overlength::Cut, Overlength::Split];
    let thinking = [Thinking::Keep, Thinking::Strip, Thinking::EmptyOk];
    (prop::sample::select(overlength.to_vec()), prop::sample::select(thinking.to_vec()), 8usize..220).prop_map(
        |(overlength, thinking, tokens_max)| Rules { mask: Mask::Assistant, overlength, thinking, tokens_max },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The letters u, s and t are nobody's but the user's, the system's and the tools', and occur in marks and roles too, so these are
    /// taken out first.
    #[test]
    fn only_turns_of_the_assistant_are_learned_and_each_with_its_end(
        example in conversations(), rules in rules(), is_qwen in any::<bool>(),
    ) {
        let tokenizer = load(is_qwen.then_some(QWEN));
        let reading = tokenizer.read_by(&example, &rules).unwrap();
        let Example::Chat { messages, .. } = &example else { unreachable!("all of them are") };
        let answers = messages.iter().filter(|message| message["role"] == "assistant").count();
        prop_assert!(!reading.reasons.contains(&Reason::Unlocated));
        for lesson in &reading.lessons {
            prop_assert!(lesson.ids.len() <= rules.tokens_max && lesson.teaches());
        }
        let runs = learned(&tokenizer, &reading).concat();
        for run in &runs {
            prop_assert!(run.ends_with("<|im_end|>\n") || run.ends_with("<|im_end|>"), "{run:?} has no end");
            // Turns that follow upon one another are apart by a mask; so one run is one turn.
            prop_assert_eq!(run.matches("<|im_end|>").count(), 1);
            let said = run.replace("<|im_end|>", "").replace("<think>", "").replace("</think>", "");
            prop_assert!(said.chars().all(|c| c == 'a' || c == '\n'), "{said:?} is not the assistant's");
            let is_empty = run.replace("</think>", "").trim_start() != run.replace("</think>", "");
            prop_assert!(rules.thinking == Thinking::EmptyOk || !is_empty || !run.contains("</think>"), "{run:?}");
        }
        match reading.fate {
            Fate::Whole => prop_assert_eq!(runs.len(), answers),
            Fate::Split { left_out, pieces } => {
                prop_assert_eq!(pieces, reading.lessons.len());
                prop_assert_eq!(runs.len() + left_out, answers);
            }
            Fate::Cut { tokens, .. } => {
                prop_assert_eq!(reading.lessons[0].ids.len() + tokens, reading.ids.len());
                prop_assert!(reading.ids.starts_with(&reading.lessons[0].ids));
            }
            Fate::LeftOut(_) => prop_assert!(reading.lessons.is_empty()),
        }
    }

    #[test]
    fn what_fits_is_read_as_mlx_lm_reads_it(example in conversations(), mask_prompt in any::<bool>(), is_qwen in any::<bool>()) {
        let tokenizer = load(is_qwen.then_some(QWEN));
        let mask = if mask_prompt { Mask::Last } else { Mask::None };
        for overlength in [Overlength::Error, Overlength::Drop, Overlength::Cut, Overlength::Split] {
            let reading = tokenizer.read_by(&example, &Rules { mask, overlength, ..PLAIN }).unwrap();
            let plain = tokenizer.read(&example, mask_prompt).unwrap();
            prop_assert_eq!(reading.reasons.contains(&Reason::UnsharedPrompt), !plain.prompt_is_shared);
            prop_assert_eq!(reading.lessons, vec![Lesson::from(plain.tokens)]);
        }
    }
}

/// What becomes of the real examples with the fixtures' tokenizer, which is smaller than Qwen's and so makes more tokens of them: at the
/// length and the mask of the real 4B recipe, and at half of it.
#[test]
fn every_real_example_is_learned_or_left_out_for_a_reason_that_is_named() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let (base, data) = (shared.join("fixtures/f32"), shared.join("data/vertigo/raw"));
    if !base.exists() || !data.exists() {
        return skipped(&format!("{} has no fixtures and data", shared.display()));
    }
    let (tokenizer, dataset) = (ChatTokenizer::load(&base).unwrap(), Dataset::read(&data).unwrap());
    let count = |overlength, mask, tokens_max| {
        let rules = Rules { overlength, mask, tokens_max, ..PLAIN };
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        let mut count = |what: &str, n: usize| *counts.entry(what.to_owned()).or_default() += n;
        for row in dataset.train.iter().chain(&dataset.valid) {
            let reading = tokenizer.lessons(row, &rules).unwrap();
            match reading.fate {
                Fate::Whole => count("whole", 1),
                Fate::Cut { ends, .. } => count(if ends { "cut within a turn" } else { "cut after a turn" }, 1),
                Fate::Split { pieces, left_out } => {
                    count("split", 1);
                    count("pieces", pieces);
                    count("turns too long", left_out);
                }
                Fate::LeftOut(why) => count(&why.to_string(), 1),
            }
            reading.reasons.iter().for_each(|reason| count(&format!("{reason:?}"), 1));
        }
        counts.iter().map(|(what, n)| format!("{n} {what}")).collect::<Vec<_>>()
    };
    assert_eq!(
        count(Overlength::Cut, Mask::Last, 2048),
        ["282 max_seq_length ends within the answer, which would be learned without its end", "1522 whole"]
    );
    // All but a few of them have one question.
    assert_eq!(
        count(Overlength::Split, Mask::Assistant, 1024),
        [
            "1125 no question fits max_seq_length together with its answer",
            "49 pieces",
            "49 split",
            "84 turns too long",
            "630 whole"
        ]
    );
}

#[test]
fn what_is_wrong_names_the_line() {
    let tokenizer = load(Some(QWEN));
    let place = Place { file: "a.jsonl".into(), line: 3 };
    let row = Row { place, example: chat(&[("assistant", "a")]), weight: Weight::ONE };
    let error = tokenizer.lessons(&row, &PLAIN).unwrap_err().to_string();
    assert!(error.starts_with("a.jsonl:3: chat_template: ") && error.contains("No user query"), "{error}");
}
