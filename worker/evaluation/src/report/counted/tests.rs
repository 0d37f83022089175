use super::*;
use crate::answer::Answer;
use crate::compare::compare;
use crate::gate::{Gate, Role, judge};
use crate::nonsense::Nonsense;
use crate::prompt::ToolsIn;
use crate::report::{FORMAT, Facts, Model, NonsenseScore, Sampling, Tally, TaskReport, Tokens};
use crate::score::Score;
use crate::statistics::{Resampling, means};
use proptest::prelude::*;

fn facts() -> Facts {
    // Read, so that facts which get another field are still facts.
    let facts = serde_json::json!({
        "format": FORMAT, "suite": "luau", "suite_digest": Digest::of(b"luau"), "tools_in": ToolsIn::Request,
        "model": Model::Base { name: "mini".to_owned(), base: Digest::of(b"mini") }, "room": "room 1",
        "sampling": {"temperature": 0.7, "top_p": 1.0, "top_k": 0, "samples": 2, "seed": 0},
    });
    serde_json::from_value(facts).unwrap()
}

fn verdict(check: CheckName, standing: Standing, score: f64) -> Verdict {
    let decides = !matches!(check, CheckName::Lint | CheckName::BenchmarkV2);
    let (weight, kept, run) = (1.0, None, None);
    Verdict { check, standing, score, weight, decides, remarks: Vec::new(), findings: Vec::new(), run, kept }
}

fn answer(sample: u32, ending: Ending, verdicts: Vec<Verdict>) -> AnswerReport {
    AnswerReport {
        sample,
        seed: 0,
        prompt: Digest::of(b"prompt"),
        tokens: Tokens::default(),
        answer: Answer::of(ending, "", None, Vec::new()),
        score: Some(Score::of(&verdicts)),
        verdicts,
    }
}

/// A report of tasks with their answers, each a task's name and category.
fn report(tasks: Vec<(&str, &str, Vec<AnswerReport>)>) -> Report {
    let task = |(task, category, answers): (&str, &str, Vec<AnswerReport>)| TaskReport {
        task: task.to_owned(),
        category: category.to_owned(),
        difficulty: None,
        prompt: None,
        tally: Tally::default(),
        answers,
    };
    Report {
        facts: facts(),
        pattern_matches: BTreeMap::new(),
        overall: Tally::default(),
        categories: BTreeMap::new(),
        benchmark_v2: None,
        nonsense: Vec::new(),
        contamination: None,
        missing: 0,
        roblox: None,
        tasks: tasks.into_iter().map(task).collect(),
    }
}

fn ran(passes: bool) -> Vec<Verdict> {
    let standing = if passes { Standing::Passed } else { Standing::Failed };
    vec![
        verdict(CheckName::Compile, Standing::Passed, 1.0),
        verdict(CheckName::Run, standing, f64::from(u8::from(passes))),
    ]
}

fn unsupported() -> Vec<Verdict> {
    vec![verdict(CheckName::Compile, Standing::Passed, 1.0), verdict(CheckName::Run, Standing::Unsupported, 0.0)]
}

#[test]
fn an_answer_that_its_checks_say_nothing_of_counts_neither_for_nor_against() {
    let whole = Ending::Answered;
    let report = report(vec![
        ("a", "coding", vec![answer(0, whole, ran(true)), answer(1, whole, unsupported())]),
        ("b", "coding", vec![answer(0, whole, unsupported()), answer(1, whole, unsupported())]),
        ("c", "games", vec![answer(0, Ending::TimedOut, ran(false)), answer(1, Ending::Cut, ran(false))]),
    ]);
    let counted = report.counted().unwrap();
    assert_eq!(counted.left_out, BTreeSet::from([TaskId("b".to_owned())]));
    let tasks = counted.outcomes.tasks();
    assert_eq!((tasks[0].samples().len(), tasks[0].passed()), (1, 1));
    // What was cut had something by the check that compiles, which no suite gives a cut answer; by the run it had nothing.
    let by_run = report.counted_by(CheckName::Run).unwrap();
    assert_eq!(by_run.outcomes.tasks()[1].samples(), [SampleOutcome::TimedOut, SampleOutcome::Cut]);
    let by_compile = report.counted_by(CheckName::Compile).unwrap();
    assert!(by_compile.left_out.is_empty() && by_compile.outcomes.tasks().len() == 3);
    assert!(report.counted_by(CheckName::Lint).is_err(), "no task has it");
}

#[test]
fn a_cut_answer_that_a_scorer_of_the_pipelines_has_scored_counts_as_it_was_scored() {
    let scored = |score| vec![verdict(CheckName::BenchmarkV2, Standing::Scored, score)];
    let report =
        report(vec![("a", "coding", vec![answer(0, Ending::Cut, scored(0.75)), answer(1, Ending::Cut, scored(0.0))])]);
    let outcomes = report.counted().unwrap().outcomes;
    let counted = SampleOutcome::Answered { score: Share::new(0.75).unwrap(), passed: None };
    assert_eq!(outcomes.tasks()[0].samples(), [counted, SampleOutcome::Cut]);
}

