//! Reports for tests: a small one that says something of everything, and one that says the same text everywhere.

use crate::answer::{Answer, Call, Ending};
use crate::contamination::{Contamination, Found, Likeness, Part};
use crate::nonsense::Nonsense;
use crate::prompt::{Prompt, ToolsIn};
use crate::report::*;
use crate::room::{Case, Finding, FindingKind, Run, RunOutcome};
use crate::score::{Score, Standing, Verdict};
use crate::suite::{CheckName, Thinking};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vertigo::id::Digest;

/// A verdict that says no more than how an answer stands.
pub(super) fn verdict(check: CheckName, standing: Standing) -> Verdict {
    let score = if standing == Standing::Passed { 1.0 } else { 0.0 };
    Verdict {
        check,
        standing,
        score,
        weight: 1.0,
        decides: true,
        remarks: vec![],
        findings: vec![],
        run: None,
        kept: None,
    }
}

/// An answer with its verdicts.
pub(super) fn answered(sample: u32, answer: Answer, verdicts: Vec<Verdict>) -> AnswerReport {
    let tokens = Tokens { prompt: 90, thinking: if answer.thinking.is_some() { 12 } else { 0 }, answer: 34 };
    let score = (!verdicts.is_empty()).then(|| Score::of(&verdicts));
    AnswerReport { sample, seed: 7 + u64::from(sample), prompt: Digest::of(b"prompt"), tokens, answer, score, verdicts }
}

/// A task with its answers. What they come to is counted as reports count it, as far as the page shows it.
pub(super) fn task(id: &str, category: &str, asked: Value, answers: Vec<AnswerReport>) -> TaskReport {
    let passed = |of: &AnswerReport| of.score.and_then(|score| score.passed);
    let scores: Vec<f64> = answers.iter().filter_map(|of| of.score?.score).collect();
    let tally = Tally {
        tasks: 1,
        answers: answers.len() as u32,
        score: (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64),
        passed: answers.iter().filter(|of| passed(of) == Some(true)).count() as u32,
        decided: answers.iter().filter(|of| passed(of).is_some()).count() as u32,
        ..Tally::default()
    };
    let messages = vec![json!({"role": "system", "content": "Be brief."}), json!({"role": "user", "content": asked})];
    let prompt = Prompt { messages, tools: vec![], thinking: Thinking::Tokens(64), tokens_max: 512 };
    TaskReport {
        task: id.to_owned(),
        category: category.to_owned(),
        difficulty: Some(2),
        prompt: Some(prompt),
        tally,
        answers,
    }
}

/// A report of these tasks.
pub(super) fn report(model: &str, tasks: Vec<TaskReport>) -> Report {
    let sum = |tasks: &[&TaskReport]| {
        let mut tally = Tally::default();
        for task in tasks {
            tally.tasks += 1;
            tally.answers += task.tally.answers;
            tally.passed += task.tally.passed;
            tally.decided += task.tally.decided;
            tally.score = Some(tally.score.unwrap_or(0.0) + task.tally.score.unwrap_or(0.0) / tasks.len() as f64);
            task.answers.iter().for_each(|of| *tally.endings.entry(of.answer.ending).or_default() += 1);
        }
        tally
    };
    let mut categories: BTreeMap<String, Vec<&TaskReport>> = BTreeMap::new();
    tasks.iter().for_each(|task| categories.entry(task.category.clone()).or_default().push(task));
    let facts = Facts {
        format: FORMAT,
        suite: "luau".to_owned(),
        suite_digest: Digest::of(b"suite"),
        model: Model::Base { name: model.to_owned(), base: Digest::of(model.as_bytes()) },
        sampling: Sampling { temperature: 0.7, top_p: 0.95, top_k: 0, samples: 2, seed: 0 },
        tools_in: ToolsIn::Request,
        room: "luau 0.739".to_owned(),
        roblox: None,
    };
    Report {
        facts,
        pattern_matches: BTreeMap::new(),
        overall: sum(&tasks.iter().collect::<Vec<_>>()),
        categories: categories.iter().map(|(name, tasks)| (name.clone(), sum(tasks))).collect(),
        benchmark_v2: None,
        nonsense: vec![],
        contamination: None,
        missing: 0,
        roblox: None,
        tasks,
    }
}

/// What an echo scores in the pipeline's benchmark.
pub(super) fn echo(passes: &[&str]) -> NonsenseScore {
    NonsenseScore {
        kind: Nonsense::Echo,
        tasks: 2,
        score: Some(0.808),
        passes: passes.iter().map(|task| (*task).to_owned()).collect(),
        red: vec![CheckName::BenchmarkV2],
        checks: BTreeMap::from([(CheckName::BenchmarkV2, 0.808), (CheckName::Run, 0.0)]),
    }
}

