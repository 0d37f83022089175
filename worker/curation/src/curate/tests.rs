use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap as Map;
use std::io::Cursor;

type Files = Vec<(String, String)>;

fn inputs(files: &Files) -> Inputs<'_> {
    let reader = |text: &str| Box::new(Cursor::new(text.as_bytes().to_vec())) as Box<dyn BufRead>;
    let files = files.iter().map(|(name, text)| (name.clone(), reader(text))).collect();
    Inputs { files, suites: Vec::new(), tokenizer: None }
}

fn curated(yaml: &str, files: &Files) -> Result<Curated, CurateError> {
    curate(&Config::parse(yaml).unwrap(), inputs(files), &mut |_| ())
}

/// What is written, by file.
fn written(curated: &Curated) -> Map<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    curated.write(folder.path()).unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

fn file(curated: &Curated, side: Side) -> Option<Vec<u8>> {
    written(curated).remove(side.file())
}

fn provenance(curated: &Curated) -> Vec<provenance::Line> {
    let written = written(curated);
    let text = String::from_utf8(written[provenance::FILE].clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Words of which rows are made: few enough that rows are often alike.
fn said() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["spawn", "part", "tween", "door", "wait", "player", "coin"]), 1..14)
        .prop_map(|words| words.join(" "))
}

fn row() -> impl Strategy<Value = Value> {
    let chat =
        (said(), said(), prop::option::of("[ab]"), prop::option::of(prop::sample::select(vec!["MIT", "secret"])));
    chat.prop_map(|(question, answer, category, license)| {
        json!({
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            "category": category, "license": license,
        })
    })
}

fn files() -> impl Strategy<Value = Files> {
    let line =
        prop_oneof![8 => row().prop_map(|row| row.to_string()), 1 => Just(String::new()), 1 => Just("{".to_owned())];
    let text = prop::collection::vec(line, 0..30).prop_map(|lines| lines.join("\n"));
    prop::collection::vec(text, 1..4)
        .prop_map(|texts| texts.into_iter().zip('a'..).map(|(text, name)| (format!("{name}.jsonl"), text)).collect())
}

const CONFIGS: [&str; 5] = [
    "",
    "rights: {licenses: [MIT]}\nduplicates: {near: 0.6, code: drop}",
    "mix: {by: category, weights: {a: 3}, repeats_max: 2}\nsplit: {valid: 0.3, test: 0.2, seed: 7}",
    "dedup: pipeline",
    "duplicates: {exact: false, near: off}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_line_is_told_of_once_and_is_where_it_is_said_to_be(files in files(), config in prop::sample::select(CONFIGS.to_vec())) {
        let Ok(curated) = curated(config, &files) else { return Ok(()) };
        let mut lines = Vec::new();
        for (name, text) in &files {
            let numbered = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
            lines.extend(numbered.map(|(_, number)| (name.clone(), number)));
        }
        let told = provenance(&curated);
        prop_assert_eq!(told.iter().map(|line| (line.file.clone(), line.line)).collect::<Vec<_>>(), lines);
        let written = written(&curated);
        let mut rows: Vec<(Side, String)> = Vec::new();
        for side in Side::ALL {
            let text = written.get(side.file()).map(|bytes| String::from_utf8(bytes.clone()).unwrap()).unwrap_or_default();
            for line in text.lines() {
                let mut value: Value = serde_json::from_str(line).unwrap();
                value.as_object_mut().unwrap().remove("weight");
                rows.push((side, vertigo::id::Digest::of(value.to_string().as_bytes()).hex()));
            }
        }
        let mut said: Vec<(Side, String)> =
            told.iter().flat_map(|line| line.rows().map(|id| (line.side.unwrap(), id.to_owned()))).collect();
        rows.sort();
        said.sort();
        prop_assert_eq!(rows, said, "a row's id is the digest of what stands in the file");
        prop_assert!(told.iter().all(|line| line.side.is_some() != line.end().is_some()));
        let report = curated.report();
        prop_assert_eq!(report.funnel.last().unwrap().left, told.iter().filter(|line| line.side.is_some()).count() as u64);
        prop_assert_eq!(&serde_json::from_str::<Report>(&report.to_json()).unwrap(), report);
    }

    #[test]
    fn the_order_of_files_makes_no_difference(files in files(), config in prop::sample::select(CONFIGS.to_vec())) {
        let Ok(one) = curated(config, &files) else { return Ok(()) };
        let turned: Files = files.iter().rev().cloned().collect();
        prop_assert_eq!(written(&one), written(&curated(config, &turned).unwrap()));
    }

    #[test]
    fn names_of_files_decide_nothing_of_what_is_in_the_set(files in files(), config in prop::sample::select(CONFIGS.to_vec())) {
        if config.contains("pipeline") {
            return Ok(());
        }
        let Ok(one) = curated(config, &files) else { return Ok(()) };
        let renamed: Files = files.iter().rev().zip('p'..).map(|((_, text), name)| (format!("{name}.jsonl"), text.clone())).collect();
        let other = curated(config, &renamed).unwrap();
        for side in Side::ALL {
            prop_assert_eq!(file(&one, side), file(&other, side));
        }
    }

    #[test]
    fn what_was_curated_is_kept_whole_when_it_is_curated_again(files in files()) {
        let Ok(one) = curated("", &files) else { return Ok(()) };
        let all = |curated: &Curated| {
            let mut rows: Vec<String> = curated.made().all().map(|(_, it)| it.row.body.to_value().to_string()).collect();
            rows.sort();
            rows
        };
        let again = curated("", &vec![("again.jsonl".to_owned(), all(&one).join("\n"))]).unwrap();
        prop_assert_eq!(all(&one), all(&again));
        for side in Side::ALL {
            prop_assert_eq!(file(&one, side), file(&again, side), "and on the same sides");
        }
    }
}

