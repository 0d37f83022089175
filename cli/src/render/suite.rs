//! A suite, for people: what it asks, and what it can show.

use crate::render::output::{bold, pairs, table, wrap};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vertigo_evaluation::statistics::{Design, Reach, Spread};
use vertigo_evaluation::suite::{Suite, Thinking};

/// What `samples` of each of a suite's tasks can show.
pub(crate) fn reach(suite: &Suite, samples: u32) -> Reach {
    Reach::of(Design { tasks: suite.tasks.len() as u64, samples: u64::from(samples) }, Spread::PLANNED)
}

/// How many tasks each category has.
pub(crate) fn categories(suite: &Suite) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for task in &suite.tasks {
        *counts.entry(task.category.as_str()).or_default() += 1;
    }
    counts
}

/// How many tasks have each check, and in how many of them it decides.
fn checks(suite: &Suite) -> BTreeMap<&'static str, (usize, usize)> {
    let mut counts: BTreeMap<_, (usize, usize)> = BTreeMap::new();
    for check in suite.tasks.iter().flat_map(|task| &task.checks) {
        let count = counts.entry(check.what.name().as_str()).or_default();
        count.0 += 1;
        count.1 += usize::from(check.decides);
    }
    counts
}

/// The least and the most tokens of an answer.
fn tokens_max(suite: &Suite) -> (u32, u32) {
    let all = || suite.tasks.iter().map(|task| suite.tokens_max(task));
    (all().min().unwrap_or_default(), all().max().unwrap_or_default())
}

/// The suite for scripts, with what 1 to `samples_max` samples can show.
pub(crate) fn document(suite: &Suite, samples_max: u32) -> Value {
    let checks: BTreeMap<_, _> = checks(suite)
        .into_iter()
        .map(|(name, (tasks, decides))| (name, json!({"tasks": tasks, "decides": decides})))
        .collect();
    let (least, most) = tokens_max(suite);
    json!({
        "name": suite.about.name,
        "digest": suite.digest(),
        "description": suite.about.description,
        "tasks": suite.tasks.len(),
        "categories": categories(suite),
        "ids": suite.tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(),
        "checks": checks,
        "references": suite.tasks.iter().filter(|task| task.reference.is_some()).count(),
        "wrong_answers": suite.tasks.iter().map(|task| task.wrong.len()).sum::<usize>(),
        "tokens_max": {"least": least, "most": most},
        "samples": suite.about.defaults.samples,
        "temperature": suite.about.defaults.temperature,
        "reach": (1..=samples_max).map(|samples| reach(suite, samples)).collect::<Vec<_>>(),
    })
}

/// The suite in lines of at most 80 columns, with what 1 to `samples_max` samples can show.
pub(crate) fn render(suite: &Suite, samples_max: u32) -> String {
    let about = &suite.about;
    let (least, most) = tokens_max(suite);
    let tokens = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let thinking = match about.defaults.thinking {
        Thinking::Off => "no thought before it".to_owned(),
        Thinking::Tokens(tokens) => format!("a thought of at most {tokens} before it"),
    };
    let defaults = about.defaults;
    let plural = if defaults.samples == 1 { "" } else { "s" };
    let sampling = format!("{} sample{plural} at temperature {}", defaults.samples, defaults.temperature);
    let wrong: usize = suite.tasks.iter().map(|task| task.wrong.len()).sum();
    let references = suite.tasks.iter().filter(|task| task.reference.is_some()).count();
    let checks = checks(suite).into_iter().map(|(name, (tasks, decides))| match decides {
        0 => format!("{name} in {tasks} (decides nothing)"),
        _ => format!("{name} in {tasks}"),
    });
    let rows = [
        ("about", about.description.clone()),
        ("digest", format!("sha256:{}", suite.digest().short())),
        ("tasks", format!("{}, {references} with a reference, {wrong} wrong answers", suite.tasks.len())),
        ("checks", checks.collect::<Vec<_>>().join(", ")),
        ("asked", format!("{sampling}; {tokens} tokens of an answer, {thinking}")),
    ];
    let of = |(name, count): (&str, usize)| {
        [name.to_owned(), count.to_string(), about.categories.get(name).cloned().unwrap_or_default()]
    };
    let categories = table(["CATEGORY", "TASKS", "ABOUT"], &[1], categories(suite).into_iter().map(of).collect());
    let shows: String = (1..=samples_max).map(|samples| wrap(&format!("{}.", reach(suite, samples)), 2)).collect();
    let head = bold(&about.name);
    format!("{head}\n{}\n{categories}\nWhat it can show of two models:\n{shows}", pairs(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    fn suite() -> Suite {
        let about =
            "name: luau\ndescription: Whether a model writes Luau.\ncategories: {coding: Modules., tools: Calls.}\n";
        let task = |n: usize, category: &str| {
            let checks = json!({"patterns": ["x"], "compile": {}});
            format!("{}\n", json!({"id": format!("t{n}"), "category": category, "prompt": "p", "checks": checks}))
        };
        let tasks: String = (0..30).map(|n| task(n, if n < 20 { "coding" } else { "tools" })).collect();
        let files = [("suite.yaml", about.to_owned()), ("tasks.jsonl", tasks)];
        Suite::parse(&files.map(|(path, text)| (path.to_owned(), text)).into()).unwrap()
    }

    #[test]
    fn a_suite_says_what_it_asks_and_what_it_can_show() {
        let text = plain(&render(&suite(), 2));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        luau
          about   Whether a model writes Luau.
          digest  sha256:6815b883033d
          tasks   30, 0 with a reference, 0 wrong answers
          checks  compile in 30, patterns in 30
          asked   5 samples at temperature 0.7; 1024 tokens of an answer, no thought
                  before it

        CATEGORY  TASKS  ABOUT
        coding       20  Modules.
        tools        10  Calls.

        What it can show of two models:
          30 tasks at 1 sample cannot show less than 20.0 points, and find a difference
          of 30 points four times of five.
          30 tasks at 2 samples cannot show less than 10.0 points, and find a difference
          of 23 points four times of five.
        ");
    }

    #[test]
    fn scripts_get_the_same() {
        let document = document(&suite(), 3);
        assert_eq!((&document["tasks"], &document["categories"]["coding"]), (&json!(30), &json!(20)));
        assert_eq!(document["checks"]["compile"], json!({"tasks": 30, "decides": 30}));
        assert_eq!(document["ids"][29], "t9");
        assert_eq!(document["reach"].as_array().unwrap().len(), 3);
    }
}
