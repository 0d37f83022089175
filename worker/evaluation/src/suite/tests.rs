use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

const SCHEMA: &str = include_str!("../../suites/schema.json");

fn files(folder: &Path) -> BTreeMap<String, String> {
    fn add(folder: &Path, root: &Path, files: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, root, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    add(folder, folder, &mut files);
    files
}

fn sample() -> BTreeMap<String, String> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suites/sample"))
}

const TASK: &str = "id: a\ncategory: c\nprompt: p\nchecks: {compile: true}\n";

fn with(task: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("suite.yaml".to_owned(), "name: s".to_owned()), ("tasks/a.yaml".to_owned(), task.to_owned())])
}

fn refused(files: &BTreeMap<String, String>) -> String {
    Suite::parse(files).expect_err("it is refused").to_string()
}

#[test]
fn the_samples_are_read_as_they_are_written() {
    let suite = Suite::parse(&sample()).unwrap_or_else(|e| panic!("{e}"));
    let ids: Vec<&str> = suite.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["coding.clamp", "games.round", "tools.anchors"]);
    let round = suite.task("games.round").unwrap();
    assert_eq!((suite.tokens_max(round), suite.thinking(round)), (2048, Thinking::Tokens(1024)));
    assert_eq!(round.modules.len(), 2);
    assert_eq!(round.asked().lines().count(), 2);
    let names: Vec<&str> = round.checks.iter().map(|check| check.what.name().as_str()).collect();
    assert_eq!(names, ["compile", "types", "patterns", "run"]);
    assert!(matches!(&round.checks[3].what, What::Run { test } if test.contains("counts down")));
    assert_eq!((round.checks[3].weight, round.checks[1].decides), (3.0, false));
    let clamp = suite.task("coding.clamp").unwrap();
    assert_eq!((suite.tokens_max(clamp), suite.thinking(clamp), clamp.wrong.len()), (512, Thinking::Off, 1));
    let anchors = suite.task("tools.anchors").unwrap();
    assert_eq!(anchors.tool_names(), ["run_code", "delete_object"]);
    assert!(matches!(&anchors.checks[0].what, What::ToolCalls(wanted) if wanted.forbidden == ["delete_object"]));
    assert!(suite.task("games.roun").is_none());
}

#[test]
fn the_suite_that_comes_with_vertigo_is_whole() {
    let files = ours();
    if !files.contains_key(folder::ABOUT) {
        return vertigo_testkit::skipped("suites/luau has no tasks yet");
    }
    let suite = Suite::parse(&files).unwrap_or_else(|e| panic!("{e}"));
    assert!(suite.tasks.len() >= 60, "{} tasks", suite.tasks.len());
    for task in &suite.tasks {
        assert!(
            task.reference.is_some() && task.wrong.len() >= 3,
            "{} has a reference and three wrong answers",
            task.id
        );
        assert!(
            task.checks.iter().any(|check| matches!(check.what, What::Run { .. } | What::ToolCalls(_))),
            "{}",
            task.id
        );
    }
}

#[test]
fn the_canonical_form_is_read_as_the_same_suite_whatever_the_layout() {
    let suite = Suite::parse(&sample()).unwrap();
    let canonical = suite.files();
    let again = Suite::parse(&canonical).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again, suite);
    assert_eq!(again.files(), canonical);
    assert_eq!(again.digest(), suite.digest());
    let mut moved = sample();
    let text = moved.remove("tasks/clamp.yaml").unwrap();
    moved.insert("tasks/elsewhere/named-otherwise.yml".to_owned(), format!("# A comment.\n{text}"));
    assert_eq!(Suite::parse(&moved).unwrap().digest(), suite.digest());
    moved.insert("checks/round.luau".to_owned(), "test('other')".to_owned());
    assert_ne!(Suite::parse(&moved).unwrap().digest(), suite.digest());
}

