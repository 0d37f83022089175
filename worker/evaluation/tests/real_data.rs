//! Scorers, importers and contamination beside the pipeline's real data and what it measured of it. Says SKIPPED where that is
//! absent.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use vertigo_evaluation::contamination::{Contamination, Index, Likeness, Part, texts};
use vertigo_evaluation::nonsense::Nonsense;
use vertigo_evaluation::prompt::{Prompt, ToolsIn};
use vertigo_evaluation::score::{benchmark_v2, opengameeval};
use vertigo_evaluation::suite::{self, Suite, Task, What};
use vertigo_testkit::shared;

/// The system prompt of the pipeline's benchmark (pipeline.md §2.5).
const SYSTEM: &str = "You are a Roblox/Luau coding assistant specialized in the Vertigo project. You write --!strict Luau code \
                      following Vertigo conventions: Init/Start lifecycle, @native on hot paths, vector.* SIMD, CollectionService \
                      tags, server-authoritative validation. You use the Roblox Studio MCP tools when appropriate.";

fn rows(path: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn benchmark() -> Option<Suite> {
    let text = fs::read_to_string(shared("data/vertigo/benchmark.jsonl")?).unwrap();
    Some(suite::benchmark("vertigo", &text, Some(SYSTEM)).unwrap_or_else(|e| panic!("{e}")))
}

fn expected(task: &Task) -> benchmark_v2::Expected {
    let What::BenchmarkV2 { patterns } = &task.checks[0].what else { panic!("{task:?}") };
    benchmark_v2::Expected::new(&task.category, patterns, task.tool_names()).unwrap()
}

#[test]
fn every_answer_that_the_pipeline_scored_has_its_scores_field_by_field() {
    let (Some(suite), Some(golden)) = (benchmark(), shared("golden/benchmark_v2_scores.jsonl")) else { return };
    let golden = rows(&golden);
    assert!(golden.len() >= 200);
    for row in golden {
        let task = suite.task(row["task"].as_str().unwrap()).unwrap();
        let scores = expected(task).score(row["response"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::to_value(scores).unwrap(), row["scores"], "{row}");
    }
}

#[test]
fn every_answer_of_the_dry_run_has_its_code_and_score() {
    let (Some(evals), Some(golden)) = (evals(), shared("golden/opengameeval_dry_run.jsonl")) else { return };
    let suite = suite::opengameeval("oge", &evals).unwrap_or_else(|e| panic!("{e}"));
    for row in rows(&golden) {
        let scores = opengameeval::scored(row["response"].as_str().unwrap(), row["tool_call_code"].as_str());
        let scores = serde_json::to_value(scores).unwrap();
        for key in ["code", "score", "passed"] {
            assert_eq!(scores[key], row[key], "{key} of {row}");
        }
        let task = suite.task(row["scenario"].as_str().unwrap()).unwrap();
        assert_eq!(Value::Array(task.messages.clone()), row["prompts"], "{row}");
        let difficulty = match row["difficulty"].as_str() {
            Some("easy") => Some(2),
            Some("medium") => Some(3),
            Some("hard") => Some(4),
            _ => None,
        };
        assert_eq!(task.difficulty, difficulty);
        assert_eq!(task.roblox.as_ref().unwrap().place, row["place"].as_str().unwrap());
    }
}

fn evals() -> Option<BTreeMap<String, String>> {
    let root = shared("data/opengameeval")?;
    let mut files = BTreeMap::new();
    for folder in ["Evals", "DebugEvals"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            files.insert(format!("{folder}/{name}"), fs::read_to_string(&path).unwrap());
        }
    }
    Some(files)
}

#[test]
fn all_evals_of_opengameeval_are_read() {
    let Some(evals) = evals() else { return };
    let suite = suite::opengameeval("oge", &evals).unwrap_or_else(|e| panic!("{e}"));
    let of = |category: &str| suite.tasks.iter().filter(|task| task.category == category).count();
    assert_eq!((of("eval"), of("debug")), (47, 30));
    assert_eq!(Suite::parse(&suite.files()).unwrap(), suite);
}

/// pipeline.md, E2: an echo of system prompt and question scores 80.8 where the trained model has 82.9.
#[test]
fn an_echo_scores_in_the_pipelines_benchmark_what_was_measured_of_it() {
    let Some(suite) = benchmark() else { return };
    let score = |kind: Nonsense| {
        let scores = suite.tasks.iter().map(|task| {
            let prompt = Prompt::of(&suite, task, ToolsIn::Request);
            expected(task).score(&kind.answer(&prompt).text).unwrap().overall
        });
        benchmark_v2::mean(&scores.collect::<Vec<_>>())
    };
    assert_eq!(score(Nonsense::Empty), 0.0);
    assert_eq!(score(Nonsense::Echo), 80.8);
    assert!(score(Nonsense::EchoWithConventions) > 85.0);
}

/// pipeline.md, E1: of the benchmark's 30 questions rejection_sampled has 24, word by word, and teacher_distillation 13.
#[test]
fn training_data_has_the_benchmarks_questions_as_was_measured() {
    let (Some(suite), Some(raw)) = (benchmark(), shared("data/vertigo/raw")) else { return };
    let index = Index::of(&suite);
    let exact = |file: &str| {
        let mut contamination = Contamination::default();
        for (n, row) in rows(&raw.join(file)).iter().enumerate() {
            index.look(file, n as u32 + 1, &texts(row), &mut contamination);
        }
        let found = contamination.found.values();
        found.filter(|found| found.likeness == Likeness::Exact && found.part == Part::Question).count()
    };
    assert_eq!(exact("rejection_sampled.jsonl"), 24);
    assert_eq!(exact("teacher_distillation.jsonl"), 13);
    assert_eq!(exact("luau_tests.jsonl"), 0);
}