/// A task that no check decides, of which the answer was cut.
fn scored_only() -> Report {
    let scored = vec![verdict(CheckName::BenchmarkV2, Standing::Scored, 0.0)];
    report(vec![("a", "coding", vec![answer(0, Ending::Cut, scored)])])
}

#[test]
fn tasks_of_which_every_answer_was_cut_have_passed_nothing_rather_than_no_check() {
    let cut = || vec![verdict(CheckName::Run, Standing::Failed, 0.0)];
    let answers = |endings: [Ending; 2]| endings.map(|ending| answer(0, ending, cut())).to_vec();
    let report = report(vec![
        ("a", "coding", answers([Ending::Cut, Ending::TimedOut])),
        ("b", "coding", answers([Ending::Cut, Ending::ApiError])),
    ]);
    let outcomes = report.counted().unwrap().outcomes;
    let (rate, interval) = means(&outcomes).passed.expect("its checks pass or fail");
    assert!(rate == 0.0 && interval.low == 0.0 && interval.high < 1.0, "{rate} {interval:?}");
    let written = serde_json::to_string(&outcomes).unwrap();
    assert_eq!(serde_json::from_str::<Outcomes>(&written).unwrap(), outcomes);
    // Beside a model that did answer it is one that passes nothing, and not one that cannot be compared.
    let said = compare(&[report.side("cut").unwrap().0, report.side("too").unwrap().0], Resampling::default());
    assert!(said.unwrap().pairs[0].discordant.is_some());
    assert_eq!(means(&scored_only().counted().unwrap().outcomes).passed, None);
}

#[test]
fn an_eval_that_has_not_ended_is_no_side_and_a_report_of_nothing_neither() {
    let mut unfinished = report(vec![("a", "coding", vec![answer(0, Ending::Answered, ran(true))])]);
    unfinished.missing = 3;
    let error = unfinished.side("mini").unwrap_err().to_string();
    assert!(error.contains("3 answers are still to come"), "{error}");
    let nothing = report(vec![("a", "coding", vec![answer(0, Ending::Answered, unsupported())])]);
    assert_eq!(nothing.counted(), Err(CountError::Nothing));
    let error = report(vec![("a", "coding", vec![answer(0, Ending::Answered, ran(true))])]).side("\u{1b}").unwrap_err();
    assert!(matches!(error, CountError::Side(_)));
}

#[test]
fn reports_are_compared_in_the_tasks_that_both_could_be_judged_in() {
    let whole = Ending::Answered;
    let first = report(vec![
        ("a", "coding", vec![answer(0, whole, ran(true))]),
        ("b", "coding", vec![answer(0, whole, unsupported())]),
    ]);
    let second = report(vec![
        ("a", "coding", vec![answer(0, whole, ran(false))]),
        ("b", "coding", vec![answer(0, whole, ran(true))]),
    ]);
    let mut sides = [first.side("first").unwrap().0, second.side("second").unwrap().0];
    let how = Resampling { draws: 20, seed: 0 };
    assert!(compare(&sides, how).unwrap_err().to_string().contains("only the second was asked `b`"));
    let digest = sides[0].digest.clone();
    assert_eq!(alongside(&mut sides, &digest), BTreeSet::from([TaskId("b".to_owned())]));
    // The run counts half of a task, and both compile.
    assert_eq!(compare(&sides, how).unwrap().pairs[0].difference, 0.5);
    let (mut one, mut other) =
        (first.gate_facts("first", Role::Present).unwrap(), second.gate_facts("second", Role::Present).unwrap());
    facts_alongside(&mut one, &mut other);
    assert_eq!(one.side.outcomes.tasks().len(), 1);
    // By the check that compiles, both were judged in both.
    assert_eq!((one.checks["run"].tasks().len(), other.checks["compile"].tasks().len()), (1, 2));
}

#[test]
fn a_gate_knows_what_nonsense_scores_and_what_the_training_data_has() {
    let mut report = report(vec![("a", "coding", vec![answer(0, Ending::Answered, ran(true))])]);
    assert_eq!(report.gate_facts("mini", Role::Candidate).unwrap().contaminated, None, "nobody knows the data");
    report.nonsense = Nonsense::ALL
        .map(|kind| NonsenseScore {
            kind,
            tasks: 1,
            score: Some(0.25),
            passes: Vec::new(),
            red: Vec::new(),
            checks: BTreeMap::new(),
        })
        .to_vec();
    let facts = report.gate_facts("mini", Role::Candidate).unwrap();
    assert_eq!(facts.nonsense["echo_with_conventions"].get(), 0.25);
    assert_eq!(facts.checks.keys().collect::<Vec<_>>(), ["compile", "run"]);
    for kind in Nonsense::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}

