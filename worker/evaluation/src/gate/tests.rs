use super::judge::tenths;
use super::*;
use crate::compare::Side;
use crate::statistics::drawn::{raised, two, written};
use crate::statistics::{Outcomes, Resampling, SampleOutcome, TaskId, TaskOutcomes, category_means, means};
use proptest::prelude::*;
use std::collections::BTreeSet;

const HOW: Resampling = Resampling { draws: 400, seed: 0 };

fn facts(model: &str, suite: &str, outcomes: Outcomes) -> Facts {
    let side = Side {
        model: model.to_owned(),
        suite: suite.to_owned(),
        digest: "sha256:1".to_owned(),
        conditions: BTreeMap::new(),
        outcomes: outcomes.clone(),
    };
    let nonsense = [("echo".to_owned(), Share::new(0.04).unwrap())].into();
    Facts {
        side,
        checks: [("run".to_owned(), outcomes)].into(),
        nonsense,
        contaminated: Some(BTreeSet::new()),
        unsupported: 0,
    }
}

/// One task in each category for each score, asked once.
fn scored(categories: &[(&str, f64)]) -> Outcomes {
    let task = |(n, (category, score)): (usize, &(&str, f64))| {
        let sample = SampleOutcome::Answered { score: Share::new(*score).unwrap(), passed: None };
        TaskOutcomes::new(TaskId(format!("t{n:03}")), *category, vec![sample]).unwrap()
    };
    Outcomes::new(categories.iter().enumerate().map(task).collect()).unwrap()
}

fn gate(rules: &str) -> Gate {
    let indented: String = rules.lines().map(|line| format!("    {line}\n")).collect();
    Gate::parse(&format!("suites:\n  luau:\n{indented}")).unwrap()
}

fn decide(gate: &Gate, candidate: &Facts, present: Option<&Facts>) -> Decision {
    let present = present.map(std::slice::from_ref);
    judge(gate, std::slice::from_ref(candidate), present, HOW)
}

#[track_caller]
fn reason<'d>(decision: &'d Decision, rule: &str) -> &'d Reason {
    decision.reasons.iter().find(|reason| reason.rule == rule).unwrap_or_else(|| panic!("no `{rule}`: {decision:#?}"))
}

#[test]
fn the_example_is_read_with_every_key() {
    let gate = Gate::parse(EXAMPLE).unwrap();
    let luau = &gate.suites["luau"];
    assert_eq!(luau.check.as_deref(), Some("run"));
    let probability = Share::new(0.95).unwrap();
    assert_eq!(luau.better, Some(Better::Likely { by: 0.0, probability, expects: 10.0 }));
    assert_eq!(luau.categories.unwrap().by, 15.0);
    assert_eq!(luau.floors.categories["coding"], 30.0);
    assert_eq!(luau.contamination, Some(Contamination { most: Some(10.0), without: true }));
    assert_eq!((luau.echo, luau.endings.api_errors), (Some(5.0), Some(0.0)));
    assert_eq!(gate.suites["vertigo-benchmark"], vertigo_v2(75.1, 2.0));
}

