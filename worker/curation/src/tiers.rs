//! The pipeline's tiers: which rows enter, by the file that they stand in.
//!
//! Files of `copy` and `verified` enter whole, those of `filter_code` by lines of code, those of `filter_score` by a score; those of
//! `excluded` and those that no tier names stay out. Where several tiers name a file, the last of them in this order decides, as the
//! pipeline's later ones write over its earlier ones; `excluded` is above all.
//!
//! Promise: a config of the pipeline means what it means there. Where the pipeline ends with an error (no content, a score that is no
//! number), a row is left out by name.

use crate::book::{Book, Effect};
use crate::config::{FilterCode, FilterScore, Tiers};
use crate::glob::any_matches;
use crate::quality::pipeline_code_lines;
use crate::row::Row;
use crate::rule::{Rule, Stage};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// The config excludes the row's file.
pub const FILE_EXCLUDED: Rule = Rule::new(Stage::Tiers, "file_excluded", "the config excludes its file");

/// No tier names the row's file.
pub const NO_TIER: Rule = Rule::new(Stage::Tiers, "no_tier", "its file is in no tier of the config");

/// Too little code for `filter_code`.
pub const TIER_FEW_CODE_LINES: Rule =
    Rule::new(Stage::Tiers, "tier_few_code_lines", "it has fewer lines within fences than its tier asks for");

/// Too little for `filter_score`.
pub const TIER_LOW_SCORE: Rule = Rule::new(Stage::Tiers, "tier_low_score", "its score is less than its tier asks for");

/// Why a file's rows enter, or do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Whole: `copy` or `verified`.
    Copy,
    /// By lines of code.
    Code,
    /// By a score.
    Score,
    /// Not at all.
    Excluded,
    /// Not at all: nothing names it.
    Unnamed,
}

/// The rows that enter. Without tiers all do whose file is not excluded.
pub fn apply(rows: Vec<Row>, tiers: Option<&Tiers>, excluded: &[String], book: &mut Book) -> Vec<Row> {
    // Rows of a file stand together, so that the last answer is nearly always the one that is asked for again.
    let mut last: Option<(Arc<str>, Tier)> = None;
    let mut kept = Vec::with_capacity(rows.len());
    for row in rows {
        let file = &book.of(&row).origin.file;
        let tier = match &last {
            Some((known, tier)) if known == file => *tier,
            _ => {
                let tier = tier(tiers, excluded, file);
                last = Some((file.clone(), tier));
                tier
            }
        };
        match refused(&row, tier, tiers) {
            Some((rule, why)) => book.touch(row.entry, rule, Effect::Dropped, why),
            None => kept.push(row),
        }
    }
    kept
}

/// The tier of a file in a config.
pub fn tier(tiers: Option<&Tiers>, excluded: &[String], file: &str) -> Tier {
    if any_matches(excluded, file) {
        return Tier::Excluded;
    }
    match tiers {
        None => Tier::Copy,
        Some(tiers) if any_matches(&tiers.filter_score.files, file) => Tier::Score,
        Some(tiers) if any_matches(&tiers.filter_code.files, file) => Tier::Code,
        Some(tiers) if any_matches(tiers.copy.iter().chain(&tiers.verified), file) => Tier::Copy,
        Some(_) => Tier::Unnamed,
    }
}

/// Why a row of the tier does not enter.
fn refused(row: &Row, tier: Tier, tiers: Option<&Tiers>) -> Option<(Rule, String)> {
    match (tier, tiers) {
        (Tier::Excluded, _) => Some((FILE_EXCLUDED, String::new())),
        (Tier::Unnamed, _) => Some((NO_TIER, String::new())),
        (Tier::Code, Some(Tiers { filter_code: FilterCode { min_code_lines, .. }, .. })) => {
            let lines = pipeline_code_lines(row);
            let is_little = (lines as u64) < u64::from(*min_code_lines);
            is_little.then(|| (TIER_FEW_CODE_LINES, format!("{lines} of {min_code_lines}")))
        }
        (Tier::Score, Some(Tiers { filter_score, .. })) => low_score(row, filter_score),
        _ => None,
    }
}

fn low_score(row: &Row, FilterScore { min_score, score_field, .. }: &FilterScore) -> Option<(Rule, String)> {
    let score = match row.facts.get(score_field) {
        None => Some(0.0),
        Some(Value::Number(number)) => number.as_f64(),
        // Python counts them as numbers.
        Some(Value::Bool(is_true)) => Some(f64::from(u8::from(*is_true))),
        Some(_) => None,
    };
    match score {
        Some(score) if score >= *min_score => None,
        Some(score) => Some((TIER_LOW_SCORE, format!("{score_field} is {score}, less than {min_score}"))),
        None => Some((TIER_LOW_SCORE, format!("{score_field} is no number"))),
    }
}

#[cfg(test)]
mod tests;
