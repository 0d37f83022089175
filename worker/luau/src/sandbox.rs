//! The room as scorers see it: everything that `vertigo-evaluation` asks of Luau, answered by this crate.

use crate::analysis::{self, Analyzer, Definitions, DefinitionsError};
use crate::room::{Room, RoomError};
use crate::run::{self, Limits, Outcome};
use crate::{blocks, compile};
use std::process::Command;
use vertigo_evaluation::room as asked;

/// What looks at code, as reports say it: another version may come to other verdicts.
pub const VERSION: &str = concat!("vertigo-luau ", env!("CARGO_PKG_VERSION"));

/// A room, and an analyser beside it.
#[derive(Debug)]
pub struct Sandbox {
    room: Room,
    analyzer: Analyzer,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The room does not open.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The definitions are none.
    #[error(transparent)]
    Definitions(#[from] DefinitionsError),
}

impl Sandbox {
    /// A room of `children` processes, each of which is `command`, with Roblox's classes as far as they are built in.
    ///
    /// # Errors
    ///
    /// As [`Room::open`].
    pub fn open(command: Command, children: usize) -> Result<Self, SandboxError> {
        let analyzer = Analyzer::new(&Definitions::Builtin)?;
        Ok(Self { room: Room::open(command, Limits::default(), children)?, analyzer })
    }

    /// The room alone.
    #[must_use]
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// What Luau says of a source.
    #[must_use]
    pub fn analysis(&self, source: &str) -> analysis::Analysis {
        self.analyzer.analyze(source)
    }
}

/// What of a text is code, as `evaluation` asks for it.
#[must_use]
pub fn blocks(text: &str) -> Vec<asked::Block> {
    let block = |block: blocks::Block| asked::Block {
        name: block.name,
        fence: block.fence,
        source: block.source,
        is_closed: block.is_closed,
    };
    blocks::of(text).into_iter().map(block).collect()
}

impl asked::Room for Sandbox {
    fn blocks(&self, text: &str) -> Vec<asked::Block> {
        self::blocks(text)
    }

    fn compile(&self, source: &str) -> Result<(), asked::Problem> {
        compile::check(source)
            .map_err(|problem| asked::Problem { line: number(problem.line), message: problem.message })
    }

    fn analyze(&self, source: &str) -> Result<Vec<asked::Finding>, asked::RoomError> {
        let analysis = self.analysis(source);
        if !analysis.is_known {
            return Err(asked::RoomError("the analysis of a block came to no end".to_owned()));
        }
        let finding = |finding: analysis::Finding| asked::Finding {
            block: 0,
            line: number(finding.line),
            column: number(finding.column),
            kind: match finding.kind {
                analysis::Kind::Syntax => asked::FindingKind::Syntax,
                analysis::Kind::Type => asked::FindingKind::Type,
                analysis::Kind::Lint => asked::FindingKind::Lint,
            },
            code: finding.code,
            message: finding.message,
        };
        Ok(analysis.findings.into_iter().map(finding).collect())
    }

    fn run(&self, program: &asked::Program) -> Result<asked::Run, asked::RoomError> {
        let module = |module: &asked::Module| run::Module {
            path: module.path.clone(),
            kind: match module.kind {
                asked::ModuleKind::Module => run::Kind::Module,
                asked::ModuleKind::Server => run::Kind::Server,
                asked::ModuleKind::Client => run::Kind::Client,
            },
            source: module.source.clone(),
        };
        let modules = program.modules.iter().map(module).collect();
        let program = run::Program { modules, test: program.test.clone(), seed: program.seed };
        match self.room.run(&program) {
            Ok(verdict) => Ok(of_verdict(verdict)),
            // A bound that the answer breaks is the answer's fault.
            Err(RoomError::Refused(refused)) => Ok(of_verdict(run::Verdict::bare(Outcome::Error(refused.to_string())))),
            Err(error) => Err(asked::RoomError(error.to_string())),
        }
    }
}

/// A verdict in evaluation's words. What stood in the outcome stands as a case without a name.
fn of_verdict(verdict: run::Verdict) -> asked::Run {
    let run::Verdict { outcome, cases, output, is_output_cut } = verdict;
    let mut cases: Vec<asked::Case> = cases
        .into_iter()
        .map(|case| asked::Case { name: case.name, passed: case.passed, message: case.message, lacks: case.lacks })
        .collect();
    let mut lacking = None;
    let (outcome, said) = match outcome {
        Outcome::Passed => (asked::RunOutcome::Passed, None),
        Outcome::Failed => (asked::RunOutcome::Failed, None),
        Outcome::Broken { path, problem } => {
            (asked::RunOutcome::Broken, Some(format!("{path}:{}: {}", problem.line, problem.message)))
        }
        Outcome::Error(said) => (asked::RunOutcome::Error, Some(said)),
        // Where no case says so the test file itself ended of it.
        Outcome::Unsupported(lacks) if cases.iter().all(|case| case.lacks.is_none()) => {
            let said = format!("unsupported: the room has no {lacks}");
            lacking = Some(lacks);
            (asked::RunOutcome::Unsupported, Some(said))
        }
        Outcome::Unsupported(_) => (asked::RunOutcome::Unsupported, None),
        Outcome::OutOfTime => (asked::RunOutcome::OutOfTime, None),
        Outcome::OutOfSteps => (asked::RunOutcome::OutOfSteps, None),
        Outcome::OutOfMemory => (asked::RunOutcome::OutOfMemory, None),
        Outcome::Crashed => (asked::RunOutcome::Crashed, None),
    };
    cases.extend(said.map(|said| asked::Case {
        name: "the program".to_owned(),
        passed: false,
        message: Some(said),
        lacks: lacking,
    }));
    asked::Run { outcome, cases, output, is_output_cut }
}

/// Lines and columns of sources of at most a MiB.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
