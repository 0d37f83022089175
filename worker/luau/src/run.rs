//! A program with its test, the limits it runs within, and the verdict on it: plain data, the same on both sides of the room's
//! wall.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Modules of one program.
pub const MODULES_MAX: usize = 64;

/// Bytes of all sources of a program and of its test together.
pub const PROGRAM_BYTES_MAX: usize = 4 << 20;

/// Bytes of a module's path.
pub const PATH_BYTES_MAX: usize = 512;

/// Cases that one test may report.
pub const CASES_MAX: usize = 1_000;

/// Bytes of a case's name, of its message and of an outcome's.
pub const TEXT_BYTES_MAX: usize = 4 << 10;

/// What an answer made, with the test that it is put to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The answer's files.
    pub modules: Vec<Module>,
    /// A file in the form of the world's tests.
    pub test: String,
    /// What chance inside the world begins with: the same seed, the same run.
    pub seed: u64,
}

/// One of an answer's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Where it stands in the world: `ReplicatedStorage/Shared/Score`; `answer` for an answer of one file.
    pub path: String,
    /// Who runs it.
    pub kind: Kind,
    /// Its Luau.
    pub source: String,
}

/// Who runs a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Whoever requires it.
    Module,
    /// The server, at its start.
    Server,
    /// Every client, at its start.
    Client,
}

impl Kind {
    /// The name that the world's Luau knows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Module => "Module",
            Self::Server => "Server",
            Self::Client => "Client",
        }
    }
}

/// What a program may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the virtual machine's heap, the world's own among them.
    pub memory_bytes: u64,
    /// Calls and turns of loops, the world's own among them. The same on every machine, and so what a test should run into first.
    pub steps: u64,
    /// Time on the machine's clock, from the program's arrival to its verdict.
    pub wall: Duration,
    /// Bytes that are kept of what it prints.
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 256 << 20, steps: 20_000_000, wall: Duration::from_secs(10), output_bytes: 64 << 10 }
    }
}

/// What came of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// In a word.
    pub outcome: Outcome,
    /// The test's cases up to its end, in their order.
    pub cases: Vec<Case>,
    /// What was printed, line by line.
    pub output: String,
    /// More was printed than [`Limits::output_bytes`] keeps.
    pub is_output_cut: bool,
}

impl Verdict {
    /// A verdict without cases and output.
    #[must_use]
    pub fn bare(outcome: Outcome) -> Self {
        Self { outcome, cases: Vec::new(), output: String::new(), is_output_cut: false }
    }
}

/// What came of a program, in a word. Only [`Outcome::Passed`] speaks for the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The test ended, reported at least one case, and all of them hold.
    Passed,
    /// The test ended, and a case does not hold.
    Failed,
    /// A file does not compile.
    Broken {
        /// The module's path, or `test`.
        path: String,
        /// The compiler's words.
        problem: crate::compile::Problem,
    },
    /// An error outside of every case, in the error's words.
    Error(String),
    /// Whatever does not hold does not for want of a part of Roblox that the room does not have, which is named. Only the world
    /// says so; no text of a program's is taken for it.
    Unsupported(String),
    /// It took longer than [`Limits::wall`].
    OutOfTime,
    /// It took more than [`Limits::steps`].
    OutOfSteps,
    /// It wanted more than [`Limits::memory_bytes`].
    OutOfMemory,
    /// Its process ended, or did not say a verdict.
    Crashed,
}

/// One case of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// As the test calls it.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// Why it does not.
    pub message: Option<String>,
    /// The part of Roblox for want of which it does not: the room's fault, and not the program's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
}

/// What is wrong with a program or limits, before anything runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More files than [`MODULES_MAX`].
    #[error("the program has {0} modules, and at most {MODULES_MAX} are run")]
    Modules(usize),
    /// More source than [`PROGRAM_BYTES_MAX`].
    #[error("the program and its test have {0} bytes, and at most {PROGRAM_BYTES_MAX} are run")]
    Bytes(usize),
    /// A path that names nothing in a tree.
    #[error("`{0}` is no module's path: write names and `/` between them, as in `ReplicatedStorage/Shared/Score`")]
    Path(String),
    /// Two files at one place.
    #[error("two modules have the path `{0}`")]
    Twice(String),
}