fn chats(lines: &[(&str, &str)]) -> Files {
    let row = |(question, answer): &(&str, &str)| {
        json!({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})
            .to_string()
    };
    vec![("a.jsonl".to_owned(), lines.iter().map(row).collect::<Vec<_>>().join("\n"))]
}

#[test]
fn weights_stand_beside_rows_and_change_no_id() {
    let mut files = chats(&[]);
    for n in 0..40 {
        let category = if n % 4 == 0 { "rare" } else { "common" };
        let row = json!({
            "messages": [{"role": "user", "content": format!("What is {n}?")}, {"role": "assistant", "content": format!("{n} {}", n * n)}],
            "category": category,
        });
        files[0].1 += &format!("{row}\n");
    }
    let curated = curated("mix: {by: category, weights: {rare: 2}}\nduplicates: {near: off}", &files).unwrap();
    let train = String::from_utf8(written(&curated)["train.jsonl"].clone()).unwrap();
    let weights: Vec<f64> =
        train.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["weight"].as_f64().unwrap()).collect();
    let (most, least) = (weights.iter().copied().fold(0.0, f64::max), weights.iter().copied().fold(9.0, f64::min));
    assert!((most / least - 2.0).abs() < 1e-4, "{most} {least}");
    let drawn: f64 = curated.report().categories.iter().map(|category| category.drawn).sum();
    assert!((drawn - 1.0).abs() < 1e-5, "{drawn}");
}

#[test]
fn a_mix_of_the_pipeline_says_its_leak_before_anything_else() {
    let files = chats(&[("What is a part?", "A part is a brick of the world."); 1]);
    let mut files = files;
    files[0].1 = (0..60)
        .map(|n| {
            let category = if n == 0 { "lonely" } else { "common" };
            let text = format!("{n} {}", "x".repeat(n));
            json!({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text}], "category": category})
        })
        .map(|row| row.to_string() + "\n")
        .collect();
    let curated = curated("mix: pipeline-balanced\nduplicates: {near: off}", &files).unwrap();
    let report = curated.report();
    assert!(!report.leak.is_none(), "one row is copied, and its copies are on all sides");
    assert!(report.remarks[0].starts_with("This mix leaks"), "{:?}", report.remarks);
    assert!(page::page(report).contains("This mix leaks"));
}

#[test]
fn rows_that_say_the_same_are_one_cluster_whatever_became_of_them() {
    let told = provenance(&curated("", &chats(&[("q", "one"), ("q", "one"), ("r", "two and three")])).unwrap());
    let clusters: Vec<Option<&str>> = told.iter().map(|line| line.cluster.as_deref()).collect();
    assert_eq!(clusters, [told[0].id.as_deref(), told[0].id.as_deref(), None]);
    assert_eq!(told.iter().filter(|line| line.side.is_some()).count(), 2, "one of the equal rows is left");
}

