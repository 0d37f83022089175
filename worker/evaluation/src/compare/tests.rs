use super::*;
use crate::statistics::drawn::{two, written};
use crate::statistics::{Outcomes, Resampling};
use proptest::prelude::*;

const HOW: Resampling = Resampling { draws: 400, seed: 9 };

fn side(model: &str, outcomes: Outcomes) -> Side {
    let conditions = [("seeds", "by task and sample, from 0"), ("temperature", "0.7")];
    Side {
        model: model.to_owned(),
        suite: "luau".to_owned(),
        digest: "sha256:1".to_owned(),
        conditions: conditions.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        outcomes,
    }
}

/// Eight tasks of coding that only the first passes, and four of tools that both do.
fn better_and_worse() -> [Side; 2] {
    let (all, none) = (["+++"; 8], ["--c"; 8]);
    [
        side("tutor", written(&[("coding", &all), ("tools", &["+-+"; 4])])),
        side("base", written(&[("coding", &none), ("tools", &["-++"; 4])])),
    ]
}

#[test]
fn what_was_not_asked_alike_is_refused_by_name() {
    let [a, b] = better_and_worse();
    let refused = |change: &dyn Fn(&mut Side)| {
        let mut other = b.clone();
        change(&mut other);
        compare(&[a.clone(), other], HOW).unwrap_err().to_string()
    };
    let of = |signs: &[(&str, &[&str])]| written(signs);
    for (change, said) in [
        (&(|it: &mut Side| it.suite = "v2".to_owned()) as &dyn Fn(&mut Side), "suite is `luau` and `v2`"),
        (&|it| it.digest = "sha256:2".to_owned(), "digest of the suite is `sha256:1` and `sha256:2`"),
        (&|it| drop(it.conditions.remove("seeds")), "`seeds` is `by task and sample, from 0` and not said"),
        (&|it| drop(it.conditions.insert("temperature".to_owned(), "0".to_owned())), "`temperature` is `0.7` and `0`"),
        (
            &|it| it.outcomes = of(&[("coding", &["+"; 8])]),
            "only the first was asked `tools_00`, `tools_01`, `tools_02`, `tools_03`; run both",
        ),
        (
            &|it| it.outcomes = of(&[("coding", &["+"; 15]), ("tools", &["+"; 4])]),
            "only the second was asked `coding_08`, `coding_09`, `coding_10`, `coding_11`, `coding_12` and 2 more",
        ),
    ] {
        let refused = refused(change);
        assert!(refused.starts_with("`tutor` and `base` were not asked alike: "), "{refused}");
        assert!(refused.contains(said), "{refused}");
    }
    assert_eq!(compare(&[a], HOW), Err(CompareError::Sides(1)));
}

#[test]
fn the_better_model_is_named_with_how_sure_that_is() {
    let text = said(&compare(&better_and_worse(), HOW).unwrap());
    assert_eq!(text, include_str!("said.txt"), "{text}");
}

#[test]
fn models_that_are_alike_are_not_told_apart() {
    let [a, _] = better_and_worse();
    let comparison = compare(&[a.clone(), Side { model: "twin".to_owned(), ..a }], HOW).unwrap();
    let pair = &comparison.pairs[0];
    assert_eq!((pair.verdict, pair.p, pair.needed), (Verdict::Unsure, 1.0, None));
    assert!((pair.probability - 0.5).abs() < 0.1, "{}", pair.probability);
    assert!(said(&comparison).replace('\n', " ").contains("There is no difference to be sure of."));
}

