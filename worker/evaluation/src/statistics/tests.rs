//! What holds of any outcomes. Figures that a peer has too are in `tests/statistics.rs`.

use super::drawn::{raised, two, written};
use super::*;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const HOW: Resampling = Resampling { draws: 200, seed: 3 };

fn task(name: &str, samples: Vec<SampleOutcome>) -> Result<TaskOutcomes, OutcomesError> {
    TaskOutcomes::new(TaskId(name.to_owned()), "coding", samples)
}

#[test]
fn outcomes_that_are_none_say_why() {
    let passes = SampleOutcome::Answered { score: Share::ALL, passed: Some(true) };
    let scores = SampleOutcome::Answered { score: Share::ALL, passed: None };
    assert!(task("a", vec![]).unwrap_err().to_string().contains("`a` has 0 samples"));
    assert!(task("a", vec![passes; SAMPLES_MAX + 1]).is_err());
    assert!(task("a", vec![passes, scores]).unwrap_err().to_string().contains("its checks are the same"));
    assert!(task("a", vec![passes, SampleOutcome::Cut]).is_ok());
    assert!(task("a\u{1b}[2J", vec![passes]).unwrap_err().to_string().contains(r"a\u{1b}[2J"));
    let one = task("a", vec![passes]).unwrap();
    assert_eq!(Outcomes::new(vec![]), Err(OutcomesError::Tasks(0)));
    assert_eq!(Outcomes::new(vec![one.clone(), one]), Err(OutcomesError::Twice(TaskId("a".to_owned()))));
}

#[test]
fn outcomes_read_back_as_they_were_written_and_bad_ones_do_not() {
    let outcomes = written(&[("coding", &["+-c", "te+"]), ("bugfix", &["-"])]);
    let text = serde_json::to_string(&outcomes).unwrap();
    assert_eq!(serde_json::from_str::<Outcomes>(&text).unwrap(), outcomes);
    assert!(serde_json::from_str::<Outcomes>(&text.replace("\"score\":1.0", "\"score\":1.5")).is_err());
    assert!(serde_json::from_str::<Outcomes>(r#"{"tasks": []}"#).is_err());
}

#[test]
fn what_brought_no_answer_scores_nothing_and_is_counted_apart() {
    let outcomes = written(&[("coding", &["++-c", "te++"]), ("tools", &["++++"])]);
    let all = means(&outcomes);
    assert_eq!(all.endings, Endings { answered: 9, cut: 1, timed_out: 1, api_errors: 1 });
    assert!((all.score - (0.5 + 0.5 + 1.0) / 3.0).abs() < 1e-12);
    let categories = category_means(&outcomes);
    assert_eq!(
        categories.iter().map(|(name, means)| (&**name, means.score)).collect::<Vec<_>>(),
        [("coding", 0.5), ("tools", 1.0)]
    );
    // A task without a whole answer fails where others can pass, and does nothing where none can.
    assert_eq!(written(&[("coding", &["+", "e"])]).deciding().len(), 2);
    assert_eq!(written(&[("coding", &["e", "e"])]).deciding().len(), 0);
}

#[test]
fn thirty_tasks_at_one_sample_cannot_show_less_than_twenty_points() {
    let reach = |tasks, samples| Reach::of(Design { tasks, samples }, Spread::PLANNED);
    assert!((reach(30, 1).ever.unwrap() - 0.2).abs() < 1e-12);
    let said = reach(30, 1).to_string();
    assert!(said.starts_with("30 tasks at 1 sample cannot show less than 20.0 points, and find"), "{said}");
    assert_eq!(reach(5, 9).ever, None);
    let one_way = |first| Discordant { first, second: 0 }.exact() <= Share::ALPHA.get();
    assert!(one_way(TASKS_DIFFERING_MIN) && !one_way(TASKS_DIFFERING_MIN - 1));
    assert_eq!(reach(5, 9).to_string(), "5 tasks at 9 samples cannot show that one model is better than another");
}

#[test]
fn opengameevals_consistency_asks_for_three_of_five() {
    let passing =
        |passed| [majority(5, passed, 5), pass_every(5, passed, 5), pass_at(5, passed, 5)].map(Option::unwrap);
    assert_eq!(passing(2), [0.0, 0.0, 1.0]);
    assert_eq!(passing(3), [1.0, 0.0, 1.0]);
    assert_eq!(passing(5), [1.0, 1.0, 1.0]);
    assert_eq!(pass_at(4, 2, 5), None);
    let outcomes = written(&[("coding", &["+++--", "++---"])]);
    assert_eq!(passes_with(&outcomes.deciding(), 5, majority), Some(0.5));
    assert_eq!(passes_with(&outcomes.deciding(), 6, majority), None);
}

/// Suites are drawn from a world in which the one model is better by a tenth; how many of a hundred intervals hold that.
#[test]
fn the_bootstraps_interval_holds_the_truth_about_as_often_as_it_says() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (mut wide, mut half) = (0, 0);
    for _ in 0..100 {
        let mut tasks = (Vec::new(), Vec::new());
        for n in 0..30 {
            let rate = random.random_range(0.0..0.9);
            let mut side = |rate: f64| -> TaskOutcomes {
                let samples = (0..2).map(|_| drawn::answered(random.random_bool(rate))).collect();
                TaskOutcomes::new(TaskId(format!("t{n}")), ["x", "y", "z"][n % 3], samples).unwrap()
            };
            tasks.0.push(side(rate + 0.1));
            tasks.1.push(side(rate));
        }
        let pairs = Pairs::of(&Outcomes::new(tasks.0).unwrap(), &Outcomes::new(tasks.1).unwrap()).unwrap();
        let drawn = Bootstrap::of(&pairs, Resampling { draws: 300, seed: 5 });
        wide += u32::from(drawn.bca(Share::LEVEL).holds(0.1));
        half += u32::from(drawn.percentile(Share::new(0.5).unwrap()).holds(0.1));
    }
    assert!((88..=100).contains(&wide), "{wide} of 100 at 95 %");
    assert!((35..=72).contains(&half), "{half} of 100 at 50 %");
}

#[test]
fn a_test_of_models_that_are_alike_finds_a_difference_as_seldom_as_it_says() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut found = 0;
    for _ in 0..400 {
        let differences: Vec<f64> = (0..10).map(|_| random.random_range(-1.0..1.0)).collect();
        found += u32::from(flips(&differences, 0) <= 0.05);
    }
    // Twenty are expected; four standard deviations are eighteen.
    assert!((4..=38).contains(&found), "{found} of 400 at 5 %");
}

