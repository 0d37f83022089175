//! The comparison itself.

use super::{CompareError, Side, alike};
use crate::statistics::{
    Bootstrap, Demand, Design, Discordant, Interval, Means, Pairs, Reach, Resampling, Share, Spread,
    TASKS_DIFFERING_MIN, discordant, flips, holm, means, normal_above,
};
use serde::{Deserialize, Serialize};

/// Models of one comparison: 28 pairs.
pub const SIDES_MAX: usize = 8;

/// What some models came to on one suite, and how they stand to one another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The suite's name.
    pub suite: String,
    /// What so many tasks and samples can show.
    pub reach: Reach,
    /// The models, in the order in which they were given.
    pub standings: Vec<Standing>,
    /// Every pair of them, the earlier one first.
    pub pairs: Vec<PairDifference>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// As people call it.
    pub model: String,
    /// What it came to.
    pub means: Means,
}

/// How sure it is which of two is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The first is better.
    First,
    /// The second is better.
    Second,
    /// What was seen is seen too often between models that are alike.
    Unsure,
}

/// Two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairDifference {
    /// The one, by its place among the standings.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// Which is better.
    pub verdict: Verdict,
    /// The first's score less the second's, from -1 to 1.
    pub difference: f64,
    /// Where the difference lies, at 95 %: BCa, or where all tasks differ alike, so that draws of them tell nothing of others, the normal
    /// interval by [`Spread::of`].
    pub interval: Interval,
    /// The probability that the first is better, from the same.
    pub probability: f64,
    /// The chance of so large a difference between models that are alike, by turned signs, two-sided.
    pub p: f64,
    /// The same, adjusted by Holm for how many pairs were looked at.
    pub p_holm: f64,
    /// Tasks that one of them alone passed; none where no task passes or fails.
    pub discordant: Option<Discordant>,
    /// McNemar's exact p of these.
    pub mcnemar: Option<f64>,
    /// What it takes to be sure of a difference as it was seen; none where there is none.
    pub needed: Option<Needed>,
    /// The categories, in the order of their names.
    pub categories: Vec<CategoryDifference>,
}

/// What finds a difference of one size at 5 %, four times of five, where tasks vary as they did here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needed {
    /// Tasks, at as many samples as there were, six at least, because fewer are never enough; none where it takes more than a
    /// suite has.
    pub tasks: Option<u64>,
    /// Samples of as many tasks as there were; none where no number is enough.
    pub samples: Option<u64>,
}

/// Two models in one category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CategoryDifference {
    /// Its name.
    pub category: String,
    /// Its tasks.
    pub tasks: u64,
    /// The first's score less the second's.
    pub difference: f64,
    /// Where the difference lies, at 95 %: percentile, or where all tasks differ alike as for all categories.
    pub interval: Interval,
    /// The probability that the first is better, from the same.
    pub probability: f64,
    /// The chance of so large a difference between models that are alike.
    pub p: f64,
    /// The same, adjusted by Holm over the categories of the pair.
    pub p_holm: f64,
}

/// Compares all pairs of some models.
///
/// # Errors
/// There are too few or too many, or two were not asked alike.
pub fn compare(sides: &[Side], how: Resampling) -> Result<Comparison, CompareError> {
    if !(2..=SIDES_MAX).contains(&sides.len()) {
        return Err(CompareError::Sides(sides.len()));
    }
    let mut pairs = Vec::new();
    for (first, one) in sides.iter().enumerate() {
        for (second, other) in sides.iter().enumerate().skip(first + 1) {
            let alike = alike(one, other)?;
            let mut pair = pair_difference(&alike, how);
            (pair.first, pair.second) = (first, second);
            pair.discordant = discordant(&one.outcomes, &other.outcomes);
            pair.mcnemar = pair.discordant.map(Discordant::exact);
            pairs.push(pair);
        }
    }
    let adjusted = holm(&pairs.iter().map(|pair| pair.p).collect::<Vec<_>>());
    for (pair, p_holm) in pairs.iter_mut().zip(adjusted) {
        pair.p_holm = p_holm;
        let is_sure = p_holm <= Share::ALPHA.get();
        pair.verdict = match pair.difference {
            difference if is_sure && difference > 0.0 => Verdict::First,
            difference if is_sure && difference < 0.0 => Verdict::Second,
            _ => Verdict::Unsure,
        };
    }
    let standing = |side: &Side| Standing { model: side.model.clone(), means: means(&side.outcomes) };
    let samples = sides.iter().map(|side| side.outcomes.samples()).min().unwrap_or(1);
    let design = Design { tasks: sides[0].outcomes.tasks().len() as u64, samples: samples as u64 };
    Ok(Comparison {
        suite: sides[0].suite.clone(),
        reach: Reach::of(design, Spread::PLANNED),
        standings: sides.iter().map(standing).collect(),
        pairs,
    })
}

