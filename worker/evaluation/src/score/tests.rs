use super::*;
use crate::answer::{Answer, Call, Ending, TEXT_BYTES_MAX, Wanted, assigned};
use crate::python::{self, Pattern};
use crate::room::{
    Block, Finding, FindingKind, Module, ModuleKind, Problem, Program, Room, RoomError, Run, RunOutcome,
};
use crate::suite::{self, Suite, Task};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;

const GOLDEN: &str = include_str!("../../tests/golden/python_scores.jsonl");

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_row_that_python_scored_has_pythons_scores() {
    let mut looked_at = BTreeMap::<String, u32>::new();
    for row in rows(GOLDEN) {
        let kind = row["kind"].as_str().unwrap().to_owned();
        match kind.as_str() {
            "benchmark_v2" => {
                let category = row["category"].as_str().unwrap();
                let expected =
                    benchmark_v2::Expected::new(category, &texts(&row["patterns"]), texts(&row["tools"])).unwrap();
                let scores = expected.score(row["response"].as_str().unwrap()).unwrap();
                assert_eq!(serde_json::to_value(scores).unwrap(), row["scores"], "{row}");
            }
            "opengameeval" => {
                let scores = opengameeval::scored(row["response"].as_str().unwrap(), row["called"].as_str());
                let wanted = json!({"code": row["code"], "score": row["score"], "passed": row["passed"]});
                assert_eq!(serde_json::to_value(scores).unwrap(), wanted, "{row}");
            }
            "search" => {
                let case = if row["ignores_case"] == true { python::Case::Ignored } else { python::Case::Told };
                let pattern =
                    Pattern::new(row["pattern"].as_str().unwrap(), case).unwrap_or_else(|e| panic!("{row}: {e}"));
                assert_eq!(pattern.is_in(row["text"].as_str().unwrap()).unwrap(), row["found"] == true, "{row}");
            }
            "round" => {
                let digits = row["digits"].as_u64().unwrap() as u8;
                let rounded = python::round(row["value"].as_f64().unwrap(), digits);
                assert_eq!(rounded, row["rounded"].as_f64().unwrap(), "{row}");
            }
            other => panic!("{other}"),
        }
        *looked_at.entry(kind).or_default() += 1;
    }
    assert!(looked_at.len() == 4 && looked_at.values().all(|count| *count >= 100), "{looked_at:?}");
}

/// A room that knows code by its words: `broken` does not compile, `lint` and `type` are findings, `slow` runs out of time,
/// `missing` asks for what the room lacks, `fault` is the room's own.
#[derive(Default)]
struct Played {
    ran: RefCell<Vec<Program>>,
}

impl Room for Played {
    fn blocks(&self, text: &str) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("```luau\n") {
            let (source, then) = after.split_once("```").unwrap_or((after, ""));
            let name =
                before.trim_end().rsplit('\n').next().and_then(|line| line.strip_prefix("### ")).map(str::to_owned);
            blocks.push(Block {
                name,
                fence: Some("luau".into()),
                source: source.to_owned(),
                is_closed: !then.is_empty(),
            });
            rest = then;
        }
        blocks
    }

    fn compile(&self, source: &str) -> Result<(), Problem> {
        if source.contains("broken") { Err(Problem { line: 1, message: "syntax".into() }) } else { Ok(()) }
    }

    fn analyze(&self, source: &str) -> Result<Vec<Finding>, RoomError> {
        if source.contains("fault") {
            return Err(RoomError("it fell over".into()));
        }
        let finding = |kind, code: &str| Finding {
            block: 0,
            line: 1,
            column: 1,
            kind,
            code: Some(code.into()),
            message: "m".into(),
        };
        let mut findings = Vec::new();
        findings.extend(source.contains("lint").then(|| finding(FindingKind::Lint, "LocalUnused")));
        findings.extend(source.contains("type").then(|| finding(FindingKind::Type, "TypeError")));
        Ok(findings)
    }

    fn run(&self, program: &Program) -> Result<Run, RoomError> {
        self.ran.borrow_mut().push(program.clone());
        let source: String = program.modules.iter().map(|module| module.source.as_str()).collect();
        let case = |name: &str, passed| crate::room::Case { name: name.into(), passed, message: None, lacks: None };
        let (outcome, cases) = match source.as_str() {
            s if s.contains("fault") => return Err(RoomError("it fell over".into())),
            s if s.contains("slow") => (RunOutcome::OutOfTime, vec![case("a", true)]),
            s if s.contains("missing") => (RunOutcome::Unsupported, vec![]),
            s if s.contains("half") => (RunOutcome::Failed, vec![case("a", true), case("b", false)]),
            s if s.contains("nothing") => (RunOutcome::Passed, vec![]),
            _ => (RunOutcome::Passed, vec![case("a", true), case("b", true)]),
        };
        Ok(Run { outcome, cases, output: String::new(), is_output_cut: false })
    }
}