impl Program {
    /// Whether the room takes it at all.
    ///
    /// # Errors
    ///
    /// The first bound that it breaks.
    pub fn accept(&self) -> Result<(), Refused> {
        if self.modules.len() > MODULES_MAX {
            return Err(Refused::Modules(self.modules.len()));
        }
        let bytes = self.modules.iter().map(|module| module.source.len() + module.path.len()).sum::<usize>();
        let bytes = bytes + self.test.len();
        if bytes > PROGRAM_BYTES_MAX {
            return Err(Refused::Bytes(bytes));
        }
        for (n, module) in self.modules.iter().enumerate() {
            let is_name =
                |name: &str| !name.is_empty() && name != "." && name != ".." && !name.contains(char::is_control);
            if module.path.len() > PATH_BYTES_MAX || !module.path.split('/').all(is_name) {
                return Err(Refused::Path(crate::compile::cut(&module.path, PATH_BYTES_MAX).to_owned()));
            }
            if self.modules[..n].iter().any(|other| other.path == module.path) {
                return Err(Refused::Twice(module.path.clone()));
            }
        }
        Ok(())
    }
}

/// The outcome of a test that came to its end.
#[must_use]
pub fn judge(cases: &[Case]) -> Outcome {
    if cases.is_empty() {
        return Outcome::Error("the test reported no case".to_owned());
    }
    // A case that fails for want of memory is the limit's verdict, not the test's.
    let wants_memory = |case: &Case| case.message.as_deref().is_some_and(|text| text.ends_with(NOT_ENOUGH_MEMORY));
    let failed = || cases.iter().filter(|case| !case.passed);
    // One case that fails by itself is enough: what the room lacks excuses no other.
    match failed().find(|case| case.lacks.is_none()) {
        Some(case) if wants_memory(case) => Outcome::OutOfMemory,
        Some(_) => Outcome::Failed,
        None => match failed().find_map(|case| case.lacks.clone()) {
            Some(lacks) => Outcome::Unsupported(lacks),
            None => Outcome::Passed,
        },
    }
}

/// How the virtual machine says that its heap is full. A program may say so itself; it fails either way.
pub(crate) const NOT_ENOUGH_MEMORY: &str = "not enough memory";

#[cfg(test)]
mod tests {
    use super::*;

    fn program(paths: &[&str]) -> Program {
        let module = |path: &&str| Module { path: (*path).to_owned(), kind: Kind::Module, source: String::new() };
        Program { modules: paths.iter().map(module).collect(), test: String::new(), seed: 0 }
    }

    fn case(passed: bool, message: Option<&str>) -> Case {
        Case { name: "it".to_owned(), passed, message: message.map(str::to_owned), lacks: None }
    }

    #[test]
    fn what_the_room_lacks_excuses_only_what_fails_for_want_of_it() {
        let lacking =
            |passed| Case { lacks: Some("Humanoid:MoveTo".to_owned()), ..case(passed, Some("unsupported: x")) };
        let unsupported = Outcome::Unsupported("Humanoid:MoveTo".to_owned());
        assert_eq!(judge(&[case(true, None), lacking(false)]), unsupported);
        assert_eq!(judge(&[lacking(false), case(false, Some("2 is not 3"))]), Outcome::Failed);
        assert_eq!(judge(&[lacking(false), case(false, Some("test:3: not enough memory"))]), Outcome::OutOfMemory);
        // A text alone says nothing.
        assert_eq!(judge(&[case(false, Some("unsupported: the room has no Humanoid:MoveTo"))]), Outcome::Failed);
        assert_eq!(judge(&[case(true, None), lacking(true)]), Outcome::Passed);
    }

    #[test]
    fn a_program_has_bounds_and_its_paths_name_places() {
        assert_eq!(program(&["answer", "A/B c/D.x"]).accept(), Ok(()));
        for path in ["", "/", "A/", "A//B", "A/../B", ".", "A\n", &"x".repeat(PATH_BYTES_MAX + 1)] {
            assert!(matches!(program(&[path]).accept(), Err(Refused::Path(_))), "{path:?}");
        }
        assert_eq!(program(&["A", "B", "A"]).accept(), Err(Refused::Twice("A".to_owned())));
        assert_eq!(program(&["A"; MODULES_MAX + 1]).accept(), Err(Refused::Modules(MODULES_MAX + 1)));
        let long = Program { test: " ".repeat(PROGRAM_BYTES_MAX + 1), ..program(&[]) };
        assert_eq!(long.accept(), Err(Refused::Bytes(PROGRAM_BYTES_MAX + 1)));
    }

    #[test]
    fn a_test_that_reports_nothing_is_no_success() {
        assert!(matches!(judge(&[]), Outcome::Error(_)));
        assert_eq!(judge(&[case(true, None)]), Outcome::Passed);
        assert_eq!(judge(&[case(true, None), case(false, Some("2 is not 3"))]), Outcome::Failed);
        assert_eq!(judge(&[case(false, Some("test:3: not enough memory"))]), Outcome::OutOfMemory);
        assert_eq!(judge(&[case(true, Some("not enough memory"))]), Outcome::Passed);
    }
}
