//! The figures: overall and by category, endings, nonsense, what only matches patterns, contamination, the pipeline's.

use super::about::{alarm, letter, nonsense_name};
use super::figures::{Passing, bar, count, passing, percent, range};
use super::side::Side;
use super::text::{anchor, line};
use crate::answer::Ending;
use crate::contamination::{Found, Likeness, Part};
use crate::report::{Contaminated, NonsenseScore, Tally, TaskReport};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// Tasks that a list names.
const NAMED_MAX: usize = 100;

/// All figures of all sides.
pub(super) fn results(sides: &[Side]) -> Markup {
    html! {
        (scores(sides))
        (endings(sides))
        @for side in sides {
            (nonsense(side, sides.len() > 1))
            (patterns(side, sides.len() > 1))
            (contamination(side, sides.len() > 1))
        }
        (benchmark(sides))
        (super::roblox::roblox(sides))
    }
}

fn heading(title: &str, side: &Side, is_named: bool) -> Markup {
    html! { h2 { (title) @if is_named { " " (letter(side)) } } }
}

fn scores(sides: &[Side]) -> Markup {
    let categories: BTreeSet<&String> = sides.iter().flat_map(|side| side.report.categories.keys()).collect();
    html! {
        section {
            h2 { "Results" }
            div.wide tabindex="0" role="region" aria-label="Results" { table.results {
                thead { tr {
                    th scope="col" { "Category" }
                    th scope="col" { "Passed, in 100" }
                    th scope="col" { "Score, of 100" }
                } }
                tbody.all { @for (n, side) in sides.iter().enumerate() {
                    tr {
                        @if n == 0 { th scope="rowgroup" rowspan=(sides.len()) { "All" (tasks_said(side.report.overall.tasks)) } }
                        (figures(side, sides.len() > 1, &side.report.overall, passing(&side.report.tasks)))
                    }
                } }
                @for category in categories { tbody { @for (n, side) in sides.iter().enumerate() {
                    @let tally = side.report.categories.get(category).cloned().unwrap_or_default();
                    @let tasks = side.report.tasks.iter().filter(|task| &task.category == category);
                    tr {
                        @if n == 0 { th scope="rowgroup" rowspan=(sides.len()) { (line(category)) (tasks_said(tally.tasks)) } }
                        (figures(side, sides.len() > 1, &tally, passing(tasks)))
                    }
                } } }
            } }
            p.quiet {
                "Passed: the mean over tasks of the share of their answers that hold all checks that decide; "
                "whiskers are Wilson's interval at 95 %, over tasks. Score: the mean over tasks of all checks by their weight; "
                "what style is worth is in it."
            }
        }
    }
}

fn tasks_said(tasks: u32) -> Markup {
    html! { " " span.quiet { (count(tasks as usize, "task")) } }
}

fn figures(side: &Side, is_named: bool, tally: &Tally, passing: Option<Passing>) -> Markup {
    html! {
        td {
            @match passing {
                Some(Passing { rate, interval, .. }) => {
                    (bar(rate, Some(interval), side.letter))
                    @if is_named { (letter(side)) " " }
                    b { (percent(rate)) } " "
                    span.quiet {
                        (range(interval)) "; "
                        (tally.passed) " of " (count(tally.decided as usize, "answer"))
                    }
                }
                None => span.quiet { @if is_named { (letter(side)) " " } "nothing decides" },
            }
        }
        td {
            @match tally.score {
                Some(score) => { (bar(score, None, side.letter)) b { (percent(score)) } }
                None => span.quiet { "none" },
            }
        }
    }
}

/// How an answer may end, in the order of the table's columns.
const ENDINGS: [Ending; 4] = [Ending::Answered, Ending::Cut, Ending::TimedOut, Ending::ApiError];

/// What of answers is counted.
const COUNTED: [&str; 9] =
    ["Answers", "Whole", "Cut", "Timed out", "API errors", "Unsupported", "Broken checks", "Not judged", "To come"];

fn endings(sides: &[Side]) -> Markup {
    let of = |tally: &Tally, ending| tally.endings.get(&ending).copied().unwrap_or(0);
    html! {
        section {
            h2 { "How answers ended" }
            div.wide tabindex="0" role="region" aria-label="How answers ended" { table.counts {
                thead { tr {
                    @if sides.len() > 1 { th scope="col" { "Side" } }
                    @for name in COUNTED { th scope="col" { (name) } }
                } }
                tbody { @for side in sides {
                    @let tally = &side.report.overall;
                    tr {
                        @if sides.len() > 1 { th scope="row" { (letter(side)) } }
                        td { (tally.answers) }
                        @for ending in ENDINGS { td { (of(tally, ending)) } }
                        @for count in [tally.unsupported, tally.broken, tally.unjudged, side.report.missing] { td { (count) } }
                    }
                } }
            } }
            p.quiet {
                "Answers that were cut, late or an error pass nothing. What the room does not support and checks that "
                "failed by themselves are not held against the model."
            }
        }
    }
}

fn nonsense(side: &Side, is_named: bool) -> Markup {
    let scores = &side.report.nonsense;
    html! {
        @if !scores.is_empty() {
            section {
                (heading("What nonsense scores here", side, is_named))
                ul.nonsense { @for score in scores { li.alarming[score.is_alarming()] { (of_nonsense(score)) } } }
            }
        }
    }
}

