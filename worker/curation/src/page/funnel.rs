//! The funnel as a picture, and what each rule took out, with examples.

use super::{bar, rows, share};
use crate::book::Effect;
use crate::report::{Applied, Passage, Report};
use maud::{Markup, html};
use vertigo_evaluation::page::text::line;

/// A bar for each stage, as long as what it let go on.
pub(super) fn picture(report: &Report) -> Markup {
    let read = report.funnel.first().map_or(0, |first| first.entered);
    html! {
        section id="funnel" aria-labelledby="funnel-title" {
            h2 id="funnel-title" { "The funnel" }
            div.wide { table.funnel {
                thead { tr {
                    th scope="col" { "After" } th scope="col" { "Rows" } th scope="col" { "Left out" } th scope="col" { "" }
                } }
                tbody {
                    tr { th scope="row" { "the files" } td { (read) } td {} td.picture { (bar(share(read, read))) } }
                    @for passage in &report.funnel { (stage(passage, read)) }
                }
            } }
        }
    }
}

fn stage(passage: &Passage, read: u64) -> Markup {
    let gone = passage.entered - passage.left;
    html! {
        tr {
            th scope="row" { (passage.stage.as_str()) }
            td { (passage.left) }
            td { @if gone > 0 { span.bad { "−" (gone) } } @else { span.quiet { "0" } } }
            td.picture { (bar(share(passage.left, read))) }
        }
    }
}

/// All rules that touched a row, by stage.
pub(super) fn rules(report: &Report) -> Markup {
    html! {
        section aria-labelledby="rules-title" {
            h2 id="rules-title" { "What was done, and why" }
            @for passage in report.funnel.iter().filter(|passage| !passage.rules.is_empty()) {
                h3 { (passage.stage.as_str()) }
                @for applied in &passage.rules { (rule(applied, passage.entered)) }
            }
        }
    }
}

fn rule(applied: &Applied, entered: u64) -> Markup {
    let (word, class) = said(applied.effect);
    html! {
        details.task {
            summary {
                span.tag.(class) { (word) } " "
                span.id { (line(&applied.rule)) }
                span.outcomes { (rows(applied.rows, entered)) }
                span.says { (line(&applied.says)) }
            }
            div.inside {
                @for example in &applied.examples {
                    div.example {
                        p { code { (line(&example.origin)) } @if !example.detail.is_empty() { " " span.quiet { (line(&example.detail)) } } }
                        @if !example.begins.is_empty() { p.begins { (line(&example.begins)) } }
                    }
                }
            }
        }
    }
}

/// An effect as a word, and its colour.
fn said(effect: Effect) -> (&'static str, &'static str) {
    match effect {
        Effect::Rejected => ("rejected", "bad"),
        Effect::Quarantined => ("quarantined", "bad"),
        Effect::Dropped => ("dropped", "bad"),
        Effect::Repaired => ("repaired", "warn"),
        Effect::Noted => ("noted", "plain-word"),
    }
}