#[test]
fn small_categories_are_drawn_from_together_and_one_alone_is_not_certain() {
    let a = written(&[("x", &["+"]), ("y", &["-"]), ("z", &["+"]), ("w", &["+"]), ("v", &["-"]), ("u", &["+"])]);
    let b = written(&[("x", &["-"]), ("y", &["+"]), ("z", &["-"]), ("w", &["-"]), ("v", &["-"]), ("u", &["+"])]);
    let drawn = Bootstrap::of(&Pairs::of(&a, &b).unwrap(), HOW).percentile(Share::LEVEL);
    assert!(drawn.high - drawn.low > 0.5, "{drawn:?}");
}

#[test]
fn more_samples_do_not_help_where_the_tasks_themselves_differ() {
    let demand = Demand::two_sided(Share::ALPHA, Share::POWER);
    let spread = Spread { between: 0.1, within: 0.3 };
    assert_eq!(demand.samples(0.05, 100, spread), None);
    let samples = demand.samples(0.15, 100, spread).unwrap();
    let shown = |samples| demand.detectable(Design { tasks: 100, samples }, spread);
    assert!(shown(samples) <= 0.15 + 1e-9 && (samples == 1 || shown(samples - 1) > 0.15));
    assert_eq!(demand.tasks(1e-4, 1, spread), None);
}

