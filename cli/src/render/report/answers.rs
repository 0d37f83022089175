//! A task of a report: each answer with what the checks say of it.

use super::{points, red};
use crate::render::output::{Hue, bold, dimmed, style, wrap};
use crate::render::safe;
use vertigo_evaluation::answer::Ending;
use vertigo_evaluation::report::{AnswerReport, TaskReport};
use vertigo_evaluation::room::Run;
use vertigo_evaluation::score::{Standing, Verdict};

/// Columns that stand before what belongs to a verdict.
const INDENT: usize = 4;

/// The question, and each answer with its verdicts; `only_failed` leaves out those that passed.
pub(crate) fn render_task(task: &TaskReport, only_failed: bool) -> String {
    let mut text = format!("{}\n", bold(&format!("{} ({})", task.task, task.category)));
    let asked =
        task.prompt.as_ref().and_then(|prompt| prompt.messages.last()).and_then(|last| last["content"].as_str());
    if let Some(asked) = asked {
        text += &format!("{}\n", dimmed(asked.trim_end()));
    }
    for answer in task.answers.iter().filter(|answer| !only_failed || has_failed(answer)) {
        text += &format!("\n{}", render_answer(answer));
    }
    text
}

/// Whether an answer did not pass, or did not come.
pub(super) fn has_failed(answer: &AnswerReport) -> bool {
    answer.answer.ending != Ending::Answered || answer.score.and_then(|score| score.passed) == Some(false)
}

fn render_answer(answer: &AnswerReport) -> String {
    let score = answer.score.and_then(|score| score.score).map_or_else(|| "no score".to_owned(), points);
    let passed = match answer.score.and_then(|score| score.passed) {
        Some(true) => ", passed",
        Some(false) => ", failed",
        None => "",
    };
    let ended = match answer.answer.ending {
        Ending::Answered => "",
        Ending::Cut => ", cut at its bound",
        Ending::TimedOut => ", out of time",
        Ending::ApiError => ", an error of the API",
    };
    let tokens = answer.tokens;
    let thought = if tokens.thinking > 0 { format!(" after {} of thought", tokens.thinking) } else { String::new() };
    let head = format!(
        "answer {}: {score}{passed}{ended}; {} tokens{thought}, seed {}",
        answer.sample, tokens.answer, answer.seed
    );
    let mut text = format!("{}\n", bold(&head));
    if !answer.answer.text.is_empty() {
        text += &format!("{}\n", safe::text(answer.answer.text.trim_end()));
    }
    for call in &answer.answer.tool_calls {
        text += &format!("{}\n", safe::text(&format!("calls {}({})", call.name, call.arguments)));
    }
    text + &answer.verdicts.iter().map(render_verdict).collect::<String>()
}

fn render_verdict(verdict: &Verdict) -> String {
    let check = verdict.check.as_str();
    let decides = if verdict.decides { "" } else { ", decides nothing" };
    let line = match verdict.standing {
        Standing::Passed => {
            let green = style(Hue::Green);
            format!("{green}  passed {check}{green:#}\n")
        }
        Standing::Failed => red(&format!("  failed {check}: {}{decides}\n", points(verdict.score))),
        Standing::Scored => format!("  scored {check}: {}{decides}\n", points(verdict.score)),
        Standing::Unsupported => format!("  {check}: the room has not what the answer uses; not held against it\n"),
        Standing::Broken => red(&format!("  {check}: the check itself failed; not held against the answer\n")),
    };
    let remarks = verdict.remarks.iter().flat_map(|remark| remark.lines()).map(|line| wrap(line, INDENT));
    let findings = verdict.findings.iter().map(|found| {
        let code = found.code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
        let block = if found.block > 1 { format!("block {}, ", found.block) } else { String::new() };
        wrap(&format!("{block}{}:{}: {code}{}", found.line, found.column, found.message), INDENT)
    });
    let run = verdict.run.as_ref().map(render_run).unwrap_or_default();
    line + &remarks.chain(findings).collect::<String>() + &run
}

/// The cases that did not hold, and what the program printed.
fn render_run(run: &Run) -> String {
    let failed = run.cases.iter().filter(|case| !case.passed).map(|case| {
        let message = case.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        wrap(&format!("{}{message}", case.name), INDENT)
    });
    let held = run.cases.iter().filter(|case| case.passed).count();
    let mut text = wrap(&format!("{held} of {} cases held", run.cases.len()), INDENT) + &failed.collect::<String>();
    if !run.output.trim().is_empty() {
        let more = if run.is_output_cut { "\n…" } else { "" };
        let printed: Vec<String> =
            format!("{}{more}", run.output.trim_end()).lines().map(|line| format!("{:INDENT$}{line}", "")).collect();
        text += &format!("{}\n", dimmed(&printed.join("\n")));
    }
    text
}
