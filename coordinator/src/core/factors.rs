//! What finished attempts teach about the memory estimate.

use std::collections::{BTreeMap, VecDeque};
use vertigo::bytes::Bytes;

/// What a factor holds for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FactorKey {
    /// The method's name: "QLoRA r8", "LoRA r16", "full".
    pub method: String,
    /// The engine's version: another version may need other memory.
    pub engine: String,
}

/// Attempts that are remembered for a key.
const WINDOW: usize = 16;

/// The most that one attempt can teach: one odd run must not lock out every job of its method.
const CEILING: f64 = 2.0;

/// Ratios of measured to estimated memory, newest last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Factors(BTreeMap<FactorKey, VecDeque<f64>>);

impl Factors {
    /// The factor on an estimate: the largest ratio that is remembered, and never below 1. Short data needs less than was
    /// promised, which says nothing about long data.
    pub fn factor(&self, key: &FactorKey) -> f64 {
        self.ratios(key).fold(1.0, f64::max)
    }

    /// Remembers what an attempt used, or showed to be too little.
    pub(super) fn learn(&mut self, key: FactorKey, measured: Bytes, estimated: Bytes) {
        let ratio = measured.0 as f64 / estimated.0.max(1) as f64;
        self.push(key, ratio.min(CEILING));
    }

    /// Adds a ratio as the newest.
    pub fn push(&mut self, key: FactorKey, ratio: f64) {
        let ratios = self.0.entry(key).or_default();
        ratios.push_back(ratio);
        if ratios.len() > WINDOW {
            ratios.pop_front();
        }
    }

    /// What is remembered for a key, oldest first.
    pub fn ratios(&self, key: &FactorKey) -> impl Iterator<Item = f64> {
        self.0.get(key).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> FactorKey {
        FactorKey { method: "full".to_owned(), engine: "1".to_owned() }
    }

    #[test]
    fn the_largest_of_the_window_counts_and_never_less_than_one() {
        let mut factors = Factors::default();
        factors.learn(key(), Bytes(50), Bytes(100));
        assert_eq!(factors.factor(&key()), 1.0);
        factors.learn(key(), Bytes(120), Bytes(100));
        factors.learn(key(), Bytes(110), Bytes(100));
        assert_eq!(factors.factor(&key()), 1.2);
        for _ in 0..WINDOW {
            factors.learn(key(), Bytes(105), Bytes(100));
        }
        assert_eq!(factors.factor(&key()), 1.05);
        assert_eq!(factors.factor(&FactorKey { engine: "2".to_owned(), ..key() }), 1.0);
    }

    #[test]
    fn one_odd_run_teaches_no_more_than_double() {
        let mut factors = Factors::default();
        factors.learn(key(), Bytes(900), Bytes(100));
        assert_eq!(factors.factor(&key()), 2.0);
        factors.learn(key(), Bytes(1), Bytes(0));
        assert_eq!(factors.factor(&key()), 2.0);
    }
}
