//! Writes a page of made-up reports over the suite that comes with Vertigo, to look at it in a browser: `page FOLDER`
//! writes `one.html` and `two.html` there. The answers are the suite's references, its wrong answers and nonsense; the
//! verdicts are made up.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;
use vertigo::id::Digest;
use vertigo_evaluation::answer::{Answer, Ending};
use vertigo_evaluation::contamination::{Contamination, Found, Likeness, Part};
use vertigo_evaluation::nonsense::Nonsense;
use vertigo_evaluation::page::page;
use vertigo_evaluation::prompt::{Prompt, ToolsIn};
use vertigo_evaluation::report::{AnswerLine, Facts, Kept, Model, Report, Sampling, Tokens};
use vertigo_evaluation::room::{Case, Finding, FindingKind, Run, RunOutcome};
use vertigo_evaluation::score::{Standing, Verdict};
use vertigo_evaluation::suite::{Check, CheckName, Suite, Task, What, ours};

const SAMPLES: u32 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("say in which folder the pages go")?);
    let mut suite = Suite::parse(&ours())?;
    // One check of patterns, so that the page has to warn of it.
    for task in suite.tasks.iter_mut().take(40) {
        let what = What::BenchmarkV2 { patterns: vec!["local".to_owned()] };
        task.checks.push(Check { what, weight: 1.0, decides: false });
    }
    let base = report(&suite, Model::Base { name: "Qwen3.5-4B".to_owned(), base: Digest::of(b"base") }, 11)?;
    let (name, adapter) = ("Qwen3.5-4B@tutor".to_owned(), Digest::of(b"adapter"));
    let adapted = report(&suite, Model::Adapted { name, base: Digest::of(b"base"), adapter }, 4)?;
    let attacked = attacked(&adapted);
    let pages = [("one.html", &[&adapted][..]), ("two.html", &[&base, &adapted]), ("attacks.html", &[&attacked])];
    for (name, reports) in pages {
        let begun = Instant::now();
        let text = page(reports);
        let tasks = suite.tasks.len();
        println!("{name}: {tasks} tasks x {SAMPLES}, {} bytes in {:.0?}", text.len(), begun.elapsed());
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}

/// What a text may hold to get out of its place.
const ATTACK: &str = "</script></code></pre></title></style><img src=x onerror=alert(1)>\"' onload=alert(1) <script>alert(2)</script><!--";

/// The report with an attack in each of its texts.
fn attacked(report: &Report) -> Report {
    let mut report = report.clone();
    report.facts.suite = ATTACK.to_owned();
    report.facts.room = ATTACK.to_owned();
    for task in &mut report.tasks {
        task.category = ATTACK.to_owned();
        for answer in &mut task.answers {
            answer.answer.text = format!("{ATTACK}\n```luau\n{ATTACK}\n```\n{ATTACK}");
            answer.answer.thinking = Some(ATTACK.to_owned());
            for verdict in &mut answer.verdicts {
                verdict.remarks = vec![ATTACK.to_owned(), format!("block 1:1: {ATTACK}")];
            }
        }
    }
    report
}

/// A model that fails the more the larger `weakness` is.
fn report(suite: &Suite, model: Model, weakness: usize) -> Result<Report, Box<dyn Error>> {
    let sampling = Sampling { temperature: 0.7, top_p: 0.95, top_k: 0, samples: SAMPLES, seed: 0 };
    let room = "luau 0.739, lune-roblox 0.4.1".to_owned();
    let facts = Facts::new(suite, model, sampling, ToolsIn::Request, room);
    let mut kept = Kept { facts: Some(facts.clone()), ..Kept::default() };
    for (n, task) in suite.tasks.iter().enumerate() {
        let prompt = Prompt::of(suite, task, ToolsIn::Request);
        for sample in 0..SAMPLES {
            let seed = sampling.seed_of(&task.id, sample);
            let (answer, verdicts) = answered(task, &prompt, (n * 7 + sample as usize * 5) % 20, weakness);
            let tokens = Tokens { prompt: 400, thinking: 120, answer: answer.text.len() as u32 / 4 };
            let line =
                AnswerLine { task: task.id.clone(), sample, seed, prompt: prompt.digest(), answer, tokens, time: None };
            kept.verdicts.insert((task.id.clone(), sample, line.digest()), verdicts);
            kept.answers.insert((task.id.clone(), sample), line);
        }
        for kind in Nonsense::ALL {
            let verdicts = task.checks.iter().map(|check| nonsense(check, kind)).collect();
            kept.nonsense.insert((kind, task.id.clone()), verdicts);
        }
        kept.prompts.insert(task.id.clone(), prompt);
    }
    let found =
        |likeness, line| Found { likeness, part: Part::Question, share: 0.71, source: "train.jsonl".to_owned(), line };
    let found = suite.tasks.iter().step_by(17).enumerate().map(|(n, task)| {
        (task.id.clone(), found(if n == 0 { Likeness::Exact } else { Likeness::Near }, n as u32 * 13 + 4))
    });
    let contamination = Contamination { examples: 1_243, found: found.collect::<BTreeMap<_, _>>() };
    Ok(Report::of(suite, &facts, &kept, Some(&contamination))?)
}

