//! What the checks say of an answer.

use super::code::json;
use super::figures::{count, percent};
use super::places::{FINDINGS_MAX, Places};
use super::text::{line, text_of};
use crate::room::{Case, Run, RunOutcome};
use crate::score::{Standing, Verdict};
use maud::{Markup, html};

/// Remarks, findings and cases of one verdict that are shown.
const LINES_MAX: usize = 60;

/// The verdicts, each with what it has to say.
pub(super) fn verdicts(verdicts: &[Verdict], places: &Places, bytes_max: usize) -> Markup {
    html! {
        @if verdicts.is_empty() { p.quiet { "No check has looked at it yet." } }
        @else { ul.verdicts { @for verdict in verdicts { li { (self::verdict(verdict, places, bytes_max)) } } } }
    }
}

/// A check's standing as a word and the class of its colour.
fn standing(standing: Standing) -> (&'static str, &'static str) {
    match standing {
        Standing::Passed => ("passed", "good"),
        Standing::Failed => ("failed", "bad"),
        Standing::Scored => ("scored", "plain"),
        Standing::Unsupported => ("unsupported by the room, not counted", "warn"),
        Standing::Broken => ("broken check, not counted", "warn"),
    }
}

fn verdict(verdict: &Verdict, places: &Places, bytes_max: usize) -> Markup {
    let (word, class) = standing(verdict.standing);
    let rest = || places.rest.iter().filter(|(check, _)| *check == verdict.check).map(|(_, finding)| finding);
    let placed = verdict.findings.len().min(FINDINGS_MAX) - rest().count();
    html! {
        span.check { (verdict.check.as_str()) } " " span.tag.(class) { (word) } " "
        span.quiet { (percent(verdict.score)) @if !verdict.decides { ", does not decide" } }
        @for remark in verdict.remarks.iter().take(LINES_MAX) { p.remark { (line(remark)) } }
        @if placed > 0 { p.quiet { (count(placed, "finding")) ", beside the code." } }
        @for finding in rest().take(LINES_MAX) {
            p.remark {
                "line " (finding.line) " of one of the blocks: "
                @if let Some(code) = &finding.code { (line(code)) ": " }
                (line(&finding.message))
            }
        }
        (more(verdict.remarks.len(), LINES_MAX))
        (more(rest().count(), LINES_MAX))
        (more(verdict.findings.len(), FINDINGS_MAX))
        @if let Some(run) = &verdict.run { (self::run(run, bytes_max)) }
        @if let Some(kept) = &verdict.kept {
            details { summary { "The scorer's own figures" } (json(kept, bytes_max)) }
        }
    }
}

/// What is said of those that are not shown.
fn more(all: usize, shown: usize) -> Markup {
    html! {
        @if let Some(more) = all.checked_sub(shown).filter(|more| *more > 0) {
            p.rest { "… and " (more) " more, which the report has." }
        }
    }
}

fn outcome(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Passed => "every case passed",
        RunOutcome::Failed => "a case failed",
        RunOutcome::Broken => "a script does not compile or load",
        RunOutcome::Error => "an error outside of every case",
        RunOutcome::OutOfTime => "it ran for too long",
        RunOutcome::OutOfSteps => "it took too many steps",
        RunOutcome::OutOfMemory => "it took too much memory",
        RunOutcome::Crashed => "the room's process ended",
        RunOutcome::Unsupported => "it asked for a part of Roblox that the room has not",
    }
}

fn run(run: &Run, bytes_max: usize) -> Markup {
    let passed = run.cases.iter().filter(|case| case.passed).count();
    html! {
        p.remark {
            "Run: " (outcome(run.outcome))
            @if !run.cases.is_empty() { ", " (passed) " of " (count(run.cases.len(), "case")) }
            "."
        }
        @if !run.cases.is_empty() {
            ul.cases { @for case in run.cases.iter().take(LINES_MAX) { (self::case(case)) } }
            (more(run.cases.len(), LINES_MAX))
        }
        @if !run.output.is_empty() {
            details {
                summary { "Output" @if run.is_output_cut { ", cut by the room" } }
                pre.plain tabindex="0" { code { (text_of(&run.output, bytes_max)) } }
            }
        }
    }
}

fn case(case: &Case) -> Markup {
    let (class, mark, said) = match (case.passed, &case.lacks) {
        (true, _) => ("good", "✓", "held: "),
        (false, Some(_)) => ("warn", "?", "unsupported by the room: "),
        (false, None) => ("bad", "✗", "did not hold: "),
    };
    html! {
        li.(class) {
            span.mark aria-hidden="true" { (mark) }
            span.aside { (said) }
            (line(&case.name))
            @if let Some(message) = &case.message { span.message { (line(message)) } }
        }
    }
}