/// By hand: what has a closed form at the ends of what can be.
#[test]
fn figures_at_the_ends_of_what_can_be_are_those_of_a_hand() {
    let z2 = 1.959963984540054_f64.powi(2);
    for trials in [1_u64, 2, 10, 1000] {
        let (none, all) = (wilson(Share::NONE, trials, Share::LEVEL), wilson(Share::ALL, trials, Share::LEVEL));
        let far = z2 / (trials as f64 + z2);
        assert!(none.low == 0.0 && (none.high - far).abs() < 1e-12, "{trials}: {none:?}");
        assert!(all.high == 1.0 && (all.low - (1.0 - far)).abs() < 1e-12, "{trials}: {all:?}");
        // One alone passes all: twice a half to the power of how many.
        let exact = Discordant { first: trials, second: 0 }.exact();
        assert!((exact - 2.0_f64.powi(1 - trials.min(1000) as i32).min(1.0)).abs() < 1e-12, "{trials}: {exact}");
        assert_eq!(Discordant { first: trials, second: trials }.exact(), 1.0);
        assert!((pass_at(trials, 1, 1).unwrap() - 1.0 / trials as f64).abs() < 1e-12);
        assert_eq!((pass_at(trials, 0, trials), pass_every(trials, trials, trials)), (Some(0.0), Some(1.0)));
        assert_eq!((pass_at(trials, 1, trials), pass_every(trials, trials - 1, trials)), (Some(1.0), Some(0.0)));
    }
    assert_eq!((Discordant::default().exact(), Discordant::default().mid_p()), (1.0, 1.0));
    assert_eq!(wilson(Share::ALL, 0, Share::LEVEL).low, 0.0);
    // Ties are all raised alike, and nothing passes 1.
    assert_eq!(holm(&[0.01, 0.01, 0.01]).iter().map(|p| (p * 100.0).round()).collect::<Vec<_>>(), [3.0; 3]);
    assert_eq!((holm(&[]), holm(&[0.2]), holm(&[1.0, 0.6, 0.0])), (vec![], vec![0.2], vec![1.0, 1.0, 0.0]));
    // Without a difference there is nothing to turn; one of any size says nothing, and five of one sign not enough.
    assert_eq!((flips(&[], 0), flips(&[0.0; 30], 0), flips(&[0.3], 0), flips(&[0.1; 5], 0)), (1.0, 1.0, 1.0, 0.0625));
    assert_eq!(flips(&[0.1, -0.1, 0.1, -0.1], 0), 1.0);
    let one = |sign: &str| written(&[("coding", &[sign])]);
    let drawn = Bootstrap::of(&Pairs::of(&one("+"), &one("-")).unwrap(), HOW);
    let interval = drawn.bca(Share::LEVEL);
    assert_eq!((interval.low, interval.high, drawn.chance_above(1.0)), (1.0, 1.0, 0.5));
    let drawn = Bootstrap::of(&Pairs::of(&one("+"), &one("+")).unwrap(), HOW);
    assert_eq!(drawn.chance_above(0.0), 0.5, "ties are nobody's");
}

/// Suites are drawn in which the first model is better by just what the design is said to find.
fn found(design: Design, suites: u32) -> (f64, f64) {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    // A task's true difference is a sixth more or less than the mean, which makes the variance that is planned with.
    let (sixth, rates) = (1.0 / 6.0, 0.2..0.68);
    let within = |by: f64| {
        let mean = |shift: f64| {
            (0..1000).map(|n| 0.2 + 0.48 * (f64::from(n) + 0.5) / 1000.0 + shift).map(|p| p * (1.0 - p)).sum::<f64>()
                / 1000.0
        };
        mean(0.0) + (mean(by + sixth) + mean(by - sixth)) / 2.0
    };
    let reach = |by: f64| Reach::of(design, Spread { between: sixth * sixth, within: within(by) }).likely.unwrap();
    let by = reach(reach(0.12));
    let (mut found, mut wrong) = (0, 0);
    for _ in 0..suites {
        let mut tasks = (Vec::new(), Vec::new());
        for n in 0..design.tasks {
            let rate = random.random_range(rates.clone());
            let more = if random.random_bool(0.5) { sixth } else { -sixth };
            let mut side = |rate: f64| -> TaskOutcomes {
                let samples = (0..design.samples).map(|_| drawn::answered(random.random_bool(rate))).collect();
                TaskOutcomes::new(TaskId(format!("t{n}")), "x", samples).unwrap()
            };
            tasks.0.push(side((rate + by + more).clamp(0.0, 1.0)));
            tasks.1.push(side(rate));
        }
        let pairs = Pairs::of(&Outcomes::new(tasks.0).unwrap(), &Outcomes::new(tasks.1).unwrap()).unwrap();
        let is_found = flips(&pairs.differences(), 3) <= Share::ALPHA.get();
        found += u32::from(is_found && pairs.difference() > 0.0);
        wrong += u32::from(is_found && pairs.difference() < 0.0);
    }
    (f64::from(found) / f64::from(suites), f64::from(wrong) / f64::from(suites))
}