/// An interval and the probability that the first is better as they were drawn; or by the spread that is assumed where nothing was seen
/// to vary: one task that the first alone passes would be certainty otherwise.
fn or_by_spread(pairs: &Pairs, drawn: (Interval, f64)) -> (Interval, f64) {
    if !drawn.0.is_a_point() {
        return drawn;
    }
    let samples = pairs.iter().map(|pair| pair.a.len().min(pair.b.len())).min().unwrap_or(1) as u64;
    let error = (Spread::of(pairs).at(samples) / pairs.iter().count() as f64).sqrt();
    (Interval::normal(pairs.difference(), error, Share::LEVEL), normal_above(pairs.difference(), error))
}

fn pair_difference(pairs: &Pairs, how: Resampling) -> PairDifference {
    let drawn = Bootstrap::either_way(pairs, how);
    let (interval, probability) = or_by_spread(pairs, (drawn.bca(Share::LEVEL), drawn.chance_above(0.0)));
    let p = flips(&pairs.differences(), how.seed);
    let mut categories: Vec<CategoryDifference> =
        pairs.categories().map(|(name, _)| name).filter_map(|name| category_difference(pairs, name, how)).collect();
    let adjusted = holm(&categories.iter().map(|category| category.p).collect::<Vec<_>>());
    for (category, p_holm) in categories.iter_mut().zip(adjusted) {
        category.p_holm = p_holm;
    }
    PairDifference {
        first: 0,
        second: 0,
        verdict: Verdict::Unsure,
        difference: pairs.difference(),
        interval,
        probability,
        p,
        p_holm: p,
        discordant: None,
        mcnemar: None,
        needed: needed(pairs),
        categories,
    }
}

fn category_difference(pairs: &Pairs, name: &str, how: Resampling) -> Option<CategoryDifference> {
    let pairs = pairs.category(name)?;
    let drawn = Bootstrap::either_way(&pairs, how);
    let (interval, probability) = or_by_spread(&pairs, (drawn.percentile(Share::LEVEL), drawn.chance_above(0.0)));
    let differences = pairs.differences();
    let p = flips(&differences, how.seed);
    Some(CategoryDifference {
        category: name.to_owned(),
        tasks: differences.len() as u64,
        difference: pairs.difference(),
        interval,
        probability,
        p,
        p_holm: p,
    })
}

/// Differences below this are none: a hundredth of a point.
const DIFFERENCE_MIN: f64 = 1e-4;

fn needed(pairs: &Pairs) -> Option<Needed> {
    let difference = pairs.difference().abs();
    if difference < DIFFERENCE_MIN {
        return None;
    }
    let samples = pairs.iter().map(|pair| pair.a.len().min(pair.b.len())).min().unwrap_or(1) as u64;
    let (demand, spread) = (Demand::two_sided(Share::ALPHA, Share::POWER), Spread::of(pairs));
    Some(Needed {
        tasks: demand.tasks(difference, samples, spread).map(|tasks| tasks.max(TASKS_DIFFERING_MIN)),
        samples: demand.samples(difference, pairs.iter().count() as u64, spread),
    })
}
