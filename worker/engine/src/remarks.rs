//! Which examples are not learned as they were written, and why: what a run says before it spends hours on them.
//!
//! Promise: every example of a reason is counted; the first [`PLACES_MAX`] of each are named by file and line.

use crate::text::{Tokenized, Tokens};
use std::collections::BTreeMap;
use vertigo::caveats::{Caveats, Reason};
use vertigo_model::dataset::{Place, Row};

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
    /// Takes note of an example that was read so, where at most `max_length` of its tokens are trained on and `end` ends a turn.
    pub fn note(&mut self, row: &Row, read: &Tokenized, max_length: usize, end: u32) {
        let ids = &read.tokens.ids;
        match fate(&read.tokens, max_length) {
            Fate::Skipped => self.count(Reason::Skipped, &row.place),
            Fate::Whole => {}
            Fate::Cut => {
                self.count(Reason::Cut, &row.place);
                self.caveats.cut_tokens += (ids.len() - max_length) as u64;
                let last_end = ids.iter().rposition(|id| *id == end);
                self.caveats.cut_ends += u64::from(last_end.is_some_and(|at| at >= max_length));
            }
        }
        if row.example.is_unanswered() {
            self.count(Reason::Unanswered, &row.place);
        }
        if row.example.has_empty_answer() {
            self.count(Reason::EmptyAnswer, &row.place);
        }
        if !read.prompt_is_shared {
            self.count(Reason::UnsharedPrompt, &row.place);
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

/// What becomes of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has no token to learn from within the length that is trained on.
    Skipped,
    /// It is longer than that, and its end is cut off.
    Cut,
    /// It is learned whole.
    Whole,
}

/// What becomes of an example where at most `max_length` of its tokens are trained on.
pub fn fate(tokens: &Tokens, max_length: usize) -> Fate {
    let length = tokens.ids.len();
    // The first token is never learned: nothing comes before it to foretell it.
    if tokens.prompt.max(1) >= length.min(max_length) {
        Fate::Skipped
    } else if length > max_length {
        Fate::Cut
    } else {
        Fate::Whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use vertigo_model::dataset::Example;

    const END: u32 = 9;

    fn row(line: usize, example: &serde_json::Value) -> Row {
        let place = Place { file: "a.jsonl".into(), line };
        Row { place, example: Example::parse(&example.to_string()).unwrap() }
    }

    fn read(ids: Vec<u32>, prompt: usize) -> Tokenized {
        Tokenized { tokens: Tokens { ids, prompt }, prompt_is_shared: true }
    }

    #[test]
    fn each_reason_is_counted_once_and_named() {
        let text = json!({"text": "t"});
        let mut remarks = Remarks::default();
        let mut note =
            |line, example: &serde_json::Value, read: &Tokenized| remarks.note(&row(line, example), read, 4, END);
        note(1, &text, &read(vec![1, 2, 3, END], 0));
        note(2, &text, &read(vec![1, 2, 3, 4, 5, END], 1));
        // The line break after the end of turn is all that this one loses.
        note(3, &text, &read(vec![1, 2, 3, END, 5], 1));
        // The prompt alone fills it: left out, and so not cut.
        note(4, &text, &read(vec![1, 2, 3, 4, 5, END], 4));
        note(5, &json!({"messages": [{"role": "user", "content": "q"}]}), &read(vec![1, 2], 0));
        note(6, &json!({"prompt": "q", "completion": ""}), &read(vec![1, 2], 0));
        note(7, &text, &Tokenized { prompt_is_shared: false, ..read(vec![1, 2], 0) });
        let expected = Caveats {
            skipped_examples: 1,
            cut_examples: 2,
            cut_tokens: 3,
            cut_ends: 1,
            unanswered_examples: 1,
            empty_answers: 1,
            unshared_prompts: 1,
            leftover_micro_batches: 0,
        };
        assert_eq!(remarks.caveats(), expected);
        let lines = remarks.lines();
        let ends: Vec<_> = lines.iter().map(|line| line.split_once("; see ").unwrap().1).collect();
        assert_eq!(ends, ["a.jsonl:4", "a.jsonl:2, a.jsonl:3", "a.jsonl:5", "a.jsonl:6", "a.jsonl:7"]);
    }

    proptest! {
        #[test]
        fn every_example_counts_and_the_lines_are_bounded(first in 0usize..60, second in 0usize..60, name in 1usize..255) {
            let noted = |count: usize| {
                let mut remarks = Remarks::default();
                for line in 0..count {
                    let mut row = row(line + 1, &json!({"text": "t"}));
                    row.place.file = "é".repeat(name / 2 + 1).into();
                    remarks.note(&row, &read(vec![1; 6], 0), 4, END);
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
