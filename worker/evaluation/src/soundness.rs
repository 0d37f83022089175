//! Whether a suite holds what it says of itself: every reference passes, every wrong answer fails, and nothing passes that says nothing.

use crate::answer::{Answer, Ending};
use crate::nonsense::Nonsense;
use crate::prompt::{Prompt, ToolsIn};
use crate::room::Room;
use crate::score::{Judge, Score, Standing, Verdict};
use crate::suite::{Reference, Suite, Task};
use serde::Serialize;

/// What stands for a seed where nobody drew an answer.
const NO_SEED: u64 = 0;

/// What is wrong with a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsound {
    /// The task.
    pub task: String,
    /// What is wrong, for its author.
    pub said: String,
}

/// What is wrong with one of a suite's tasks; nothing where it is sound. A task without a reference has only its wrong answers to fail.
pub fn of_task(suite: &Suite, task: &Task, room: &impl Room) -> Vec<Unsound> {
    let judge = Judge::of(task);
    let verdicts = |answer: &Answer| judge.verdicts(answer, room, NO_SEED);
    let mut wrong = Vec::new();
    if let Some(reference) = &task.reference {
        let verdicts = verdicts(&of(reference));
        if Score::of(&verdicts).passed != Some(true) {
            wrong.push(format!("its reference does not pass: {}", first_failure(&verdicts)));
        }
    }
    for (n, answer) in task.wrong.iter().enumerate() {
        if Score::of(&verdicts(&of(&answer.answer))).passed != Some(false) {
            wrong.push(format!("its wrong answer {} does not fail: {}", n + 1, answer.why));
        }
    }
    let prompt = Prompt::of(suite, task, ToolsIn::Request);
    for kind in Nonsense::ALL {
        if Score::of(&verdicts(&kind.answer(&prompt))).passed == Some(true) {
            wrong.push(format!("an answer that says nothing passes: {kind:?}"));
        }
    }
    wrong.into_iter().map(|said| Unsound { task: task.id.clone(), said }).collect()
}

fn of(reference: &Reference) -> Answer {
    Answer::of(Ending::Answered, &reference.text, None, reference.tool_calls.clone())
}

/// Why an answer does not pass, in a line.
fn first_failure(verdicts: &[Verdict]) -> String {
    let Some(verdict) = verdicts.iter().find(|it| it.decides && it.standing != Standing::Passed) else {
        return "no check decides".to_owned();
    };
    let case = verdict.run.iter().flat_map(|run| &run.cases).find(|case| !case.passed);
    let said = case.map(|case| format!("{}: {}", case.name, case.message.as_deref().unwrap_or("it fails")));
    let said = said.or_else(|| verdict.remarks.first().cloned());
    let said = said.or_else(|| verdict.findings.first().map(|it| format!("{}:{}: {}", it.line, it.column, it.message)));
    let outcome = verdict.run.as_ref().map(|run| format!("{:?}", run.outcome));
    format!("{}: {}", verdict.check.as_str(), said.or(outcome).unwrap_or_else(|| "it fails".to_owned()))
}
