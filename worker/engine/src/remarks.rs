//! Which examples are not learned as they were written, and why: what a run says before it spends hours on them.
//!
//! Promise: every example of a reason is counted; the first [`PLACES_MAX`] of each are named by file and line.

use crate::text::{Fate, Reading, Why};
use std::collections::BTreeMap;
use vertigo::caveats::{Caveats, Reason};
use vertigo_model::dataset::Place;

/// Examples of each reason that are named.
pub const PLACES_MAX: usize = 20;

/// Bytes of a line that names them: longer lines are cut on their way to people.
const LINE_BYTES_MAX: usize = 1500;

/// What is remarkable about a run's examples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remarks {
    caveats: Caveats,
    places: BTreeMap<Reason, Vec<Place>>,
}

impl Remarks {
    /// Takes note of an example that was read so.
    pub fn note(&mut self, place: &Place, reading: &Reading) {
        match reading.fate {
            Fate::Whole => {}
            Fate::LeftOut(why) => {
                self.count(Reason::Skipped, place);
                self.caveats.overlong_examples += u64::from(why != Why::Nothing);
            }
            Fate::Cut { tokens, ends } => {
                self.count(Reason::Cut, place);
                self.caveats.cut_tokens += tokens as u64;
                self.caveats.cut_ends += u64::from(ends);
            }
            Fate::Split { pieces, left_out } => {
                self.count(Reason::Split, place);
                self.caveats.split_pieces += pieces as u64;
                self.caveats.overlong_turns += left_out as u64;
            }
        }
        for reason in &reading.reasons {
            self.count(*reason, place);
        }
    }

    fn count(&mut self, reason: Reason, place: &Place) {
        let caveats = &mut self.caveats;
        *match reason {
            Reason::Skipped => &mut caveats.skipped_examples,
            Reason::Cut => &mut caveats.cut_examples,
            Reason::Unanswered => &mut caveats.unanswered_examples,
            Reason::EmptyAnswer => &mut caveats.empty_answers,
            Reason::UnsharedPrompt => &mut caveats.unshared_prompts,
            Reason::Split => &mut caveats.split_examples,
            Reason::Unlocated => &mut caveats.unlocated_turns,
            Reason::EmptyThought => &mut caveats.empty_thoughts,
        } += 1;
        let places = self.places.entry(reason).or_default();
        if places.len() < PLACES_MAX {
            places.push(place.clone());
        }
    }

    /// How many there are.
    pub fn caveats(&self) -> Caveats {
        self.caveats
    }

    /// These and then `other`'s.
    pub fn and(mut self, other: &Remarks) -> Remarks {
        self.caveats = self.caveats + other.caveats;
        for (reason, more) in &other.places {
            let places = self.places.entry(*reason).or_default();
            places.extend(more.iter().take(PLACES_MAX - places.len()).cloned());
        }
        self
    }

    /// A line for each reason: how many, and where the first of them are written.
    pub fn lines(&self) -> Vec<String> {
        let line = |reason| {
            let mut line = self.caveats.told(reason)?;
            let mut named = 0;
            for place in self.places.get(&reason).into_iter().flatten() {
                let more = format!("{} {place}", if named == 0 { "; see" } else { "," });
                if line.len() + more.len() > LINE_BYTES_MAX {
                    break;
                }
                line += &more;
                named += 1;
            }
            match self.caveats.count(reason).saturating_sub(named) {
                0 => {}
                more => line += &format!(" and {more} more"),
            }
            Some(line)
        };
        Reason::ALL.into_iter().filter_map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(line: usize) -> Place {
        Place { file: "a.jsonl".into(), line }
    }

    fn reading(fate: Fate, reasons: &[Reason]) -> Reading {
        Reading { ids: Vec::new(), lessons: Vec::new(), fate, reasons: reasons.iter().copied().collect() }
    }

    #[test]
    fn each_reason_is_counted_once_and_named() {
        let mut remarks = Remarks::default();
        let readings = [
            reading(Fate::Whole, &[]),
            reading(Fate::Cut { tokens: 2, ends: true }, &[]),
            reading(Fate::Cut { tokens: 1, ends: false }, &[]),
            reading(Fate::LeftOut(Why::EndLost), &[]),
            reading(Fate::Whole, &[Reason::Unanswered]),
            reading(Fate::LeftOut(Why::Nothing), &[Reason::EmptyAnswer]),
            reading(Fate::Whole, &[Reason::UnsharedPrompt, Reason::EmptyThought]),
            reading(Fate::Split { pieces: 3, left_out: 2 }, &[Reason::Unlocated]),
        ];
        for (n, reading) in readings.iter().enumerate() {
            remarks.note(&place(n + 1), reading);
        }
        let expected = Caveats {
            skipped_examples: 2,
            overlong_examples: 1,
            cut_examples: 2,
            cut_tokens: 3,
            cut_ends: 1,
            split_examples: 1,
            split_pieces: 3,
            overlong_turns: 2,
            unanswered_examples: 1,
            empty_answers: 1,
            unshared_prompts: 1,
            unlocated_turns: 1,
            empty_thoughts: 1,
            leftover_micro_batches: 0,
        };
        assert_eq!(remarks.caveats(), expected);
        let lines = remarks.lines();
        let ends: Vec<_> = lines.iter().map(|line| line.split_once("; see ").unwrap().1).collect();
        assert_eq!(
            ends,
            [
                "a.jsonl:4, a.jsonl:6",
                "a.jsonl:2, a.jsonl:3",
                "a.jsonl:8",
                "a.jsonl:5",
                "a.jsonl:6",
                "a.jsonl:7",
                "a.jsonl:8",
                "a.jsonl:7"
            ]
        );
    }

    proptest! {
        #[test]
        fn every_example_counts_and_the_lines_are_bounded(first in 0usize..60, second in 0usize..60, name in 1usize..255) {
            let noted = |count: usize| {
                let mut remarks = Remarks::default();
                for line in 0..count {
                    let place = Place { file: "é".repeat(name / 2 + 1).into(), ..place(line + 1) };
                    remarks.note(&place, &reading(Fate::Cut { tokens: 2, ends: false }, &[]));
                }
                remarks
            };
            let both = noted(first).and(&noted(second));
            prop_assert_eq!(both.caveats().cut_examples as usize, first + second);
            prop_assert_eq!(both.lines().len(), usize::from(first + second > 0));
            for line in both.lines() {
                prop_assert!(line.len() <= LINE_BYTES_MAX + 30, "{}", line.len());
                let named = line.matches("é:").count();
                let more = line.rsplit_once(" and ").map_or(0, |(_, n)| n.trim_end_matches(" more").parse().unwrap());
                prop_assert_eq!(named + more, first + second);
                prop_assert!((1..=PLACES_MAX).contains(&named));
            }
        }
    }
}