fn task(yaml: &str) -> Task {
    let files = BTreeMap::from([
        ("suite.yaml".to_owned(), "name: s".to_owned()),
        ("tasks/a.yaml".to_owned(), format!("id: a\ncategory: c\nprompt: p\n{yaml}")),
    ]);
    Suite::parse(&files).unwrap_or_else(|e| panic!("{e}")).tasks.remove(0)
}

fn standings(task: &Task, answer: &Answer) -> Vec<(suite::CheckName, Standing, f64)> {
    let verdicts = Judge::of(task).verdicts(answer, &Played::default(), 1);
    verdicts.into_iter().map(|verdict| (verdict.check, verdict.standing, verdict.score)).collect()
}

fn code(source: &str) -> Answer {
    Answer::said(&format!("Here:\n```luau\n{source}\n```\n"))
}

#[test]
fn an_answer_that_runs_passes_and_its_mistakes_are_told_apart() {
    use Standing::*;
    let task = task("checks: {compile: true, run: 'test()'}");
    for (source, compile, run) in [
        ("return 1", (Passed, 1.0), (Passed, 1.0)),
        ("broken", (Failed, 0.0), (Passed, 1.0)),
        ("half", (Passed, 1.0), (Failed, 0.5)),
        ("slow", (Passed, 1.0), (Failed, 0.0)),
        ("nothing", (Passed, 1.0), (Failed, 0.0)),
        ("missing", (Passed, 1.0), (Unsupported, 0.0)),
        ("fault", (Passed, 1.0), (Broken, 0.0)),
    ] {
        let said = standings(&task, &code(source));
        let wanted = [(suite::CheckName::Compile, compile.0, compile.1), (suite::CheckName::Run, run.0, run.1)];
        assert_eq!(said, wanted, "{source}");
    }
    let score = |source: &str| Score::of(&Judge::of(&task).verdicts(&code(source), &Played::default(), 1));
    assert_eq!(score("return 1"), Score { score: Some(1.0), passed: Some(true) });
    assert_eq!(score("half"), Score { score: Some(0.75), passed: Some(false) });
    assert_eq!(
        score("missing"),
        Score { score: Some(1.0), passed: None },
        "what the room lacks is not the model's fault"
    );
    assert_eq!(score("broken missing"), Score { score: Some(0.0), passed: Some(false) });
    assert_eq!(Score::of(&[]), Score { score: None, passed: None });
}

#[test]
fn no_code_passes_no_check_of_code() {
    let task = task("checks: {compile: true, lint: true, types: true, run: 'test()'}");
    for text in ["", "I would write a module.", "<think>```luau\nreturn 1\n```</think>There."] {
        let verdicts = Judge::of(&task).verdicts(&Answer::said(text), &Played::default(), 1);
        assert!(verdicts.iter().all(|verdict| verdict.standing == Standing::Failed && verdict.score == 0.0), "{text}");
        assert_eq!(Score::of(&verdicts).passed, Some(false));
    }
}

#[test]
fn lints_that_are_not_denied_are_none_and_style_decides_nothing() {
    let lint = |deny: &str| task(&format!("checks: {{lint: {deny}, types: true, compile: true}}"));
    let said = |task: &Task| Score::of(&Judge::of(task).verdicts(&code("lint"), &Played::default(), 1));
    assert_eq!(said(&lint("{deny: [GlobalUsed]}")).score, Some(1.0));
    let strict = said(&lint("true"));
    assert!(strict.score < Some(1.0) && strict.passed == Some(true), "{strict:?}");
    assert_eq!(said(&lint("{deny: [LocalUnused], decides: true}")).passed, Some(false));
    let weighed = said(&lint("{deny: [], weight: 2}"));
    assert_eq!(weighed.score, Some(0.5));
}

