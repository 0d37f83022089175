//! `vertigo luau`: Luau compiled, checked and run by hand, as evaluations do it.

use crate::bounded;
use crate::cli::{LuauCommand, LuauFileArgs, LuauRunArgs};
use crate::error::{CliError, Exit, Result};
use crate::render::output::{Output, bold};
use crate::render::safe;
use crate::room;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use vertigo_luau::compile::SOURCE_BYTES_MAX;
use vertigo_luau::run::{Kind, Module, Outcome, Program, Verdict};
use vertigo_luau::{blocks, compile};

/// What is run of a file without a test: that it can be required. A case that asserts nothing would fail.
const BARE_TEST: &str = "test(\"is required\", function() require(\"answer\") assert(true) end)";

pub(crate) fn run(command: &LuauCommand, output: Output) -> Result<()> {
    match command {
        LuauCommand::Check(args) => check(args, output),
        LuauCommand::Run(args) => run_file(args, output),
    }
}

fn read(path: &Path) -> Result<String> {
    bounded::read(path, SOURCE_BYTES_MAX as u64)
        .map_err(|error| CliError::new(Exit::Usage, format!("cannot read {}: {error}", path.display())))
}

fn is_luau(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "luau" || extension == "lua")
}

/// The sources of a file, each with the line of the file before its first: all of one that is Luau by its name, else an answer's blocks.
fn sources(path: &Path, text: String) -> Vec<(usize, String)> {
    if is_luau(path) {
        return vec![(0, text)];
    }
    blocks::of(&text).into_iter().map(|block| (block.line.saturating_sub(1), block.source)).collect()
}

fn check(args: &LuauFileArgs, output: Output) -> Result<()> {
    let sources = sources(&args.file, read(&args.file)?);
    if sources.is_empty() {
        return Err(CliError::refused(format!("{} has no Luau in it", args.file.display()))
            .hint("name a .luau file, or an answer with blocks between fences"));
    }
    let sandbox = room::open()?;
    let (mut broken, mut said, mut found) = (0, String::new(), Vec::new());
    for (before, source) in &sources {
        if compile::check(source).is_err() {
            broken += 1;
        }
        for finding in sandbox.analysis(source).findings {
            let kind = finding.code.clone().unwrap_or_else(|| format!("{:?}", finding.kind));
            let (line, message) = (before + finding.line, safe::text(&finding.message));
            // A string takes all that is written.
            let _ = writeln!(said, "{}:{line}:{}: {kind}: {message}", args.file.display(), finding.column);
            found.push(json!({"line": line, "column": finding.column, "kind": finding.kind, "code": finding.code, "message": finding.message}));
        }
    }
    let document = || json!({"file": args.file, "blocks": sources.len(), "broken": broken, "findings": found});
    let clean = format!("{}: nothing found\n", args.file.display());
    output.show(document, || if said.is_empty() { clean } else { said });
    match broken {
        0 => Ok(()),
        count => Err(CliError::refused(format!("{count} of {} blocks do not compile", sources.len()))),
    }
}

fn run_file(args: &LuauRunArgs, output: Output) -> Result<()> {
    let source = read(&args.file)?;
    let test = args.test.as_deref().map_or_else(|| Ok(BARE_TEST.to_owned()), read)?;
    let module = Module { path: "answer".to_owned(), kind: Kind::Module, source };
    let program = Program { modules: vec![module], test, seed: args.seed };
    let verdict = room::open()?.room().run(&program).map_err(CliError::refused)?;
    output.show(|| document(&verdict), || render(&verdict));
    if verdict.outcome == Outcome::Passed { Ok(()) } else { Err(CliError::refused(outcome(&verdict.outcome))) }
}

fn document(verdict: &Verdict) -> Value {
    serde_json::to_value(verdict).unwrap_or_default()
}

fn render(verdict: &Verdict) -> String {
    let mut text = safe::text(&verdict.output).into_owned();
    for case in &verdict.cases {
        let mark = if case.passed { "ok" } else { "failed" };
        let _ = writeln!(text, "{} {}", bold(mark), safe::text(&case.name));
        if let Some(message) = case.message.as_deref().filter(|_| !case.passed) {
            let _ = writeln!(text, "  {}", safe::text(message));
        }
    }
    text
}

/// What came of it, in words.
fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed => "it passes".to_owned(),
        Outcome::Failed => "a case does not hold".to_owned(),
        Outcome::Broken { path, problem } => format!("{path}:{}: {}", problem.line, problem.message),
        Outcome::Error(said) => format!("an error outside of every case: {said}"),
        Outcome::Unsupported(lacks) => {
            format!("it asks for what the room has not, {lacks}: nobody can say whether it is right")
        }
        Outcome::OutOfTime => "it took too long".to_owned(),
        Outcome::OutOfSteps => "it took too many steps".to_owned(),
        Outcome::OutOfMemory => "it wanted too much memory".to_owned(),
        Outcome::Crashed => "its process ended".to_owned(),
    }
}
