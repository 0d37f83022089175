//! Rows that belong together.
//!
//! Promise: which rows do depends on the pairs that were joined alone, not on their order.

use crate::row::RowId;
use std::collections::BTreeMap;

/// Rows by their places, joined in pairs.
#[derive(Debug, Clone)]
pub struct Joined {
    /// A row that each belongs to; itself where it stands for others.
    of: Vec<u32>,
}

impl Joined {
    /// So many rows, each by itself.
    pub fn new(rows: usize) -> Joined {
        Joined { of: (0..rows as u32).collect() }
    }

    /// The first row of those that this one belongs with.
    pub fn first(&mut self, mut row: u32) -> u32 {
        while self.of[row as usize] != row {
            let next = self.of[row as usize];
            self.of[row as usize] = self.of[next as usize];
            row = next;
        }
        row
    }

    /// Both, and all that belong with either, belong together.
    pub fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.first(one), self.first(other));
        // The smaller stands for both, so that no order of joining shows.
        self.of[one.max(other) as usize] = one.min(other);
    }

    /// The first row of each, by its place.
    pub fn firsts(mut self) -> Vec<u32> {
        (0..self.of.len() as u32).map(|row| self.first(row)).collect()
    }
}

/// Rows that say the same thing, by the entry of each; a row that is like no other is in none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clusters {
    of: BTreeMap<u32, RowId>,
}

impl Clusters {
    /// The cluster that the row of this entry is in: the smallest id of its rows.
    pub fn of(&self, entry: u32) -> Option<RowId> {
        self.of.get(&entry).copied()
    }

    /// The entries of each cluster.
    pub fn all(&self) -> BTreeMap<RowId, Vec<u32>> {
        let mut all: BTreeMap<RowId, Vec<u32>> = BTreeMap::new();
        for (entry, id) in &self.of {
            all.entry(*id).or_default().push(*entry);
        }
        all
    }

    /// What was joined, where the rows by their places have these entries and ids.
    pub(crate) fn from(joined: Joined, rows: impl Fn(u32) -> (u32, RowId)) -> Clusters {
        let firsts = joined.firsts();
        // Most rows are joined to none: only those that are, and their firsts, are looked at.
        let others = (0u32..).zip(&firsts).filter(|(place, first)| place != *first);
        let mut clusters: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (place, first) in others {
            clusters.entry(*first).or_insert_with(|| vec![*first]).push(place);
        }
        let mut of = BTreeMap::new();
        for places in clusters.into_values() {
            if let Some(id) = places.iter().map(|place| rows(*place).1).min() {
                of.extend(places.into_iter().map(|place| (rows(place).0, id)));
            }
        }
        Clusters { of }
    }
}
