//! What is printed: a line for each so many faults, and a table at the end.

use crate::judge::Findings;
use crate::leftovers::Leftovers;
use std::collections::BTreeMap;
use std::time::Duration;

/// Problems of a kind that are printed; a defect that shows a thousand times is one defect.
const SHOWN_MAX: usize = 20;

/// The faults that befell something, by name.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    by_name: BTreeMap<&'static str, usize>,
    /// Drawn while their target had another fault, or was not there.
    pub(crate) passed_over: usize,
}

impl Tally {
    pub(crate) fn count(&mut self, name: &'static str) {
        *self.by_name.entry(name).or_default() += 1;
    }

    pub(crate) fn faults(&self) -> usize {
        self.by_name.values().sum()
    }
}

/// The end of a campaign.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) findings: Findings,
    pub(crate) leftovers: Leftovers,
    /// What was wrong beside them.
    pub(crate) problems: Vec<String>,
    pub(crate) imports: usize,
    pub(crate) refused: usize,
    pub(crate) gave_up: usize,
    pub(crate) broken_for: Duration,
    pub(crate) settled_in: Duration,
}

impl Outcome {
    pub(crate) fn is_good(&self) -> bool {
        let Findings { lost, doubled, different, problems, .. } = &self.findings;
        [lost, doubled, different, problems, &self.leftovers.problems, &self.problems]
            .iter()
            .all(|list| list.is_empty())
    }

    /// The table, and what was wrong.
    pub(crate) fn print(&self) {
        let found = &self.findings;
        println!("\n{:<50}{:>8}", "fault", "times");
        for (name, times) in &self.tally.by_name {
            println!("{name:<50}{times:>8}");
        }
        println!("{:<50}{:>8}", "together", self.tally.faults());
        println!("{:<50}{:>8}", "passed over: their target was busy or gone", self.tally.passed_over);
        println!("\n{:<50}{:>8}", "jobs", found.jobs);
        for (what, count) in [
            ("succeeded, and compared bit for bit", found.succeeded),
            ("cancelled, as was asked", found.cancelled),
            ("failed, because their child was killed thrice", found.failed),
            ("attempts", found.attempts),
            ("attempts that went on from a checkpoint", found.resumed),
            ("imports", self.imports),
            ("calls that were told to come again", self.refused),
            ("ends of a daemon on a full disk", self.gave_up),
        ] {
            println!("  {what:<48}{count:>8}");
        }
        let (lost, doubled, different) = (found.lost.len(), found.doubled.len(), found.different.len());
        println!("\nlost {lost}, doubled {doubled}, different {different}");
        let (broken, settled) = (self.broken_for.as_secs(), self.settled_in.as_secs());
        println!("{broken} s of faults, {settled} s until all had settled");
        self.leftovers.notes.iter().for_each(|note| println!("{note}"));
        for (what, list) in [
            ("lost", &found.lost),
            ("doubled", &found.doubled),
            ("different", &found.different),
            ("wrong", &found.problems),
            ("left over", &self.leftovers.problems),
            ("wrong", &self.problems),
        ] {
            list.iter().take(SHOWN_MAX).for_each(|problem| println!("{what}: {problem}"));
            if list.len() > SHOWN_MAX {
                println!("{what}: … and {} more", list.len() - SHOWN_MAX);
            }
        }
    }
}
