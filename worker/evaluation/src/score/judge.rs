//! Every check of a task, asked about an answer.

use super::verdict::{Standing, Verdict};
use super::{benchmark_v2, calls, opengameeval};
use crate::answer::{Answer, Call, Ending, ONLY, assigned};
use crate::python::{Case, Pattern, PatternError};
use crate::room::{Block, Finding, FindingKind, Module, ModuleKind, Program, Room, Run, RunOutcome};
use crate::suite::{Check, Task, What};
use serde_json::{Value, json};

/// A task whose patterns are ready to search, for as many answers as come.
#[derive(Debug)]
pub struct Judge<'t> {
    task: &'t Task,
    checks: Vec<(&'t Check, Ready)>,
}

/// What of a check is made ready once.
#[derive(Debug)]
enum Ready {
    Nothing,
    Patterns(Result<Vec<Pattern>, PatternError>),
    BenchmarkV2(Result<benchmark_v2::Expected, PatternError>),
}

impl<'t> Judge<'t> {
    /// Makes a task's checks ready. A pattern that is none, which no suite that was read has, breaks its check and no other.
    pub fn of(task: &'t Task) -> Judge<'t> {
        let ready = |check: &'t Check| match &check.what {
            What::Patterns { all } => {
                Ready::Patterns(all.iter().map(|pattern| Pattern::new(pattern, Case::Told)).collect())
            }
            What::BenchmarkV2 { patterns } => {
                Ready::BenchmarkV2(benchmark_v2::Expected::new(&task.category, patterns, task.tool_names()))
            }
            _ => Ready::Nothing,
        };
        Judge { task, checks: task.checks.iter().map(|check| (check, ready(check))).collect() }
    }

    /// The verdicts on an answer, in the order of the task's checks. `seed` is what the program's random numbers come from.
    pub fn verdicts(&self, answer: &Answer, room: &impl Room, seed: u64) -> Vec<Verdict> {
        let seen = Seen { answer, room, seed, code: code(self.task, answer, room) };
        self.checks.iter().map(|(check, ready)| seen.verdict(check, ready)).collect()
    }
}

/// The code of an answer: its blocks, and what became of the scripts that the task wants.
struct Code {
    blocks: Vec<Block>,
    modules: Result<Vec<Module>, Vec<String>>,
}

fn code(task: &Task, answer: &Answer, room: &impl Room) -> Code {
    let Some(from) = &task.answer_from else {
        let blocks = room.blocks(&answer.text);
        return Code { modules: assigned(&task.modules, blocks.clone()), blocks };
    };
    // As OpenGameEval does: the last call's code is the program.
    let call = answer.tool_calls.iter().rev().find(|call| call.name == from.tool);
    let Some(source) = call.and_then(|call| call.arguments[from.argument.as_str()].as_str()).map(str::to_owned) else {
        return Code {
            blocks: Vec::new(),
            modules: Err(vec![format!("{} of a call of `{}`", from.argument, from.tool)]),
        };
    };
    let block = Block { name: None, fence: None, source: source.clone(), is_closed: true };
    Code { blocks: vec![block], modules: Ok(vec![Module { path: ONLY.to_owned(), kind: ModuleKind::Server, source }]) }
}

struct Seen<'s, R: Room> {
    answer: &'s Answer,
    room: &'s R,
    seed: u64,
    code: Code,
}

