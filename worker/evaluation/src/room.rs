//! Where Luau that a model wrote is compiled, analysed and run, as scorers see it.
//!
//! A trait and plain data, so that scoring needs no Luau of its own: the crate `vertigo-luau` stands behind it in the worker, a
//! table in tests. Outcomes have the names that they have there.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A piece of code within an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The file's name that the answer gives it, if any.
    pub name: Option<String>,
    /// What its fence says it is: `luau`, `lua`, nothing.
    pub fence: Option<String>,
    /// The code.
    pub source: String,
    /// Whether its fence was closed: one that was not is the end of an answer that was cut.
    pub is_closed: bool,
}

/// What is wrong with code that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The line, from 1.
    pub line: u32,
    /// What the compiler says.
    pub message: String,
}

/// What kind of thing an analysis found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// It does not parse.
    Syntax,
    /// Its types do not agree.
    Type,
    /// It is allowed, and unlikely to be meant.
    Lint,
}

/// Something that an analysis found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which of the answer's blocks it is in, from 1; 0 where that is not known: the room sees one block at a time, and reports
    /// were made before this was kept.
    #[serde(default)]
    pub block: u32,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What kind it is.
    pub kind: FindingKind,
    /// A lint's name, such as `UnusedVariable`.
    pub code: Option<String>,
    /// What the analysis says.
    pub message: String,
}

/// Where a module's code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleKind {
    /// A ModuleScript: nothing runs until it is required.
    Module,
    /// A Script on the server.
    Server,
    /// A LocalScript of each client.
    Client,
}

/// A script of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Where it lies: `ReplicatedStorage/Shared/Score`, or `answer`.
    pub path: String,
    /// Where it runs.
    pub kind: ModuleKind,
    /// Its code.
    pub source: String,
}

/// An answer's scripts, and the test file that looks at them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The scripts.
    pub modules: Vec<Module>,
    /// The test file.
    pub test: String,
    /// What the program's random numbers are drawn from.
    pub seed: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every case passed, and there was one.
    Passed,
    /// A case did not pass.
    Failed,
    /// A script does not compile or load.
    Broken,
    /// An error outside of every case.
    Error,
    /// It ran for too long.
    OutOfTime,
    /// It took too many steps.
    OutOfSteps,
    /// It took too much memory.
    OutOfMemory,
    /// The room's process ended.
    Crashed,
    /// It asked for a part of Roblox that the room has not. No fault of the model.
    Unsupported,
}

/// A case of a test file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What it says it tests.
    pub name: String,
    /// Whether it held.
    pub passed: bool,
    /// What was expected and what was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The part of Roblox that the room has not and for want of which it did not hold: no fault of the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// How it ended.
    pub outcome: RunOutcome,
    /// The cases that ran.
    pub cases: Vec<Case>,
    /// What the program printed.
    pub output: String,
    /// Whether there was more of it than is kept.
    pub is_output_cut: bool,
}

/// The room itself failed: nothing is known of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the room for Luau failed: {0}")]
pub struct RoomError(pub String);

/// Where Luau is looked at and run.
pub trait Room {
    /// The blocks of code in an answer's text, in their order.
    fn blocks(&self, text: &str) -> Vec<Block>;

    /// Whether the code compiles.
    ///
    /// # Errors
    /// Says where it does not.
    fn compile(&self, source: &str) -> Result<(), Problem>;

    /// What an analysis finds in the code.
    ///
    /// # Errors
    /// Where the analysis itself failed.
    fn analyze(&self, source: &str) -> Result<Vec<Finding>, RoomError>;

    /// Runs a program's test file.
    ///
    /// # Errors
    /// Where the room itself failed; whatever the program does is an outcome.
    fn run(&self, program: &Program) -> Result<Run, RoomError>;
}
