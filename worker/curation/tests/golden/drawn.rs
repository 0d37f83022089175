//! Rows drawn from a seed, in the pipeline's format and of no file of it: white space of all kinds, contents that are null, absent or
//! empty, fences that are not closed, texts as long as the bounds between two scores, rows that were written from one another.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

/// What separates words, or only seems to.
const SPACES: [&str; 22] = [
    " ", " ", " ", "  ", "\n", "\r\n", "\r", "\t", "\u{b}", "\u{c}", "\u{1c}", "\u{1d}", "\u{1e}", "\u{1f}", "\u{85}",
    "\u{a0}", "\u{2003}", "\u{2028}", "\u{2029}", "\u{3000}", "\u{200b}", "\u{feff}",
];

/// Words, of which some count for a score, some look like code and some are long or none of ASCII.
const WORDS: [&str; 32] = [
    "a",
    "the",
    "part",
    "of",
    "Roblox",
    "<think>",
    "</think>",
    "export type",
    "x: string",
    "y: number",
    "--!strict",
    "task.wait()",
    "task.spawn",
    "game:GetService(\"Players\")",
    "table.freeze",
    "@native",
    "local",
    "x",
    "=",
    "1",
    "return",
    "function",
    "end",
    "|",
    "ä",
    "漢字",
    "😀",
    "e\u{301}",
    "\0",
    "-- note",
    "{",
    "[",
];

const FENCES: [&str; 9] = ["```lua\n", "```luau\r\n", "```\n", "\n```", "```", "````", "\n```\n", "``", "```json "];

/// Where one score ends and the next begins, in characters.
const LENGTHS: [usize; 4] = [100, 200, 3_000, 8_000];

pub(crate) struct Drawn {
    random: ChaCha8Rng,
    contents: Vec<String>,
    rows: Vec<Value>,
}

impl Drawn {
    pub(crate) fn new(seed: u64) -> Drawn {
        Drawn { random: ChaCha8Rng::seed_from_u64(seed), contents: Vec::new(), rows: Vec::new() }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_range(0..n) == 0
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        *all.choose(&mut self.random).unwrap()
    }

    /// The lines of a file.
    pub(crate) fn file(&mut self, rows: usize) -> String {
        let mut text = String::new();
        for _ in 0..rows {
            let row = self.row();
            text += &row.to_string();
            text += if self.one_in(9) { "\r\n" } else { "\n" };
            self.rows.push(row);
        }
        text
    }

    fn row(&mut self) -> Value {
        if !self.rows.is_empty() && self.one_in(12) {
            return self.rows.choose(&mut self.random).unwrap().clone();
        }
        let mut messages = Vec::new();
        for _ in 0..self.one_of(&[0_usize, 1, 2, 2, 3, 3, 3, 4, 5, 7]) {
            messages.push(self.message());
        }
        let mut row = Map::new();
        row.insert("messages".to_owned(), Value::Array(messages));
        row.insert("category".to_owned(), json!(self.one_of(&["service", "types", "debugging"])));
        let score = self.random.random_range(0..9);
        let scores =
            [json!(1), json!(0), json!(0.6), json!(0.599_999), json!(true), json!(false), json!(null), json!("0.9")];
        if let Some(score) = scores.get(score) {
            row.insert("eval_score".to_owned(), score.clone());
        }
        Value::Object(row)
    }

    fn message(&mut self) -> Value {
        let role = self.one_of(&["system", "user", "user", "assistant", "assistant", "assistant", "tool"]);
        let mut message = Map::new();
        message.insert("role".to_owned(), json!(role));
        match self.random.random_range(0..24) {
            0 => {}
            1 => drop(message.insert("content".to_owned(), Value::Null)),
            2 => drop(message.insert("content".to_owned(), json!(""))),
            _ => {
                let content = self.content();
                self.contents.push(content.clone());
                message.insert("content".to_owned(), json!(content));
            }
        }
        if role == "assistant" && self.one_in(8) {
            let call = json!({"id": "c", "type": "function", "function": {"name": "run", "arguments": "{}"}});
            message.insert("tool_calls".to_owned(), json!([call]));
        }
        Value::Object(message)
    }

    fn content(&mut self) -> String {
        match self.random.random_range(0..10) {
            // What was said before, with a word changed now and then.
            0..=4 if !self.contents.is_empty() => {
                let said = self.contents.choose(&mut self.random).unwrap().clone();
                let changed = self.one_of(&[0_u32, 0, 40, 12, 6]);
                let mut words = Vec::new();
                for word in said.split(' ') {
                    let is_changed = changed > 0 && self.one_in(changed);
                    words.push(if is_changed { self.one_of(&WORDS) } else { word });
                }
                words.join(self.one_of(&[" ", " ", "\n", "\u{3000}"]))
            }
            // As long as a bound, or one less or more.
            5 => {
                let length = self.one_of(&LENGTHS) + self.random.random_range(0..3) - 1;
                let text = self.words(length / 2);
                let missing = length.saturating_sub(text.chars().count());
                text.chars().take(length).collect::<String>() + &"é".repeat(missing)
            }
            6 => {
                let words = self.random.random_range(0..4);
                self.words(words)
            }
            _ => {
                let words = self.random.random_range(1..300);
                self.words(words)
            }
        }
    }

    fn words(&mut self, words: usize) -> String {
        let mut text = String::new();
        // One kind of white space for most of a text, as people write.
        let usual = self.one_of(&SPACES);
        for _ in 0..words {
            text += self.one_of(&WORDS);
            text += if self.one_in(5) { self.one_of(&SPACES) } else { usual };
            if self.one_in(12) {
                text += self.one_of(&FENCES);
            }
        }
        text
    }
}
