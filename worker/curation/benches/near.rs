//! How long near duplicates take, what they find and what memory they need: `tests/bench/near_vs_datasketch.sh`.
//!
//! `near ROWS` makes so many rows of 1 kB in memory, runs the stage over them and prints one JSON line. `write ROWS FILE` writes the
//! same rows for a peer, each as `{"text": …, "like": N}`, where `like` is the number of the row that it was made of. `hot ROWS` is
//! `near` with rows that are all nearly the same.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, json};
use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;
use vertigo_curation::book::Book;
use vertigo_curation::config::{Act, Duplicates};
use vertigo_curation::duplicates::{self, shingles::Shingles};
use vertigo_curation::row::{Body, Message, Origin, Role, Row};

/// Different words that rows are made of.
const WORDS: u32 = 20_000;

/// Words of a row: with the space between them about 1 kB.
const ROW_WORDS: usize = 150;

/// One row in so many is made of an earlier one.
const LIKE_EVERY: usize = 20;

/// Words that are changed in such a row, at most: it still shares more than 0.8 of all runs of three.
const CHANGED_MAX: usize = 5;

const THRESHOLD: f64 = 0.8;

fn word(number: u32) -> String {
    // Six letters, as words of code have them.
    format!("w{:05x}", number.wrapping_mul(0x9E37_79B1) >> 12)
}

/// The words of a row, from its number alone.
fn words(row: usize) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(row as u64);
    (0..ROW_WORDS).map(|_| rng.random_range(0..WORDS)).collect()
}

/// The row that this one was made of, and its words. Rows of which others are made are made of none.
fn made(row: usize) -> (Option<usize>, Vec<u32>) {
    if row == 0 || !row.is_multiple_of(LIKE_EVERY) {
        return (None, words(row));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(!(row as u64));
    let first = rng.random_range(0..row);
    let first = if first.is_multiple_of(LIKE_EVERY) { first + 1 } else { first };
    let mut words = words(first);
    for _ in 0..rng.random_range(1..=CHANGED_MAX) {
        let at = rng.random_range(0..ROW_WORDS);
        words[at] = rng.random_range(0..WORDS);
    }
    (Some(first), words)
}

fn text(words: &[u32]) -> String {
    // Six letters and a space.
    let mut text = String::with_capacity(words.len() * 7);
    for number in words {
        text += &word(*number);
        text.push(' ');
    }
    text
}

fn body(words: &[u32]) -> Body {
    let (asked, answer) = words.split_at(30);
    let messages = vec![Message::new(Role::User, text(asked)), Message::new(Role::Assistant, text(answer))];
    Body::Chat { messages, tools: None }
}

fn main() {
    // Cargo hands a benchmark arguments of its own.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let count = |rows: &str| rows.parse::<usize>().unwrap_or_else(|e| panic!("{rows}: {e}"));
    match &arguments[..] {
        [what, rows] if what == "near" => near(count(rows), made),
        [what, rows] if what == "hot" => near(count(rows), |row| {
            let mut words = words(0);
            words[row % ROW_WORDS] = row as u32;
            ((row > 0).then_some(0), words)
        }),
        [what, rows, file] if what == "write" => write(count(rows), file),
        _ => println!("SKIPPED: near ROWS, hot ROWS, or write ROWS FILE"),
    }
}

fn write(rows: usize, file: &str) {
    let file = File::create(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut out = BufWriter::new(file);
    for row in 0..rows {
        let (like, words) = made(row);
        let line = json!({"text": text(&words), "like": like});
        writeln!(out, "{line}").unwrap_or_else(|e| panic!("{e}"));
    }
}

fn near(count: usize, make: impl Fn(usize) -> (Option<usize>, Vec<u32>)) {
    let mut book = Book::default();
    let file: Arc<str> = Arc::from("made.jsonl");
    let (mut rows, mut planted) = (Vec::with_capacity(count), Vec::new());
    let mut bytes = 0;
    for row in 0..count {
        let (like, words) = make(row);
        let body = body(&words);
        bytes += body.messages().iter().map(|message| message.text().len()).sum::<usize>();
        // Words that are drawn twice may leave less than the threshold: what counts is what rows really share.
        planted
            .extend(like.filter(|like| shares(&body, *like, &make) >= THRESHOLD).map(|like| (row as u32, like as u32)));
        let entry = book.enter(Origin { file: file.clone(), line: row as u32 + 1 });
        rows.push(Row { entry, body, facts: Map::new() });
    }
    let before = status("VmRSS");
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    let asked = Duplicates { exact: true, near: Some(THRESHOLD), code: Act::Off };
    let made = duplicates::run(rows, &asked, &|_| 0.5, &mut book);
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    let peak = status("VmHWM");
    // Of rows that are alike not both are left. Two that were made of one row may have gone by one another's doing.
    let mut is_left = vec![false; count];
    made.rows.iter().for_each(|row| is_left[row.entry as usize] = true);
    let found = planted.iter().filter(|(row, like)| !(is_left[*row as usize] && is_left[*like as usize])).count();
    println!(
        "{}",
        json!({
            "rows": count, "bytes": bytes, "seconds": seconds, "cpu_seconds": cpu, "left": made.rows.len(), "planted": planted.len(),
            "recall": found as f64 / planted.len().max(1) as f64, "resident_mb": before / 1000, "peak_mb": peak / 1000,
        })
    );
}

fn shares(body: &Body, like: usize, make: &impl Fn(usize) -> (Option<usize>, Vec<u32>)) -> f64 {
    Shingles::of(body).jaccard(&Shingles::of(&self::body(&make(like).1)))
}

/// Seconds that this process computed so far, in all threads; 0 where the system has no such account.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in brackets: time in the program is the 12th field and time in the system the 13th, in hundredths.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Kilobytes of a line of the system's account of this process; 0 where there is none.
fn status(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
