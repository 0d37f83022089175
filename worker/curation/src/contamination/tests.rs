use super::*;
use crate::row::{Message, Origin};
use serde_json::{Map, json};
use std::sync::Arc;

const QUESTION: &str = "Write a module that keeps scores by player and says which player has most of them at any time.";
const REFERENCE: &str = "local Board = {}\nfunction Board.most(scores)\n  local best, name = -1, nil\n  for who, many in \
                         pairs(scores) do if many > best then best, name = many, who end end\n  return name\nend\nreturn Board";
const TEST: &str =
    "local board = require(answer) assert(board.most({ Ann = 3, Bob = 9, Cid = 4 }) == 'Bob', 'Bob has most of all')";

const ALONE: &str = "local Paint = {}\nfunction Paint.all(parts, colour)\n  for _, part in parts do part.Color = colour part.Material = \
                     Enum.Material.Neon part.Transparency = 0 end\nend\nreturn Paint";

fn suite() -> Suite {
    let header = "name: mine\nsystem: You are careful.\n".to_owned();
    let task = |id: &str, question: &str, reference: &str, test: &str| {
        json!({"id": id, "category": "c", "prompt": question, "reference": reference, "checks": {"run": {"test": test}}}).to_string()
    };
    let shared = "local Players = game:GetService('Players') local Storage = game:GetService('ReplicatedStorage') print(Players, Storage)";
    let tasks = [
        task("scores", QUESTION, &format!("{REFERENCE}\n{shared}"), TEST),
        task("short", "Make it red.", &format!("{ALONE}\n{shared}"), "assert(red)"),
    ];
    let files = [("suite.yaml".to_owned(), header), ("tasks.jsonl".to_owned(), tasks.join("\n"))].into();
    Suite::parse(&files).unwrap_or_else(|e| panic!("{e}"))
}

fn asked(question: &str, answer: &str) -> Body {
    let said = [(Role::System, QUESTION), (Role::User, question), (Role::Assistant, answer)];
    Body::Chat { messages: said.map(|(role, text)| Message::new(role, text)).into(), tools: None }
}

fn look(body: &Body) -> Vec<(String, How)> {
    let suite = suite();
    Sought::of(&suite).look(body).into_iter().map(|(task, how)| (task.to_owned(), how)).collect()
}

#[test]
fn a_question_is_found_in_any_turn_but_the_systems_whatever_its_marks() {
    let scores = |how| vec![("scores".to_owned(), how)];
    assert_eq!(look(&asked(&QUESTION.to_uppercase().replace(' ', "\n"), "No.")), scores(How::Prompt));
    assert_eq!(look(&asked("Again?", &format!("You asked: {QUESTION}"))), scores(How::Prompt));
    assert_eq!(look(&Body::Text(format!("Q: {QUESTION} A: no"))), scores(How::Prompt));
    assert_eq!(look(&asked("What is new?", "Nothing.")), []);
    let most: Vec<&str> = QUESTION.split(' ').take(15).collect();
    assert_eq!(look(&asked(&most.join(" "), "No.")), scores(How::NearPrompt));
    assert_eq!(look(&asked("make it RED!", "No.")), [("short".to_owned(), How::Prompt)]);
    assert_eq!(look(&asked("Make it red and then blue.", "No.")), []);
}

#[test]
fn an_answer_that_shares_a_passage_with_a_reference_or_a_test_is_found_and_one_that_all_tasks_have_is_not() {
    let passage = "for who, many in pairs(scores) do if many > best then best, name = many, who end end";
    let scores = [("scores".to_owned(), How::Overlap)];
    assert_eq!(look(&asked("How?", &format!("Like so:\n```luau\n{passage}\n```"))), scores);
    assert_eq!(look(&asked("How?", TEST)), scores);
    assert_eq!(look(&asked(passage, "I see.")), [], "what is asked is no answer");
    let shared = "local Players = game:GetService('Players') local Storage = game:GetService('ReplicatedStorage') print(Players, Storage)";
    assert_eq!(look(&asked("How?", shared)), [], "what several tasks have is nobody's secret");
    let twelve = passage.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(12);
    assert_eq!(look(&asked("How?", &twelve.collect::<Vec<_>>().join(" "))), []);
}

#[test]
fn rows_that_have_a_task_are_dropped_or_noted_by_the_plainest_rule_with_the_tasks_names() {
    for effect in [Effect::Dropped, Effect::Noted] {
        let mut book = Book::default();
        let bodies = [asked(QUESTION, REFERENCE), asked("How?", TEST), asked("What is new?", "Nothing.")];
        let rows = bodies.into_iter().zip(1..).map(|(body, line)| {
            let entry = book.enter(Origin { file: Arc::from("a.jsonl"), line });
            Row { entry, body, facts: Map::new() }
        });
        let rows: Vec<Row> = rows.collect();
        let left = run(rows, &[suite()], effect, &mut book);
        assert_eq!(left.len(), if effect.ends() { 1 } else { 3 });
        assert_eq!(left.last().map(|row| row.entry), Some(2));
        let touched: Vec<_> = book.entries.iter().flat_map(|entry| &entry.touched).collect();
        let said: Vec<_> = touched.iter().map(|touch| (touch.rule, touch.effect, &*touch.detail)).collect();
        assert_eq!(said, [(PROMPT, effect, "mine/scores"), (OVERLAP, effect, "13 words in a row of mine/scores")]);
    }
}