#[test]
fn how_a_suite_was_asked_says_neither_seed_nor_samples() {
    let report = report(Vec::new());
    let conditions = report.conditions();
    assert_eq!((conditions["temperature"].as_str(), conditions["room"].as_str()), ("0.7", "room 1"));
    assert!(!conditions.contains_key("seed") && !conditions.contains_key("samples"));
    let mut warmer = report.clone();
    warmer.facts.sampling = Sampling { temperature: 1.0, ..warmer.facts.sampling };
    assert_ne!(warmer.conditions(), conditions);
}

fn any_answer() -> impl Strategy<Value = (Ending, Vec<Verdict>)> {
    let whole = prop::collection::vec((any::<bool>(), 0..=10_u32), 1..3).prop_map(|given| {
        let of = |(n, (passes, score)): (usize, (bool, u32))| {
            let check = [CheckName::Run, CheckName::Lint][n];
            let standing = if passes { Standing::Passed } else { Standing::Failed };
            verdict(check, standing, f64::from(score) / 10.0)
        };
        (Ending::Answered, given.into_iter().enumerate().map(of).collect())
    });
    let none = prop::sample::select(vec![Ending::Cut, Ending::TimedOut, Ending::ApiError])
        .prop_map(|ending| (ending, vec![verdict(CheckName::Run, Standing::Failed, 0.0)]));
    prop_oneof![4 => whole, 1 => none]
}

proptest! {
    /// Every answer is judged, so that nothing is left out.
    #[test]
    fn the_outcomes_have_the_reports_score_and_its_passes(
        tasks in prop::collection::vec((0..3_usize, prop::collection::vec(any_answer(), 1..4)), 1..9),
    ) {
        let names: Vec<String> = (0..tasks.len()).map(|n| format!("t{n}")).collect();
        let made = tasks.iter().zip(&names).map(|((category, answers), name)| {
            let answers = answers.iter().enumerate();
            let answers = answers.map(|(n, (ending, verdicts))| answer(n as u32, *ending, verdicts.clone()));
            (name.as_str(), ["a", "b", "c"][*category], answers.collect::<Vec<_>>())
        });
        let report = report(made.collect());
        let counted = report.counted().unwrap();
        prop_assert!(counted.left_out.is_empty());
        let mean = |answers: &[AnswerReport]| {
            let scores: Vec<f64> = answers.iter().filter_map(|answer| answer.score.unwrap().score).collect();
            scores.iter().sum::<f64>() / scores.len() as f64
        };
        let score = report.tasks.iter().map(|task| mean(&task.answers)).sum::<f64>() / report.tasks.len() as f64;
        prop_assert!((means(&counted.outcomes).score - score).abs() < 1e-12);
        let answers = report.tasks.iter().flat_map(|task| &task.answers);
        let passed = answers.filter(|answer| answer.score.unwrap().passed == Some(true)).count();
        prop_assert_eq!(counted.outcomes.tasks().iter().map(TaskOutcomes::passed).sum::<usize>(), passed);
    }
}

#[test]
fn a_gate_counts_what_nobody_could_judge_against_the_candidate_and_not_for_it() {
    let whole = Ending::Answered;
    let with = |second: Vec<Verdict>| {
        report(vec![
            ("a", "coding", vec![answer(0, whole, ran(true)), answer(1, whole, second.clone())]),
            ("b", "coding", vec![answer(0, whole, second)]),
        ])
    };
    let (wrong, unsure) = (with(ran(false)), with(unsupported()));
    // What a report says of them differs: there they are left out.
    assert!(means(&unsure.counted().unwrap().outcomes).score > means(&wrong.counted().unwrap().outcomes).score);
    let facts = |report: &Report, role| report.gate_facts("mini", role).unwrap();
    let (failed, asked) = (facts(&wrong, Role::Candidate), facts(&unsure, Role::Candidate));
    assert_eq!((failed.unsupported, asked.unsupported), (0, 2));
    assert_eq!((&asked.side.outcomes, &asked.checks), (&failed.side.outcomes, &failed.checks), "nothing is gained");
    // The tag's model loses nothing by it, and so the candidate gains nothing.
    let present = facts(&unsure, Role::Present);
    assert_eq!(present.side.outcomes.tasks().len(), 1);
    assert_eq!(means(&present.side.outcomes).score, 1.0);
    let gate = |rules: &str| Gate::parse(&format!("suites: {{own: {{{rules}}}}}")).unwrap();
    let how = Resampling { draws: 20, seed: 0 };
    let mut asked = asked;
    asked.side.suite = "own".to_owned();
    let decided = |rules: &str| judge(&gate(rules), std::slice::from_ref(&asked), None, how);
    let decision = decided("floors: {overall: 10}");
    let said = &decision.reasons.iter().find(|it| it.rule == "own.endings.unsupported").unwrap().said;
    assert!(decision.held && said.contains("2 of 3 samples"), "{decision:?}");
    assert!(!decided("floors: {overall: 10}, endings: {unsupported: 66}").held);
    assert!(decided("floors: {overall: 10}, endings: {unsupported: 67}").held);
}