/// A small report with something of everything.
pub(super) fn small(model: &str, is_good: bool) -> Report {
    let text =
        "Here it is:\n\n```luau\n-- src/Score.luau\nlocal function add(a: number): number\n\treturn a + 1\n```\nDone.";
    let answer = Answer::of(Ending::Answered, text, Some("One more than `a`.".to_owned()), vec![]);
    let mut lint = verdict(CheckName::Lint, Standing::Failed);
    lint.decides = false;
    lint.findings = vec![Finding {
        line: 2,
        column: 16,
        kind: FindingKind::Lint,
        code: Some("LocalUnused".to_owned()),
        message: "'add' is never used".to_owned(),
    }];
    let mut compile = verdict(CheckName::Compile, if is_good { Standing::Passed } else { Standing::Failed });
    if !is_good {
        compile.remarks = vec!["src/Score.luau:3: Expected 'end'".to_owned()];
    }
    let mut run = verdict(CheckName::Run, compile.standing);
    let case = Case {
        name: "adds one".to_owned(),
        passed: is_good,
        message: (!is_good).then(|| "expected 2\n     got 1".to_owned()),
    };
    let outcome = if is_good { RunOutcome::Passed } else { RunOutcome::Failed };
    run.run = Some(Run { outcome, cases: vec![case], output: "hello\n".to_owned(), is_output_cut: true });
    let first = answered(0, answer, vec![compile, lint, run]);
    let cut = answered(
        1,
        Answer::of(Ending::Cut, "```luau\nlocal", None, vec![]),
        vec![verdict(CheckName::Run, Standing::Failed)],
    );
    let call =
        Call { name: "execute_luau".to_owned(), arguments: json!({"code": "print(1)\nprint(2)\n", "wait": true}) };
    let called = answered(
        0,
        Answer::of(Ending::Answered, "", None, vec![call]),
        vec![verdict(CheckName::ToolCalls, Standing::Passed)],
    );
    let mut report = report(
        model,
        vec![
            task("coding.add", "coding", json!("Add one."), vec![first, cut]),
            task("tools.print", "tools", json!("Print."), vec![called, answered(1, Answer::said(""), vec![])]),
        ],
    );
    report.pattern_matches.insert(CheckName::BenchmarkV2, "pattern match (Benchmark v2)".to_owned());
    report.benchmark_v2 =
        Some(BenchmarkV2 { overall: 82.9, categories: BTreeMap::from([("coding".to_owned(), 81.0)]) });
    report.nonsense =
        vec![echo(&[]), NonsenseScore { kind: Nonsense::Empty, score: Some(0.0), red: vec![], ..echo(&[]) }];
    let found = Found {
        likeness: Likeness::Near,
        part: Part::Question,
        share: 0.75,
        source: "train.jsonl".to_owned(),
        line: 4,
    };
    report.contamination = Some(Contaminated {
        contamination: Contamination { examples: 9, found: BTreeMap::from([("coding.add".to_owned(), found)]) },
        inside: report.categories["coding"].clone(),
        outside: report.categories["tools"].clone(),
    });
    report
}

/// A report that says `text` wherever a report says anything.
pub(super) fn everywhere(text: &str) -> Report {
    let said = || text.to_owned();
    let finding = Finding { line: 1, column: 1, kind: FindingKind::Type, code: Some(said()), message: said() };
    let mut verdicts: Vec<Verdict> = [CheckName::Compile, CheckName::Lint, CheckName::Run]
        .map(|check| Verdict {
            remarks: vec![said(), format!("block 1:1: {text}"), format!("{text}:1: {text}")],
            findings: vec![finding.clone(), Finding { line: 1 << 30, ..finding.clone() }],
            kept: Some(json!({text: text})),
            ..verdict(check, Standing::Broken)
        })
        .to_vec();
    let case = Case { name: said(), passed: false, message: Some(said()) };
    verdicts[2].run =
        Some(Run { outcome: RunOutcome::Failed, cases: vec![case], output: said(), is_output_cut: false });
    let calls = vec![
        Call { name: said(), arguments: json!({text: text, "code": format!("{text}\n{text}")}) },
        Call { name: said(), arguments: json!(text) },
    ];
    let texts = [said(), format!("{text}\n```luau\n{text}\n```\n{text}\n```{text}\n{text}"), format!("```\n{text}")];
    let answers = texts.iter().enumerate().map(|(n, text)| {
        let answer =
            Answer { ending: Ending::Answered, text: text.clone(), thinking: Some(said()), tool_calls: calls.clone() };
        answered(n as u32, answer, verdicts.clone())
    });
    let mut task = task(text, text, json!(text), answers.collect());
    let prompt = task.prompt.as_mut().unwrap();
    prompt.messages.push(json!({"role": text, "content": text, text: [text]}));
    prompt.tools = vec![json!({"function": {"name": text}})];
    let mut report = report(text, vec![task]);
    report.facts.suite = said();
    report.facts.room = said();
    report.facts.model = Model::Api { url: said(), model: said() };
    report.pattern_matches.insert(CheckName::Patterns, said());
    report.benchmark_v2 = Some(BenchmarkV2 { overall: 1.0, categories: BTreeMap::from([(said(), 1.0)]) });
    report.nonsense = vec![echo(&[text])];
    let found = Found { likeness: Likeness::Exact, part: Part::Reference, share: 1.0, source: said(), line: 1 };
    report.contamination = Some(Contaminated {
        contamination: Contamination { examples: 1, found: BTreeMap::from([(said(), found)]) },
        inside: report.overall.clone(),
        outside: Tally::default(),
    });
    report
}