#[test]
fn cut_and_absent_answers_are_no_answers_but_to_the_pipelines_scorers() {
    let ours = task("checks: {compile: true, patterns: ['return']}");
    let kept = task("checks: {benchmark_v2: ['return']}");
    let text = format!("```luau\nreturn Service -- {}\n```", "x".repeat(60));
    for (ending, counts) in
        [(Ending::Answered, true), (Ending::Cut, false), (Ending::TimedOut, false), (Ending::ApiError, false)]
    {
        let answer = Answer::of(ending, &text, None, Vec::new());
        let score = Score::of(&Judge::of(&ours).verdicts(&answer, &Played::default(), 1));
        assert_eq!((score.score > Some(0.0), score.passed), (counts, Some(counts)), "{ending:?}");
    }
    let cut = Answer::of(Ending::Cut, &text, None, Vec::new());
    assert_eq!(standings(&kept, &cut)[0].2, 1.0, "the pipeline knows no cut answer");
}

const TOOLS: &str = "tools:\n- {name: run_code, parameters: {}}\n- {name: stop, parameters: {}}\n";

#[test]
fn calls_are_wanted_by_name_and_arguments_in_any_order() {
    let call = |name: &str, arguments: Value| Call { name: name.into(), arguments };
    let any = r"checks: {tool_calls: [{name: run_code, arguments: {n: 1}}, {name: run_code, arguments: {code: {pattern: 'Get\w+'}}}]}";
    let passes = |yaml: &str, calls: Vec<Call>| {
        let answer = Answer::of(Ending::Answered, "", None, calls);
        standings(&task(&format!("{TOOLS}{yaml}")), &answer)[0].1 == Standing::Passed
    };
    let both = call("run_code", json!({"n": 1.0, "code": "GetTagged"}));
    let first = call("run_code", json!({"n": 1}));
    assert!(passes(any, vec![both.clone(), first.clone()]), "the one that fits both wants is left to the second");
    assert!(passes(any, vec![first.clone(), both.clone(), call("stop", json!({}))]));
    assert!(!passes(any, vec![both.clone()]), "two wants need two calls");
    assert!(!passes(any, vec![first.clone(), call("run_code", json!("GetTagged"))]));
    let exactly = "checks: {tool_calls: {calls: [{name: stop}], exactly: true}}";
    assert!(passes(exactly, vec![call("stop", json!({}))]));
    assert!(!passes(exactly, vec![call("stop", json!({})), first.clone()]));
    let forbidden = "checks: {forbid_tool_calls: [stop], compile: false}";
    assert!(passes(forbidden, vec![first]) && !passes(forbidden, vec![call("stop", Value::Null)]));
}

#[test]
fn the_code_of_a_call_is_the_program() {
    let yaml =
        format!("{TOOLS}answer_from: {{tool: run_code, argument: code}}\nchecks: {{compile: true, run: 'test()'}}");
    let task = task(&yaml);
    let call = |code: &str| Call { name: "run_code".into(), arguments: json!({"code": code}) };
    let room = Played::default();
    let answer = Answer::of(Ending::Answered, "```luau\nbroken\n```", None, vec![call("broken"), call("print(1)")]);
    let verdicts = Judge::of(&task).verdicts(&answer, &room, 7);
    assert_eq!(Score::of(&verdicts).passed, Some(true));
    let program = room.ran.borrow_mut().remove(0);
    let module = Module { path: "answer".into(), kind: ModuleKind::Server, source: "print(1)".into() };
    assert_eq!(program, Program { modules: vec![module], test: "test()".into(), seed: 7 });
    let none = Judge::of(&task).verdicts(&Answer::said("```luau\nprint(1)\n```"), &room, 7);
    assert_eq!(Score::of(&none).passed, Some(false), "code in the text was not called");
}

