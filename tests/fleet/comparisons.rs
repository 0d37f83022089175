//! Models beside one another: what is said of two, and a tag that moves by more than one suite.

use crate::{small_fleet, turn};
use serde_json::Value;
use vertigo_tests::Fleet;

/// Imports a suite of tasks that any whole answer passes, under a tag that is not its own name.
async fn import(fleet: &Fleet, tag: &str, name: &str, tasks: usize) {
    let about = format!("name: {name}\ndefaults: {{tokens_max: 24, samples: 1, temperature: 1.0}}\n");
    let suite = fleet.write(&format!("{tag}/suite.yaml"), &about);
    for n in 0..tasks {
        let task = format!("id: t{n}\ncategory: said\nprompt: Say {n}.\nchecks:\n  patterns: [\"(?s).*\"]\n");
        fleet.write(&format!("{tag}/tasks/t{n}.yaml"), &task);
    }
    fleet.cli(&["suite", "import", tag, &suite.parent().unwrap().to_string_lossy()]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_compared_when_all_have_answered_and_a_tag_moves_by_all_suites_of_a_gate() {
    let _turn = turn().await;
    let fleet = small_fleet("30s").await;
    fleet.import("other", &["--preset", "mini-4b", "--seed", "9"]).await;
    import(&fleet, "first", "inner-first", 3).await;
    import(&fleet, "second", "inner-second", 2).await;

    // Followed: each model's progress, and then which is better.
    let asked = ["eval", "mini", "--suite", "first", "--baseline", "other", "--follow"];
    let said = fleet.cli(&[&["--json"], &asked[..]].concat()).await.ok();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let compared = lines.last().unwrap();
    assert_eq!((&compared["event"], &compared["suite"]), (&"compared".into(), &"first".into()), "{said}");
    let comparison = &compared["result"]["comparison"];
    assert_eq!(comparison["standings"][0]["model"], "mini");
    assert_eq!(comparison["standings"][1]["model"], "other");
    assert_eq!((&comparison["suite"], &comparison["pairs"][0]["verdict"]), (&"inner-first".into(), &"unsure".into()));
    let said = fleet.cli(&asked).await.ok();
    assert!(said.contains("It is not sure which is better, mini or other"), "{said}");
    // What is told as it happens is a line each; the comparison after it fits a terminal.
    let (_, compared) = said.split_once("\nSuite inner-first: ").unwrap_or_else(|| panic!("{said}"));
    assert!(compared.lines().all(|line| line.chars().count() <= 80), "{compared}");

    // A gate over both suites, by their tags: a suite without a report holds the tag where it is.
    let rules = "{floors: {overall: 0}}";
    let gate = fleet.write("gate.yaml", &format!("suites:\n  first: {rules}\n  second: {rules}\n"));
    let gate = gate.to_string_lossy().into_owned();
    let promote = ["--json", "promote", "mini", "--to", "production", "--gate", &gate];
    let refused = fleet.cli(&promote).await;
    assert!(refused.code == 1 && refused.stdout.contains("no report of suite `second`"), "{}", refused.stdout);
    assert!(!refused.stdout.contains("no report of suite `first`"), "{}", refused.stdout);
    // Nor does one of a task alone let it go on.
    fleet.cli(&["eval", "mini", "--suite", "second", "--tasks", "t0", "--follow"]).await.ok();
    assert_eq!(fleet.cli(&promote).await.code, 1);
    fleet.cli(&["eval", "mini", "--suite", "second", "--follow"]).await.ok();
    let moved: Value = serde_json::from_str(&fleet.cli(&promote).await.ok()).unwrap();
    assert_eq!((&moved["outcome"], moved["evidence"].as_array().map(Vec::len)), (&"moved".into(), Some(2)), "{moved}");
    let rules: Vec<_> = moved["decision"]["reasons"].as_array().unwrap().iter().map(|it| it["rule"].clone()).collect();
    assert_eq!(rules, ["first.floors.overall", "second.floors.overall"]);
    // A folder that somebody may have written is no evidence, and a tag of something else is no model's.
    let report = moved["evidence"][0].as_str().unwrap();
    let folder = fleet.folder("copy").to_string_lossy().into_owned();
    fleet.cli(&["get", report, &folder]).await.ok();
    let copied = fleet.cli(&["promote", "other", "--to", "production", "--gate", &gate, "--report", &folder]).await;
    assert!(copied.code == 1 && copied.stderr.contains("is a folder on this machine"), "{}", copied.stderr);
    let wrong = fleet.cli(&["promote", "mini", "--to", "first", "--gate", &gate]).await;
    assert!(wrong.code == 1 && wrong.stderr.contains("artifact of kind suite"), "{}", wrong.stderr);
    // What the report shows of its suite can be looked up.
    let shown = fleet.cli(&["report", report]).await.ok();
    let artifacts = fleet.cli(&["--json", "artifacts", "--kind", "suite"]).await.ok();
    let digest =
        shown.split("sha256:").nth(2).map(|rest| rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>());
    assert!(artifacts.contains(&digest.clone().unwrap()), "{digest:?}\n{shown}\n{artifacts}");
}