#[test]
fn tasks_that_differ_alike_make_nobody_certain() {
    for (tasks, least, most) in [(1, -0.5, 0.95), (3, 0.3, 0.9999), (30, 0.9, 1.0)] {
        let all = |sign: &'static str| written(&[("coding", &vec![sign; tasks])]);
        let pair = compare(&[side("a", all("+")), side("b", all("-"))], HOW).unwrap().pairs.remove(0);
        assert_eq!((pair.difference, pair.interval.high), (1.0, 1.0));
        assert!(pair.interval.low > least - 0.3 && pair.interval.low < 1.0, "{tasks}: {:?}", pair.interval);
        assert!(pair.probability > 0.5 && pair.probability <= most, "{tasks}: {}", pair.probability);
        assert_eq!(pair.categories[0].interval, pair.interval);
    }
    // Nor that there is no difference.
    let all = || written(&[("coding", &["+"; 3])]);
    let pair = compare(&[side("a", all()), side("b", all())], HOW).unwrap().pairs.remove(0);
    assert!(pair.interval.low < -0.2 && pair.interval.high > 0.2 && pair.probability == 0.5, "{pair:?}");
}

#[test]
fn a_pair_among_many_has_to_be_surer() {
    // Seven tasks to none: p is 0.0156 for one pair, and three times that among three of the same.
    let outcomes = |signs: &str| written(&[("coding", &[signs; 7])]);
    let sides =
        [side("a", outcomes("+")), side("b", outcomes("-")), side("c", outcomes("-")), side("d", outcomes("-"))];
    let two = compare(&sides[..2], HOW).unwrap();
    assert_eq!(two.pairs[0].verdict, Verdict::First);
    let four = compare(&sides, HOW).unwrap();
    assert_eq!(four.pairs.len(), 6);
    assert_eq!(four.pairs[0].p, two.pairs[0].p);
    assert_eq!(four.pairs[0].verdict, Verdict::Unsure);
}

#[test]
fn texts_that_cannot_be_shown_are_refused() {
    let [a, _] = better_and_worse();
    assert!(a.clone().checked().is_ok());
    for model in ["", "a\u{1b}[31m", &"m".repeat(2000)] {
        let refused = Side { model: model.to_owned(), ..a.clone() }.checked().unwrap_err().to_string();
        assert!(refused.starts_with("model "), "{refused}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_other_way_round_is_the_same_with_its_signs_turned((a, b) in two()) {
        let (a, b) = (side("a", a), side("b", b));
        let [one, other] = [[a.clone(), b.clone()], [b, a]].map(|sides| compare(&sides, HOW).unwrap());
        let (ours, theirs) = (&one.pairs[0], &other.pairs[0]);
        let turned = match ours.verdict {
            Verdict::First => Verdict::Second,
            Verdict::Second => Verdict::First,
            Verdict::Unsure => Verdict::Unsure,
        };
        prop_assert_eq!(turned, theirs.verdict);
        prop_assert_eq!(ours.difference, -theirs.difference);
        prop_assert!((ours.interval.low + theirs.interval.high).abs() < 1e-9);
        prop_assert!((ours.probability + theirs.probability - 1.0).abs() < 1e-12);
        prop_assert_eq!((ours.p, ours.p_holm, ours.mcnemar), (theirs.p, theirs.p_holm, theirs.mcnemar));
        prop_assert_eq!(ours.discordant.map(|count| count.turned()), theirs.discordant);
        prop_assert_eq!(ours.needed, theirs.needed);
        for (ours, theirs) in ours.categories.iter().zip(&theirs.categories) {
            prop_assert_eq!(ours.difference, -theirs.difference);
            prop_assert_eq!((ours.p, ours.p_holm), (theirs.p, theirs.p_holm));
        }
    }

    #[test]
    fn what_is_said_fits_a_terminal_whatever_the_names_and_reads_back(
        (a, b) in two(), name in "[a-zé猫 ]{1,200}", suite in "[a-z]{1,150}",
    ) {
        let [a, b] = [side(&name, a), side("b", b)].map(|side| Side { suite: suite.clone(), ..side });
        let comparison = compare(&[a, b], HOW).unwrap();
        for line in said(&comparison).lines() {
            prop_assert!(line.chars().count() <= 80, "{}", line);
        }
        let text = serde_json::to_string(&comparison).unwrap();
        prop_assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), comparison);
    }
}
