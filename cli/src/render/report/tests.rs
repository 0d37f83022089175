use super::*;
use crate::render::output::plain;
use crate::render::safe::tests::{hostile, is_harmless};
use proptest::prelude::*;
use serde_json::json;
use vertigo::id::Digest;
use vertigo_evaluation::statistics::Resampling;

/// A report of six tasks in two categories, made as an eval makes it: of a suite and the lines of its answers.
pub(crate) fn report() -> Report {
    report_with("local x = 1", "it is 3, and 4 was expected")
}

/// The same with these words in answers and remarks.
fn report_with(said: &str, remark: &str) -> Report {
    let run = |passes: bool| {
        let cases = json!([{"name": "adds", "passed": passes, "message": (!passes).then_some(remark)}]);
        let outcome = if passes { "passed" } else { "failed" };
        let run = json!({"outcome": outcome, "cases": cases, "output": "", "is_output_cut": false});
        let remarks = if passes { json!([]) } else { json!([remark]) };
        let score = if passes { 1.0 } else { 0.0 };
        json!({
            "check": "run", "standing": outcome, "score": score, "weight": 1.0,
            "decides": true, "remarks": remarks, "run": run,
        })
    };
    let answer = |sample: u32, passes: bool, ending: &str| {
        json!({
            "sample": sample, "seed": 7, "prompt": Digest::of(b"p"),
            "score": {"score": f64::from(u8::from(passes)), "passed": passes},
            "tokens": {"prompt": 20, "thinking": 0, "answer": 12}, "answer": {"ending": ending, "text": said},
            "verdicts": [run(passes)],
        })
    };
    let tally = |tasks: u32, score: f64, passed: u32, answers: u32| {
        json!({
            "tasks": tasks, "answers": answers, "score": score, "passed": passed, "decided": answers,
            "endings": {"answered": answers}, "unsupported": 0, "broken": 0, "unjudged": 0,
        })
    };
    let task = |n: u32| {
        let passes = !n.is_multiple_of(3);
        let prompt = json!({"messages": [{"role": "user", "content": "Add."}], "thinking": false, "tokens_max": 64});
        json!({
            "task": format!("t{n}"), "category": if n < 4 { "coding" } else { "tools" }, "prompt": prompt,
            "tally": tally(1, if passes { 1.0 } else { 0.5 }, if passes { 2 } else { 1 }, 2),
            "answers": [answer(0, true, "answered"), answer(1, passes, if passes { "answered" } else { "cut" })],
        })
    };
    let nonsense = |kind: &str, score: f64, red: &[&str]| {
        let nothing = json!({});
        json!({"kind": kind, "tasks": 6, "score": score, "passes": [], "red": red, "checks": nothing})
    };
    let found = json!({"likeness": "exact", "part": "question", "share": 1.0, "source": "a.jsonl", "line": 3});
    let mut overall = tally(6, 10.0 / 12.0, 10, 12);
    overall["endings"] = json!({"answered": 10, "cut": 2});
    let report = json!({
        "facts": {
            "format": 1, "suite": "luau", "suite_digest": Digest::of(b"luau"), "tools_in": "request", "room": "luau 0.700",
            "model": {"kind": "base", "name": "mini", "base": Digest::of(b"mini")},
            "sampling": {"temperature": 0.7, "top_p": 1.0, "top_k": 0, "samples": 2, "seed": 0},
        },
        "pattern_matches": {}, "overall": overall, "categories": {}, "benchmark_v2": null,
        "nonsense": [nonsense("empty", 0.0, &[]), nonsense("echo", 0.808, &["patterns"])],
        "contamination": {
            "examples": 1249, "found": {"t1": found}, "inside": tally(1, 1.0, 2, 2), "outside": tally(5, 0.8, 8, 10),
        },
        "missing": 0, "tasks": (0..6).map(task).collect::<Vec<_>>(),
    });
    serde_json::from_value(report).unwrap()
}

fn figures(report: &Report) -> Figures {
    Figures::of(report, Resampling { draws: 500, seed: 0 }).unwrap()
}

fn shown(report: &Report, listed: Listed) -> String {
    let text = plain(&render("tutor-eval", report, Ok(&figures(report)), listed));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    text
}

