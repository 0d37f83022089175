//! Answers judged while others are made, on threads of their own.

use super::super::codes;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use vertigo::task::{Cure, Failure};
use vertigo_evaluation::nonsense::Nonsense;
use vertigo_evaluation::prompt::{Prompt, ToolsIn};
use vertigo_evaluation::report::{AnswerLine, Line, NonsenseLine, VerdictsLine};
use vertigo_evaluation::score::Judge;
use vertigo_evaluation::suite::Suite;
use vertigo_luau::sandbox::Sandbox;

/// What looked at the code, as reports say it.
pub(super) const ROOM: &str = vertigo_luau::sandbox::VERSION;

/// Programs that run at the same time. The model has the other cores.
const AT_ONCE: usize = 2;

/// What stands for a seed in the judgement of answers that nobody drew.
const NO_SEED: u64 = 0;

/// Threads that judge.
pub(super) struct Judging {
    work: Sender<Work>,
    threads: Vec<JoinHandle<Vec<Line>>>,
}

/// What is judged.
enum Work {
    Answer(Box<AnswerLine>),
    /// All kinds of nonsense, for a task by its place in the suite.
    Nonsense(usize),
}

impl Judging {
    /// Opens the room, and begins with what nonsense scores.
    ///
    /// # Errors
    /// The room's processes do not start on this machine.
    pub(super) fn start(suite: &Suite) -> Result<Judging, Failure> {
        let here = |problem: String| Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, problem);
        let mut command = Command::new(std::env::current_exe().map_err(|error| here(error.to_string()))?);
        command.arg(vertigo_luau::child::COMMAND);
        let sandbox = Arc::new(Sandbox::open(command, AT_ONCE).map_err(|error| here(error.to_string()))?);
        let (work, given) = channel();
        let (given, suite) = (Arc::new(Mutex::new(given)), Arc::new(suite.clone()));
        // The threads live for as long as this does, so that they hear of it.
        (0..suite.tasks.len()).for_each(|task| drop(work.send(Work::Nonsense(task))));
        let thread = |_| {
            let (sandbox, suite, given) = (sandbox.clone(), suite.clone(), given.clone());
            std::thread::spawn(move || judge_all(&sandbox, &suite, &given))
        };
        Ok(Judging { work, threads: (0..AT_ONCE).map(thread).collect() })
    }

    /// Has an answer judged.
    pub(super) fn look_at(&self, line: AnswerLine) {
        // Threads that have panicked are found out about at the end.
        let _ = self.work.send(Work::Answer(Box::new(line)));
    }

    /// Waits for all verdicts, and gives them.
    ///
    /// # Errors
    /// A judge panicked.
    pub(super) fn end(self) -> Result<Vec<Line>, Failure> {
        let Judging { work, threads } = self;
        drop(work);
        let panicked = |_| Failure::new(Cure::FreshProcess, codes::CRASHED, "a thread that judges answers panicked");
        let lines = threads.into_iter().map(|thread| thread.join().map_err(panicked)).collect::<Result<Vec<_>, _>>()?;
        Ok(lines.into_iter().flatten().collect())
    }
}

fn judge_all(sandbox: &Sandbox, suite: &Suite, given: &Mutex<Receiver<Work>>) -> Vec<Line> {
    let next = || given.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
    let mut lines = Vec::new();
    while let Some(work) = next() {
        match work {
            Work::Answer(line) => lines.extend(of_answer(sandbox, suite, &line)),
            Work::Nonsense(task) => lines.extend(of_nonsense(sandbox, suite, task)),
        }
    }
    lines
}

fn of_answer(sandbox: &Sandbox, suite: &Suite, line: &AnswerLine) -> Option<Line> {
    let task = suite.task(&line.task)?;
    let verdicts = Judge::of(task).verdicts(&line.answer, sandbox, line.seed);
    let (task, sample, answer) = (line.task.clone(), line.sample, line.digest());
    Some(Line::Verdicts(VerdictsLine { task, sample, answer, verdicts }))
}

fn of_nonsense(sandbox: &Sandbox, suite: &Suite, task: usize) -> Vec<Line> {
    let task = &suite.tasks[task];
    let (judge, prompt) = (Judge::of(task), Prompt::of(suite, task, ToolsIn::Request));
    let line = |kind: Nonsense| {
        let verdicts = judge.verdicts(&kind.answer(&prompt), sandbox, NO_SEED);
        Line::Nonsense(NonsenseLine { kind, task: task.id.clone(), verdicts })
    };
    Nonsense::ALL.into_iter().map(line).collect()
}
