use super::*;
use crate::answer::Answer;
use crate::contamination::{Found, Likeness, Part};
use crate::prompt::ToolsIn;
use crate::score::Standing;
use proptest::prelude::*;

fn suite() -> Suite {
    let rows = ["a", "b", "c"].map(|id| {
        let category = if id == "c" { "other" } else { "coding" };
        serde_json::json!({"id": id, "category": category, "prompt": "p", "expected_patterns": ["x"]}).to_string()
    });
    crate::suite::benchmark("s", &rows.join("\n"), None).unwrap()
}

fn facts(suite: &Suite) -> Facts {
    let model = Model::Api { url: "https://host/v1".into(), model: "m".into() };
    let sampling = Sampling { temperature: 0.7, top_p: 1.0, top_k: 0, samples: 2, seed: 1 };
    Facts::new(suite, model, sampling, ToolsIn::Request, "played".into())
}

fn verdict(standing: Standing, score: f64) -> Verdict {
    Verdict {
        check: CheckName::BenchmarkV2,
        standing,
        score,
        weight: 1.0,
        decides: standing != Standing::Scored,
        remarks: Vec::new(),
        findings: Vec::new(),
        run: None,
        kept: None,
    }
}

fn answer(suite: &Suite, task: &str, sample: u32, text: &str, ending: Ending) -> AnswerLine {
    AnswerLine {
        task: task.into(),
        sample,
        seed: facts(suite).sampling.seed_of(task, sample),
        prompt: Prompt::of(suite, suite.task(task).unwrap(), ToolsIn::Request).digest(),
        answer: Answer::of(ending, text, None, Vec::new()),
        tokens: Tokens { prompt: 3, thinking: 0, answer: 10 },
        time: Some(Time { whole_ms: 2000 }),
    }
}

fn judged(line: &AnswerLine, verdicts: Vec<Verdict>) -> Line {
    Line::Verdicts(VerdictsLine { task: line.task.clone(), sample: line.sample, answer: line.digest(), verdicts })
}

/// An eval of three tasks and two samples, of which one answer is not there and one not judged.
fn lines(suite: &Suite) -> Vec<Line> {
    let mut lines = vec![Line::Facts(Box::new(facts(suite)))];
    for task in &suite.tasks {
        let prompt = Prompt::of(suite, task, ToolsIn::Request);
        lines.push(Line::Prompt(PromptLine { task: task.id.clone(), prompt }));
    }
    for (task, sample, standing, score, ending) in [
        ("a", 0, Standing::Passed, 1.0, Ending::Answered),
        ("a", 1, Standing::Failed, 0.0, Ending::Cut),
        ("b", 0, Standing::Unsupported, 0.0, Ending::Answered),
        ("c", 0, Standing::Failed, 0.5, Ending::Answered),
    ] {
        let line = answer(suite, task, sample, "text", ending);
        lines.push(judged(&line, vec![verdict(standing, score)]));
        lines.push(Line::Answer(Box::new(line)));
    }
    lines.push(Line::Answer(Box::new(answer(suite, "b", 1, "not judged", Ending::TimedOut))));
    for task in ["a", "b"] {
        for (kind, standing, score) in [
            (Nonsense::Empty, Standing::Failed, 0.0),
            (Nonsense::Echo, if task == "a" { Standing::Passed } else { Standing::Failed }, 0.75),
            (Nonsense::EchoWithConventions, Standing::Scored, 0.25),
        ] {
            lines.push(Line::Nonsense(NonsenseLine {
                kind,
                task: task.into(),
                verdicts: vec![verdict(standing, score)],
            }));
        }
    }
    lines
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(Line::to_text).collect()
}

fn report(suite: &Suite, text: &str) -> Report {
    Report::of(suite, &facts(suite), &Kept::read(text).unwrap(), None).unwrap()
}

