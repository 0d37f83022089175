//! `vertigo suite`: tasks with their checks.

use crate::cli::{ImportSuiteArgs, ShowSuiteArgs, SuiteCommand};
use crate::coordinator::Coordinator;
use crate::error::{CliError, Result};
use crate::render::json;
use crate::render::output::{Output, bold, pairs, short_id};
use crate::render::suite as shown;
use crate::suites;
use crate::upload::Upload;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;
use vertigo::files::AtPath;
use vertigo::manifest::Kind;
use vertigo::v1;
use vertigo_evaluation::suite::Suite;

pub(crate) async fn run(command: &SuiteCommand, coordinator: &Coordinator, output: Output) -> Result<()> {
    match command {
        SuiteCommand::Import(args) => import(args, coordinator, output).await,
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
