//! The reports of a page, and the tasks of both side by side.

use super::figures::passed_share;
use crate::report::{Report, TaskReport};
use std::collections::BTreeMap;

/// One of the reports of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'r> {
    /// What it says.
    pub(super) report: &'r Report,
    /// Its letter where there are two, and the class of its colour.
    pub(super) letter: &'static str,
}

/// Reports side by side.
pub(super) const SIDES_MAX: usize = 2;

/// The sides of a page.
pub(super) fn sides<'r>(reports: &[&'r Report]) -> Vec<Side<'r>> {
    reports.iter().zip(["A", "B"]).map(|(report, letter)| Side { report, letter }).collect()
}

/// A task on each of the sides that was asked it.
#[derive(Debug)]
pub(super) struct Row<'r> {
    /// The task's id.
    pub(super) id: &'r str,
    /// What came of it on each side, in the order of the sides.
    pub(super) of: Vec<Option<&'r TaskReport>>,
}

impl<'r> Row<'r> {
    /// The task on the first side that has it.
    pub(super) fn first(&self) -> Option<&'r TaskReport> {
        self.of.iter().flatten().next().copied()
    }

    /// By how much the second side is better in what decides, and where nothing does, in the score. `None` with one side alone.
    pub(super) fn difference(&self) -> Option<f64> {
        let [Some(a), Some(b)] = self.of[..] else { return None };
        let by = |figure: fn(&TaskReport) -> Option<f64>| Some(figure(b)? - figure(a)?);
        by(|task| passed_share(&task.tally)).or_else(|| by(|task| task.tally.score))
    }

    /// Whether the sides differ.
    pub(super) fn differs(&self) -> bool {
        self.difference().is_some_and(|by| by != 0.0)
    }
}

/// The tasks of all sides, those first on which the sides differ most, and in the order of their ids where they do not.
pub(super) fn rows<'r>(sides: &[Side<'r>]) -> Vec<Row<'r>> {
    let mut by_id: BTreeMap<&str, Vec<Option<&TaskReport>>> = BTreeMap::new();
    for (at, side) in sides.iter().enumerate() {
        for task in &side.report.tasks {
            by_id.entry(&task.task).or_insert_with(|| vec![None; sides.len()])[at] = Some(task);
        }
    }
    let mut rows: Vec<Row> = by_id.into_iter().map(|(id, of)| Row { id, of }).collect();
    let size = |row: &Row| row.difference().unwrap_or(0.0).abs();
    rows.sort_by(|a, b| size(b).total_cmp(&size(a)));
    rows
}
