//! What is shown of examples, with a tokenizer of bytes.

use super::*;
use crate::render::output::plain;
use std::fs;
use tempfile::TempDir;
use vertigo_model::recipe::Recipe;
use vertigo_testkit::tokenizer;

const LINES: [&str; 4] = [
    r#"{"prompt":"1+1","completion":"2"}"#,
    "",
    r#"{"prompt":"say much","completion":"one two three four five six seven eight"}"#,
    r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":"d\u001b[2J"}]}"#,
];

struct Bench {
    dataset: Dataset,
    tokenizer: ChatTokenizer,
    _dir: TempDir,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        tokenizer::write(dir.path());
        fs::write(dir.path().join("a.jsonl"), LINES.join("\n")).unwrap();
        fs::write(dir.path().join("valid.jsonl"), LINES[0]).unwrap();
        let (dataset, tokenizer) = (Dataset::read(dir.path()).unwrap(), ChatTokenizer::load(dir.path()).unwrap());
        Bench { dataset, tokenizer, _dir: dir }
    }

    fn examples(&self, recipe: &str) -> Examples<'_> {
        let recipe = Recipe::parse("r", &format!("{{model: m, {recipe}}}")).unwrap();
        Examples::new(&self.dataset, &self.tokenizer, Rules::of(&recipe))
    }

    fn shown(&self, recipe: &str, which: &str) -> String {
        let examples = self.examples(recipe);
        let index = examples.find(&which.parse().unwrap()).unwrap();
        examples.read(index).unwrap().render(&self.tokenizer, false)
    }
}

#[test]
fn what_is_learned_stands_in_marks_where_there_are_no_colours() {
    let bench = Bench::new();
    insta::assert_snapshot!(plain(&bench.shown("mask: last", "1")), @r#"
        a.jsonl:1
          example  1 of 4
          tokens   25, 3 of them learned
          fate     learned whole

        <|im_start|>user
        1+1<|im_end|>
        <|im_start|>assistant
        ⟦2<|im_end|>
        ⟧
        "#);
    insta::assert_snapshot!(plain(&bench.shown("mask: assistant", "a.jsonl:4")), @r#"
        a.jsonl:4
          example  3 of 4
          tokens   50, 10 of them learned
          fate     learned whole

        <|im_start|>user
        a<|im_end|>
        <|im_start|>assistant
        ⟦b<|im_end|>
        ⟧<|im_start|>user
        c<|im_end|>
        <|im_start|>assistant
        ⟦d\u{1b}[2J<|im_end|>
        ⟧
        "#);
}

#[test]
fn what_is_cut_off_or_left_out_is_shown_with_its_reason() {
    let bench = Bench::new();
    insta::assert_snapshot!(plain(&bench.shown("mask: last, max_seq_length: 40", "2")), @r#"
        a.jsonl:3
          example  2 of 4
          tokens   68, 0 of them learned
          fate     left out: max_seq_length ends within the answer, which would be
                   learned without its end

        ⟪<|im_start|>user
        say much<|im_end|>
        <|im_start|>assistant
        one two three four five six seven eight<|im_end|>
        ⟫
        "#);
    insta::assert_snapshot!(plain(&bench.shown("mask: assistant, max_seq_length: 40", "3")), @r#"
        a.jsonl:4
          example  3 of 4
          tokens   50, 3 of them learned
          fate     cut at max_seq_length: 10 tokens lost

        <|im_start|>user
        a<|im_end|>
        <|im_start|>assistant
        ⟦b<|im_end|>
        ⟧<|im_start|>user
        c<|im_end|>
        <|im_start|>assista⟪nt
        d\u{1b}[2J<|im_end|>
        ⟫
        "#);
    insta::assert_snapshot!(plain(&bench.shown("mask: assistant, max_seq_length: 40, overlength: split", "3")), @r#"
        a.jsonl:4
          example  3 of 4
          tokens   50, 10 of them learned
          fate     split at its turns: 2 pieces

        piece 1 of 2
        <|im_start|>user
        a<|im_end|>
        <|im_start|>assistant
        ⟦b<|im_end|>
        ⟧
        piece 2 of 2
        <|im_start|>user
        c<|im_end|>
        <|im_start|>assistant
        ⟦d\u{1b}[2J<|im_end|>
        ⟧
        "#);
}

#[test]
fn colours_say_the_same_as_marks() {
    let bench = Bench::new();
    let examples = bench.examples("mask: last");
    let shown = examples.read(0).unwrap();
    let coloured = safe::styled(&shown.render(&bench.tokenizer, true));
    assert!(coloured.contains("\u{1b}[32m2<|im_end|>\n\u{1b}[0m"), "{coloured:?}");
    let marked = plain(&shown.render(&bench.tokenizer, false));
    assert_eq!(plain(&coloured), marked.replace(['⟦', '⟧'], ""));
}

#[test]
fn all_that_is_not_learned_whole_is_listed() {
    let bench = Bench::new();
    let list = |recipe| {
        let examples = bench.examples(recipe);
        render_skipped(&examples.skipped().unwrap(), examples.rows.len())
    };
    insta::assert_snapshot!(list("mask: assistant, max_seq_length: 50"), @r#"
        a.jsonl:3  68 tokens  left out: max_seq_length ends within the answer, which would be learned without its end
        of 4 examples: 1 left out
        "#);
    assert_eq!(list("mask: last"), "of 4 examples: all learned whole\n");
}

#[test]
fn scripts_get_tokens_and_the_columns_that_are_learned() {
    let bench = Bench::new();
    let json = bench.examples("mask: last").read(3).unwrap().json();
    assert_eq!((&json["place"], &json["held_out"]), (&json!("valid.jsonl:1"), &json!(true)));
    assert_eq!((&json["fate"], &json["learned_tokens"]), (&json!("learned whole"), &json!(3)));
    assert_eq!(json["lessons"][0]["ids"], json["ids"]);
    let length = json["ids"].as_array().unwrap().len();
    assert_eq!(json["lessons"][0]["learned"], json!([[length - 3, length]]));
}

#[test]
fn a_weight_that_is_not_1_is_shown_and_scripts_get_every_one() {
    let mut bench = Bench::new();
    bench.dataset.train[0].weight = Weight::new(2.5).unwrap();
    let shown = plain(&bench.shown("mask: last", "1"));
    assert!(shown.contains("  weight   2.5\n"), "{shown}");
    let weight = |index: usize| bench.examples("mask: last").read(index).unwrap().json()["weight"].clone();
    assert_eq!((weight(0), weight(1)), (json!(2.5), json!(1.0)));
}

#[test]
fn an_example_that_is_not_there_is_answered_with_those_that_are() {
    let bench = Bench::new();
    for which in ["5", "a.jsonl:2", "b.jsonl:1"] {
        let error = bench.examples("mask: last").find(&which.parse().unwrap()).unwrap_err();
        assert_eq!(error.exit, Exit::NotFound);
        assert!(error.message.contains("there are 4, the last at valid.jsonl:1"), "{}", error.message);
    }
}