#[test]
fn a_mistake_in_a_file_is_named_with_what_was_meant() {
    for (text, said) in [
        (
            "suites: {luau: {flors: {overall: 1}}}",
            "line 1: unknown key `flors` in `suites.luau`; did you mean `floors`?",
        ),
        (
            "suites:\n  luau:\n    better: {probabilty: 0.9, expects: 5}",
            "line 3: unknown key `probabilty` in `suites.luau.better`; did you mean `probability`?",
        ),
        ("suite: {}", "unknown key `suite`; did you mean `suites`?"),
        ("power: 0.8", "`suites` is missing"),
        ("suites: {}", "`suites` has 0 suites"),
        ("suites: {luau: {echo: 5}}", "`suites.luau` asks for no score"),
        ("suites: {luau: {floors: {}}}", "`suites.luau` asks for no score"),
        (
            "spread: {between: 0, within: 0}\nsuites: {luau: {preset: vertigo-v2}}",
            "`spread.within` is 0; write a number from 0.01 to 1",
        ),
        (
            "suites: {luau: {floors: {overall: 101}}}",
            "`suites.luau.floors.overall` is 101; write a number from 0 to 100",
        ),
        ("suites: {luau: {floors: {overall: .nan}}}", "non-finite float"),
        ("suites: {luau: {better: {probability: 95, expects: 5}}}", "is 95; write a probability from 0.5 to 0.999"),
        ("suites: {luau: {better: {by: 5, probability: 0.9, expects: 5}}}", "an improvement of more than `by`, 5"),
        ("suites: {luau: {categories: {worse: 0, probability: 0.9}}}", "no number of tasks shows that nothing is lost"),
        ("suites: {luau: {preset: v2}}", "is `v2`; the one that there is is `vertigo-v2`"),
        ("suites: {luau: {preset: vertigo-v2, floors: {overall: 3}}}", "stands beside a preset"),
        ("suites: {luau: {minimum_score: 3}}", "belongs to a preset"),
        ("suites: {luau: [", "it is not YAML"),
        ("[]", "it is no mapping"),
    ] {
        let error = Gate::parse(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
    assert!(Gate::parse(&" ".repeat(70_000)).unwrap_err().to_string().contains("at most 65536"));
    assert!(Gate::parse(&"[".repeat(60_000)).is_err());
}

#[test]
fn a_gate_that_says_two_things_or_unfolds_without_end_is_refused() {
    let luau = |rules: &str| format!("suites: {{luau: {{{rules}}}}}");
    for rules in [
        "floors: {overall: 90}, floors: {overall: 1}",
        "floors: {overall: 90, overall: 1}",
        "floors: {overall: -1}",
        "floors: {overall: .inf}",
        "floors: {overall: 1}, echo: -.inf",
        "floors: {overall: 1}, echo: ~x",
        "better: {probability: -0.9, expects: 5}",
        "better: {probability: 1, expects: 5}",
        "better: {probability: 0.95, expects: .nan}",
        "better: {probability: '0.95', expects: 5, by: nothing}",
        "categories: {worse: -3, probability: 0.9}",
        "floors: {overall: 1}, endings: {cut: 101}",
    ] {
        assert!(Gate::parse(&luau(rules)).is_err(), "{rules}");
    }
    assert!(Gate::parse("suites: {luau: {floors: {overall: 1}}, luau: {floors: {overall: 9}}}").is_err());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "));
    }
    let begun = std::time::Instant::now();
    assert!(Gate::parse(&(bomb + "suites: {luau: {floors: {overall: 1}}}")).is_err());
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    // Whose rule is wrong is said; a line that has another suite's rule of that name is not.
    let error =
        Gate::parse("suites:\n  a: {preset: vertigo-v2, echo: 5}\n  b:\n    preset: vertigo-v2\n    echo: 500\n");
    let error = error.unwrap_err();
    assert!(error.line.is_none() && error.message.contains("`suites.b.echo` is 500"), "{error}");
}

#[test]
fn a_first_model_is_judged_by_floors_and_without_them_by_nothing() {
    let candidate = facts("tutor", "luau", written(&[("coding", &["+", "+", "-"])]));
    let with = gate("floors: {overall: 60}\nbetter: {probability: 0.95, expects: 10}");
    assert!(decide(&with, &candidate, None).held);
    let above = gate("floors: {overall: 70}\nbetter: {probability: 0.95, expects: 10}");
    let decision = decide(&above, &candidate, None);
    assert!(!decision.held && reason(&decision, "luau.floors.overall").said == "66.7 points; 70.0 are asked");
    let without = gate("better: {probability: 0.95, expects: 10}");
    let decision = decide(&without, &candidate, None);
    assert!(!decision.held && reason(&decision, "luau.better").said.contains("no floors to judge by"));
}

#[test]
fn an_underpowered_gate_refuses_however_good_the_model_and_says_what_is_missing() {
    let rules = gate("better: {probability: 0.95, expects: 10}");
    let perfect = facts("tutor", "luau", written(&[("coding", &["+"; 30])]));
    let base = facts("base", "luau", written(&[("coding", &["-"; 30])]));
    let decision = decide(&rules, &perfect, Some(&base));
    assert!(reason(&decision, "luau.better").held);
    let power = reason(&decision, "luau.better.power");
    assert!(!power.held && !decision.held);
    assert!(
        power.said.contains("30 tasks at 1 sample show an improvement of 27.3 points; 10.0 are asked"),
        "{}",
        power.said
    );
    assert!(
        power.said.contains("which takes 224 tasks (194 more) or 17 samples of each task (16 more)"),
        "{}",
        power.said
    );
    let many = |sign: &str| written(&[("coding", &[sign.repeat(17).as_str(); 30])]);
    let decision = decide(&rules, &facts("tutor", "luau", many("+")), Some(&facts("base", "luau", many("-"))));
    assert!(decision.held, "{decision:#?}");
}

#[test]
fn a_category_that_may_be_worse_refuses_by_its_name() {
    let rules = gate("categories: {worse: 20, probability: 0.8}");
    let side = |coding: &str, tools: &str| written(&[("coding", &[coding; 30]), ("tools", &[tools; 30])]);
    let base = facts("base", "luau", side("++++-", "++++-"));
    let decision = decide(&rules, &facts("tutor", "luau", side("+++++", "+----")), Some(&base));
    assert!(reason(&decision, "luau.categories.coding").held);
    assert!(reason(&decision, "luau.categories.tools.power").held);
    assert!(!reason(&decision, "luau.categories.tools").held && !decision.held);
}

#[test]
fn what_is_in_the_training_data_is_counted_and_left_out() {
    let rules = gate("floors: {overall: 50}\ncontamination: {most: 30, without: true}");
    let mut candidate = facts("tutor", "luau", written(&[("coding", &["+", "+", "-", "-"])]));
    assert!(decide(&rules, &candidate, None).held);
    candidate.contaminated = Some([TaskId("coding_00".to_owned())].into());
    let decision = decide(&rules, &candidate, None);
    assert!(reason(&decision, "luau.contamination").held);
    assert_eq!(reason(&decision, "luau.floors.overall").said, "33.3 points; 50.0 are asked");
    candidate.contaminated = Some(["coding_02", "coding_03"].map(|task| TaskId(task.to_owned())).into());
    assert!(!reason(&decide(&rules, &candidate, None), "luau.contamination").held);
    candidate.contaminated = None;
    assert!(!reason(&decide(&rules, &candidate, None), "luau.contamination").held);
}

#[test]
fn nonsense_endings_and_what_is_missing_refuse() {
    let rules = gate("floors: {overall: 0}\ncheck: run\necho: 5\nendings: {cut: 25, api_errors: 0}");
    let mut candidate = facts("tutor", "luau", written(&[("coding", &["+", "c", "e", "+"])]));
    let decision = decide(&rules, &candidate, None);
    assert!(reason(&decision, "luau.echo").held && reason(&decision, "luau.endings.cut").held);
    let errors = reason(&decision, "luau.endings.api_errors");
    assert_eq!(
        (errors.held, &*errors.said),
        (false, "1 of 4 samples ended with an error of the API (25.0 %); at most 0 % may")
    );
    // An echo that scores as much as is allowed is not below it.
    candidate.nonsense.insert("echo".to_owned(), Share::new(0.05).unwrap());
    assert!(!reason(&decide(&rules, &candidate, None), "luau.echo").held);
    candidate.nonsense.clear();
    assert!(!reason(&decide(&rules, &candidate, None), "luau.echo").held);
    candidate.checks.clear();
    assert!(!reason(&decide(&rules, &candidate, None), "luau").held);
    candidate.side.suite = "other".to_owned();
    assert!(!decide(&rules, &candidate, None).held);
}

#[test]
fn a_tags_model_that_was_not_asked_alike_refuses() {
    let rules = gate("better: {probability: 0.6, expects: 100}");
    let candidate = facts("tutor", "luau", written(&[("coding", &["+"; 6])]));
    let mut base = facts("base", "luau", written(&[("coding", &["-"; 6])]));
    assert!(decide(&rules, &candidate, Some(&base)).held);
    base.side.digest = "sha256:2".to_owned();
    let decision = decide(&rules, &candidate, Some(&base));
    assert!(!decision.held && reason(&decision, "luau.better").said.contains("digest of the suite"));
    let decision = judge(&rules, &[candidate], Some(&[]), HOW);
    assert!(!decision.held && reason(&decision, "luau.better").said.contains("has no report of suite `luau`"));
}

/// `promote_adapter.py`, as pipeline.md §1.8 tells it: the second way to decide what the preset decides.
fn pipeline(overall: f64, categories: &BTreeMap<String, f64>, production: Option<f64>, minimum: f64) -> bool {
    let base =
        [("coding", 63.7), ("bugfix", 83.3), ("architecture", 67.5), ("mcp_tool_calling", 97.5), ("embodiment", 75.0)];
    let is_regression = |(category, base): &(&str, f64)| categories.get(*category).is_some_and(|new| *new < base - 2.0);
    overall >= minimum && production.is_none_or(|production| overall > production) && !base.iter().any(is_regression)
}

#[test]
fn the_pipelines_gate_refuses_the_model_that_was_in_production() {
    let rules = gate("preset: vertigo-v2");
    let v2 = |mcp: f64| {
        let scores =
            [("coding", 0.9), ("bugfix", 0.9), ("architecture", 0.8), ("mcp_tool_calling", mcp), ("embodiment", 0.9)];
        facts("v0.5", "luau", scored(&scores))
    };
    let decision = decide(&rules, &v2(0.858), None);
    let mcp = reason(&decision, "luau.floors.categories.mcp_tool_calling");
    assert!(!decision.held && !mcp.held && mcp.said == "85.8 points; 95.5 are asked", "{}", mcp.said);
    // Equality passes a floor, and is not better than the tag's model.
    assert!(decide(&rules, &v2(0.955), None).held);
    let decision = decide(&rules, &v2(0.955), Some(&v2(0.955)));
    assert!(!decision.held && !reason(&decision, "luau.better").held);
    assert!(decide(&rules, &v2(0.96), Some(&v2(0.955))).held);
}

#[test]
fn scores_round_to_tenths_as_in_python() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/statistics.json")).unwrap();
    for case in golden["means"].as_array().unwrap() {
        let scores = case["scores"].as_array().unwrap().iter().map(|score| ("all", score.as_f64().unwrap()));
        let ours = tenths(means(&scored(&scores.collect::<Vec<_>>())).score);
        assert_eq!(ours, case["tenths"].as_f64().unwrap(), "{case}");
    }
}

