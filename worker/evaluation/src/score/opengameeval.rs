//! The pipeline's dry run of OpenGameEval, kept exactly: it looks for a block of code and two words in it, and runs nothing.
//!
//! Source: `run_opengameeval.py` of adpena/vertigo-lora at dfca4f5. The score ranks how models fence their code; it is no verdict
//! of OpenGameEval's. Promise: code, score and pass equal Python's.

use crate::answer::Call;
use crate::python;
use serde::{Deserialize, Serialize};

/// What reports call this scorer: what it is.
pub const METHOD: &str = "pattern match (OpenGameEval dry run)";

/// The one tool that the dry run offers.
pub const TOOL: &str = "execute_luau";

/// From this score on the dry run calls a task passed.
const PASS_MIN: f64 = 0.7;

/// Two of these in the code, whatever their case, are a game's code to the dry run.
const SIGNS: [&str; 5] = ["game:getservice", "workspace", "instance.new", "findfirstchild", "script"];
const SIGNS_MIN: usize = 2;

/// What the dry run says of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The code that it found.
    pub code: Option<String>,
    /// 0 without code, else 0.4, and 0.3 each for a structured call and for two signs of a game.
    pub score: f64,
    /// Whether that is 0.7 or more.
    pub passed: bool,
}

/// Scores an answer by its text and its structured calls.
pub fn score(response: &str, calls: &[Call]) -> Scores {
    let called = calls.iter().rev().find(|call| call.name == TOOL).and_then(|call| call.arguments["code"].as_str());
    scored(response, called)
}

/// Scores an answer's text, where `called` is the code of its last structured call.
pub fn scored(response: &str, called: Option<&str>) -> Scores {
    let called = called.filter(|code| !code.is_empty());
    let code = called.map(str::to_owned).or_else(|| block(response).map(|code| python::strip(code).to_owned()));
    let mut score = 0.0;
    if let Some(code) = code.as_deref().filter(|code| !code.is_empty()) {
        let small = code.to_lowercase();
        score += 0.4;
        if called.is_some() {
            score += 0.3;
        }
        if SIGNS.iter().filter(|sign| small.contains(**sign)).count() >= SIGNS_MIN {
            score += 0.3;
        }
    }
    Scores { code, score, passed: score >= PASS_MIN }
}

/// The first block that is fenced as Luau, else the first that is fenced as nothing: from a fence with a line's end to the next
/// fence, whatever that one opens or closes.
fn block(response: &str) -> Option<&str> {
    let after = |fences: &[&str]| {
        // At every backtick: a fence may be the end of four.
        response.match_indices('`').find_map(|(at, _)| {
            let rest = response[at..].strip_prefix("```")?;
            let code = fences.iter().find_map(|fence| rest.strip_prefix(*fence)?.strip_prefix('\n'))?;
            code.find("```").map(|end| &code[..end])
        })
    };
    after(&["lua", "luau"]).or_else(|| after(&[""]))
}
