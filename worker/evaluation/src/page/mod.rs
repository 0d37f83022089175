//! A report as one page of HTML: for a browser without network, by mouse or keyboard, on any width, in the dark.
//!
//! Almost all texts on it were written by models, and are hostile. Promises: whatever a report says, the page has the
//! elements that are written here and no others ([`text`] escapes every text on its way in, and `maud` every other value);
//! should a text get through, the page's policy lets no script run but its own, which is named by its hash, and nothing be
//! loaded; the page is a function of the reports, the same bytes for the same ones; its size has a bound, and what was
//! left out for it is said in its place.

mod about;
mod answer;
mod code;
mod compared;
mod figures;
mod frame;
mod luau;
mod parts;
mod places;
mod results;
mod roblox;
mod side;
mod tasks;
#[cfg(test)]
mod tests;
pub mod text;
mod verdict;

use crate::report::Report;
use maud::{Markup, html};
use side::{SIDES_MAX, Side, rows, sides};
use std::collections::BTreeSet;
use tasks::{DIFFERS, Room, STATES};
use text::line;

pub use frame::{Frame, STYLE};

const SCRIPT: &str = include_str!("page.js");

/// The page of a report, or of two over the same suite side by side: then the tasks come first on which the two differ
/// most. Of more reports than two the first two are shown.
pub fn page(reports: &[&Report]) -> String {
    let sides = sides(&reports[..reports.len().min(SIDES_MAX)]);
    let rows = rows(&sides);
    let room = Room::of(&rows);
    let content = html! {
        (about::warnings(&sides))
        (about::facts(&sides))
        (compared::comparison(&sides))
        (results::results(&sides))
        section id="tasks" aria-labelledby="tasks-title" {
            h2 id="tasks-title" { "Tasks" @if sides.len() > 1 { ", first where the two differ" } }
            (filters(&sides))
            @for row in &rows { (tasks::task(row, &sides, room)) }
        }
    };
    frame(&title(&sides)).around(&content)
}

fn frame(title: &str) -> Frame<'_> {
    Frame { title, style: STYLE, script: SCRIPT, skip: ("#tasks", "To the tasks") }
}

fn title(sides: &[Side]) -> String {
    let models: Vec<String> = sides.iter().map(|side| side.report.facts.model.name()).collect();
    match sides.first() {
        Some(side) => format!("{} on suite {}", models.join(" and "), side.report.facts.suite),
        None => "No report".to_owned(),
    }
}

/// What tasks are looked for by. Without a script they do nothing, and are not there.
fn filters(sides: &[Side]) -> Markup {
    let categories: BTreeSet<&String> =
        sides.iter().flat_map(|side| side.report.tasks.iter().map(|task| &task.category)).collect();
    let differs = (sides.len() > 1).then_some(DIFFERS);
    html! {
        form id="filters" role="search" aria-label="Filter the tasks" hidden {
            label { "Category "
                select id="by-category" {
                    option value="" { "all" }
                    @for category in categories { option value=(line(category)) { (line(category)) } }
                }
            }
            label { "Outcome "
                select id="by-state" {
                    option value="" { "any" }
                    @for (state, said) in differs.into_iter().chain(STATES) { option value=(state) { (said) } }
                }
            }
            label { "Text " input id="by-text" type="search" placeholder="in a task or an answer"; }
            button id="fold" type="button" { "Unfold all" }
            output id="count" for="by-category by-state by-text" {}
        }
    }
}
