//! `vertigo suite`: tasks with their checks.

use crate::cli::{CheckSuiteArgs, ImportSuiteArgs, ShowSuiteArgs, SuiteCommand};
use crate::coordinator::Coordinator;
use crate::error::{CliError, Result};
use crate::render::json;
use crate::render::output::{Output, bold, pairs, short_id};
use crate::render::safe;
use crate::render::suite as shown;
use crate::room;
use crate::suites;
use crate::upload::Upload;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;
use vertigo::files::AtPath;
use vertigo::manifest::Kind;
use vertigo::v1;
use vertigo_evaluation::soundness::{self, Unsound};
use vertigo_evaluation::suite::{Suite, Task};

pub(crate) async fn run(command: &SuiteCommand, coordinator: &Coordinator, output: Output) -> Result<()> {
    match command {
        SuiteCommand::Import(args) => import(args, coordinator, output).await,
        SuiteCommand::Check(args) => check(args, coordinator, output).await,
        SuiteCommand::Show(args) => show(args, coordinator, output).await,
    }
}

async fn import(args: &ImportSuiteArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    // The whole of it is read before a byte goes up: a suite in the store is one that can be asked.
    let suite = match &args.path {
        Some(path) => suites::read(&args.name, path, args.system.as_deref())?,
        None => suites::ours()?,
    };
    let folder = scratch()?;
    let files = suite.files();
    for (path, text) in &files {
        let at = folder.path().join(path);
        fs::write(&at, text).at(&at).map_err(CliError::refused)?;
    }
    let (files, facts) = (files.into_keys().collect(), facts(&suite));
    let upload = Upload { kind: Kind::Suite, folder: folder.path(), files, facts, tag: &args.name };
    let artifact = upload.run(coordinator, output).await?;
    output.show(|| json::artifact(&artifact), || imported(&args.name, &suite, &artifact));
    Ok(())
}

/// What is known of the suite without reading it.
fn facts(suite: &Suite) -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("name".to_owned(), json!(suite.about.name)),
        ("tasks".to_owned(), json!(suite.tasks.len())),
        ("categories".to_owned(), json!(shown::categories(suite))),
    ])
}

fn imported(name: &str, suite: &Suite, artifact: &v1::Artifact) -> String {
    let categories = shown::categories(suite).into_iter().map(|(name, tasks)| format!("{name} {tasks}"));
    let rows = [
        ("digest", format!("sha256:{}", short_id(&artifact.digest))),
        ("tasks", format!("{}: {}", suite.tasks.len(), categories.collect::<Vec<_>>().join(", "))),
        ("next", format!("vertigo eval MODEL --suite {name}")),
    ];
    format!("imported suite {}\n{}", bold(name), pairs(rows))
}

async fn show(args: &ShowSuiteArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let folder = scratch()?;
    let suite = suites::named(&args.name, folder.path(), coordinator, output).await?;
    output.show(|| shown::document(&suite, args.samples), || shown::render(&suite, args.samples));
    Ok(())
}

async fn check(args: &CheckSuiteArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let folder = scratch()?;
    let suite = match &args.name {
        Some(name) => suites::named(name, folder.path(), coordinator, output).await?,
        None => suites::ours()?,
    };
    let unsound = tokio::task::block_in_place(|| unsound(&suite))?;
    let answers =
        suite.tasks.iter().map(|task| usize::from(task.reference.is_some()) + task.wrong.len()).sum::<usize>();
    let document =
        || json!({"suite": suite.about.name, "tasks": suite.tasks.len(), "answers": answers, "unsound": unsound});
    output.show(document, || checked(&suite, answers, &unsound));
    match unsound.len() {
        0 => Ok(()),
        count => Err(CliError::refused(format!("{} does not hold what it says, in {count} places", suite.about.name))
            .hint("mend the tasks, their references or their wrong answers, and check again")),
    }
}

/// All that is wrong with a suite. Tasks are looked at two at a time, as many as run in the room at once.
fn unsound(suite: &Suite) -> Result<Vec<Unsound>> {
    let sandbox = room::open()?;
    let half = suite.tasks.len().div_ceil(room::AT_ONCE).max(1);
    let of = |tasks: &[Task]| tasks.iter().flat_map(|task| soundness::of_task(suite, task, &sandbox)).collect();
    let halves: Vec<Vec<Unsound>> = std::thread::scope(|scope| {
        let threads: Vec<_> = suite.tasks.chunks(half).map(|tasks| scope.spawn(move || of(tasks))).collect();
        threads.into_iter().map(|thread| thread.join()).collect::<std::thread::Result<_>>()
    })
    .map_err(|_| CliError::refused("a thread that checked the suite panicked"))?;
    Ok(halves.into_iter().flatten().collect())
}

fn checked(suite: &Suite, answers: usize, unsound: &[Unsound]) -> String {
    if unsound.is_empty() {
        let name = bold(&suite.about.name);
        return format!("{name}: {} tasks, {answers} answers, each as it should be\n", suite.tasks.len());
    }
    unsound.iter().map(|it| format!("{}: {}\n", bold(&it.task), safe::text(&it.said))).collect()
}

fn scratch() -> Result<TempDir> {
    tempfile::tempdir().map_err(|e| CliError::refused(format!("cannot make a folder to work in: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    #[test]
    fn a_suite_is_known_by_its_facts_and_says_what_comes_next() {
        let suite = suites::ours().unwrap();
        let facts = facts(&suite);
        assert_eq!((&facts["name"], &facts["tasks"]), (&json!("luau"), &json!(suite.tasks.len())));
        let counted: usize = shown::categories(&suite).values().sum();
        assert_eq!(counted, suite.tasks.len());
        let artifact = v1::Artifact { digest: "sha256:0123456789abcdef".into(), ..Default::default() };
        let text = plain(&imported("mine", &suite, &artifact));
        assert!(text.starts_with("imported suite mine\n  digest  sha256:0123456789ab\n"), "{text}");
        assert!(text.contains("vertigo eval MODEL --suite mine"), "{text}");
    }
}