#[test]
fn nothing_left_is_an_error_that_says_where_it_went() {
    let error = curated("rights: {licenses: [MIT]}", &chats(&[("q", "a"), ("r", "b")])).unwrap_err().to_string();
    assert_eq!(error, "no row is left to train on, of 2 that were read; most were left out by rights");
    let error = curated("", &vec![("a.jsonl".to_owned(), String::new())]).unwrap_err().to_string();
    assert!(error.contains("the files, which are empty"), "{error}");
}

#[test]
fn a_secret_is_in_nothing_that_is_written() {
    let secret = format!("sk-{}", "a1B2c3D4e5".repeat(4));
    let question = format!("My key is {secret} and I am jo@corp-mail.de; what is wrong?");
    let curated = curated("contamination: drop", &chats(&[(&question, "Nothing."), ("Hello?", &secret)])).unwrap();
    for (name, bytes) in written(&curated) {
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains(&secret) && !text.contains("jo@corp"), "{name}: {text}");
    }
}

#[test]
fn a_secret_in_what_is_told_of_a_row_is_told_nowhere() {
    let secret = format!("github_pat_{}", "a1B2c3D4e5".repeat(6));
    let row = |role: &str, question: String| {
        json!({
            "messages": [{"role": role, "content": question}, {"role": "assistant", "content": "Yes."}],
            "license": secret, "attribution": secret, "category": secret, "rights_basis": secret,
        })
        .to_string()
    };
    let text = [row("user", format!("{}{secret}", " ".repeat(470))), row(&secret, "Hello?".to_owned())].join("\n");
    let curated = curated("mix: {by: category}", &vec![("a.jsonl".to_owned(), text)]).unwrap();
    for (name, bytes) in written(&curated) {
        assert!(!String::from_utf8(bytes).unwrap().contains("a1B2"), "{name}");
    }
}

#[test]
fn a_question_without_words_is_a_question_all_the_same() {
    let rows: Vec<(String, String)> = (0..60).map(|n| ("\u{1f44b}".to_owned(), format!("hello number {n}"))).collect();
    let rows: Vec<(&str, &str)> = rows.iter().map(|(question, answer)| (question.as_str(), answer.as_str())).collect();
    let curated = curated("duplicates: {near: off}", &chats(&rows)).unwrap();
    assert_eq!((curated.made().train.len(), curated.report().sides.total()), (60, 60), "they are on one side");
}

#[test]
fn something_is_trained_on_wherever_there_is_something() {
    let equal = chats(&[("\u{1f44b}", "\u{1f44b}"); 30]);
    let all = curated("duplicates: {exact: false, near: off}\nsplit: {valid: 0.49, test: 0.49}", &equal).unwrap();
    assert_eq!(all.made().train.len(), 30);
    for seed in 0..20 {
        let few = chats(&[("one thing", "first"), ("another", "second answer")]);
        let curated = curated(&format!("split: {{valid: 0.49, test: 0.49, seed: {seed}}}"), &few).unwrap();
        assert!(!curated.made().train.is_empty());
    }
    let error = curated("mix: pipeline-balanced", &chats(&[("q", "a")])).unwrap_err().to_string();
    assert!(error.ends_with("most were left out by the mix, which held all of them back"), "{error}");
}

#[test]
fn a_conversation_that_the_pipelines_mix_would_write_without_end_is_refused() {
    let turn = |n: usize| if n.is_multiple_of(2) { "user" } else { "assistant" };
    let call = json!([{"type": "function", "function": {"name": "f", "arguments": {}}}]);
    let mut messages: Vec<Value> = (0..8_000).map(|n| json!({"role": turn(n), "content": n.to_string()})).collect();
    messages[1]["tool_calls"] = call;
    let row = json!({"messages": messages, "tools": [{"type": "function", "function": {"name": "f"}}]});
    let error = curated("mix: pipeline-balanced", &vec![("a.jsonl".to_owned(), row.to_string())]).unwrap_err();
    assert!(error.to_string().contains("16004000 turns here"), "{error}");
}