#[test]
fn a_report_says_what_the_answers_came_to() {
    let suite = suite();
    let report = report(&suite, &text(&lines(&suite)));
    let overall = &report.overall;
    assert_eq!(
        (overall.answers, overall.passed, overall.decided, overall.unjudged, overall.unsupported),
        (5, 1, 3, 1, 1)
    );
    assert_eq!((overall.tasks, overall.score), (2, Some(0.5)), "a task that the room cannot judge has no score");
    assert_eq!(overall.endings[&Ending::Cut], 1);
    assert_eq!(report.missing, 1);
    assert_eq!(report.categories["other"].score, Some(0.5));
    assert_eq!(report.pattern_matches[&CheckName::BenchmarkV2], "pattern match (Vertigo Benchmark v2)");
    assert!(report.contamination.is_none(), "nobody knows the data");
    let [empty, echo, conventions] = &report.nonsense[..] else { panic!("{:?}", report.nonsense) };
    assert!(!empty.is_alarming() && !conventions.is_alarming());
    assert!(echo.is_alarming() && echo.passes == ["a"] && echo.red == [CheckName::BenchmarkV2]);
    assert_eq!(Report::parse(&report.to_text()).unwrap(), report);
}

#[test]
fn the_score_with_and_without_what_the_data_has_stands_in_the_report() {
    let suite = suite();
    let kept = Kept::read(&text(&lines(&suite))).unwrap();
    let found = Found { likeness: Likeness::Exact, part: Part::Question, share: 1.0, source: "d".into(), line: 1 };
    let contamination = Contamination {
        examples: 9,
        found: BTreeMap::from([
            ("a".to_owned(), found),
            (
                "gone".to_owned(),
                Found { likeness: Likeness::Near, part: Part::Question, share: 0.5, source: "d".into(), line: 2 },
            ),
        ]),
    };
    let mut changed = facts(&suite);
    changed.room = "played".into();
    let report = Report::of(&suite, &changed, &kept, Some(&contamination)).unwrap();
    let contaminated = report.contamination.clone().unwrap();
    assert_eq!((contaminated.inside.answers, contaminated.outside.answers), (2, 3));
    assert_eq!((contaminated.inside.score, contaminated.outside.score), (Some(0.5), Some(0.5)));
    assert_eq!(Report::parse(&report.to_text()).unwrap(), report);
}

#[test]
fn a_line_that_was_being_written_is_dropped_and_named_and_a_broken_one_is_an_error() {
    let suite = suite();
    let whole = text(&lines(&suite));
    let torn = &whole[..whole.len() - 9];
    let kept = Kept::read(torn).unwrap();
    let dropped = kept.torn.clone().unwrap();
    assert_eq!(dropped.line, whole.lines().count());
    assert!(dropped.begins.starts_with("{\"line\":\"nonsense\""), "{dropped:?}");
    assert_eq!(
        torn[kept.whole_bytes..],
        *whole.lines().last().unwrap().split_at(whole.lines().last().unwrap().len() - 8).0
    );
    let healed = format!("{}{}", &torn[..kept.whole_bytes], lines(&suite).last().unwrap().to_text());
    assert_eq!(report(&suite, &healed), report(&suite, &whole));
    let broken = whole.replacen("\"line\":\"answer\"", "\"line\":\"anser\"", 1);
    assert!(Kept::read(&broken).unwrap_err().to_string().contains("take the line away"));
    assert!(matches!(
        Kept::read(&format!("{}\n{whole}", "x".repeat(LINE_BYTES_MAX + 1))),
        Err(LinesError::Line { line: 1, .. })
    ));
    assert_eq!(Kept::read("").unwrap(), Kept::default());
}

#[test]
fn answers_of_other_evals_are_refused() {
    let suite = suite();
    let mut other = facts(&suite);
    other.sampling.seed = 2;
    let mixed = [Line::Facts(Box::new(facts(&suite))), Line::Facts(Box::new(other.clone()))];
    assert_eq!(Kept::read(&text(&mixed)), Err(LinesError::Mixed { line: 2 }));
    let kept = Kept::read(&text(&lines(&suite))).unwrap();
    assert_eq!(Report::of(&suite, &other, &kept, None), Err(ReportError::OtherFacts));
    let mut smaller = suite.clone();
    smaller.tasks.pop();
    let of = Report::of(&smaller, &facts(&smaller), &kept, None);
    assert!(matches!(of, Err(ReportError::OtherSuite { .. })), "{of:?}");
    let mut stranger = answer(&suite, "a", 0, "x", Ending::Answered);
    stranger.task = "z".into();
    let kept = Kept::read(&Line::Answer(Box::new(stranger)).to_text()).unwrap();
    assert_eq!(Report::of(&suite, &facts(&suite), &kept, None), Err(ReportError::Stranger("z".into())));
    let later = report(&suite, "").to_text().replacen("\"format\":1", "\"format\":2", 1);
    assert_eq!(Report::parse(&later), Err(ReportError::Later(2)));
    assert!(matches!(Report::parse("{}"), Err(ReportError::Malformed(_))));
}