#[test]
fn blocks_are_scripts_by_their_names_and_else_in_order() {
    let wanted = |paths: &[&str]| -> Vec<Wanted> {
        paths.iter().map(|path| Wanted { path: (*path).into(), kind: ModuleKind::Module }).collect()
    };
    let block = |name: Option<&str>, source: &str| Block {
        name: name.map(str::to_owned),
        fence: None,
        source: source.into(),
        is_closed: true,
    };
    let sources = |wanted: &[Wanted], blocks: Vec<Block>| {
        assigned(wanted, blocks).map(|modules| modules.into_iter().map(|module| module.source).collect::<Vec<_>>())
    };
    let two = wanted(&["ReplicatedStorage/Shared/Score", "ServerScriptService/Main"]);
    let named = vec![block(Some("Main.server.luau"), "m"), block(Some("src/ReplicatedStorage/Shared/Score.luau"), "s")];
    assert_eq!(sources(&two, named), Ok(vec!["s".into(), "m".into()]));
    assert_eq!(sources(&two, vec![block(None, "a"), block(Some("Score"), "b")]), Ok(vec!["b".into(), "a".into()]));
    assert_eq!(
        sources(&two, vec![block(None, "a"), block(None, "b"), block(None, "c")]),
        Ok(vec!["a".into(), "b".into()])
    );
    assert_eq!(
        sources(&two, vec![block(Some("Other.luau"), "o"), block(None, "a")]),
        Err(vec!["ServerScriptService/Main".into()])
    );
    assert_eq!(
        sources(&two, vec![block(Some("Main"), "old"), block(None, "a"), block(Some("`Main.luau`"), "new")]),
        Ok(vec!["a".into(), "new".into()])
    );
    let alike = wanted(&["A/Init", "B/Init"]);
    assert_eq!(sources(&alike, vec![block(Some("Init.luau"), "?"), block(None, "a")]), Err(vec!["B/Init".into()]));
    assert_eq!(
        sources(&[], vec![block(None, "short"), block(None, "longer"), block(None, "equals")]),
        Ok(vec!["longer".into()])
    );
    assert_eq!(sources(&[], vec![]), Err(vec!["answer".into()]));
}

#[test]
fn thoughts_are_no_part_of_what_is_scored() {
    for (text, said, thought) in [
        ("<think>\na\n</think>\n\nb", "b", Some("a")),
        ("a\n</think>\n\nb", "b", Some("a")),
        ("b<think>c</think> d", "bd", Some("c")),
        ("<think>never ends ```luau", "", Some("never ends ```luau")),
        ("<think></think>b", "b", None),
        ("plain", "plain", None),
    ] {
        let answer = Answer::said(text);
        assert_eq!((answer.text.as_str(), answer.thinking.as_deref()), (said, thought), "{text}");
    }
    let long = Answer::said(&"ä".repeat(TEXT_BYTES_MAX));
    assert!(long.ending == Ending::Cut && long.text.len() <= TEXT_BYTES_MAX);
}

#[test]
fn a_hostile_pattern_breaks_its_check_and_nothing_else() {
    let task = task("checks: {compile: true, patterns: ['^(?:(?=a)a|a)+$']}");
    let answer = Answer::said(&format!("{}b\n```luau\nreturn 1\n```", "a".repeat(60)));
    let said = standings(&task, &answer);
    assert_eq!(said[0].1, Standing::Passed);
    assert_eq!(said[1].1, Standing::Broken);
    let score = Score::of(&Judge::of(&task).verdicts(&answer, &Played::default(), 1));
    assert_eq!(score, Score { score: Some(1.0), passed: None }, "it is not the model's fault");
}

proptest! {
    #[test]
    fn scores_are_shares_whatever_is_answered(text in "(?s).{0,300}", weight in 0.1f64..10.0) {
        let yaml = format!("checks: {{compile: {{weight: {weight}}}, lint: true, types: true, patterns: [a, 'b$'], run: x, benchmark_v2: [c], opengameeval_dry_run: true}}");
        let task = task(&yaml);
        let text = text.replace('`', "```luau\n");
        let verdicts = Judge::of(&task).verdicts(&Answer::said(&text), &Played::default(), 1);
        prop_assert!(verdicts.len() == 7 && verdicts.iter().all(|verdict| (0.0..=1.0).contains(&verdict.score)));
        let score = Score::of(&verdicts);
        prop_assert!(score.score.is_none_or(|score| (0.0..=1.0).contains(&score)));
        // JSON keeps every verdict.
        for verdict in verdicts {
            let text = serde_json::to_string(&verdict).unwrap();
            prop_assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
        }
    }
}
