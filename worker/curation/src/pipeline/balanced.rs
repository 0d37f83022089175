//! The pipeline's balanced mix: a category with fewer rows than a third of the largest one's is filled up with copies.
//!
//! Promise: as many rows of each category as the pipeline makes. Which rows are copied, and which go where, is drawn by a generator of our
//! own from a seed: the same on any machine, and not what Python's `random` draws.

use super::mixed::{self, MixError, Mixed};
use crate::row::Row;
use rand::{Rng, RngExt};
use std::collections::HashMap;

/// The largest category is at most so many times the smallest one.
const RATIO_MAX: f64 = 3.0;

/// The category of a row without one.
const UNKNOWN: &str = "unknown";

/// The rows as the pipeline balances them, by their `category`.
///
/// # Errors
///
/// That they would be [too many](mixed::MIXED_ROWS_MAX).
pub fn mix(rows: &[Row], seed: u64) -> Result<Mixed, MixError> {
    let mut random = mixed::random(seed);
    let picked = picked(rows, &mut random)?;
    mixed::split(rows, &picked, &mut random)
}

/// The places of the rows that come, each as often as it comes, category by category.
pub(super) fn picked(rows: &[Row], random: &mut impl Rng) -> Result<Vec<usize>, MixError> {
    // In the order in which they first come.
    let mut categories: Vec<Vec<usize>> = Vec::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for (place, row) in rows.iter().enumerate() {
        let category = match row.facts.get("category") {
            None => UNKNOWN.to_owned(),
            Some(serde_json::Value::String(name)) => name.clone(),
            // Whatever else stands there is a category by how it is written, and not that of the same word.
            Some(other) => format!("\0{other}"),
        };
        let at = *by_name.entry(category).or_insert(categories.len());
        if at == categories.len() {
            categories.push(Vec::new());
        }
        categories[at].push(place);
    }
    let largest = categories.iter().map(Vec::len).max().unwrap_or_default();
    let least = (largest as f64 / RATIO_MAX) as usize;
    mixed::fits(rows.len(), categories.iter().map(|category| category.len().max(least)).sum())?;
    let mut picked = Vec::new();
    for category in categories {
        picked.extend(&category);
        picked.extend((category.len()..least).map(|_| one_of(&category, random)));
    }
    Ok(picked)
}

/// One of several places, each as likely.
pub(super) fn one_of(places: &[usize], random: &mut impl Rng) -> usize {
    // A number of 32 bits is drawn alike on every machine.
    places[random.random_range(0..places.len() as u32) as usize]
}
