//! What was found: rights, what suites ask, what one side knows of another.

use super::rows;
use crate::audit::Audit;
use crate::report::Report;
use crate::rights::License;
use maud::{Markup, html};
use vertigo_evaluation::page::text::line;

/// Who allowed what, and what a publication owes.
pub(super) fn rights(report: &Report) -> Markup {
    html! {
        section aria-labelledby="rights-title" {
            h2 id="rights-title" { "Rights" }
            div.wide { table.owed {
                thead { tr {
                    th scope="col" { "Licence" } th scope="col" { "Read" } th scope="col" { "In the set" }
                    th scope="col" { "Waiting" } th scope="col" { "Assumed" } th scope="col" { "What a publication owes" }
                } }
                tbody { @for license in &report.rights.licenses { (of_license(license)) } }
            } }
        }
    }
}

fn of_license(of: &License) -> Markup {
    html! {
        tr {
            th scope="row" {
                @match &of.license { Some(license) => (line(license)), None => { span.warn { "none said" } } }
                @for (basis, rows) in &of.bases {
                    span.quiet { @if basis.is_empty() { "no basis" } @else { (line(basis)) } ": " (rows) }
                }
            }
            td { (of.rows) } td { (of.kept) } td { (of.quarantined) } td { (of.assumed) }
            td {
                @if of.kept > 0 {
                    (line(&of.how))
                    @for (name, rows) in &of.attributions { div.quiet { (line(name)) ": " (rows) } }
                    @if of.nameless > 0 { div.warn { "of " (of.nameless) " nobody knows who has to be named" } }
                }
            }
        }
    }
}

/// What the set has of suites.
pub(super) fn suites(report: &Report) -> Markup {
    html! {
        section aria-labelledby="suites-title" {
            h2 id="suites-title" { "What suites ask" }
            @if report.audits.is_empty() {
                p.warn { "The set was held against no suite: nobody knows what an evaluation of its models is worth." }
            }
            @for audit in &report.audits { (of_suite(audit)) }
        }
    }
}

fn of_suite(audit: &Audit) -> Markup {
    html! {
        h3 { (line(&audit.suite)) }
        @if audit.is_clean() {
            p.good { "Nothing of its " (audit.tasks) " tasks is in the " (audit.rows) " rows of the set." }
        } @else {
            p.bad { (audit.found.len()) " of its " (audit.tasks) " tasks are in " (rows(audit.rows_found, audit.rows)) " rows." }
            div.wide { table.counts {
                thead { tr {
                    th scope="col" { "Task" } th scope="col" { "Whole question" } th scope="col" { "Half of it" }
                    th scope="col" { "What judges it" } th scope="col" { "First in" }
                } }
                tbody { @for (name, task) in &audit.found {
                    tr {
                        th scope="row" { (line(name)) }
                        td { (task.prompt) } td { (task.near_prompt) } td { (task.overlap) }
                        td { @if let Some(first) = task.rows.first() { code { (line(&first.file)) ":" (first.line) } } }
                    }
                } }
            } }
        }
    }
}

/// What sides know of one another.
pub(super) fn leak(report: &Report) -> Markup {
    let leak = &report.leak;
    html! {
        section aria-labelledby="leak-title" {
            h2 id="leak-title" { "Leak check" }
            @if leak.is_none() {
                p.good { "No row of one side is on another, none has its prompt there, and none shares "
                    (format!("{:.2}", leak.threshold)) " of its words with one there." }
            } @else {
                p.bad { (line(&leak.said())) "." }
            }
            div.wide { table.counts {
                thead { tr {
                    th scope="col" { "Rows of" } th scope="col" { "looked for in" } th scope="col" { "Rows" }
                    th scope="col" { "Equal" } th scope="col" { "Same prompt" } th scope="col" { "Near" }
                } }
                tbody { @for crossing in &leak.crossings {
                    tr {
                        th scope="row" { (crossing.of.as_str()) } td { (crossing.on.as_str()) } td { (crossing.rows) }
                        td { (crossing.equal) } td { (crossing.prompts) } td { (crossing.near) }
                    }
                } }
            } }
        }
    }
}
