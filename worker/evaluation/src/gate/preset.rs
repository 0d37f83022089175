//! The gate of the pipeline that Vertigo replaces (`promote_adapter.py`), rule for rule.
//!
//! It is kept to compare with, and not because it is a good one: of 30 tasks at one sample it asks for any tenth of a point
//! more, and it refuses the very model that was in production. What it left undone stays undone: the overall score of a run
//! without a tag's model is compared with the minimum alone.

use super::{Better, EndingsMost, Figures, Floors, SuiteRules};

/// The preset's name in a gate's file.
pub const VERTIGO_V2: &str = "vertigo-v2";

/// What the base model scored by category, in points (`BASE_SCORES`).
const BASE_SCORES: [(&str, f64); 5] =
    [("coding", 63.7), ("bugfix", 83.3), ("architecture", 67.5), ("mcp_tool_calling", 97.5), ("embodiment", 75.0)];

/// The registry's `minimum_score` where it does not say another: what the base scored overall.
pub(super) const MINIMUM_SCORE: f64 = 75.1;

/// The registry's `regression_threshold` where it does not say another, in points.
pub(super) const REGRESSION_THRESHOLD: f64 = 2.0;

/// The rules: overall at least the minimum and more than the tag's model, and every category that the report has at least the
/// base's score less the threshold. Scores are compared in tenths of a point; equality passes but for being better.
pub fn vertigo_v2(minimum_score: f64, regression_threshold: f64) -> SuiteRules {
    let floor = |(category, base): (&str, f64)| (category.to_owned(), base - regression_threshold);
    SuiteRules {
        check: None,
        figures: Figures::Tenths,
        better: Some(Better::Seen),
        categories: None,
        floors: Floors {
            overall: Some(minimum_score),
            categories: BASE_SCORES.into_iter().map(floor).collect(),
            skips_absent: true,
        },
        contamination: None,
        echo: None,
        endings: EndingsMost::default(),
    }
}
