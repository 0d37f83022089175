//! What a real Roblox said: a section of its own, apart from every other figure.

use super::about::letter;
use super::figures::{bar, count, percent, range};
use super::side::Side;
use super::text::{anchor, line};
use crate::report::{RobloxAnswer, RobloxReport};
use crate::roblox::{Outcome, Verdict};
use maud::{Markup, html};

/// The section of each side that asked one.
pub(super) fn roblox(sides: &[Side]) -> Markup {
    html! {
        @for side in sides { @if let Some(said) = &side.report.roblox { (section(side, said, sides.len() > 1)) } }
    }
}

fn section(side: &Side, said: &RobloxReport, is_named: bool) -> Markup {
    let tally = &said.tally;
    let counts = [
        ("Answers", tally.answers),
        ("Passed", tally.passed),
        ("Failed", tally.failed),
        ("Failed without a program", tally.no_program),
        ("No verdict", tally.no_verdict),
        ("To come", tally.to_come),
    ];
    let label = format!("Verdicts of {}", said.by.title());
    html! {
        section {
            h2 { "Real Roblox (" (said.by.title()) ")" @if is_named { " " (letter(side)) } }
            p { "These verdicts are " (said.by.title()) "'s and nobody else's. They are in no other figure of this page." }
            @if let Some((rate, interval)) = said.passed() {
                p { (bar(rate, Some(interval), side.letter)) b { (percent(rate)) } " in 100 passed, 95 %: " (range(interval)) }
            }
            div.wide tabindex="0" role="region" aria-label=(label) { table.counts {
                thead { tr { @for (name, _) in counts { th scope="col" { (name) } } } }
                tbody { tr { @for (_, count) in counts { td { (count) } } } }
            } }
            ul { @for task in &said.tasks { @for answer in &task.answers { @if !has_passed(answer) {
                li {
                    a href={ "#" (anchor(&task.task)) } { (line(&task.task)) } ", answer " (answer.sample) ": "
                    (verdict(answer.verdict.as_ref()))
                }
            } } } }
        }
    }
}

fn has_passed(answer: &RobloxAnswer) -> bool {
    answer.verdict.as_ref().is_some_and(|verdict| verdict.outcome == Outcome::Passed)
}

fn verdict(verdict: Option<&Verdict>) -> Markup {
    let Some(verdict) = verdict else { return html! { span.tag.plain { "to come" } } };
    let (class, word) = match verdict.outcome {
        Outcome::Passed => ("good", "passed"),
        Outcome::Failed => ("bad", "failed"),
        Outcome::NoProgram => ("bad", "no program"),
        Outcome::NoVerdict => ("plain", "no verdict"),
    };
    html! {
        span.tag.(class) { (word) } " " (line(&verdict.why))
        @for run in &verdict.runs { " " span.quiet {
            (line(&run.mode)) " " (run.passes) " of " (count(run.checks as usize, "check"))
            @if !run.warning.is_empty() { "; warned: " (line(&run.warning)) }
        } }
    }
}