fn verdict(check: &Check, standing: Standing, score: f64) -> Verdict {
    let (weight, decides, name) = (check.weight, check.decides, check.what.name());
    Verdict { check: name, standing, score, weight, decides, remarks: vec![], findings: vec![], run: None, kept: None }
}

fn nonsense(check: &Check, kind: Nonsense) -> Verdict {
    match check.what.name() {
        CheckName::BenchmarkV2 if kind != Nonsense::Empty => verdict(check, Standing::Scored, 0.808),
        _ => verdict(check, Standing::Failed, 0.0),
    }
}

fn answered(task: &Task, prompt: &Prompt, draw: usize, weakness: usize) -> (Answer, Vec<Verdict>) {
    let reference = task.reference.as_ref().map(|it| (it.text.clone(), it.tool_calls.clone())).unwrap_or_default();
    let thought = Some("The module is required once, so what is kept at its top is shared by all players.".to_owned());
    let (answer, is_right) = match draw {
        0 => (
            Answer::of(
                Ending::Cut,
                &reference.0[..reference.0.floor_char_boundary(reference.0.len() / 2)],
                thought,
                vec![],
            ),
            false,
        ),
        1 => (Answer::of(Ending::ApiError, "", None, vec![]), false),
        2 => (Nonsense::Echo.answer(prompt), false),
        draw if draw < weakness => match task.wrong.get(draw % 3) {
            Some(wrong) => {
                (Answer::of(Ending::Answered, &wrong.answer.text, thought, wrong.answer.tool_calls.clone()), false)
            }
            None => (Answer::said(""), false),
        },
        _ => (Answer::of(Ending::Answered, &reference.0, thought, reference.1), true),
    };
    let verdicts = task.checks.iter().map(|check| of(check, &answer, is_right, draw)).collect();
    (answer, verdicts)
}

fn of(check: &Check, answer: &Answer, is_right: bool, draw: usize) -> Verdict {
    let mut it = if is_right { verdict(check, Standing::Passed, 1.0) } else { verdict(check, Standing::Failed, 0.0) };
    if answer.ending != Ending::Answered {
        it.remarks.push("the answer was cut at its bound".to_owned());
        return it;
    }
    let finding = |line, kind, code: &str, message: &str| Finding {
        block: 1,
        line,
        column: 7,
        kind,
        code: Some(code.to_owned()),
        message: message.to_owned(),
    };
    match check.what.name() {
        CheckName::Compile if draw == 3 => {
            it.remarks.push("block 1:3: Expected 'end' (to close 'function' at line 2), got <eof>".to_owned())
        }
        CheckName::Compile if !is_right && draw > 3 => it = verdict(check, Standing::Passed, 1.0),
        CheckName::Lint => it.findings.push(finding(
            2,
            FindingKind::Lint,
            "LocalUnused",
            "Variable 'x' is never used; prefix with '_' to silence",
        )),
        CheckName::Types if !is_right => it.findings.push(finding(
            4,
            FindingKind::Type,
            "TypeMismatch",
            "Expected this to be 'number', but got 'string?'",
        )),
        CheckName::BenchmarkV2 => {
            it = verdict(check, Standing::Scored, if is_right { 0.83 } else { 0.8 });
            it.kept = Some(serde_json::json!({"correctness": 1.0, "convention_score": 0.5, "overall": it.score}));
        }
        CheckName::Run => {
            let case = |name: &str, message: Option<&str>| Case {
                lacks: None,
                name: name.to_owned(),
                passed: message.is_none(),
                message: message.map(str::to_owned),
            };
            let failing = (!is_right).then_some("expected { false, 3 }\n     got { true, 3 }");
            let cases = vec![
                case("a new player has the defaults", None),
                case("two players are apart", failing),
                case("what is no setting is left out", None),
            ];
            let outcome = if is_right { RunOutcome::Passed } else { RunOutcome::Failed };
            it.score = if is_right { 1.0 } else { 2.0 / 3.0 };
            it.run = Some(Run { outcome, cases, output: "loaded 3 settings\n".to_owned(), is_output_cut: false });
        }
        _ => {}
    }
    it
}