#[test]
fn an_answer_that_the_room_cannot_judge_is_not_worth_what_its_other_checks_say() {
    let suite = suite();
    let mut all = vec![Line::Facts(Box::new(facts(&suite)))];
    for (n, task) in ["a", "b", "c"].into_iter().enumerate() {
        for sample in 0..2 {
            let line = answer(&suite, task, sample, &format!("{task}{sample}"), Ending::Answered);
            let decided = match (n, sample) {
                (0, 0) | (1, _) => verdict(Standing::Unsupported, 0.0),
                (2, 0) => verdict(Standing::Broken, 0.0),
                _ => verdict(Standing::Failed, 0.0),
            };
            all.push(judged(&line, vec![decided, verdict(Standing::Scored, 1.0)]));
            all.push(Line::Answer(Box::new(line)));
        }
    }
    let report = report(&suite, &text(&all));
    // Each of the answers that count fails one of two checks; what the others would score alone is 1.
    assert_eq!(
        (report.overall.score, report.overall.tasks, report.categories["other"].score),
        (Some(0.5), 2, Some(0.5))
    );
    assert_eq!(report.tasks[1].tally.score, None);
    let counted = report.counted().unwrap();
    assert_eq!(crate::statistics::means(&counted.outcomes).score, 0.5, "the outcomes have the report's own score");
    assert_eq!(counted.left_out.len(), 1);
}

#[test]
fn answers_go_on_under_facts_that_make_the_same_answers() {
    let suite = suite();
    let known = Facts { engine: "vertigo 1, MLX 1".to_owned(), ..facts(&suite) };
    let changed = |change: &dyn Fn(&mut Facts)| {
        let mut other = known.clone();
        change(&mut other);
        other.unlike(&known)
    };
    assert_eq!(changed(&|it| it.room = "another".to_owned()), None);
    assert_eq!(changed(&|it| it.suite_artifact = Some(Digest::of(b"a"))), None);
    let said = |change: &dyn Fn(&mut Facts)| changed(change).expect("other answers");
    assert_eq!(
        said(&|it| it.engine = "vertigo 1, MLX 2".to_owned()),
        "by vertigo 1, MLX 1, and this is vertigo 1, MLX 2"
    );
    assert!(said(&|it| it.engine = String::new()).contains("an engine that is not said"));
    assert_eq!(said(&|it| it.sampling.seed = 2), "asked in another way");
    assert_eq!(said(&|it| it.suite_digest = Digest::of(b"other")), "of another suite");
    assert_eq!(said(&|it| it.model = Model::Base { name: "m".to_owned(), base: Digest::of(b"m") }), "of another model");
}

#[test]
fn verdicts_of_an_answer_that_was_asked_again_are_not_the_new_ones() {
    let suite = suite();
    let (old, new) = (answer(&suite, "a", 0, "b", Ending::Answered), answer(&suite, "a", 0, "a", Ending::Answered));
    let lines = [
        Line::Answer(Box::new(old.clone())),
        judged(&old, vec![verdict(Standing::Passed, 1.0)]),
        Line::Answer(Box::new(new)),
    ];
    let report = report(&suite, &text(&lines));
    assert_eq!((report.overall.passed, report.overall.unjudged), (0, 1));
}

#[test]
fn an_answers_seed_depends_on_its_task_and_sample_alone() {
    let suite = suite();
    let sampling = facts(&suite).sampling;
    assert_eq!(sampling.seed_of("a", 0), sampling.seed_of("a", 0));
    let all = [("a", 0), ("a", 1), ("b", 0), ("b", 1)].map(|(task, sample)| sampling.seed_of(task, sample));
    let different: std::collections::BTreeSet<u64> = all.into_iter().collect();
    assert!(different.len() == 4 && all.iter().all(|seed| *seed < 1 << 53));
}

