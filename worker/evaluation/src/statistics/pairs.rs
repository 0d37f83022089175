//! Two models' outcomes, task by task.

use super::{Outcomes, TaskId, TaskOutcomes};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// One task as two models answered it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The scores of the one's samples, at least one.
    pub a: Vec<f64>,
    /// The scores of the other's samples, at least one.
    pub b: Vec<f64>,
}

impl Pair {
    /// By how much the one is better.
    pub fn difference(&self) -> f64 {
        mean(&self.a) - mean(&self.b)
    }

    fn turned(&self) -> Pair {
        Pair { a: self.b.clone(), b: self.a.clone() }
    }
}

fn mean(scores: &[f64]) -> f64 {
    scores.iter().sum::<f64>() / scores.len() as f64
}

/// The same tasks as two models answered them, at least one, by category.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    categories: BTreeMap<String, Vec<Pair>>,
}

/// Tasks that two models were not both asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unpaired {
    /// Tasks that the first alone was asked.
    pub first: Vec<TaskId>,
    /// Tasks that the second alone was asked.
    pub second: Vec<TaskId>,
    /// Tasks that stand in different categories.
    pub moved: Vec<TaskId>,
}

impl Pairs {
    /// The tasks of two outcomes side by side.
    ///
    /// # Errors
    /// They are not the same tasks.
    pub fn of(a: &Outcomes, b: &Outcomes) -> Result<Pairs, Unpaired> {
        let others: BTreeMap<_, _> = b.tasks().iter().map(|task| (task.task(), task)).collect();
        let (mut unpaired, mut categories) = (Unpaired::default(), BTreeMap::<String, Vec<Pair>>::new());
        let scores = |task: &TaskOutcomes| task.samples().iter().map(|sample| sample.score()).collect();
        for task in a.tasks() {
            match others.get(task.task()) {
                None => unpaired.first.push(task.task().clone()),
                Some(other) if other.category() != task.category() => unpaired.moved.push(task.task().clone()),
                Some(other) => {
                    let pair = Pair { a: scores(task), b: scores(other) };
                    categories.entry(task.category().to_owned()).or_default().push(pair);
                }
            }
        }
        let ours: BTreeSet<_> = a.tasks().iter().map(TaskOutcomes::task).collect();
        unpaired.second = others.into_keys().filter(|task| !ours.contains(task)).cloned().collect();
        if unpaired == Unpaired::default() { Ok(Pairs { categories }) } else { Err(unpaired) }
    }

    /// The categories with their pairs, in the order of their names.
    pub fn categories(&self) -> impl Iterator<Item = (&str, &[Pair])> {
        self.categories.iter().map(|(name, pairs)| (name.as_str(), pairs.as_slice()))
    }

    /// One category alone.
    pub fn category(&self, name: &str) -> Option<Pairs> {
        let pairs = self.categories.get(name)?.clone();
        Some(Pairs { categories: BTreeMap::from([(name.to_owned(), pairs)]) })
    }

    /// All pairs.
    pub fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.categories.values().flatten()
    }

    /// By how much the first is better in each task.
    pub fn differences(&self) -> Vec<f64> {
        self.iter().map(Pair::difference).collect()
    }

    /// By how much the first is better, from -1 to 1.
    pub fn difference(&self) -> f64 {
        mean(&self.differences())
    }

    /// The same the other way round.
    #[must_use]
    pub fn turned(&self) -> Pairs {
        let turned =
            self.categories.iter().map(|(name, pairs)| (name.clone(), pairs.iter().map(Pair::turned).collect()));
        Pairs { categories: turned.collect() }
    }

    /// Which side's scores come first in the order of numbers: one way to say which of two sides is drawn first that does not
    /// depend on how they were given.
    pub(super) fn order(&self) -> Ordering {
        let a = self.iter().flat_map(|pair| &pair.a);
        let b = self.iter().flat_map(|pair| &pair.b);
        a.zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}
