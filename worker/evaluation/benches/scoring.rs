//! Answers a second of the benchmark's scorer, and how long contamination takes: `tests/bench/score_vs_python.sh`.

use serde_json::Value;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};
use vertigo_evaluation::contamination::{Contamination, Index, texts};
use vertigo_evaluation::score::benchmark_v2::Expected;
use vertigo_evaluation::suite::{self, What};

fn rows(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{path}: {e}"))).collect()
}

fn main() {
    // Cargo hands a benchmark arguments of its own.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    match &arguments[..] {
        [what, answers, tasks, seconds] if what == "rate" => rate(answers, tasks, seconds.parse().unwrap_or(1.0)),
        [what, tasks, data @ ..] if what == "contamination" => contamination(tasks, data),
        _ => println!("SKIPPED: rate ANSWERS TASKS SECONDS, or contamination TASKS DATA…"),
    }
}

fn rate(answers: &str, tasks: &str, seconds: f64) {
    let tasks = fs::read_to_string(tasks).unwrap_or_else(|e| panic!("{tasks}: {e}"));
    let suite = suite::benchmark("b", &tasks, None).unwrap_or_else(|e| panic!("{e}"));
    let mut expected = BTreeMap::new();
    for task in &suite.tasks {
        let What::BenchmarkV2 { patterns } = &task.checks[0].what else { continue };
        let ready = Expected::new(&task.category, patterns, task.tool_names()).unwrap_or_else(|e| panic!("{e}"));
        expected.insert(task.id.clone(), ready);
    }
    let rows = rows(answers);
    let rows: Vec<(&Expected, &str)> = rows
        .iter()
        .map(|row| (&expected[row["task"].as_str().unwrap_or_default()], row["response"].as_str().unwrap_or_default()))
        .collect();
    let (begin, mut scored) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs_f64(seconds) {
        for (expected, response) in &rows {
            let _ = black_box(expected.score(response));
        }
        scored += rows.len();
    }
    println!("{:.0}", scored as f64 / begin.elapsed().as_secs_f64());
}

fn contamination(tasks: &str, data: &[String]) {
    let tasks = fs::read_to_string(tasks).unwrap_or_else(|e| panic!("{tasks}: {e}"));
    let suite = suite::benchmark("b", &tasks, None).unwrap_or_else(|e| panic!("{e}"));
    let examples: Vec<(&String, Vec<Vec<String>>)> =
        data.iter().map(|path| (path, rows(path).iter().map(texts).collect())).collect();
    let begin = Instant::now();
    let index = Index::of(&suite);
    let mut found = Contamination::default();
    for (path, examples) in &examples {
        for (n, messages) in examples.iter().enumerate() {
            index.look(path, n as u32 + 1, messages, &mut found);
        }
    }
    let words: usize =
        examples.iter().flat_map(|(_, rows)| rows.iter().flatten()).map(|text| text.split_whitespace().count()).sum();
    println!(
        "{{\"examples\": {}, \"words\": {words}, \"tasks\": {}, \"found\": {}, \"seconds\": {:.3}}}",
        found.examples,
        suite.tasks.len(),
        found.found.len(),
        begin.elapsed().as_secs_f64()
    );
}
