//! The funnel: how many rows each stage got and let go on, by which rules, with examples.
//!
//! Promise: a function of the book alone. Rows are counted as they were read: one that was split is still one. What enters a stage is what
//! no earlier one ended, and the last stage's rest is what the dataset has.

use crate::book::{Book, Effect, Entry};
use crate::rule::{Rule, Stage};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Examples of each rule that a report shows.
pub const EXAMPLES_MAX: usize = 5;

/// A stage, and what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    /// The stage.
    pub stage: Stage,
    /// Rows that came to it.
    pub entered: u64,
    /// Rows that went on from it.
    pub left: u64,
    /// What was done, by rule and effect: first what took the most rows out.
    pub rules: Vec<Applied>,
}

/// What a rule did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// The rule's name.
    pub rule: String,
    /// What it means.
    pub says: String,
    /// What it did.
    pub effect: Effect,
    /// Rows that it did this to.
    pub rows: u64,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A row that a rule touched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// Where it was written: `FILE:LINE`.
    pub origin: String,
    /// What exactly the rule saw.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How its question and its answer begin, secrets struck out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub begins: String,
}

/// The funnel of a book. `begins` tells how the row of an entry begins.
pub fn funnel(book: &Book, begins: &dyn Fn(u32) -> String) -> Vec<Passage> {
    let mut alive = book.entries.len() as u64;
    let mut by_stage = rules_by_stage(book);
    Stage::ALL
        .into_iter()
        .map(|stage| {
            let ended = book.entries.iter().filter(|entry| ends_in(entry, stage)).count() as u64;
            let (entered, left) = (alive, alive - ended);
            alive = left;
            let mut rules: Vec<Applied> = by_stage.remove(&stage).unwrap_or_default();
            rules.iter_mut().for_each(|rule| show(rule, stage, book, begins));
            Passage { stage, entered, left, rules }
        })
        .collect()
}

fn ends_in(entry: &Entry, stage: Stage) -> bool {
    entry.end().is_some_and(|end| end.rule.stage == stage)
}

fn rules_by_stage(book: &Book) -> BTreeMap<Stage, Vec<Applied>> {
    let mut counts: BTreeMap<(Rule, Effect), u64> = BTreeMap::new();
    for entry in &book.entries {
        // A rule may touch a row at several turns, and it is one row.
        let touched: BTreeSet<(Rule, Effect)> = entry.touched.iter().map(|touch| (touch.rule, touch.effect)).collect();
        touched.into_iter().for_each(|key| *counts.entry(key).or_default() += 1);
    }
    let mut by_stage: BTreeMap<Stage, Vec<Applied>> = BTreeMap::new();
    for ((rule, effect), rows) in counts {
        let (says, name) = (rule.says.to_owned(), rule.name.to_owned());
        let applied = Applied { rule: name, says, effect, rows, examples: Vec::new() };
        by_stage.entry(rule.stage).or_default().push(applied);
    }
    for rules in by_stage.values_mut() {
        rules.sort_by_key(|rule| (!rule.effect.ends(), std::cmp::Reverse(rule.rows)));
    }
    by_stage
}

/// Adds examples: the first by file and line.
fn show(applied: &mut Applied, stage: Stage, book: &Book, begins: &dyn Fn(u32) -> String) {
    let touches = book.entries.iter().zip(0u32..).filter_map(|(entry, number)| {
        let is_it = |rule: Rule| rule.stage == stage && rule.name == applied.rule;
        let touch = entry.touched.iter().find(|touch| is_it(touch.rule) && touch.effect == applied.effect)?;
        Some((entry, number, touch))
    });
    let examples = touches.take(EXAMPLES_MAX).map(|(entry, number, touch)| Example {
        origin: entry.origin.to_string(),
        detail: touch.detail.to_string(),
        begins: begins(number),
    });
    applied.examples = examples.collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Origin;

    const CUT: Rule = Rule::new(Stage::Filters, "cut", "it ends in the middle");
    const BROKEN: Rule = Rule::new(Stage::Read, "broken", "it is no JSON");

    fn book(fates: &[&[(Rule, Effect)]]) -> Book {
        let mut book = Book::default();
        for (line, touches) in (1..).zip(fates) {
            let entry = book.enter(Origin { file: "a.jsonl".into(), line });
            touches.iter().for_each(|(rule, effect)| book.touch(entry, *rule, *effect, format!("at {line}")));
        }
        book
    }

    #[test]
    fn each_stage_gets_what_the_one_before_let_go_on() {
        let (gone, noted) = ((CUT, Effect::Dropped), (CUT, Effect::Noted));
        let funnel = funnel(&book(&[&[(BROKEN, Effect::Rejected)], &[gone], &[noted, noted], &[]]), &|n| n.to_string());
        let counts: Vec<_> = funnel.iter().map(|it| (it.stage.as_str(), it.entered, it.left)).collect();
        assert_eq!(counts[..4], [("read", 4, 3), ("rights", 3, 3), ("tiers", 3, 3), ("filters", 3, 2)]);
        assert_eq!(counts[8], ("split", 2, 2));
        let rules: Vec<_> = funnel[3].rules.iter().map(|it| (it.effect, it.rows, it.examples.len())).collect();
        assert_eq!(rules, [(Effect::Dropped, 1, 1), (Effect::Noted, 1, 1)], "a row is counted once a rule");
        let example = &funnel[3].rules[1].examples[0];
        assert_eq!((&*example.origin, &*example.detail, &*example.begins), ("a.jsonl:3", "at 3", "2"));
    }

    #[test]
    fn examples_are_few() {
        let gone: &[(Rule, Effect)] = &[(CUT, Effect::Dropped)];
        let funnel = funnel(&book(&[gone; 20]), &|_| String::new());
        assert_eq!((funnel[3].rules[0].rows, funnel[3].rules[0].examples.len()), (20, EXAMPLES_MAX));
    }
}
