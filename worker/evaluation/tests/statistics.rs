//! Our statistics beside scipy's and statsmodels', as `tests/peer/statistics.py` wrote them down.

use serde_json::Value;
use vertigo_evaluation::statistics::{
    Bootstrap, Demand, Design, Discordant, Interval, Outcomes, Pairs, Resampling, SampleOutcome, Share, Spread, TaskId,
    TaskOutcomes, at_least, flips, holm, mcnemar_power, mcnemar_tasks, wilson,
};

/// How near an exact figure has to be.
const EXACT: f64 = 1e-9;

/// How near a drawn one: four standard errors of a quantile of 20,000 draws of scores whose spread is a fifth or less.
const DRAWN: f64 = 0.006;

/// The peer's figures of one kind, at least one.
fn golden(kind: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("golden/statistics.json")).unwrap();
    let figures = all[kind].as_array().unwrap().clone();
    assert!(!figures.is_empty(), "there are no figures of {kind}");
    figures
}

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(float).collect()
}

fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn share(value: &Value) -> Share {
    Share::new(float(value)).unwrap()
}

#[track_caller]
fn near(ours: f64, theirs: f64, tolerance: f64, of: &Value) {
    assert!((ours - theirs).abs() <= tolerance, "{ours} where the peer has {theirs}: {of}");
}

#[track_caller]
fn interval_near(ours: Interval, theirs: &Value, of: &Value) {
    let theirs = floats(theirs);
    near(ours.low, theirs[0], DRAWN, of);
    near(ours.high, theirs[1], DRAWN, of);
}

/// Outcomes of tasks, by category, with the scores of each task's samples.
fn outcomes<'a>(categories: impl IntoIterator<Item = (&'a str, Vec<Vec<f64>>)>) -> Outcomes {
    let answered = |score: f64| SampleOutcome::Answered { score: Share::new(score).unwrap(), passed: None };
    let tasks = categories.into_iter().flat_map(|(category, tasks)| {
        tasks.into_iter().enumerate().map(move |(n, scores)| {
            let samples = scores.into_iter().map(answered).collect();
            TaskOutcomes::new(TaskId(format!("{category}_{n:03}")), category, samples).unwrap()
        })
    });
    Outcomes::new(tasks.collect()).unwrap()
}

const HOW: Resampling = Resampling { draws: 20_000, seed: 7 };

#[test]
fn wilson_is_statsmodels() {
    for case in golden("wilson") {
        let ours = wilson(share(&case["rate"]), whole(&case["trials"]), share(&case["level"]));
        near(ours.low, float(&case["low"]), EXACT, &case);
        near(ours.high, float(&case["high"]), EXACT, &case);
    }
}

#[test]
fn mcnemar_is_scipy_and_statsmodels() {
    for case in golden("discordant") {
        let ours = Discordant { first: whole(&case["first"]), second: whole(&case["second"]) };
        near(ours.exact(), float(&case["exact"]), EXACT, &case);
        near(ours.mid_p(), float(&case["mid_p"]), EXACT, &case);
    }
}

#[test]
fn holm_is_statsmodels() {
    for case in golden("holm") {
        for (ours, theirs) in holm(&floats(&case["p"])).into_iter().zip(floats(&case["adjusted"])) {
            near(ours, theirs, EXACT, &case);
        }
    }
}

#[test]
fn passing_at_k_is_what_all_subsets_come_to() {
    for case in golden("subsets") {
        let [samples, passed, k, least] = [0, 1, 2, 3].map(|at| whole(&case[at]));
        near(at_least(samples, passed, k, least).unwrap(), float(&case[4]), EXACT, &case);
    }
}

#[test]
fn turned_signs_are_scipys_permutation_test() {
    for case in golden("flips") {
        near(flips(&floats(&case["differences"]), 0), float(&case["p"]), EXACT, &case);
    }
}

#[test]
fn the_bootstrap_of_one_sample_is_scipys() {
    for case in golden("bootstrap") {
        let side = |key: &str| outcomes([("all", floats(&case[key]).into_iter().map(|score| vec![score]).collect())]);
        let drawn = Bootstrap::of(&Pairs::of(&side("a"), &side("b")).unwrap(), HOW);
        interval_near(drawn.percentile(Share::LEVEL), &case["percentile"], &case);
        interval_near(drawn.bca(Share::LEVEL), &case["BCa"], &case);
        near(drawn.chance_above(0.05), float(&case["above"]), 0.015, &case);
    }
}

#[test]
fn the_bootstrap_of_samples_within_tasks_within_categories_is_numpys_the_long_way_round() {
    for case in golden("nested") {
        let side = |which: usize| {
            let categories = case["categories"].as_array().unwrap().iter().zip(["x", "y", "z"]);
            outcomes(
                categories.map(|(sides, name)| (name, sides[which].as_array().unwrap().iter().map(floats).collect())),
            )
        };
        let drawn = Bootstrap::of(&Pairs::of(&side(0), &side(1)).unwrap(), HOW);
        interval_near(drawn.percentile(Share::LEVEL), &case["percentile"], &case);
        near(drawn.chance_above(0.0), float(&case["above"]), 0.015, &case);
    }
}

#[test]
fn power_of_the_exact_test_is_the_sum_over_all_tables() {
    for case in golden("power") {
        let (first, second) = (float(&case["first"]), float(&case["second"]));
        let ours = mcnemar_power(whole(&case["tasks"]), first, second, share(&case["alpha"]));
        near(ours, float(&case["power"]), EXACT, &case);
    }
}

#[test]
fn the_fewest_tasks_are_those_that_a_search_from_one_finds() {
    for case in golden("fewest") {
        let (difference, discordant) = (float(&case["difference"]), float(&case["discordant"]));
        let ours = mcnemar_tasks(difference, discordant, Share::ALPHA, Share::POWER);
        assert_eq!(ours, Some(whole(&case["tasks"])), "{case}");
    }
}

#[test]
fn what_a_design_finds_is_by_scipys_quantiles() {
    let demand = Demand::two_sided(Share::ALPHA, Share::POWER);
    for case in golden("normal") {
        let design = Design { tasks: whole(&case["tasks"]), samples: whole(&case["samples"]) };
        near(demand.detectable(design, Spread::PLANNED), float(&case["detectable"]), EXACT, &case);
        assert_eq!(demand.tasks(0.1, design.samples, Spread::PLANNED), Some(whole(&case["needed"])), "{case}");
    }
}
