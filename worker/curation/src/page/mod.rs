//! The report as one page of HTML: for a browser without network, of any width, in the light and in the dark.
//!
//! Promise: the texts on it come from data that nobody has vouched for, and each stands on it as text. A picture shows nothing that does
//! not stand beside it in words. The same report is the same page, byte for byte.

mod found;
mod funnel;
mod made;
#[cfg(test)]
mod tests;

use crate::report::Report;
use maud::{Markup, html};
use vertigo_evaluation::page::{Frame, STYLE, text::line};

/// The file's name in a curated dataset.
pub const FILE: &str = "report.html";

/// What these pages have beside what all pages of ours have.
const OWN_STYLE: &str = include_str!("page.css");

/// The page of a report.
pub fn page(report: &Report) -> String {
    let content = html! {
        (warnings(report))
        (made::summary(report))
        (funnel::picture(report))
        (funnel::rules(report))
        (found::rights(report))
        (found::suites(report))
        (found::leak(report))
        (made::lengths(report))
        (made::categories(report))
    };
    let style = format!("{STYLE}{OWN_STYLE}");
    let skip = ("#funnel", "To the funnel");
    Frame { title: "A curated dataset", style: &style, script: "", skip }.around(&content)
}

/// What a reader has to know before any figure.
fn warnings(report: &Report) -> Markup {
    html! {
        @if !report.remarks.is_empty() {
            section.alarm aria-label="Warnings" {
                h2 { "Before you train on it" }
                ul { @for remark in &report.remarks { li { (line(remark)) } } }
            }
        }
    }
}

/// So many rows, with their share of a whole.
fn rows(rows: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { 100.0 * rows as f64 / whole as f64 };
    format!("{rows} ({share:.1} %)")
}

/// A bar of a share from 0 to 1.
fn bar(share: f64) -> Markup {
    let width = format!("{:.2}", 100.0 * share.clamp(0.0, 1.0));
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect.track x="0" y="0" width="100" height="8" {}
            rect.A x="0" y="0" width=(width) height="8" {}
        }
    }
}

/// A part of a whole; nothing of nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
