//! Vertigo Benchmark v2, kept exactly as the pipeline scored it: a pattern match, which an echo of the prompt passes.
//!
//! Source of the formulas: `scoring.py` of adpena/vertigo-lora at dfca4f5. Four dimensions, each from 0 to 1 or absent; their
//! mean by weight over those that are there, times a penalty for answers that are hardly one.
//!
//! Promise: every field equals Python's, to the last bit of its three decimals.

use crate::python;
use crate::python::{Case, Pattern, PatternError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::LazyLock;

/// What reports call this scorer: what it is.
pub const METHOD: &str = "pattern match (Vertigo Benchmark v2)";

/// A task as the benchmark has it.
#[derive(Debug)]
pub struct Expected {
    category: String,
    patterns: Vec<Pattern>,
    tools: Vec<String>,
}

/// What the benchmark says of an answer. The order of the fields and their names are the pipeline's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The share of the expected patterns that are in the answer, whatever their case.
    pub correctness: f64,
    /// The share of Vertigo's conventions that the category asks for.
    pub convention_score: Option<f64>,
    /// The share of the tools on offer whose names are in the answer.
    pub tool_selection: Option<f64>,
    /// Whether there seems to be code.
    pub code_presence: Option<f64>,
    /// 0 for no answer, 0.3 for less than 50 characters, else 1.
    pub failure_penalty: f64,
    /// The mean by weight, times the penalty.
    pub overall: f64,
    /// Which dimensions it has.
    pub applicable_dimensions: Vec<Cow<'static, str>>,
}

/// The dimensions with their weights, in the order in which they are summed.
const WEIGHTS: [(&str, f64); 4] =
    [("correctness", 0.4), ("convention", 0.2), ("tool_selection", 0.2), ("code_presence", 0.2)];

const STRICT: &str = "--!strict";
const NATIVE: &str = "@native";
const INIT: &str = ":Init()";
const START: &str = ":Start()";

/// Below these characters an answer is none, or hardly one.
const NONE_CHARS: usize = 10;
const HARDLY_CHARS: usize = 50;

/// All of the pipeline's signs of code but one, which [`has_end`] looks for: the engine then needs no step back.
static CODE: LazyLock<Result<Pattern, PatternError>> =
    LazyLock::new(|| Pattern::new(r"local\s+\w+\s*=|function\s+\w+|return\s+\w+|--!strict", Case::Told));

impl Expected {
    /// A task's category, patterns and the names of its tools.
    ///
    /// # Errors
    /// Where a pattern is none.
    pub fn new(category: &str, patterns: &[String], tools: Vec<String>) -> Result<Expected, PatternError> {
        let patterns = patterns.iter().map(|pattern| Pattern::new(pattern, Case::Ignored)).collect::<Result<_, _>>()?;
        Ok(Expected { category: category.to_owned(), patterns, tools })
    }

    /// Scores an answer's text.
    ///
    /// # Errors
    /// Where a pattern's search was given up; Python would go on searching.
    pub fn score(&self, response: &str) -> Result<Scores, PatternError> {
        let mut matched = 0;
        for pattern in &self.patterns {
            matched += usize::from(pattern.is_in(response)?);
        }
        let correctness = share(matched, self.patterns.len()).unwrap_or(1.0);
        let conventions = conventions(&self.category);
        let convention =
            share(conventions.iter().filter(|wanted| response.contains(**wanted)).count(), conventions.len());
        let named = self.tools.iter().filter(|tool| response.contains(tool.as_str())).count();
        let tool_selection = share(named, self.tools.len());
        let code_presence = match self.category.as_str() {
            "coding" | "bugfix" | "architecture" | "mcp_tool_calling" => Some(f64::from(has_code(response)?)),
            _ => None,
        };
        let penalty = failure_penalty(response);
        let dimensions = [Some(correctness), convention, tool_selection, code_presence];
        let (mut sum, mut weights, mut applicable) = (0.0, 0.0, Vec::with_capacity(WEIGHTS.len()));
        for ((name, weight), score) in WEIGHTS.into_iter().zip(dimensions) {
            if let Some(score) = score {
                sum += score * weight;
                weights += weight;
                applicable.push(Cow::Borrowed(name));
            }
        }
        let round = |score: f64| python::round(score, 3);
        Ok(Scores {
            correctness: round(correctness),
            convention_score: convention.map(round),
            tool_selection: tool_selection.map(round),
            code_presence: code_presence.map(round),
            failure_penalty: penalty,
            overall: round(sum / weights * penalty),
            applicable_dimensions: applicable,
        })
    }
}

/// A category's figure, or that of the whole: the mean of overall scores in per cent, with one decimal. Where the mean lies right
/// between two decimals Python's own figure depends on the order of its sum and, since 3.12, on its version; ours is that of the
/// order given.
pub fn mean(overall: &[f64]) -> f64 {
    // No task, no score.
    if overall.is_empty() { 0.0 } else { python::round(overall.iter().sum::<f64>() / overall.len() as f64 * 100.0, 1) }
}

fn share(of: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| of as f64 / all as f64)
}

/// The pipeline's patterns for conventions have no part that varies, so they are looked for as they are.
fn conventions(category: &str) -> &'static [&'static str] {
    match category {
        "coding" => &[STRICT, NATIVE, INIT, START],
        "bugfix" => &[STRICT],
        "architecture" => &[STRICT, INIT, START],
        _ => &[],
    }
}

fn has_code(response: &str) -> Result<bool, PatternError> {
    if response.contains("```") || has_end(response) {
        return Ok(true);
    }
    CODE.as_ref().map_err(PatternError::clone)?.is_in(response)
}

/// `\bend\b.*\n`: the word, with a line's end anywhere after it.
fn has_end(response: &str) -> bool {
    let Some(last) = response.rfind('\n') else { return false };
    response[..last].match_indices("end").any(|(at, word)| {
        let before = response[..at].chars().next_back();
        let after = response[at + word.len()..].chars().next();
        !before.is_some_and(python::is_word) && !after.is_some_and(python::is_word)
    })
}

fn failure_penalty(response: &str) -> f64 {
    let stripped = python::strip(response);
    let chars = stripped.chars().take(HARDLY_CHARS).count();
    if chars < NONE_CHARS || stripped.starts_with("[TIMEOUT]") || stripped.starts_with("[ERROR") {
        0.0
    } else if chars < HARDLY_CHARS {
        0.3
    } else {
        1.0
    }
}