const CATEGORIES: [&str; 6] = ["coding", "bugfix", "architecture", "mcp_tool_calling", "embodiment", "other"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_preset_decides_as_the_pipeline_did(
        scores in prop::collection::vec((0..6_usize, 600..=1000_u32, 0..=300_u32), 1..12),
        has_production: bool, minimum in prop_oneof![Just(75.1), Just(76.9), 60.0..95.0_f64],
    ) {
        let side = |less: u32| {
            let of = |(category, score, by): &(usize, u32, u32)| {
                (CATEGORIES[*category], f64::from(score - by * less) / 1000.0)
            };
            scored(&scores.iter().map(of).collect::<Vec<_>>())
        };
        let (new, old) = (side(0), side(1));
        let rules = gate(&format!("preset: vertigo-v2\nminimum_score: {minimum}"));
        let production = facts("production", "luau", old.clone());
        let decision = decide(&rules, &facts("new", "luau", new.clone()), has_production.then_some(&production));
        let overall = |outcomes: &Outcomes| tenths(means(outcomes).score);
        let categories = category_means(&new).into_iter().map(|(name, means)| (name, tenths(means.score)));
        let theirs = pipeline(overall(&new), &categories.collect(), has_production.then(|| overall(&old)), minimum);
        prop_assert_eq!(decision.held, theirs, "{:#?}", decision);
    }

    #[test]
    fn a_rule_that_holds_for_a_report_holds_for_a_better_one(
        (candidate, present) in two(), which in prop::collection::vec(any::<bool>(), 1..9),
        floor in 0..80_u32, probability in 0.5..0.99_f64, by in 0..20_u32, is_first: bool, is_check: bool,
    ) {
        let check = if is_check { "check: run" } else { "echo: 50" };
        let rules = gate(&format!(
            "better: {{by: {by}, probability: {probability}, expects: 90}}\n\
             categories: {{worse: 60, probability: {probability}}}\n\
             floors: {{overall: {floor}, categories: {{coding: {floor}}}}}\n\
             endings: {{cut: 20, timed_out: 10, api_errors: 10}}\n\
             contamination: {{most: 50, without: true}}\n{check}"
        ));
        let present = facts("base", "luau", present);
        let present = (!is_first).then_some(&present);
        let before = decide(&rules, &facts("tutor", "luau", candidate.clone()), present);
        let after = decide(&rules, &facts("tutor", "luau", raised(&candidate, &which)), present);
        prop_assert_eq!(before.reasons.len(), after.reasons.len());
        for (before, after) in before.reasons.iter().zip(&after.reasons) {
            prop_assert_eq!(&before.rule, &after.rule);
            prop_assert!(!before.held || after.held, "{:?} and then {:?}", before, after);
        }
        prop_assert!(!before.held || after.held);
    }

    #[test]
    fn whatever_is_written_is_read_or_refused(text in "[ \\n{}\\[\\]:,a-z0-9.*&!|>'\"-]{0,200}") {
        let _ = Gate::parse(&text);
        let _ = Gate::parse(&format!("suites:\n  luau:\n    floors: {text}"));
    }
}