#[test]
fn every_mistake_is_named_with_its_place_and_what_to_write() {
    for (written, said) in [
        (TASK.replace("checks", "chekcs"), "tasks/a.yaml: lacks the key `checks`"),
        (format!("{TASK}diffculty: 2"), "a key `diffculty` that means nothing; did you mean `difficulty`?"),
        (
            TASK.replace("compile", "compiles"),
            "`checks` has a key `compiles` that means nothing; did you mean `compile`?",
        ),
        (format!("{TASK}difficulty: 9"), "`difficulty` is 9; write a whole number from 1 to 5"),
        (format!("{TASK}thinking: true"), "`thinking` is true; write `false`, or how many tokens"),
        (format!("{TASK}messages: []"), "`messages` stands beside `prompt`; keep one"),
        (TASK.replace("prompt: p", "messages: [{role: assistant, content: x}]"), "has no message of a user"),
        (TASK.replace("prompt: p", "messages: [{role: bot, content: x}]"), "`messages[0].role` is `bot`; write system"),
        (TASK.replace("prompt: p\n", ""), "lacks the key `prompt`"),
        (TASK.replace("id: a", "id: a b"), "`id` is `a b`; write letters"),
        (TASK.replace("compile: true", "compile: false"), "`checks` asks nothing"),
        (TASK.replace("compile: true", "compile: 1"), "`checks.compile` is a number; write keys and values"),
        (TASK.replace("compile: true", "patterns: ['(']"), "`checks.patterns[0]` is no pattern"),
        (
            TASK.replace("compile: true", "run: {file: checks/x.luau}"),
            "is `checks/x.luau`, which the suite's folder does not have",
        ),
        (TASK.replace("compile: true", "run: {file: a, test: b}"), "stands beside `test`"),
        (
            TASK.replace("compile: true", "run: {weight: 0, test: b}"),
            "`checks.run.weight` is 0; write a number from 0.001",
        ),
        (TASK.replace("compile: true", "benchmark_v2: {patterns: [], decides: true}"), "gives a score and no pass"),
        (
            TASK.replace("compile: true", "tool_calls: [{name: runcode}]"),
            "`runcode` is no tool of the task; add it to `tools`",
        ),
        (format!("{TASK}tools: [{{name: a}}, {{name: a}}]"), "`tools[1]` is a second tool `a`"),
        (format!("{TASK}tools: [{{title: a}}]"), "`tools[0]` lacks `function.name`"),
        (format!("{TASK}modules: [{{path: a/../b}}]"), "write a path such as ReplicatedStorage/Shared/Score"),
        (format!("{TASK}modules: [{{path: a, kind: Script}}]"), "write Module, Server or Client"),
        (format!("{TASK}wrong: [{{answer: x}}]"), "`wrong[0]` lacks the key `why`"),
        (format!("{TASK}answer_from: {{tool: t, argument: a}}"), "`t` is no tool of the task"),
        ("a: [".to_owned(), "tasks/a.yaml: no YAML: "),
        ("- a".to_owned(), "is a list; write keys and values"),
    ] {
        let error = refused(&with(&written));
        assert!(error.starts_with("tasks/a.yaml: ") && error.contains(said), "{written}\n{error}");
    }
    let mut twice = with(TASK);
    twice.insert(
        "tasks.jsonl".to_owned(),
        json!({"id": "a", "category": "c", "prompt": "p", "checks": {"types": true}}).to_string(),
    );
    assert!(
        refused(&twice).starts_with("tasks/a.yaml: the id `a` is that of tasks.jsonl:1 as well")
            || refused(&twice).contains("as well")
    );
    let mut strange = with(TASK);
    strange.insert("suite.yaml".to_owned(), "name: s\ncategories: {coding: x}".to_owned());
    assert!(refused(&strange).contains("`category` is `c`; did you mean `coding`?"), "{}", refused(&strange));
    assert!(refused(&BTreeMap::new()).contains("suite.yaml: is not there"));
    assert!(refused(&BTreeMap::from([("suite.yaml".to_owned(), "name: s".to_owned())])).contains("has no task"));
}