impl<R: Room> Seen<'_, R> {
    fn verdict(&self, check: &Check, ready: &Ready) -> Verdict {
        let mut verdict = Verdict {
            check: check.what.name(),
            standing: Standing::Failed,
            score: 0.0,
            weight: check.weight,
            decides: check.decides,
            remarks: Vec::new(),
            findings: Vec::new(),
            run: None,
            kept: None,
        };
        match self.answer.ending {
            Ending::TimedOut => verdict.remarks.push("there was no answer in time".to_owned()),
            Ending::ApiError => verdict.remarks.push("the API answered with an error".to_owned()),
            // The pipeline's scorers know no cut answer and score it as it is.
            Ending::Cut if !check.what.is_kept() => verdict.remarks.push("the answer was cut at its bound".to_owned()),
            Ending::Cut | Ending::Answered => self.ask(&check.what, ready, &mut verdict),
        }
        verdict
    }

    fn ask(&self, what: &What, ready: &Ready, verdict: &mut Verdict) {
        match ready {
            Ready::Patterns(patterns) => return patterns_in(verdict, patterns, &self.answer.text),
            Ready::BenchmarkV2(expected) => return self.benchmark_v2(verdict, expected),
            Ready::Nothing => {}
        }
        match what {
            What::Compile => self.compile(verdict),
            What::Lint { deny } => self.analyze(verdict, FindingKind::Lint, |code| {
                deny.is_empty() || code.is_some_and(|code| deny.iter().any(|denied| denied == code))
            }),
            What::Types => self.analyze(verdict, FindingKind::Type, |_| true),
            What::ToolCalls(wanted) => match calls::lacks(wanted, &self.answer.tool_calls) {
                Ok(lacks) => {
                    share(verdict, usize::from(lacks.is_empty()), 1);
                    verdict.remarks = lacks;
                }
                Err(error) => broken(verdict, &error),
            },
            What::Run { test } => self.run(verdict, test),
            // These were made ready.
            What::Patterns { .. } | What::BenchmarkV2 { .. } => {}
            What::OpenGameEvalDryRun => {
                let scores = opengameeval::score(&self.answer.text, &self.answer.tool_calls);
                verdict.standing = if scores.passed { Standing::Passed } else { Standing::Failed };
                verdict.score = scores.score;
                verdict.kept = serde_json::to_value(scores).ok();
            }
        }
    }

    /// Every block of Luau compiles, and there is one.
    fn compile(&self, verdict: &mut Verdict) {
        let blocks: Vec<&Block> = self.code.blocks.iter().collect();
        let mut compiling = 0;
        for (n, block) in blocks.iter().enumerate() {
            match self.room.compile(&block.source) {
                Ok(()) => compiling += 1,
                Err(problem) => {
                    let name = block.name.clone().unwrap_or_else(|| format!("block {}", n + 1));
                    verdict.remarks.push(format!("{name}:{}: {}", problem.line, problem.message));
                }
            }
        }
        if blocks.is_empty() {
            verdict.remarks.push("there is no code in the answer".to_owned());
        }
        share(verdict, compiling, blocks.len());
    }

    fn analyze(&self, verdict: &mut Verdict, kind: FindingKind, counts: impl Fn(Option<&str>) -> bool) {
        let blocks = &self.code.blocks;
        let mut clean = 0;
        for (number, block) in (1..).zip(blocks) {
            match self.room.analyze(&block.source) {
                Ok(findings) => {
                    // Code that does not parse has no types to agree and nothing to lint.
                    let mut counted = findings.into_iter().filter(|finding| {
                        finding.kind == FindingKind::Syntax || finding.kind == kind && counts(finding.code.as_deref())
                    });
                    let before = verdict.findings.len();
                    verdict.findings.extend(counted.by_ref().map(|finding| Finding { block: number, ..finding }));
                    clean += usize::from(verdict.findings.len() == before);
                }
                Err(error) => return broken(verdict, &error),
            }
        }
        if blocks.is_empty() {
            verdict.remarks.push("there is no code in the answer".to_owned());
        }
        share(verdict, clean, blocks.len());
    }

    fn run(&self, verdict: &mut Verdict, test: &str) {
        let modules = match &self.code.modules {
            Ok(modules) => modules.clone(),
            Err(missing) => {
                verdict.remarks.push(format!("the answer has no code for {}", missing.join(", ")));
                return;
            }
        };
        match self.room.run(&Program { modules, test: test.to_owned(), seed: self.seed }) {
            Ok(run) => of_run(verdict, run),
            Err(error) => broken(verdict, &error),
        }
    }

    fn benchmark_v2(&self, verdict: &mut Verdict, expected: &Result<benchmark_v2::Expected, PatternError>) {
        let mut response = self.answer.text.clone();
        // The pipeline's runner appended the calls to the text as a line of JSON, as the API had them.
        if !self.answer.tool_calls.is_empty() {
            let call = |call: &Call| {
                let arguments = call.arguments.as_str().map_or_else(|| call.arguments.to_string(), str::to_owned);
                json!({"type": "function", "function": {"name": call.name, "arguments": arguments}})
            };
            let calls: Vec<Value> = self.answer.tool_calls.iter().map(call).collect();
            response.push('\n');
            response.push_str(&json!(calls).to_string());
        }
        match expected.as_ref().map_err(PatternError::clone).and_then(|expected| expected.score(&response)) {
            Ok(scores) => {
                verdict.standing = Standing::Scored;
                verdict.score = scores.overall;
                verdict.kept = serde_json::to_value(scores).ok();
            }
            Err(error) => broken(verdict, &error),
        }
    }
}

/// The share of the cases that passed; all of it only where the run says that it passed.
fn of_run(verdict: &mut Verdict, run: Run) {
    let passed = run.cases.iter().filter(|case| case.passed).count();
    match run.outcome {
        RunOutcome::Passed => share(verdict, passed, run.cases.len()),
        RunOutcome::Failed => {
            share(verdict, passed, run.cases.len());
            verdict.standing = Standing::Failed;
        }
        RunOutcome::Unsupported => verdict.standing = Standing::Unsupported,
        _ => {}
    }
    verdict.run = Some(run);
}

/// What share holds; the check passes where all of something does.
fn share(verdict: &mut Verdict, holding: usize, all: usize) {
    verdict.standing = if all > 0 && holding == all { Standing::Passed } else { Standing::Failed };
    verdict.score = if all > 0 { holding as f64 / all as f64 } else { 0.0 };
}

fn broken(verdict: &mut Verdict, error: &dyn std::error::Error) {
    verdict.standing = Standing::Broken;
    verdict.score = 0.0;
    verdict.remarks.push(error.to_string());
}

fn patterns_in(verdict: &mut Verdict, patterns: &Result<Vec<Pattern>, PatternError>, text: &str) {
    let patterns = match patterns {
        Ok(patterns) => patterns,
        Err(error) => return broken(verdict, error),
    };
    let mut found = 0;
    for pattern in patterns {
        match pattern.is_in(text) {
            Ok(true) => found += 1,
            Ok(false) => verdict.remarks.push(format!("`{}` is not in the answer", pattern.written())),
            Err(error) => return broken(verdict, &error),
        }
    }
    share(verdict, found, patterns.len());
}