#[test]
fn what_a_suite_is_said_to_find_four_times_of_five_is_found_so_often() {
    for (tasks, samples) in [(40, 4), (100, 2)] {
        let (found, wrong) = found(Design { tasks, samples }, 120);
        // Four standard errors of 120 suites are 15 points.
        assert!(
            (0.65..=0.95).contains(&found) && wrong == 0.0,
            "{tasks} tasks, {samples} samples: {found}, {wrong} wrong"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_tasks_changes_nothing((a, b) in two(), turn in 0..14_usize) {
        let mut tasks = a.tasks().to_vec();
        let turn = turn % tasks.len();
        tasks.rotate_left(turn);
        tasks.reverse();
        prop_assert_eq!(&Outcomes::new(tasks).unwrap(), &a);
        prop_assert!(Pairs::of(&a, &b).is_ok());
    }

    #[test]
    fn the_bootstrap_mirrors_and_stays_within_what_scores_can_be((a, b) in two()) {
        let (one, other) = (Pairs::of(&a, &b).unwrap(), Pairs::of(&b, &a).unwrap());
        prop_assert_eq!(&one.turned(), &other);
        let (one, other) = (Bootstrap::either_way(&one, HOW), Bootstrap::either_way(&other, HOW));
        prop_assert!((one.chance_above(0.0) + other.chance_above(0.0) - 1.0).abs() < 1e-12);
        for (ours, theirs) in [
            (one.percentile(Share::LEVEL), other.percentile(Share::LEVEL)),
            (one.bca(Share::LEVEL), other.bca(Share::LEVEL)),
        ] {
            prop_assert!((ours.low + theirs.high).abs() < 1e-9 && (ours.high + theirs.low).abs() < 1e-9);
            prop_assert!(-1.0 - 1e-9 <= ours.low && ours.low <= ours.high && ours.high <= 1.0 + 1e-9);
        }
    }

    #[test]
    fn a_better_answer_makes_no_drawn_difference_worse(
        (a, b) in two(), which in prop::collection::vec(any::<bool>(), 1..9), margin in -0.5..0.5_f64,
    ) {
        let chance = |a: &Outcomes| Bootstrap::of(&Pairs::of(a, &b).unwrap(), HOW).chance_above(margin);
        prop_assert!(chance(&raised(&a, &which)) >= chance(&a));
    }

    #[test]
    fn mcnemar_and_turned_signs_do_not_care_which_is_first(first in 0..80_u64, second in 0..80_u64) {
        let count = Discordant { first, second };
        prop_assert_eq!(count.exact(), count.turned().exact());
        prop_assert!(0.0 < count.mid_p() && count.mid_p() <= count.exact() && count.exact() <= 1.0);
        prop_assert_eq!(count.mid_p(), count.turned().mid_p());
    }

    #[test]
    fn turned_signs_of_tasks_that_pass_or_fail_are_mcnemars_test(first in 0..8_u64, second in 0..8_u64) {
        let differences: Vec<f64> = (0..first).map(|_| 1.0).chain((0..second).map(|_| -1.0)).chain([0.0]).collect();
        let exact = Discordant { first, second }.exact();
        prop_assert!((flips(&differences, 1) - exact).abs() < 1e-9);
    }

    #[test]
    fn many_turned_signs_are_drawn_near_what_all_of_them_are(first in 8..30_u64, second in 9..30_u64) {
        let differences: Vec<f64> = (0..first).map(|_| 1.0).chain((0..second).map(|_| -1.0)).collect();
        // Five standard errors of 20,000 draws.
        let exact = Discordant { first, second }.exact();
        prop_assert!((flips(&differences, 1) - exact).abs() < 0.018);
    }

    #[test]
    fn holm_is_monotone_and_never_below_what_was_given(p in prop::collection::vec(0.0..=1.0_f64, 0..12)) {
        let adjusted = holm(&p);
        prop_assert_eq!(adjusted.len(), p.len());
        for (at, ours) in adjusted.iter().enumerate() {
            prop_assert!(p[at] <= *ours && *ours <= 1.0);
            // The order is kept, and a higher figure anywhere lowers no other.
            for other in 0..p.len() {
                prop_assert!(p[at] > p[other] || adjusted[at] <= adjusted[other]);
            }
            let mut higher = p.clone();
            higher[at] = (higher[at] + 1.0) / 2.0;
            prop_assert!(holm(&higher).iter().zip(&adjusted).all(|(new, old)| new >= old));
        }
    }

    #[test]
    fn passing_at_k_is_a_probability_and_asks_less_of_one_than_of_most_than_of_all(
        samples in 1..200_u64, passed in 0..=200_u64, k in 1..=200_u64,
    ) {
        let (passed, k) = (passed.min(samples), k.min(samples));
        let [one, most, all] = [pass_at, majority, pass_every].map(|estimate| estimate(samples, passed, k).unwrap());
        prop_assert!(0.0 <= all && all <= most + 1e-9 && most <= one + 1e-9 && one <= 1.0);
    }

    #[test]
    fn wilson_holds_what_was_seen_and_narrows_with_trials(rate in 0.0..=1.0_f64, trials in 0..500_u64) {
        let rate = Share::new(rate).unwrap();
        let (few, more) = (wilson(rate, trials, Share::LEVEL), wilson(rate, trials + 1, Share::LEVEL));
        prop_assert!(few.holds(rate.get()) && 0.0 <= few.low && few.high <= 1.0);
        prop_assert!(more.high - more.low < few.high - few.low);
    }

    #[test]
    fn a_larger_suite_or_a_larger_difference_needs_no_more(tasks in 7..200_u64, samples in 1..6_u64, by in 0.02..0.5_f64) {
        let demand = Demand::one_sided(Share::LEVEL, Share::POWER);
        let shown = |tasks, samples| demand.detectable(Design { tasks, samples }, Spread::PLANNED);
        prop_assert!(shown(tasks + 1, samples) < shown(tasks, samples) && shown(tasks, samples + 1) < shown(tasks, samples));
        if let Some(needed) = demand.tasks(by, samples, Spread::PLANNED) {
            prop_assert!(shown(needed, samples) <= by + 1e-9);
            prop_assert!(needed == 1 || shown(needed - 1, samples) > by - 1e-9);
            prop_assert!(demand.tasks(by * 1.1, samples, Spread::PLANNED).is_some_and(|fewer| fewer <= needed));
        }
    }

    #[test]
    fn a_spread_is_none_below_zero_and_knows_no_first((a, b) in two()) {
        let spread = Spread::of(&Pairs::of(&a, &b).unwrap());
        prop_assert!(spread.between >= 0.0 && spread.within >= 0.0);
        let turned = Spread::of(&Pairs::of(&b, &a).unwrap());
        prop_assert!((spread.between - turned.between).abs() < 1e-12 && (spread.within - turned.within).abs() < 1e-12);
    }
}

#[test]
fn the_difference_that_the_exact_test_finds_is_found_just_then() {
    for (tasks, discordant) in [(30, 0.2), (30, 0.36), (100, 0.3)] {
        let least = mcnemar_detectable(tasks, discordant, Share::ALPHA, Share::POWER).unwrap();
        let power = |difference: f64| {
            let all = discordant.max(difference);
            mcnemar_power(tasks, (all + difference) / 2.0, (all - difference) / 2.0, Share::ALPHA)
        };
        assert!(power(least) >= 0.8 && power(least - 1e-6) < 0.8, "{tasks} {discordant}: {least}");
    }
    assert_eq!(mcnemar_detectable(5, 0.2, Share::ALPHA, Share::POWER), None);
    assert_eq!(mcnemar_tasks(0.001, 0.3, Share::ALPHA, Share::POWER), None);
}
