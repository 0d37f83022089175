//! What a real Roblox says of answers: Open Cloud's evaluation service, or a Studio on a worker.
//!
//! Its verdicts are of another kind than the room's. They depend on a service that changes and on physics that never repeat, and nobody
//! can have them again for the asking, so they stand in a section of their own and in no score.

use crate::answer::{Answer, Ending, assigned};
use crate::room::Block;
use crate::suite::Task;
use serde::{Deserialize, Serialize};

/// A text of a verdict is kept up to this, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 << 10;

/// The tool whose call has the program, where a task names none: OpenGameEval's own.
const TOOL: &str = "execute_luau";

/// That tool's argument.
const ARGUMENT: &str = "code";

/// Which real Roblox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Roblox {
    /// Open Cloud's evaluation service.
    Cloud,
    /// A Studio on the worker's machine.
    Studio,
}

impl Roblox {
    /// What reports call it.
    pub fn title(self) -> &'static str {
        match self {
            Roblox::Cloud => "Open Cloud",
            Roblox::Studio => "Studio",
        }
    }
}

/// What a real Roblox says of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it comes to.
    pub outcome: Outcome,
    /// Why, where it is no pass.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What was checked, in each mode of the game.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
}

/// What a verdict comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All checks hold.
    Passed,
    /// A check does not hold, or the program broke before any did.
    Failed,
    /// The answer has no program that could be sent. It counts as failed, and nothing was asked.
    NoProgram,
    /// Roblox did not get as far as saying anything of the answer, so this counts neither for the model nor against it.
    NoVerdict,
}

/// What was checked in one mode of the game.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Run {
    /// The mode, as Roblox calls it: `[EDIT]`.
    pub mode: String,
    /// Checks that hold.
    pub passes: u32,
    /// Checks that do not.
    pub fails: u32,
    /// All of them.
    pub checks: u32,
    /// What was warned of.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub warning: String,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What broke off which check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interruptions: Vec<Interruption>,
}

/// What broke off a check.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Interruption {
    /// Which of the checks.
    pub check: u32,
    /// What kind of interruption, as Roblox calls it.
    pub kind: String,
}

impl Verdict {
    /// Everything holds.
    pub fn passed(runs: Vec<Run>) -> Verdict {
        Verdict { outcome: Outcome::Passed, why: String::new(), runs }
    }

    /// It is no pass, and why.
    pub fn of(outcome: Outcome, why: impl Into<String>, runs: Vec<Run>) -> Verdict {
        Verdict { outcome, why: vertigo::bounds::shorten(&why.into(), TEXT_BYTES_MAX).into_owned(), runs }
    }

    /// Whether it says something of the model, and what.
    pub fn passes(&self) -> Option<bool> {
        match self.outcome {
            Outcome::Passed => Some(true),
            Outcome::Failed | Outcome::NoProgram => Some(false),
            Outcome::NoVerdict => None,
        }
    }
}

/// The program of an answer, as a single script: the code of the last call of the task's tool, else the longest block, which is what the
/// room runs as well. `blocks` finds those in a text.
///
/// # Errors
/// Says why there is none.
pub fn program(task: &Task, answer: &Answer, blocks: impl Fn(&str) -> Vec<Block>) -> Result<String, String> {
    match answer.ending {
        Ending::Answered => {}
        Ending::Cut => return Err("the answer was cut at its bound".to_owned()),
        Ending::TimedOut => return Err("there was no answer in time".to_owned()),
        Ending::ApiError => return Err("the API answered with an error".to_owned()),
    }
    let from = task.answer_from.as_ref();
    let (tool, argument) = from.map_or((TOOL, ARGUMENT), |from| (from.tool.as_str(), from.argument.as_str()));
    let called = answer.tool_calls.iter().rev().find(|call| call.name == tool);
    if let Some(code) = called.and_then(|call| call.arguments[argument].as_str()).filter(|code| !code.trim().is_empty())
    {
        return Ok(code.to_owned());
    }
    let longest = assigned(&[], blocks(&answer.text)).ok().and_then(|modules| modules.into_iter().next());
    longest.map(|module| module.source).ok_or_else(|| "the answer has no code".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Call;
    use crate::suite::opengameeval;
    use serde_json::json;
    use std::collections::BTreeMap;

    /// What stands between fences.
    fn fenced(text: &str) -> Vec<Block> {
        let inside = text.split("```").skip(1).step_by(2);
        let block = |source: &str| Block { name: None, fence: None, source: source.to_owned(), is_closed: true };
        inside.map(block).collect()
    }

    fn task() -> Task {
        let source = "local eval = {scenario_name = \"a\", prompt = {\"Do it\"}, place = \"b.rbxl\"}\nreturn eval\n";
        let files = BTreeMap::from([("DebugEvals/a.lua".to_owned(), source.to_owned())]);
        opengameeval("o", &files).unwrap().tasks[0].clone()
    }

    #[test]
    fn the_program_is_the_last_calls_code_and_else_the_longest_block() {
        let call = |code: &str| Call { name: TOOL.to_owned(), arguments: json!({"code": code}) };
        let other = Call { name: "screen_capture".to_owned(), arguments: json!({}) };
        let of =
            |text: &str, calls: Vec<Call>| program(&task(), &Answer::of(Ending::Answered, text, None, calls), fenced);
        assert_eq!(of("```longest of all```", vec![call("a()"), call("b()"), other]).unwrap(), "b()");
        assert_eq!(of("```a()``` and ```bb()```", vec![]).unwrap(), "bb()");
        assert_eq!(of("```a()```", vec![call("  ")]).unwrap(), "a()");
        assert_eq!(of("nothing", vec![]).unwrap_err(), "the answer has no code");
        let cut = Answer::of(Ending::Cut, "```a()```", None, vec![]);
        assert!(program(&task(), &cut, fenced).unwrap_err().contains("cut"));
    }

    #[test]
    fn what_roblox_did_not_get_to_counts_neither_way() {
        let of = |outcome| Verdict::of(outcome, "x".repeat(TEXT_BYTES_MAX * 2), Vec::new());
        assert_eq!(of(Outcome::NoVerdict).passes(), None);
        assert_eq!(of(Outcome::NoProgram).passes(), Some(false));
        assert!(of(Outcome::Failed).why.len() <= TEXT_BYTES_MAX);
        assert_eq!(serde_json::to_value(Verdict::passed(vec![])).unwrap(), json!({"outcome": "passed"}));
    }
}