proptest! {
    #[test]
    fn the_same_lines_in_any_order_and_with_repeats_give_the_same_bytes(
        order in Just((0..19).collect::<Vec<usize>>()).prop_shuffle(), again in 0usize..19, slower in 0u64..9999,
    ) {
        let suite = suite();
        let lines = lines(&suite);
        prop_assert_eq!(lines.len(), 19);
        let straight = report(&suite, &text(&lines)).to_text();
        let mut shuffled: Vec<Line> = order.iter().map(|n| lines[*n].clone()).collect();
        let mut repeated = lines[again].clone();
        if let Line::Answer(line) = &mut repeated {
            line.time = Some(Time { whole_ms: slower });
        }
        shuffled.push(repeated);
        let other = report(&suite, &text(&shuffled)).to_text();
        prop_assert_eq!(straight, other);
    }

    #[test]
    fn wherever_it_was_cut_the_file_reads_as_far_as_it_is_whole(cut in 0usize..100_000) {
        let suite = suite();
        let whole = text(&lines(&suite));
        let mut cut = cut % (whole.len() + 1);
        while !whole.is_char_boundary(cut) {
            cut -= 1;
        }
        let kept = Kept::read(&whole[..cut]).unwrap();
        prop_assert_eq!(&whole[..kept.whole_bytes], &whole[..whole[..cut].rfind('\n').map_or(0, |end| end + 1)]);
        let healed = format!("{}{}", &whole[..kept.whole_bytes], &whole[kept.whole_bytes..]);
        prop_assert_eq!(report(&suite, &healed).to_text(), report(&suite, &whole).to_text());
    }
}

#[test]
fn times_are_beside_the_report() {
    let suite = suite();
    let kept = Kept::read(&text(&lines(&suite))).unwrap();
    let times = Times::of(&kept);
    assert_eq!((times.answers, times.seconds, times.tokens_per_second), (5, 10.0, 5.0));
    assert!(!report(&suite, &text(&lines(&suite))).to_text().contains("whole_ms"));
    assert_eq!(Times::of(&Kept::default()), Times::default());
}

#[test]
fn what_a_real_roblox_says_is_in_no_score_and_the_same_in_any_order() {
    use crate::roblox::{Outcome, Roblox, Verdict as Said};
    let mut suite = suite();
    for task in &mut suite.tasks[..2] {
        let (source, place) = ("return eval".to_owned(), "a.rbxl".to_owned());
        task.roblox = Some(crate::suite::RobloxEval { source, place, tags: Vec::new() });
    }
    let mut facts = facts(&suite);
    let without = lines(&suite);
    let said = |line: &AnswerLine, said: RobloxSaid| {
        let (task, sample, answer) = (line.task.clone(), line.sample, line.digest());
        Line::Roblox(RobloxLine { task, sample, answer, said })
    };
    let job = |at_ms: u64| RobloxSaid::Job(RobloxJob { at_ms, job: format!("job{at_ms}") });
    let of = |sample| answer(&suite, "a", sample, "text", if sample == 0 { Ending::Answered } else { Ending::Cut });
    let news = [
        said(&of(0), job(1)),
        said(&of(0), job(2)),
        said(&of(0), RobloxSaid::Verdict(Said::passed(Vec::new()))),
        said(&of(1), RobloxSaid::Verdict(Said::of(Outcome::NoProgram, "cut", Vec::new()))),
    ];
    let report = |lines: &[Line], facts: &Facts| {
        let mut lines = lines.to_vec();
        lines[0] = Line::Facts(Box::new(facts.clone()));
        Report::of(&suite, facts, &Kept::read(&text(&lines)).unwrap(), None).unwrap()
    };
    let alone = report(&without, &facts);
    facts.roblox = Some(Roblox::Cloud);
    let beside = report(&[&without[..], &news[..]].concat(), &facts);
    let reversed: Vec<Line> = news.iter().rev().cloned().collect();
    assert_eq!(report(&[&without[..], &reversed[..]].concat(), &facts).to_text(), beside.to_text());
    let roblox = beside.roblox.clone().unwrap();
    let tally = RobloxTally { answers: 4, passed: 1, failed: 1, no_program: 1, no_verdict: 0, to_come: 2 };
    assert_eq!((roblox.tally, roblox.passed().unwrap().0), (tally, 0.5));
    assert_eq!(roblox.tasks[0].answers[0].job.as_deref(), Some("job2"), "the newest is the one that was looked at");
    assert_eq!((&alone.overall, &alone.categories, alone.roblox), (&beside.overall, &beside.categories, None));
    assert_eq!(Report::parse(&beside.to_text()).unwrap(), beside);
}
