//! What was made: the sides, lengths, categories.

use super::{bar, share};
use crate::report::Report;
use maud::{Markup, html};
use vertigo_evaluation::page::text::line;

/// What the dataset has, in a few lines.
pub(super) fn summary(report: &Report) -> Markup {
    let read: u64 = report.files.iter().map(|file| file.rows).sum();
    let sides = report.sides;
    html! {
        section.facts aria-label="Summary" {
            dl {
                dt { "Read" } dd { (read) " rows of " (report.files.len()) " files" }
                dt { "To train on" } dd { (sides.train) }
                dt { "To validate" } dd { (sides.valid) }
                dt { "Held back" } dd { (sides.test) }
            }
            dl {
                dt { "Mix" } dd { (line(&report.mix)) }
                @for audit in &report.audits { dt { "Held against" } dd { (line(&audit.suite)) } }
            }
        }
    }
}

/// How rows are spread over categories, before and after.
pub(super) fn categories(report: &Report) -> Markup {
    html! {
        section aria-labelledby="categories-title" {
            h2 id="categories-title" { "By " (line(&report.by)) }
            div.wide { table.histogram {
                thead { tr {
                    th scope="col" { (line(&report.by)) } th scope="col" { "Read" } th scope="col" { "To train on" }
                    th scope="col" { "Share of what is drawn" }
                } }
                tbody { @for category in &report.categories {
                    tr {
                        th scope="row" { (line(&category.name)) }
                        td { (category.read) } td { (category.train) }
                        td { (format!("{:.1} %", 100.0 * category.drawn)) (bar(category.drawn)) }
                    }
                } }
            } }
        }
    }
}
pub(super) fn lengths(_: &Report) -> Markup { html! {} }
