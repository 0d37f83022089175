//! What a real Roblox said: its own section, apart from every score.

use super::{points, some, span};
use crate::render::output::{bold, table, wrap};
use vertigo_evaluation::report::{Report, RobloxAnswer, RobloxReport, RobloxTask};
use vertigo_evaluation::roblox::Outcome;

/// Tasks that are listed.
const TASKS_MAX: usize = 10;

/// A reason is shown up to this, in characters.
const WHY_CHARS_MAX: usize = 60;

/// The section; nothing where nobody asked a real Roblox.
pub(super) fn render(report: &Report) -> String {
    report.roblox.as_ref().map_or_else(String::new, section)
}

fn section(said: &RobloxReport) -> String {
    let tally = &said.tally;
    let passed = said.passed().map_or_else(
        || "none passed or failed".to_owned(),
        |(rate, interval)| {
            let decided = tally.passed + tally.failed;
            format!("{} % passed (95 %: {}): {} of {decided}", points(rate), span(interval), tally.passed)
        },
    );
    let answers = some(tally.answers as usize, "answer");
    let mut text = format!("\n{}\n", bold(&format!("Real Roblox ({})", said.by.title())));
    text += &wrap(&format!("Of {answers} to {}, {passed}.", some(said.tasks.len(), "task")), 0);
    let apart = [
        (tally.no_program, "have no program that could be sent, and failed by that"),
        (tally.no_verdict, "have no verdict, and count neither way"),
        (tally.to_come, "are still to be judged"),
    ];
    let apart: Vec<String> =
        apart.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if !apart.is_empty() {
        text += &wrap(&format!("Of these answers {}.", apart.join("; ")), 0);
    }
    text += &wrap("None of this is in the scores above: those are of the room alone.", 0);
    let unpassed: Vec<[String; 3]> = said.tasks.iter().filter_map(row).collect();
    let more = unpassed.len().saturating_sub(TASKS_MAX);
    if !unpassed.is_empty() {
        let rows = unpassed.into_iter().take(TASKS_MAX).collect();
        text += &format!("\n{}", table(["NOT PASSED THERE", "PASSED", "WHY"], &[1], rows));
    }
    if more > 0 {
        text += &format!("and {}: --json has all\n", some(more, "more task"));
    }
    text
}

/// A task with an answer that did not pass.
fn row(task: &RobloxTask) -> Option<[String; 3]> {
    let outcome = |answer: &RobloxAnswer| answer.verdict.as_ref().map(|verdict| verdict.outcome);
    let passed = task.answers.iter().filter(|answer| outcome(answer) == Some(Outcome::Passed)).count();
    let other = task.answers.iter().find(|answer| outcome(answer) != Some(Outcome::Passed))?;
    let why = other.verdict.as_ref().map_or("not judged yet", |verdict| verdict.why.as_str());
    let why: String = why.lines().next().unwrap_or_default().chars().take(WHY_CHARS_MAX).collect();
    Some([task.task.clone(), format!("{passed}/{}", task.answers.len()), why])
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use vertigo_evaluation::report::RobloxTally;
    use vertigo_evaluation::roblox::{Roblox, Verdict};

    #[test]
    fn a_real_roblox_has_a_section_of_its_own() {
        let mut report = report();
        assert_eq!(render(&report), "");
        let answer = |sample, verdict| RobloxAnswer { sample, job: None, verdict };
        let failed = Verdict::of(Outcome::Failed, "no Part\u{1b}[31m\nsecond line", Vec::new());
        let tasks = vec![
            RobloxTask { task: "good".to_owned(), answers: vec![answer(0, Some(Verdict::passed(Vec::new())))] },
            RobloxTask { task: "bad".to_owned(), answers: vec![answer(0, Some(failed)), answer(1, None)] },
        ];
        let tally = RobloxTally { answers: 3, passed: 1, failed: 1, to_come: 1, ..RobloxTally::default() };
        report.roblox = Some(RobloxReport { by: Roblox::Cloud, tally, tasks });
        let text = anstream::adapter::strip_str(&render(&report)).to_string();
        for said in
            ["Real Roblox (Open Cloud)", "50.0 % passed", "1 of 2", "1 are still to be judged", "no Part", "0/2"]
        {
            assert!(text.contains(said), "{said}: {text}");
        }
        assert!(!text.contains("second line") && !text.contains("\ngood"), "{text}");
        assert!(!render(&report).contains("\u{1b}[31m"), "what Roblox said drives no terminal");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
