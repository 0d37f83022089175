//! What was made: the sides, lengths, categories.

use super::{bar, share};
use crate::lengths::Histogram;
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

/// How long rows are, and what a run would cut.
pub(super) fn lengths(report: &Report) -> Markup {
    html! {
        section aria-labelledby="lengths-title" {
            h2 id="lengths-title" { "Lengths" }
            @match &report.lengths {
                None => p.quiet { "No base was given whose tokens could be counted." },
                Some(lengths) => (histogram(&lengths.after)),
            }
        }
    }
}

fn histogram(of: &Histogram) -> Markup {
    html! {
        p { "Half of the " (of.rows) " rows have at most " (of.p50) " tokens, nine of ten at most " (of.p90)
            ", 99 of 100 at most " (of.p99) "; the longest has " (of.max) "." }
        div.wide { table.histogram {
            thead { tr { th scope="col" { "Tokens, at most" } th scope="col" { "Rows" } th scope="col" { "" } } }
            tbody { @for bucket in &of.buckets {
                tr {
                    th scope="row" { @match bucket.tokens_max { Some(most) => (most), None => "more" } }
                    td { (bucket.rows) }
                    td { (bar(share(bucket.rows, of.rows))) }
                }
            } }
        } }
        div.wide { table.counts {
            thead { tr { th scope="col" { "A run of max_seq_length" } th scope="col" { "Rows it would cut" } th scope="col" { "Tokens lost" } } }
            tbody { @for cut in &of.cuts { tr { th scope="row" { (cut.max_seq_length) } td { (cut.rows) } td { (cut.tokens) } } } }
        } }
    }
}