#[test]
fn a_report_says_what_the_model_is_worth_and_how_much_to_believe_it() {
    insta::assert_snapshot!(shown(&report(), Listed::Worst), @r"
    tutor-eval
      suite    luau (sha256:810b07aa445e), 6 tasks
      model    base sha256:43385991f0be
      asked    2 samples at temperature 0.7, seed 0, judged in luau 0.700
      score    83.3 of 100 (95 %: 41.7 to 100.0)
      passed   83.3 % (95 %: 43.6 to 97.0): 10 of 12 answers
      endings  10 whole, 2 cut, 0 out of time, 0 errors of the API

    CATEGORY  TASKS  SCORE           95 %  PASSED           95 %
    coding        4   75.0  28.5 to 100.0    75.0   30.1 to 95.4
    tools         2  100.0  34.2 to 100.0   100.0  34.2 to 100.0

    Nonsense scores: an empty answer 0.0, an echo of the prompt 80.8.
    An echo of the prompt does well in patterns: this says little of a model.
    In the training data (1249 examples): 1 of 6 tasks, 1 of them word for word. In
    these the model has 100.0, in the others 80.0.

    WORST TASKS  CATEGORY  SCORE  PASSED  WHY
    t0           coding     50.0     1/2  run: it is 3, and 4 was expected
    t3           coding     50.0     1/2  run: it is 3, and 4 was expected

    see a task's answers: vertigo report REPORT --task ID
    ");
}

#[test]
fn what_failed_is_listed_with_why() {
    let text = shown(&report(), Listed::Failed);
    let listed = text.split_once("FAILED").unwrap().1;
    assert!(listed.contains("t0") && listed.contains("t3") && !listed.contains("t1"), "{text}");
    assert!(listed.contains("run: it is 3"), "{text}");
}

#[test]
fn what_alarms_is_red() {
    let text = render("tutor-eval", &report(), Ok(&figures(&report())), Listed::Worst);
    let line = |words: &str| text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{text}"));
    assert!(line("An echo of the prompt does well in patterns").starts_with("\u{1b}[31m"));
    assert!(line("In the training data (1249 examples): 1 of 6 tasks").starts_with("\u{1b}[31m"));
    let mut clean = report();
    clean.nonsense.iter_mut().for_each(|it| it.red.clear());
    clean.contamination = None;
    let text = render("tutor-eval", &clean, Ok(&figures(&clean)), Listed::Worst);
    assert!(!text.contains("\u{1b}[31m") && text.contains("Nobody knows which"), "{text}");
}

#[test]
fn a_report_that_has_no_figures_says_why_and_shows_the_rest() {
    let text = plain(&render("tutor-eval", &report(), Err("3 answers are still to come"), Listed::Worst));
    assert!(text.contains("none: 3 answers are still to come") && text.contains("WORST TASKS"), "{text}");
}

#[test]
fn a_task_shows_each_answer_with_its_verdicts() {
    let report = report();
    let text = plain(&render_task(&report.tasks[0], false));
    insta::assert_snapshot!(text, @r"
    t0 (coding)
    Add.

    answer 0: 100.0, passed; 12 tokens, seed 7
    local x = 1
      passed run
        1 of 1 cases held

    answer 1: 0.0, failed, cut at its bound; 12 tokens, seed 7
    local x = 1
      failed run: 0.0
        it is 3, and 4 was expected
        0 of 1 cases held
        adds: it is 3, and 4 was expected
    ");
    let failed = plain(&render_task(&report.tasks[0], true));
    assert!(!failed.contains("answer 0") && failed.contains("answer 1"), "{failed}");
}

#[test]
fn a_report_is_called_by_its_name_and_its_digest() {
    let digest = Digest::of(b"x");
    assert_eq!(title("tutor", Some(digest)), format!("tutor sha256:{}", digest.short()));
    assert_eq!((title("./out", None), title("sha256:", Some(digest))), ("./out".to_owned(), "sha256:".to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// What a model and a program wrote is shown as it is, and drives no terminal.
    #[test]
    fn no_answer_drives_the_terminal(said in hostile(), remark in hostile()) {
        let report = report_with(&said, &remark);
        for listed in [Listed::Worst, Listed::Failed] {
            let shown = render(&said, &report, Ok(&figures(&report)), listed);
            prop_assert!(is_harmless(&shown), "{:?}", shown);
        }
        let task = render_task(&report.tasks[0], false);
        prop_assert!(is_harmless(&task), "{:?}", task);
    }
}
