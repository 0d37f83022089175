//! The pipeline's mix of three data sets: families of sources, each with a share of its own.
//!
//! A row's family is told by `source_file`, or `source`, or `category`, whichever it has first. Families are cut down or filled up with
//! copies to their shares; rows of none are added as they are. Where a family has no row, the balanced mix is made, and that is said.
//!
//! Promise: as many rows of each family as the pipeline makes; drawn as [`balanced`] says.

use super::balanced::{self, one_of};
use super::mixed::{self, MixError, Mixed};
use crate::glob::matches;
use crate::row::Row;
use rand::seq::SliceRandom;

/// A family: its name, its share, and its sources.
struct Family {
    name: &'static str,
    share: f64,
    sources: &'static [&'static str],
}

/// The families, in the order in which they are asked.
const FAMILIES: [Family; 3] = [
    Family {
        name: "sft",
        share: 0.575,
        sources: &[
            "codebase*",
            "oss_roblox*",
            "api_docs*",
            "devforum*",
            "evolved*",
            "synthetic*",
            "roblox_creator*",
            "luau_*",
            "rojo_*",
        ],
    },
    Family {
        name: "trajectory",
        share: 0.275,
        sources: &["mcp_*", "gameplay_*", "embodiment_*", "studio_trajectory*"],
    },
    Family { name: "critic", share: 0.15, sources: &["bugfix_*", "critic_*", "preference_*"] },
];

/// The rows as the pipeline mixes its families.
///
/// # Errors
///
/// That they would be [too many](mixed::MIXED_ROWS_MAX).
pub fn mix(rows: &[Row], seed: u64) -> Result<Mixed, MixError> {
    let mut random = mixed::random(seed);
    let mut families: [Vec<usize>; 3] = Default::default();
    let mut others = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        match family(row) {
            Some(family) => families[family].push(place),
            None => others.push(place),
        }
    }
    let empty = || FAMILIES.iter().zip(&families).filter(|(_, rows)| rows.is_empty()).map(|(family, _)| family.name);
    if empty().next().is_some() {
        let picked = balanced::picked(rows, &mut random)?;
        let fell_back = empty().collect();
        return Ok(Mixed { fell_back, ..mixed::split(rows, &picked, &mut random)? });
    }
    let implied = FAMILIES.iter().zip(&families).map(|(family, rows)| rows.len() as f64 / family.share);
    let total = (implied.fold(0.0, f64::max) as usize).max(rows.len());
    mixed::fits(rows.len(), total)?;
    let mut picked = Vec::new();
    for (family, mut places) in FAMILIES.iter().zip(families) {
        let wanted = (total as f64 * family.share) as usize;
        let filled = (places.len()..wanted).map(|_| one_of(&places, &mut random)).collect::<Vec<usize>>();
        if places.len() > wanted {
            places.shuffle(&mut random);
            places.truncate(wanted);
        }
        picked.extend(places);
        picked.extend(filled);
    }
    picked.extend(others);
    mixed::split(rows, &picked, &mut random)
}

/// The family of a row, by its place among [`FAMILIES`].
fn family(row: &Row) -> Option<usize> {
    // An empty text counts as absent.
    let text = |key: &&str| row.facts.get(*key).and_then(|value| value.as_str()).filter(|text| !text.is_empty());
    let source = ["source_file", "source", "category"].iter().find_map(text)?;
    // Of a path its last part without the ending.
    let source = if source.contains(['/', '\\']) { stem(source) } else { source };
    FAMILIES.iter().position(|family| family.sources.iter().any(|pattern| matches(pattern, source)))
}

/// What Python's `Path(…).stem` gives on a Mac or on Linux, where only `/` divides.
fn stem(path: &str) -> &str {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && !ending.is_empty() => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests;