#[test]
fn hostile_files_end_with_an_error() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let aliases = (0..40).map(|n| format!("a{n}: &a{n} [*a{m}, *a{m}]\n", m = n.max(1) - 1)).collect::<String>();
    let many = format!("{TASK}wrong: [{}]", "{why: w, answer: x}, ".repeat(65));
    let long = format!("{TASK}reference: {}", "x".repeat(fields::TEXT_BYTES_MAX + 1));
    let large = format!("# {}\n{TASK}", "x".repeat(FILE_BYTES_MAX));
    for text in [deep.as_str(), &aliases, &many, &long, &large, "\0", "a: !!binary x", "? {a: b}\n: c"] {
        let error = refused(&with(text));
        assert!(error.len() < 4000, "an error is a few lines: {}", error.len());
    }
    let line = format!("{{\"id\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let lines = BTreeMap::from([("suite.yaml".to_owned(), "name: s".to_owned()), ("tasks.jsonl".to_owned(), line)]);
    assert!(refused(&lines).starts_with("tasks.jsonl:1: no JSON"));
}

/// What the schema and the reader each say of a task that is changed in one place. Of what only the whole task shows (a tool that
/// is not there, a file that is missing, a pattern that is none) the schema says nothing, so none of these is such a change.
#[test]
fn the_schema_says_what_the_reader_does() {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("schema.json", serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let schema = compiler.compile("schema.json", &mut schemas).unwrap();
    let about = sample()
        .remove("suite.yaml")
        .unwrap()
        .replace("categories", "# categories")
        .replace("  coding:", "#")
        .replace("  games:", "#")
        .replace("  tools:", "#");
    let mut agreed = [0, 0];
    for task in &Suite::parse(&sample()).unwrap().tasks {
        let plain = task.to_value();
        let mut changed = vec![plain.clone()];
        let paths = paths(&plain, String::new());
        for path in &paths {
            for value in [
                json!(null),
                json!(true),
                json!(0),
                json!(-1),
                json!(7),
                json!("x"),
                json!([]),
                json!(["x"]),
                json!({}),
                json!({"x": 1}),
            ] {
                let mut other = plain.clone();
                *other.pointer_mut(path).unwrap() = value;
                changed.push(other);
            }
            let mut other = plain.clone();
            if let Some(Value::Object(map)) = other.pointer_mut(path) {
                map.insert("strange".to_owned(), json!(1));
                changed.push(other);
            }
        }
        for value in changed {
            let files = BTreeMap::from([
                ("suite.yaml".to_owned(), about.clone()),
                ("tasks.jsonl".to_owned(), value.to_string()),
            ]);
            let read = Suite::parse(&files);
            // A key that is null is one that is not there, which editors do not write.
            let is_valid = schemas.validate(&without_nulls(&value), schema).is_ok();
            let only_whole = read.as_ref().is_err_and(|error| {
                ["is no tool of the task", "has no message of a user", "is a second", "`function.name`", "keep one"]
                    .iter()
                    .any(|said| error.said.contains(said))
            });
            if !only_whole {
                assert_eq!(read.is_ok(), is_valid, "{value}\n{read:?}");
                agreed[usize::from(is_valid)] += 1;
            }
        }
    }
    assert!(agreed.iter().all(|count| *count > 100), "{agreed:?}");
}

/// The places of a task down to what is kept as it came: arguments, tools and what messages carry beside their text.
fn paths(value: &Value, at: String) -> Vec<String> {
    let opaque = ["/arguments", "/tools", "/tool_calls/0/arguments"]
        .iter()
        .any(|end| at.ends_with(end) && !at.starts_with("/checks/tools"));
    let inner = match value {
        _ if opaque => Vec::new(),
        Value::Object(map) => map.iter().flat_map(|(key, value)| paths(value, format!("{at}/{key}"))).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, value)| paths(value, format!("{at}/{n}"))).collect()
        }
        _ => Vec::new(),
    };
    [at].into_iter().filter(|at| !at.is_empty()).chain(inner).collect()
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[test]
fn a_benchmark_of_the_pipeline_is_a_suite() {
    let lines = "{\"id\": \"mcp_01\", \"category\": \"mcp_tool_calling\", \"difficulty\": 2, \"prompt\": \"p\", \"expected_patterns\": [\"a|b\"], \
                 \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"run_code\"}}], \"notes\": 1}\n\n\
                 {\"id\": \"a\", \"category\": \"coding\", \"prompt\": \"p\", \"expected_patterns\": [], \"tools\": null}\n";
    let suite = benchmark("vertigo", lines, Some("Be brief.\n")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(suite.about.system.as_deref(), Some("Be brief."));
    assert_eq!((suite.tasks.len(), suite.about.defaults.tokens_max, suite.about.defaults.samples), (2, 2048, 1));
    assert!(!suite.tasks[0].checks[0].decides);
    assert_eq!(Suite::parse(&suite.files()).unwrap(), suite);
    for (line, said) in [
        ("{}", "v:1: lacks `id`"),
        ("[]", "v:1: no JSON object"),
        (r#"{"id": "a", "category": "c", "prompt": "p", "expected_patterns": ["("]}"#, "is no pattern"),
    ] {
        let error = benchmark("v", line, None).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn evals_of_opengameeval_are_read_in_both_forms() {
    let chat = "local eval: BaseEval = {\n scenario_name = \"001_a\",\n prompt = {{{ role = \"user\",\n content = [[\nMake it \"red\"]],\n \
                request_id = \"s1\" }, { role = \"assistant\", content = \"Which \\\"one\\\"?\\n\" }}},\n place = \"x.rbxl\",\n tags = {\"a\", \"b\"},\n \
                difficulty = \"hard\" }\neval.setup = function()\nend";
    let debug = "local eval = { scenario_name = \"013_bug\", prompt = { \"It is \\\"slow\\\".\", [[Why?]] }, place = \"baseplate.rbxl\" }";
    let files = BTreeMap::from([
        ("Evals/001_a.lua".to_owned(), chat.to_owned()),
        ("open-game-eval/DebugEvals/013_bug.lua".to_owned(), debug.to_owned()),
        ("README.lua".to_owned(), "no eval".to_owned()),
    ]);
    let suite = opengameeval("oge", &files).unwrap_or_else(|e| panic!("{e}"));
    let [first, second] = &suite.tasks[..] else { panic!("{suite:?}") };
    assert_eq!(first.messages[0]["content"], "Make it \"red\"");
    assert_eq!(first.messages[1]["content"], "Which \"one\"?\n");
    assert_eq!((first.difficulty, first.category.as_str()), (Some(4), "eval"));
    let eval = first.roblox.as_ref().unwrap();
    assert_eq!((eval.place.as_str(), eval.tags.len(), eval.source.as_str()), ("x.rbxl", 2, chat));
    assert_eq!(
        (second.id.as_str(), second.category.as_str(), second.asked().as_str()),
        ("013_bug", "debug", "It is \"slow\".\nWhy?")
    );
    assert_eq!(Suite::parse(&suite.files()).unwrap(), suite);
    let none = BTreeMap::from([("Evals/a.lua".to_owned(), "return 1".to_owned())]);
    assert!(opengameeval("oge", &none).unwrap_err().to_string().starts_with("Evals/a.lua: has no prompt"));
}

proptest! {
    #[test]
    fn any_text_is_a_suite_or_an_error(text in "(?s).{0,200}", name in "[a-z/.]{0,20}") {
        for path in ["suite.yaml", "tasks/a.yaml", "tasks.jsonl", name.as_str()] {
            let mut files = with(TASK);
            files.insert(path.to_owned(), text.clone());
            if let Ok(suite) = Suite::parse(&files) {
                prop_assert_eq!(Suite::parse(&suite.files()).unwrap(), suite);
            }
        }
        let _ = benchmark("b", &text, None);
        let _ = opengameeval("o", &BTreeMap::from([("Evals/a.lua".to_owned(), text)]));
    }
}