fn of_nonsense(score: &NonsenseScore) -> Markup {
    let checks = score.checks.iter().map(|(check, mean)| format!("{} {}", check.as_str(), percent(*mean)));
    html! {
        @if score.is_alarming() { b { (alarm(score)) } }
        @else {
            "For " (nonsense_name(score.kind)) ": "
            @match score.score { Some(share) => { "scores " (percent(share)) ", passes nothing." }, None => "no score." }
        }
        " "
        span.quiet { "By check, over " (count(score.tasks as usize, "task")) ": " (checks.collect::<Vec<_>>().join(", ")) "." }
        @if !score.passes.is_empty() { p { "It passes " (names(score.passes.iter().map(String::as_str))) } }
    }
}

/// Tasks as links to their places in the page.
fn names<'n>(tasks: impl ExactSizeIterator<Item = &'n str>) -> Markup {
    let more = tasks.len().saturating_sub(NAMED_MAX);
    html! {
        @for (n, task) in tasks.take(NAMED_MAX).enumerate() {
            @if n > 0 { ", " }
            a href={ "#" (anchor(task)) } { (line(task)) }
        }
        @if more > 0 { " and " (more) " more" }
        "."
    }
}

fn patterns(side: &Side, is_named: bool) -> Markup {
    let matches = &side.report.pattern_matches;
    html! {
        @if !matches.is_empty() {
            section {
                (heading("What only matches patterns", side, is_named))
                p { "These checks look at how an answer is written. They run nothing and know nothing of whether it works." }
                ul { @for (check, method) in matches { li { code { (check.as_str()) } ": " (line(method)) } } }
            }
        }
    }
}

fn contamination(side: &Side, is_named: bool) -> Markup {
    html! {
        section {
            (heading("What the training data has of the suite", side, is_named))
            @match &side.report.contamination {
                None => p { "Nobody has told what the model was trained on, so nothing is known." },
                Some(contaminated) => (of_contamination(contaminated, &side.report.tasks)),
            }
        }
    }
}

fn of_contamination(contaminated: &Contaminated, tasks: &[TaskReport]) -> Markup {
    let found = &contaminated.contamination.found;
    let is_in = |task: &&TaskReport| found.contains_key(&task.task);
    let rows = [
        ("With them alone", &contaminated.inside, passing(tasks.iter().filter(is_in))),
        ("Without them", &contaminated.outside, passing(tasks.iter().filter(|task| !is_in(task)))),
    ];
    html! {
        p {
            (contaminated.contamination.examples) " examples were looked at. "
            @if found.is_empty() { "None has a task of the suite." }
            @else {
                b { (count(found.len(), "task")) } " of the suite " (if found.len() == 1 { "is" } else { "are" }) " in them: "
                (names(found.keys().map(String::as_str)))
            }
        }
        @if !found.is_empty() {
            div.wide tabindex="0" role="region" aria-label="With and without the tasks that were found" { table.counts {
                thead { tr {
                    @for name in ["Tasks", "How many", "Passed", "95 %", "Score"] { th scope="col" { (name) } }
                } }
                tbody { @for (name, tally, passing) in rows { tr {
                    th scope="row" { (name) }
                    td { (tally.tasks) }
                    td { (passing.map_or("–".to_owned(), |passing| percent(passing.rate))) }
                    td { (passing.map_or("–".to_owned(), |passing| range(passing.interval))) }
                    td { (tally.score.map_or("–".to_owned(), percent)) }
                } } }
            } }
        }
    }
}

/// How and where a task was found in the training data.
pub(super) fn found(found: &Found) -> String {
    let likeness = match found.likeness {
        Likeness::Exact => "exactly".to_owned(),
        Likeness::Near => format!("nearly ({} %)", percent(found.share)),
    };
    let part = match found.part {
        Part::Question => "question",
        Part::Reference => "reference",
    };
    format!("The training data has its {part}, {likeness}: {}, example {}.", found.source, found.line)
}

fn benchmark(sides: &[Side]) -> Markup {
    let there = || sides.iter().filter_map(|side| Some((side, side.report.benchmark_v2.as_ref()?)));
    let categories: BTreeSet<&String> = there().flat_map(|(_, figures)| figures.categories.keys()).collect();
    html! {
        @if there().next().is_some() {
            section {
                h2 { "The pipeline's figures" }
                p { "Benchmark v2 as the pipeline counts it, for comparison with its reports alone: it matches patterns." }
                div.wide tabindex="0" role="region" aria-label="The pipeline's figures" { table.counts {
                    thead { tr {
                        th scope="col" { "Category" }
                        @for (side, _) in there() { th scope="col" { @if sides.len() > 1 { (letter(side)) } @else { "Mean" } } }
                    } }
                    tbody {
                        tr {
                            th scope="row" { "overall" }
                            @for (_, figures) in there() { td { b { (format!("{:.1}", figures.overall)) } } }
                        }
                        @for category in categories { tr {
                            th scope="row" { (line(category)) }
                            @for (_, figures) in there() {
                                td { (figures.categories.get(category).map_or("–".to_owned(), |mean| format!("{mean:.1}"))) }
                            }
                        } }
                    }
                } }
            }
        }
    }
}
